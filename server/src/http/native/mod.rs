//! Footfall's own routes: JSON in and out, errors as `{"error":{"code","message","field"}}`.

mod body;
mod events;
mod expressions;
mod live;
mod local;
mod projects;
mod quality;
mod rejected;
mod schema;
mod sql;
mod views;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};

pub use projects::info as project_info;

use crate::state::AppState;

/// A batch of `footfall import`, which sends about a quarter of this at most.
const LOCAL_BODY_MAX: usize = 64 << 20;

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/v1/sql", post(sql::sql))
        .route("/v1/expressions/evaluate", post(expressions::evaluate))
        .route("/v1/expressions/check", post(expressions::check))
        .route("/v1/events/recent", get(events::recent))
        .route("/v1/projects", get(projects::list))
        .route("/v1/rejected", get(rejected::rejected))
        .route("/v1/schema", get(schema::schema))
        .route("/v1/quality", get(quality::quality))
        .route("/v1/views", get(views::list).post(views::create))
        .route("/v1/views/{name}", delete(views::drop))
        .route("/v1/views/{name}/refresh", post(views::refresh))
}

/// Without compression, which would hold events back until there are enough of them.
pub fn live_routes() -> Router<AppState> {
    Router::new().route("/v1/live", get(live::live))
}

/// What only commands on this machine call.
pub fn local_routes() -> Router<AppState> {
    Router::new()
        .route("/v1/local/ingest", post(local::ingest))
        .route("/v1/local/imports", get(local::import_position))
        .route("/v1/local/flush", post(local::flush))
        .route("/v1/local", get(local::hello))
        .route("/v1/local/restart", post(local::restart))
        .route("/v1/local/compact", post(local::compact))
        .route("/v1/local/collect", post(local::collect))
        .layer(DefaultBodyLimit::max(LOCAL_BODY_MAX))
}
