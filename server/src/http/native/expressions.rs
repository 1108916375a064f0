//! `POST /v1/expressions/evaluate`: what an expression is on one record. No stored data is touched.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use footfall_engine::EvaluateSpec;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::body::NativeRequest;
use crate::auth::authenticate;
use crate::http::ApiError;
use crate::state::AppState;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    expr: String,
    #[serde(default)]
    properties: Map<String, Value>,
    #[serde(default)]
    user: Map<String, Value>,
    #[serde(default)]
    behaviors: Map<String, Value>,
    now: Option<i64>,
    timezone: Option<String>,
}

/// Any valid credentials will do, since no project is asked about.
pub async fn evaluate(State(state): State<AppState>, request: NativeRequest<Evaluation>) -> Result<Response, ApiError> {
    authenticate(&state, &request.headers).await?;
    let Evaluation { expr, properties, user, behaviors, now, timezone } = request.body;
    let value = state.engine.evaluate(&EvaluateSpec { expr, properties, user, behaviors, now, timezone })?;
    Ok(Json(json!({"value": value})).into_response())
}
