//! What SDKs ask for beside sending data: feature flags, settings, session replay (`reference/mixpanel-http-api.md` §8).
//!
//! None of it exists here, so every answer is the one that means "nothing for you": it keeps an SDK from throwing, from
//! trying again, and from recording what nobody would store.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::Params;
use super::ingest::discard;
use crate::auth::{basic_credentials, bearer};
use crate::state::AppState;

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/flags", get(flags))
        .route("/flags/definitions", get(definitions))
        .route("/flags/{flag}/first-time-events", post(accept))
        .route("/settings", get(settings))
        .route("/record", post(record))
        .route("/decide", get(decide))
}

/// The key must exist: SDKs read it without looking.
async fn flags(State(state): State<AppState>, headers: HeaderMap, uri: Uri) -> Response {
    answer(&state, &headers, &uri, json!({"flags": {}})).await
}

async fn definitions(State(state): State<AppState>, headers: HeaderMap, uri: Uri) -> Response {
    answer(&state, &headers, &uri, json!({"flags": []})).await
}

/// The browser SDK takes a `config` without a key that it knows for an error.
async fn settings(State(state): State<AppState>, headers: HeaderMap, uri: Uri) -> Response {
    let nothing = json!({
        "recording": {"is_enabled": false},
        "sdk_config": {"config": {"record_sessions_percent": 0}},
    });
    answer(&state, &headers, &uri, nothing).await
}

/// The only call of SDKs from before 2022.
async fn decide(State(state): State<AppState>, headers: HeaderMap, uri: Uri) -> Response {
    answer(&state, &headers, &uri, json!({"notifications": [], "surveys": [], "config": {}})).await
}

async fn accept(State(state): State<AppState>, request: Request) -> Response {
    take(&state, request, json!({})).await
}

/// A reply that is no JSON counts as a failure and is sent again.
async fn record(State(state): State<AppState>, request: Request) -> Response {
    take(&state, request, json!({"code": 200, "status": "OK"})).await
}

async fn take(state: &AppState, request: Request, reply: Value) -> Response {
    let (parts, body) = request.into_parts();
    if !discard(&parts.headers, body).await {
        return refusal(StatusCode::BAD_REQUEST, "request body is incomplete");
    }
    answer(state, &parts.headers, &parts.uri, reply).await
}

async fn answer(state: &AppState, headers: &HeaderMap, uri: &Uri, reply: Value) -> Response {
    match is_known(state, headers, uri).await {
        Ok(true) => Json(reply).into_response(),
        Ok(false) => refusal(StatusCode::UNAUTHORIZED, "Invalid credentials"),
        Err(error) => refusal(super::status(error.kind), "a temporary failure occurred"),
    }
}

/// Whether the request names a project, by any of the credentials that SDKs of all ages send. That a token is wrong is
/// worth saying here: it shows in the console of whoever sets the SDK up, long before they miss their events.
async fn is_known(state: &AppState, headers: &HeaderMap, uri: &Uri) -> Result<bool, footfall_engine::Error> {
    let in_query = Params::parse(uri.query(), None, b"").ok().and_then(|params| params.text("token").map(Into::into));
    let projects = &state.projects;
    let token: String = match (bearer(headers), basic_credentials(headers), in_query) {
        (Some(token), _, _) if state.local_token.matches(token) => return Ok(true),
        (_, Some(credentials), _) => match &credentials.password {
            Some(secret) => return Ok(projects.by_service_account(&credentials.username, secret).await?.is_some()),
            None => credentials.username,
        },
        (_, None, Some(token)) => token,
        (_, None, None) => return Ok(false),
    };
    Ok(projects.by_secret_or_token(token.trim()).await?.is_some())
}

fn refusal(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"error": error, "status": "error"}))).into_response()
}
