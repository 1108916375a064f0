//! Counts and times every request, and turns a panic into a reply.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;

use super::ApiError;

/// The label is the route's pattern: paths and query strings hold ids and secrets, and there is no end of them.
pub async fn observe(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |p| p.as_str().to_owned());
    let method = known(request.method());
    let began = Instant::now();
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        // The panic hook has already written where and why.
        ApiError::internal("internal error").into_response()
    });
    let status = response.status();
    let took = began.elapsed();
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(route, method, "request failed");
    }
    tracing::debug!(route, method, status = status.as_u16(), ?took, "request");
    metrics::counter!("footfall_http_requests_total", "route" => route.clone(), "method" => method, "status" => status.as_u16().to_string())
        .increment(1);
    metrics::histogram!("footfall_http_request_seconds", "route" => route).record(took.as_secs_f64());
    response
}

/// Anyone may invent a method, but not a label.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        _ => "other",
    }
}
