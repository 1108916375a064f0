//! `POST /v1/sql`: one read-only statement, its rows streamed in the form that `Accept` names.

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;

use super::body::NativeRequest;
use crate::auth::authorize;
use crate::encode::{Format, encoded};
use crate::http::ApiError;
use crate::state::AppState;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    query: String,
    /// Values of `$1`, `$2`, …
    #[serde(default)]
    params: Vec<Value>,
}

pub async fn sql(State(state): State<AppState>, request: NativeRequest<Statement>) -> Result<Response, ApiError> {
    let project = authorize(&state, &request.headers, &request.params).await?;
    let format = Format::accepted(&request.headers).ok_or_else(|| {
        let message = "accept, must allow application/json, application/x-ndjson, text/csv or Arrow stream";
        ApiError::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", message)
    })?;
    if request.body.query.trim().is_empty() {
        return Err(ApiError::parameter("query", "missing or empty"));
    }
    let rows = state.engine.sql(project.id, &request.body.query, &request.body.params).await?;
    // An error after the first rows breaks the connection off: the client sees that the reply is not whole.
    let body = Body::from_stream(encoded(rows, format).await?);
    Ok(([(header::CONTENT_TYPE, format.content_type())], body).into_response())
}
