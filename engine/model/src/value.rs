//! A property's value as JSON gave it.

use serde::{Deserialize, Serialize};

/// A JSON value, with integers kept apart from doubles so that both come back as they were sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    Null,
    Bool(bool),
    /// A number written without fraction or exponent that fits 64 bits.
    Int(i64),
    /// Any other number; always finite.
    Float(f64),
    Text(String),
    List(Vec<Value>),
    /// Keys in the order sent.
    Map(Vec<(String, Value)>),
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(b) => Self::Bool(b),
            serde_json::Value::Number(n) => match n.as_i64() {
                Some(i) => Self::Int(i),
                // serde_json keeps numbers finite and every number has a double; zero is unreachable.
                None => Self::Float(n.as_f64().unwrap_or(0.0)),
            },
            serde_json::Value::String(s) => Self::Text(s),
            serde_json::Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            serde_json::Value::Object(map) => Self::Map(map.into_iter().map(|(k, v)| (k, Self::from(v))).collect()),
        }
    }
}

impl From<&Value> for serde_json::Value {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Int(i) => Self::from(*i),
            Value::Float(x) => Self::from(*x),
            Value::Text(s) => Self::String(s.clone()),
            Value::List(items) => Self::Array(items.iter().map(Self::from).collect()),
            Value::Map(members) => Self::Object(members.iter().map(|(k, v)| (k.clone(), Self::from(v))).collect()),
        }
    }
}
