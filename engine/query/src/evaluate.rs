//! One expression on one given record: `POST /v1/expressions/evaluate`.

use chrono::{DateTime, SecondsFormat};
use chrono_tz::Tz;
use footfall_eval::{Clock, EvalValue, Map, Record, evaluate};
use footfall_lang::parse_expression;
use footfall_model::Value;
use serde_json::{Map as JsonMap, Value as Json, json};

use crate::error::QueryError;

/// The sources of the record, as JSON objects.
pub struct Sources<'a> {
    pub properties: &'a JsonMap<String, Json>,
    pub user: &'a JsonMap<String, Json>,
    pub behaviors: &'a JsonMap<String, Json>,
}

/// The value in the notation of the vectors: undefined `{"$undefined":true}`, datetime `{"$datetime":"…Z"}`.
pub fn evaluate_json(expr: &str, sources: &Sources<'_>, now: i64, timezone: Tz) -> Result<Json, QueryError> {
    let tree = parse_expression(expr).map_err(|e| QueryError::parse("expr", e))?;
    let [properties, user, behaviors] = [sources.properties, sources.user, sources.behaviors].map(source);
    let record = Record { properties: &properties, event: &properties, user: &user, behaviors: &behaviors };
    match evaluate(&tree, &record, &Clock { now, timezone }) {
        Ok(value) => Ok(to_json(&value)),
        Err(error) => Err(QueryError::Type { field: "expr", message: error.message.to_string(), span: error.span }),
    }
}

fn source(members: &JsonMap<String, Json>) -> Map {
    members.iter().map(|(key, value)| (key.clone(), EvalValue::from(&Value::from(value.clone())))).collect()
}

fn to_json(value: &EvalValue) -> Json {
    match value {
        EvalValue::Undefined => json!({"$undefined": true}),
        EvalValue::Null => Json::Null,
        EvalValue::Bool(b) => Json::from(*b),
        EvalValue::Number(n) => number(*n),
        EvalValue::Text(text) => Json::from(text.as_ref()),
        EvalValue::Datetime(seconds) => {
            let time = DateTime::from_timestamp(*seconds, 0).unwrap_or_default();
            json!({"$datetime": time.to_rfc3339_opts(SecondsFormat::Secs, true)})
        }
        EvalValue::List(items) => Json::Array(items.iter().map(to_json).collect()),
        EvalValue::Map(members) => Json::Object(members.iter().map(|(k, v)| (k.to_owned(), to_json(v))).collect()),
    }
}

/// Whole numbers print without a fraction, as far as a double counts in ones.
fn number(n: f64) -> Json {
    let whole = n.fract() == 0.0 && n.abs() <= 9_007_199_254_740_992.0;
    if whole { Json::from(n as i64) } else { Json::from(n) }
}
