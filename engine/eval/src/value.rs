//! The values of the language (§4). Texts, lists and maps are shared, so that copying any value is cheap.

use std::{collections::BTreeMap, ops::Deref, sync::Arc};

use footfall_lang::ast::{Index, Literal};
use footfall_model::Value;

/// What an expression gives.
#[derive(Clone, Debug, PartialEq)]
pub enum EvalValue {
    Undefined,
    Null,
    Bool(bool),
    /// Always finite; [`EvalValue::number`] keeps it so.
    Number(f64),
    Text(Arc<str>),
    /// Unix seconds.
    Datetime(i64),
    List(List),
    Map(Map),
}

impl EvalValue {
    /// A number, or undefined for what is none (§4).
    pub fn number(value: f64) -> Self {
        if value.is_finite() { Self::Number(value) } else { Self::Undefined }
    }

    /// Something, or undefined.
    pub fn or_undefined(value: Option<impl Into<Self>>) -> Self {
        value.map_or(Self::Undefined, Into::into)
    }

    /// The type as messages name it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined => "undefined",
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Datetime(_) => "a datetime",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// `defined(x)`: neither undefined nor null.
    pub fn is_defined(&self) -> bool {
        !matches!(self, Self::Undefined | Self::Null)
    }

    /// The truth of a condition; `None` is a type error.
    pub fn truth(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Undefined => Some(false),
            _ => None,
        }
    }

    /// One step into a map or list; undefined where the index does not apply (§3).
    pub fn index(&self, index: &Index) -> Self {
        let inner = match (self, index) {
            (Self::Map(map), Index::Key(key)) => map.member(key),
            (Self::List(list), Index::Position(position)) => list.get(*position),
            _ => None,
        };
        inner.cloned().unwrap_or(Self::Undefined)
    }

    /// How much there is of it, shared parts counted each time: what comparing or printing it costs.
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::Text(text) => text_weight(text),
            Self::List(list) => list.size.weight,
            Self::Map(map) => map.size.weight,
            _ => 1,
        }
    }

    fn size(&self) -> Size {
        match self {
            Self::List(list) => list.size,
            Self::Map(map) => map.size,
            _ => Size { weight: self.weight(), depth: 0 },
        }
    }
}

fn text_weight(text: &str) -> u64 {
    const BYTES_PER_UNIT: u64 = 16;
    1 + text.len() as u64 / BYTES_PER_UNIT
}

/// Size of a value as if nothing in it were shared. Kept beside the value because computing it could take for ever: a
/// chain of `map`s doubles it at every link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    weight: u64,
    depth: u32,
}

impl Size {
    fn around<'v>(inner: impl Iterator<Item = &'v EvalValue>) -> Self {
        inner.map(EvalValue::size).fold(Self { weight: 1, depth: 1 }, |sum, size| Self {
            weight: sum.weight.saturating_add(size.weight),
            depth: sum.depth.max(size.depth.saturating_add(1)),
        })
    }
}

/// A list; a slice to those who read it.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    items: Arc<[EvalValue]>,
    size: Size,
}

impl List {
    /// How many lists and maps deep it is, itself included.
    pub fn depth(&self) -> u32 {
        self.size.depth
    }
}

impl From<Vec<EvalValue>> for List {
    fn from(items: Vec<EvalValue>) -> Self {
        let size = Size::around(items.iter());
        Self { items: items.into(), size }
    }
}

impl FromIterator<EvalValue> for List {
    fn from_iter<I: IntoIterator<Item = EvalValue>>(items: I) -> Self {
        items.into_iter().collect::<Vec<_>>().into()
    }
}

impl Deref for List {
    type Target = [EvalValue];

    fn deref(&self) -> &[EvalValue] {
        &self.items
    }
}

/// A map, its keys unique and in code-point order.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    members: Arc<BTreeMap<String, EvalValue>>,
    size: Size,
}

impl Map {
    /// The value under a key.
    pub fn member(&self, key: &str) -> Option<&EvalValue> {
        self.members.get(key)
    }

    /// Keys and values in key order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &EvalValue)> {
        self.members.iter().map(|(key, value)| (key.as_str(), value))
    }
}

/// Of members with the same key, the last one stays.
impl FromIterator<(String, EvalValue)> for Map {
    fn from_iter<I: IntoIterator<Item = (String, EvalValue)>>(members: I) -> Self {
        let members: BTreeMap<String, EvalValue> = members.into_iter().collect();
        let mut size = Size::around(members.values());
        for key in members.keys() {
            size.weight = size.weight.saturating_add(text_weight(key));
        }
        Self { members: Arc::new(members), size }
    }
}

impl From<bool> for EvalValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// Undefined if not finite.
impl From<f64> for EvalValue {
    fn from(value: f64) -> Self {
        Self::number(value)
    }
}

impl From<&str> for EvalValue {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for EvalValue {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}

impl From<Vec<EvalValue>> for EvalValue {
    fn from(items: Vec<EvalValue>) -> Self {
        Self::List(items.into())
    }
}

/// Integers beyond 2^53 round. Recursion is as deep as the value nests, which the JSON reader bounds.
impl From<&Value> for EvalValue {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Number(*value as f64),
            Value::Float(value) => Self::number(*value),
            Value::Text(text) => Self::from(text.as_str()),
            Value::List(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Map(members) => {
                Self::Map(members.iter().map(|(key, value)| (key.clone(), Self::from(value))).collect())
            }
        }
    }
}

impl From<&Literal> for EvalValue {
    fn from(literal: &Literal) -> Self {
        match literal {
            Literal::Undefined => Self::Undefined,
            Literal::Null => Self::Null,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Number(value) => Self::number(*value),
            Literal::Text(text) => Self::from(text.as_str()),
            Literal::List(items) => Self::List(items.iter().map(Self::from).collect()),
        }
    }
}
