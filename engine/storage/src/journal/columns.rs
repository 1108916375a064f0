//! The columns of a journal's batch by name and type, and values as JSON text.

use arrow::array::{AsArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::datatypes::{ArrowPrimitiveType, TimestampMicrosecondType, TimestampMillisecondType};
use arrow::error::ArrowError;
use footfall_model::Value;

/// A batch whose columns are asked for by name. A column that is missing or of another type is an error.
pub(super) struct Columns<'a>(pub &'a RecordBatch);

impl<'a> Columns<'a> {
    pub fn texts(&self, name: &str) -> Result<&'a StringArray, ArrowError> {
        self.0.column_by_name(name).and_then(|c| c.as_string_opt::<i32>()).ok_or_else(|| unfit(name))
    }

    pub fn micros(&self, name: &str) -> Result<&'a PrimitiveArray<TimestampMicrosecondType>, ArrowError> {
        self.primitive(name)
    }

    pub fn millis(&self, name: &str) -> Result<&'a PrimitiveArray<TimestampMillisecondType>, ArrowError> {
        self.primitive(name)
    }

    fn primitive<T: ArrowPrimitiveType>(&self, name: &str) -> Result<&'a PrimitiveArray<T>, ArrowError> {
        self.0.column_by_name(name).and_then(|c| c.as_primitive_opt::<T>()).ok_or_else(|| unfit(name))
    }
}

fn unfit(name: &str) -> ArrowError {
    ArrowError::SchemaError(format!("column missing or of another type, column={name}"))
}

/// Memory that a value takes beside itself, about.
pub(super) fn heap_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 0,
        Value::Text(text) => text.len(),
        Value::List(items) => items.iter().map(|item| size_of::<Value>() + heap_bytes(item)).sum(),
        Value::Map(members) => heap_bytes_of(members),
    }
}

/// As [`heap_bytes`], of named values.
pub(super) fn heap_bytes_of(members: &[(String, Value)]) -> usize {
    members.iter().map(|(name, value)| size_of::<(String, Value)>() + name.len() + heap_bytes(value)).sum()
}

/// Named values as the text of a JSON object.
pub(super) fn json_object(members: &[(String, Value)]) -> String {
    let members = members.iter().map(|(name, value)| (name.clone(), serde_json::Value::from(value)));
    serde_json::Value::Object(members.collect()).to_string()
}

/// The members of a JSON object's text.
pub(super) fn members(text: &str) -> Result<Vec<(String, Value)>, ArrowError> {
    match value(text)? {
        Value::Map(members) => Ok(members),
        _ => Err(ArrowError::JsonError("not an object".to_owned())),
    }
}

/// The value of a JSON text.
pub(super) fn value(text: &str) -> Result<Value, ArrowError> {
    serde_json::from_str(text).map_err(|error| ArrowError::JsonError(error.to_string()))
}
