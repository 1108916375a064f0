//! `POST /v1/local/ingest`: events that a command on this machine has already validated.
//!
//! Not part of the public surface: it takes the bearer token of `server.json` and nothing else.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use bytes::Bytes;
use footfall_model::Event;

use crate::auth::{Principal, authenticate, authorize};
use crate::http::{ApiError, Params};
use crate::local::IngestReply;
use crate::state::AppState;

pub async fn ingest(
    State(state): State<AppState>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Json<IngestReply>, ApiError> {
    if !matches!(authenticate(&state, &headers).await?, Principal::Local) {
        return Err(ApiError::forbidden());
    }
    let project = authorize(&state, &headers, &Params::parse(uri.query(), None, b"")?).await?;
    let events: Vec<Event> = serde_json::from_slice(&body)
        .map_err(|e| ApiError::new(StatusCode::BAD_REQUEST, "invalid", format!("body, invalid events: {e}")))?;
    let summary = state.engine.ingest(project.id, events).await?;
    Ok(Json(IngestReply { stored: summary.stored, duplicates: summary.duplicates }))
}
