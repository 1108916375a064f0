//! Values (§4).

use std::collections::BTreeMap;

use footfall_eval::EvalValue;
use footfall_lang::ast::Literal;
use footfall_model::Value;

#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    Undefined,
    Null,
    Bool(bool),
    /// Finite.
    Number(f64),
    Text(String),
    /// Unix seconds.
    Datetime(i64),
    List(Vec<Datum>),
    Map(BTreeMap<String, Datum>),
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Undefined,
    Null,
    Bool,
    Number,
    Text,
    Datetime,
    List,
    Map,
}

impl Kind {
    pub const ALL: [Self; 8] =
        [Self::Undefined, Self::Null, Self::Bool, Self::Number, Self::Text, Self::Datetime, Self::List, Self::Map];
}

impl Datum {
    /// A number, or undefined: infinities and NaN do not exist.
    pub fn number(x: f64) -> Self {
        if x.is_finite() { Self::Number(x) } else { Self::Undefined }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Undefined => Kind::Undefined,
            Self::Null => Kind::Null,
            Self::Bool(_) => Kind::Bool,
            Self::Number(_) => Kind::Number,
            Self::Text(_) => Kind::Text,
            Self::Datetime(_) => Kind::Datetime,
            Self::List(_) => Kind::List,
            Self::Map(_) => Kind::Map,
        }
    }
}

impl<T: Into<Datum>> From<Option<T>> for Datum {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Undefined, Into::into)
    }
}

impl From<bool> for Datum {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Datum {
    fn from(value: f64) -> Self {
        Self::number(value)
    }
}

impl From<String> for Datum {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&Value> for Datum {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Number(*value as f64),
            Value::Float(value) => Self::number(*value),
            Value::Text(text) => Self::Text(text.clone()),
            Value::List(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Map(members) => Self::Map(members.iter().map(|(k, v)| (k.clone(), Self::from(v))).collect()),
        }
    }
}

impl From<&Literal> for Datum {
    fn from(literal: &Literal) -> Self {
        match literal {
            Literal::Undefined => Self::Undefined,
            Literal::Null => Self::Null,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Number(value) => Self::Number(*value),
            Literal::Text(text) => Self::Text(text.clone()),
            Literal::List(items) => Self::List(items.iter().map(Self::from).collect()),
        }
    }
}

impl From<&EvalValue> for Datum {
    fn from(value: &EvalValue) -> Self {
        match value {
            EvalValue::Undefined => Self::Undefined,
            EvalValue::Null => Self::Null,
            EvalValue::Bool(value) => Self::Bool(*value),
            EvalValue::Number(value) => Self::Number(*value),
            EvalValue::Text(text) => Self::Text(text.to_string()),
            EvalValue::Datetime(seconds) => Self::Datetime(*seconds),
            EvalValue::List(items) => Self::List(items.iter().map(Self::from).collect()),
            EvalValue::Map(map) => Self::Map(map.iter().map(|(k, v)| (k.to_owned(), Self::from(v))).collect()),
        }
    }
}
