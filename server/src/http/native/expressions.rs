//! `POST /v1/expressions/evaluate`: what an expression is on one record. No stored data is touched.
//!
//! `POST /v1/expressions/check` with `{"expr", "role"}` (`where` unless given, `born_where`, `selector`, `on`, `engage`): what
//! is known of it before it is used. The reply is 200 whatever the text:
//!
//! ```json
//! {"valid": true, "expression": "properties[\"price\"] > 5", "types": ["boolean", "undefined"], "cost": "columns",
//!  "properties": [{"source": "properties", "name": "price", "types": ["number"], "seen": true}],
//!  "diagnostics": [{"severity": "warning", "code": "unknown_property", "message": "…", "span": [0, 19], "suggestion": "price"}]}
//! ```
//!
//! `cost` is `constant`, `columns` (column code) or `nested` (it looks into lists or maps too). An expression that cannot be
//! used is not `valid`, has diagnostics of severity `error` (code `parse` or `type`, as of evaluate), and nothing else.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use footfall_engine::{Checked, CostClass, EvaluateSpec, ExpressionRole, KnownExpression, Remark, RemarkKind};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::body::NativeRequest;
use crate::auth::{authenticate, authorize};
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    expr: String,
    #[serde(default)]
    role: Role,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    #[default]
    Where,
    BornWhere,
    Selector,
    On,
    Engage,
}

impl From<Role> for ExpressionRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Where => Self::Where,
            Role::BornWhere => Self::BornWhere,
            Role::Selector => Self::Selector,
            Role::On => Self::On,
            Role::Engage => Self::Engage,
        }
    }
}

pub async fn check(State(state): State<AppState>, request: NativeRequest<Check>) -> Result<Response, ApiError> {
    let project = authorize(&state, &request.headers, &request.params).await?;
    let Check { expr, role } = request.body;
    let Checked { remarks, known } = state.engine.check_expression(project.id, expr, role.into()).await?;
    let diagnostics: Vec<Value> = remarks.iter().map(diagnostic).collect();
    Ok(Json(match known {
        None => json!({"valid": false, "diagnostics": diagnostics}),
        Some(known) => valid(&known, &diagnostics),
    })
    .into_response())
}

fn valid(known: &KnownExpression, diagnostics: &[Value]) -> Value {
    let properties: Vec<Value> = known
        .properties
        .iter()
        .map(|p| json!({"source": p.source.name(), "name": p.name, "types": p.types, "seen": !p.types.is_empty()}))
        .collect();
    let cost = match known.cost {
        CostClass::Constant => "constant",
        CostClass::Columns => "columns",
        CostClass::Nested => "nested",
    };
    json!({"valid": true, "expression": known.text, "types": known.types, "cost": cost, "properties": properties,
           "diagnostics": diagnostics})
}

fn diagnostic(remark: &Remark) -> Value {
    let (severity, code) = match remark.kind {
        RemarkKind::Parse => ("error", "parse"),
        RemarkKind::Type => ("error", "type"),
        RemarkKind::UnknownProperty => ("warning", "unknown_property"),
    };
    let mut said = json!({"severity": severity, "code": code, "message": remark.message,
                          "span": [remark.span.start, remark.span.end]});
    if let Some(suggestion) = &remark.suggestion {
        said["suggestion"] = json!(suggestion);
    }
    said
}
