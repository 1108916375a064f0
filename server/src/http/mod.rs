//! The HTTP listener: one router for everything, one file per resource.

mod app_api;
mod cors;
mod error;
pub mod health;
pub mod ingest;
pub mod native;
mod observe;
mod params;
pub mod query;
mod sdk;
mod slash;

use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, middleware};
use serde_json::json;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

pub use error::{ApiError, status};
pub use health::HealthState;
pub use params::{Params, QueryRequest, content_type};

use crate::state::AppState;

/// Queries are small; routes that take data set their own limit.
const QUERY_BODY_MAX: usize = 1 << 20;
/// Shorter bodies are not worth a compressor; upstream compresses exports of more than 1400 bytes.
const COMPRESSED_MIN: u16 = 1401;

/// The whole service. A slash at the end of a path means nothing.
pub fn app(state: AppState, health: HealthState) -> Router {
    let answers = Router::new()
        .merge(query::routes())
        .merge(native::routes())
        .merge(app_api::routes())
        .layer(DefaultBodyLimit::max(QUERY_BODY_MAX))
        .layer(
            CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(SizeAbove::new(COMPRESSED_MIN)),
        );
    let routes = Router::new()
        .merge(ingest::routes())
        .merge(sdk::routes())
        .merge(answers)
        .merge(native::local_routes())
        .merge(native::live_routes());
    finish(routes.with_state(state).merge(health::routes(health)))
}

/// What is answered while there is nothing behind it yet: how the start goes, and to everything else, not yet.
pub fn porch(health: HealthState) -> Router {
    common(health::routes(health).fallback(not_yet))
}

fn finish(routes: Router) -> Router {
    common(routes.fallback(not_found).method_not_allowed_fallback(method_not_allowed))
}

/// What holds for every route, whatever it does.
fn common(routes: Router) -> Router {
    let routes = routes.layer(middleware::from_fn(observe::observe)).layer(middleware::from_fn(cors::cors));
    slash::insignificant(routes)
}

async fn not_found(uri: Uri) -> Response {
    if uri.path().starts_with("/v1/") {
        return ApiError::not_found("no such route").into_response();
    }
    (StatusCode::NOT_FOUND, Json(json!({"error": "not found", "status": "error"}))).into_response()
}

async fn not_yet(uri: Uri) -> Response {
    let mut error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "starting", "the server is starting; please retry");
    error.retry_after = Some(std::time::Duration::from_secs(1));
    if uri.path().starts_with("/v1/") { error.into_response() } else { error.into_mixpanel(uri.path()) }
}

async fn method_not_allowed(uri: Uri) -> Response {
    if uri.path().starts_with("/v1/") {
        let error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "method not allowed");
        return error.into_response();
    }
    (StatusCode::METHOD_NOT_ALLOWED, Json(json!({"error": "method not allowed", "status": "error"}))).into_response()
}

#[cfg(test)]
mod tests;
