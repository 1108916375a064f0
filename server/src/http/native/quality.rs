//! `GET /v1/quality`: how good a project's data is. `days`, from 1 to 30, says how far back.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde_json::Value;

use crate::auth::authorize;
use crate::http::ingest::arrival_ms;
use crate::http::{ApiError, Params};
use crate::quality::{DAYS_MAX, report};
use crate::state::AppState;

pub async fn quality(State(state): State<AppState>, headers: HeaderMap, uri: Uri) -> Result<Json<Value>, ApiError> {
    let params = Params::parse(uri.query(), None, b"")?;
    let project = authorize(&state, &headers, &params).await?;
    let days_max = usize::try_from(DAYS_MAX).unwrap_or(usize::MAX);
    let days = params.whole("days", 1..=days_max)?.map_or(DAYS_MAX, |days| days as u64);
    let drift = state.engine.type_drift(project.id).await?;
    let now_ms = arrival_ms();
    let record = state.intake.quality.record(project.id, now_ms);
    Ok(Json(report(project.id, &record, &drift, now_ms, days)))
}
