//! The `rest` column: properties that have no column of their own, as one JSON object for each row.
//!
//! A member's name is the property's name as sent; its JSON is what a column would hold, so types are told apart by how
//! the value is written: `5` is an integer, `5.0` a double. Values are sliced out of the text, never made anew, where
//! they move from one `rest` to another. A row without such properties has NULL.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;
use footfall_model::Value;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer as _};
use serde_json::value::RawValue;

use super::builders::ColumnBuilder;
use super::slots::Slots;
use super::{PropertyColumn, PropertyType};

/// Name of the column. No property's own column has it.
pub const REST: &str = "rest";

/// The field of the column.
pub fn rest_field() -> Field {
    Field::new(REST, DataType::Utf8, true)
}

/// A value as text, in a column or in `rest`.
pub(super) fn json_text(value: &Value) -> String {
    serde_json::Value::from(value).to_string()
}

/// The type that a member's text has as a property.
pub(crate) fn kind_of(raw: &str) -> PropertyType {
    match raw.as_bytes().first() {
        Some(b'n') => PropertyType::Null,
        Some(b't' | b'f') => PropertyType::Boolean,
        Some(b'"') => PropertyType::String,
        Some(b'{') => PropertyType::Json,
        Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(raw) {
            Ok(items) if items.iter().all(|item| item.get().starts_with('"')) => PropertyType::Texts,
            _ => PropertyType::Json,
        },
        _ if raw.contains(['.', 'e', 'E']) || raw.parse::<i64>().is_err() => PropertyType::Double,
        _ => PropertyType::Integer,
    }
}

/// The value of a member's text. Only our own writer fills the column; text that does not parse is kept as text.
pub(super) fn value_of(raw: &str) -> Value {
    serde_json::from_str::<serde_json::Value>(raw).map_or_else(|_| Value::Text(raw.to_owned()), Value::from)
}

/// Calls `visit` with the name and the text of each member of a row's object, in its order.
pub(crate) fn for_each_member<'a>(text: &'a str, visit: impl FnMut(Cow<'a, str>, &'a str)) -> Result<(), ArrowError> {
    let malformed = |error| ArrowError::JsonError(format!("column rest is not a JSON object: {error}"));
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(Members(visit)).map_err(malformed)?;
    json.end().map_err(malformed)
}

struct Members<F>(F);

#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a, F: FnMut(Cow<'a, str>, &'a str)> Visitor<'a> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of properties")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some((Name(name), raw)) = members.next_entry::<Name<'a>, &'a RawValue>()? {
            (self.0)(name, raw.get());
        }
        Ok(())
    }
}

/// A batch's column, if it has one.
pub(super) fn rest_of(batch: &RecordBatch) -> Option<&StringArray> {
    batch.column_by_name(REST)?.as_string_opt::<i32>()
}

/// The batch with the wanted properties that its `rest` holds as columns beside its own. Each row's object is read once
/// for all of them.
pub fn with_columns_from_rest(batch: &RecordBatch, wanted: &[Arc<PropertyColumn>]) -> Result<RecordBatch, ArrowError> {
    let Some(rest) = rest_of(batch).filter(|_| !wanted.is_empty()) else { return Ok(batch.clone()) };
    let mut fields: Vec<FieldRef> = batch.schema().fields().iter().cloned().collect();
    let mut arrays = batch.columns().to_vec();
    for (column, array) in wanted.iter().zip(columns_from(rest, wanted)?) {
        fields.push(Arc::new(column.field()));
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// The wanted properties as columns, in their order.
pub(super) fn columns_from(rest: &StringArray, wanted: &[Arc<PropertyColumn>]) -> Result<Vec<ArrayRef>, ArrowError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let mut slots = Slots::default();
    let mut builders: Vec<ColumnBuilder> = Vec::with_capacity(wanted.len());
    for (at, column) in wanted.iter().enumerate() {
        slots.insert(&column.property, column.kind, at);
        builders.push(ColumnBuilder::new(column.kind));
    }
    for (row, text) in rest.iter().enumerate() {
        let Some(text) = text else { continue };
        for_each_member(text, |name, raw| {
            // Most members are not wanted: their type is not asked for.
            if slots.has_property(&name)
                && let Some(builder) = slots.get(&name, kind_of(raw)).and_then(|at| builders.get_mut(at))
            {
                builder.append_json(row, raw);
            }
        })?;
    }
    Ok(builders.into_iter().map(|builder| builder.finish(rest.len())).collect())
}

/// Writes the column row by row.
pub(super) struct RestBuilder {
    texts: StringBuilder,
    /// The row's object so far; empty while it has no member.
    row: String,
}

impl RestBuilder {
    pub fn with_capacity(rows: usize) -> Self {
        Self { texts: StringBuilder::with_capacity(rows, rows * 32), row: String::new() }
    }

    pub fn add(&mut self, property: &str, value: &Value) {
        self.add_json(property, &json_text(value));
    }

    pub fn add_json(&mut self, property: &str, json: &str) {
        let open = if self.row.is_empty() { '{' } else { ',' };
        // Writing to a string cannot fail.
        let _ = write!(self.row, "{open}{}:{json}", serde_json::Value::from(property));
    }

    pub fn end_row(&mut self) {
        if self.row.is_empty() {
            self.texts.append_null();
        } else {
            self.row.push('}');
            self.texts.append_value(&self.row);
            self.row.clear();
        }
    }

    pub fn finish(mut self) -> StringArray {
        self.texts.finish()
    }
}

/// Which (property, type) occur in a batch's or a file's `rest`, and in how many rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RestIndex {
    /// Ascending by property and type.
    entries: Vec<(String, PropertyType, u64)>,
}

