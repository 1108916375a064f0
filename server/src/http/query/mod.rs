//! The Mixpanel-compatible questions: `/api/query/*`, its alias `/api/2.0/*`, and the raw export.

mod export;
mod segmentation;

use axum::Router;
use axum::response::Response;
use axum::routing::{MethodRouter, get};

use super::{ApiError, QueryRequest};
use crate::state::AppState;

/// Both prefixes of every question, for GET and POST alike.
const PREFIXES: [&str; 2] = ["/api/query", "/api/2.0"];

pub fn routes() -> Router<AppState> {
    let mut routes = Router::new().route("/api/2.0/export", get(export::export).post(export::export));
    let questions: [(&str, MethodRouter<AppState>); 1] =
        [("segmentation", get(segmentation::segmentation).post(segmentation::segmentation))];
    for (name, handler) in questions {
        for prefix in PREFIXES {
            routes = routes.route(&format!("{prefix}/{name}"), handler.clone());
        }
    }
    routes
}

/// The error form of this family repeats what was asked.
fn reply(request: &QueryRequest, result: Result<Response, ApiError>) -> Response {
    result.unwrap_or_else(|error| error.into_mixpanel(&request.request))
}
