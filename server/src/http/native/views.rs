//! Views: statements whose results are kept by shard and day, and read by SQL as `view_{name}`.
//!
//! `GET /v1/views` → `{"views":[{"name","sql","created_at"}]}`. `POST /v1/views` with `{"name","sql"}` makes one, and
//! `POST /v1/views/{name}/refresh` computes what has changed: both answer `{"name","computed","kept","swept",
//! "bytes_read"}`, counts of shards' days that were computed, that were there already, and of old results deleted, and what
//! was fetched from the store meanwhile. `DELETE /v1/views/{name}` →
//! `{"dropped":name}`. Readings are up to date with or without a refresh.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::json;

use super::body::NativeRequest;
use crate::auth::authorize;
use crate::http::{ApiError, QueryRequest};
use crate::local::{ViewCounts, ViewInfo, ViewList};
use crate::state::AppState;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewView {
    name: String,
    sql: String,
}

pub async fn list(State(state): State<AppState>, request: QueryRequest) -> Result<Json<ViewList>, ApiError> {
    let project = authorize(&state, &request.headers, &request.params?).await?;
    let views = state.engine.views(project.id).await?;
    Ok(Json(ViewList { views: views.into_iter().map(ViewInfo::from).collect() }))
}

pub async fn create(
    State(state): State<AppState>,
    request: NativeRequest<NewView>,
) -> Result<Json<ViewCounts>, ApiError> {
    let project = authorize(&state, &request.headers, &request.params).await?;
    let NewView { name, sql } = request.body;
    let done = state.engine.create_view(project.id, &name, &sql).await?;
    Ok(Json(ViewCounts::new(name, done)))
}

pub async fn refresh(
    State(state): State<AppState>,
    Path(name): Path<String>,
    request: QueryRequest,
) -> Result<Json<ViewCounts>, ApiError> {
    let project = authorize(&state, &request.headers, &request.params?).await?;
    let done = state.engine.refresh_view(project.id, &name).await?;
    Ok(Json(ViewCounts::new(name, done)))
}

pub async fn drop(
    State(state): State<AppState>,
    Path(name): Path<String>,
    request: QueryRequest,
) -> Result<Json<serde_json::Value>, ApiError> {
    let project = authorize(&state, &request.headers, &request.params?).await?;
    state.engine.drop_view(project.id, &name).await?;
    Ok(Json(json!({"dropped": name})))
}