impl RestIndex {
    /// Key of its place in the Parquet footer.
    pub const FOOTER_KEY: &'static str = "footfall.rest";

    /// What a batch's column holds.
    pub fn of(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let mut slots = Slots::default();
        let mut counts: Vec<(String, PropertyType, u64)> = Vec::new();
        for text in rest_of(batch).into_iter().flatten().flatten() {
            for_each_member(text, |name, raw| {
                let kind = kind_of(raw);
                let at = slots.get_or_insert(&name, kind, || {
                    counts.push((name.clone().into_owned(), kind, 0));
                    counts.len() - 1
                });
                if let Some(entry) = counts.get_mut(at) {
                    entry.2 += 1;
                }
            })?;
        }
        counts.sort_unstable();
        Ok(Self { entries: counts })
    }

    /// Adds what further rows hold.
    pub(crate) fn add(&mut self, other: Self) {
        if other.is_empty() {
            return;
        }
        let mut sum: BTreeMap<(String, PropertyType), u64> = BTreeMap::new();
        for (property, kind, rows) in std::mem::take(&mut self.entries).into_iter().chain(other.entries) {
            *sum.entry((property, kind)).or_default() += rows;
        }
        self.entries = sum.into_iter().map(|((property, kind), rows)| (property, kind, rows)).collect();
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a property of this type occurs.
    pub fn holds(&self, property: &str, kind: PropertyType) -> bool {
        self.entries.binary_search_by(|(p, k, _)| (p.as_str(), *k).cmp(&(property, kind))).is_ok()
    }

    /// Property, type and number of rows.
    pub fn iter(&self) -> impl Iterator<Item = (&str, PropertyType, u64)> {
        self.entries.iter().map(|(property, kind, rows)| (property.as_str(), *kind, *rows))
    }

    /// Compressed JSON: names are long and alike.
    pub(crate) fn encode(&self) -> Vec<u8> {
        // A list of texts and numbers always serialises, and compressing into memory does not fail.
        let json = serde_json::to_vec(&self.entries).unwrap_or_default();
        zstd::bulk::compress(&json, 3).unwrap_or_default()
    }

    /// The index of [`Self::encode`]'s bytes; `None` if they are not one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let entries: Vec<(String, PropertyType, u64)> = serde_json::from_slice(&decompressed(bytes)?).ok()?;
        let ordered = entries.windows(2).all(|w| matches!(w, [a, b] if (&a.0, a.1) < (&b.0, b.1)));
        ordered.then_some(Self { entries })
    }
}

/// What zstd made smaller, if its frame says how long it was, and that is not absurd.
pub(crate) fn decompressed(bytes: &[u8]) -> Option<Vec<u8>> {
    const BYTES_MAX: u64 = 1 << 30;
    let length = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten().filter(|length| *length <= BYTES_MAX)?;
    zstd::bulk::decompress(bytes, usize::try_from(length).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_apart_by_how_a_value_is_written() {
        for (value, kind) in [
            (Value::Int(i64::MIN), PropertyType::Integer),
            (Value::Float(5.0), PropertyType::Double),
            (Value::Float(-0.0), PropertyType::Double),
            (Value::Float(1e300), PropertyType::Double),
            (Value::Float(1.8446744073709552e19), PropertyType::Double),
            (Value::Bool(false), PropertyType::Boolean),
            (Value::Null, PropertyType::Null),
            (Value::Text("5".into()), PropertyType::String),
            (Value::List(vec![]), PropertyType::Texts),
            (Value::List(vec![Value::Text("[\"".into())]), PropertyType::Texts),
            (Value::List(vec![Value::Text("a".into()), Value::Int(1)]), PropertyType::Json),
            (Value::Map(vec![]), PropertyType::Json),
        ] {
            let text = json_text(&value);
            assert_eq!((kind_of(&text), PropertyType::of(&value)), (kind, kind), "{text}");
            assert_eq!(value_of(&text), value, "{text}");
        }
    }

    #[test]
    fn the_index_survives_the_footer() {
        let mut rest = RestBuilder::with_capacity(3);
        rest.add("ü \"q\"", &Value::Int(1));
        rest.add("a", &Value::Null);
        rest.end_row();
        rest.end_row();
        rest.add("a", &Value::Float(2.0));
        rest.end_row();
        let schema = Arc::new(Schema::new(vec![rest_field()]));
        let batch = RecordBatch::try_new(schema, vec![Arc::new(rest.finish())]).unwrap();
        assert!(batch.column(0).is_null(1));
        let index = RestIndex::of(&batch).unwrap();
        assert_eq!(RestIndex::decode(&index.encode()).as_ref(), Some(&index));
        assert!(index.holds("ü \"q\"", PropertyType::Integer) && index.holds("a", PropertyType::Null));
        assert!(!index.holds("a", PropertyType::Integer) && !index.holds("b", PropertyType::Null));
        let mut unordered = index.clone();
        unordered.entries.reverse();
        assert_eq!(RestIndex::decode(&unordered.encode()), None);
    }
}
