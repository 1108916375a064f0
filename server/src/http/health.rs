//! What operators and their tools ask: alive, started, ready, figures. No credentials: nothing here tells of a project.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::time::Instant;

use crate::health::{Health, Reason};
use crate::intake::Books;
use crate::phase::Stage;

/// All that these routes need; it is there before the engine is.
#[derive(Clone)]
pub struct HealthState {
    pub health: Arc<Health>,
    pub metrics: PrometheusHandle,
    /// The books of the routes that take data, once there are any.
    pub books: Books,
}

pub fn routes(state: HealthState) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/startupz", get(startupz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(state)
}

/// Whether a request is for one of [`routes`].
pub fn is_ours(request: &Request) -> bool {
    matches!(request.uri().path().trim_end_matches('/'), "/livez" | "/startupz" | "/readyz" | "/metrics")
}

/// That this is answered shows that the event loop turns.
async fn livez(State(state): State<HealthState>) -> Response {
    reply("dead", state.health.dead(Instant::now()).into_iter().collect())
}

async fn startupz(State(state): State<HealthState>) -> Response {
    reply("starting", state.health.starting().into_iter().collect())
}

async fn readyz(State(state): State<HealthState>) -> Response {
    let status = match state.health.phase.stage() {
        Stage::Starting(_) => "starting",
        Stage::Stopping => "stopping",
        Stage::Ready | Stage::Restarting => "unavailable",
    };
    let (reasons, warnings) = (state.health.unready(Instant::now()), state.health.warnings(Instant::now()));
    match (reasons.is_empty(), warnings.is_empty()) {
        (true, false) => Json(json!({"status": "ok", "warnings": warnings})).into_response(),
        _ => reply(status, [reasons, warnings].concat()),
    }
}

fn reply(status: &str, reasons: Vec<Reason>) -> Response {
    if reasons.is_empty() {
        return Json(json!({"status": "ok"})).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": status, "reasons": reasons}))).into_response()
}

async fn metrics(State(state): State<HealthState>) -> Response {
    let mut text = state.metrics.render();
    text.push_str(&state.books.render());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
