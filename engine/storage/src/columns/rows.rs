//! Columns back to rows where a whole event is wanted again: comparing a resent copy, raw export, recent events.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType};
use arrow::error::ArrowError;
use footfall_model::{Event, StoredEvent, Uid, Value};

use super::rest::{RestBuilder, for_each_member, json_text, rest_of, value_of};
use super::{Builtin, Catalog, PropertyColumn, PropertyType};
use crate::keys::is_generated;

/// Reads single rows of a batch back as events. The batch may come from memory or from Parquet.
pub struct RowReader {
    uid: ArrayRef,
    time: ArrayRef,
    event: ArrayRef,
    distinct_id: ArrayRef,
    insert_id: ArrayRef,
    received_at: ArrayRef,
    properties: PropertyReader,
}

impl RowReader {
    /// Fails if a built-in column is missing or has an unexpected type.
    pub fn try_new(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let column = |builtin: Builtin| -> Result<ArrayRef, ArrowError> {
            let array = batch
                .column_by_name(builtin.name())
                .ok_or_else(|| ArrowError::SchemaError(format!("column missing, column={}", builtin.name())))?;
            cast(array, &builtin.data_type())
        };
        Ok(Self {
            uid: column(Builtin::Uid)?,
            time: column(Builtin::Time)?,
            event: column(Builtin::Event)?,
            distinct_id: column(Builtin::DistinctId)?,
            insert_id: column(Builtin::InsertId)?,
            received_at: column(Builtin::ReceivedAt)?,
            properties: PropertyReader::try_new(batch)?,
        })
    }

    pub fn uid(&self, row: usize) -> Uid {
        Uid(self.uid.as_primitive::<Int64Type>().value(row) as u64)
    }

    pub fn time(&self, row: usize) -> i64 {
        self.time.as_primitive::<TimestampMillisecondType>().value(row)
    }

    pub fn received_at(&self, row: usize) -> i64 {
        self.received_at.as_primitive::<TimestampMicrosecondType>().value(row)
    }

    pub fn event(&self, row: usize) -> &str {
        self.event.as_string::<i32>().value(row)
    }

    pub fn distinct_id(&self, row: usize) -> &str {
        self.distinct_id.as_string::<i32>().value(row)
    }

    pub fn insert_id(&self, row: usize) -> &str {
        self.insert_id.as_string::<i32>().value(row)
    }

    /// The row's properties that are set: those with columns in the catalog's order, then the others.
    pub fn properties(&self, row: usize) -> Vec<(Cow<'_, str>, Value)> {
        self.properties.all(row)
    }

    /// One property of the row, if it is set.
    pub fn property(&self, row: usize, name: &str) -> Option<Value> {
        self.properties.one(row, name)
    }

    /// The row as an event of its own.
    pub fn stored_event(&self, row: usize) -> StoredEvent {
        let (received_at, insert_id) = (self.received_at(row), self.insert_id(row));
        StoredEvent {
            event: Event {
                name: self.event(row).to_owned(),
                distinct_id: self.distinct_id(row).to_owned(),
                time: self.time(row),
                insert_id: insert_id.to_owned(),
                insert_id_generated: is_generated(insert_id, received_at),
                properties: self.owned_properties(row),
            },
            uid: self.uid(row),
            received_at,
        }
    }

    pub(crate) fn owned_properties(&self, row: usize) -> Vec<(String, Value)> {
        self.properties(row).into_iter().map(|(name, value)| (name.into_owned(), value)).collect()
    }

    /// Whether the stored row carries exactly these properties, in any order.
    pub fn has_properties(&self, row: usize, expected: &[(String, Value)]) -> bool {
        let mut stored = self.properties(row);
        if stored.len() != expected.len() {
            return false;
        }
        let mut expected: Vec<_> = expected.iter().map(|(k, v)| (k.as_str(), v)).collect();
        stored.sort_by(|a, b| a.0.cmp(&b.0));
        expected.sort_by(|a, b| a.0.cmp(b.0));
        stored.iter().zip(expected).all(|((a, x), (b, y))| a == b && x == y)
    }
}

/// Reads the properties of single rows, wherever they are. The batch may come from memory or from Parquet.
pub(super) struct PropertyReader {
    columns: Vec<(PropertyColumn, ArrayRef)>,
    rest: Option<StringArray>,
}

impl PropertyReader {
    pub fn try_new(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let mut columns = Vec::new();
        for described in Catalog::from_schema(&batch.schema()).columns() {
            if let Some(array) = batch.column_by_name(&described.column) {
                columns.push((described.as_ref().clone(), cast(array, &described.kind.data_type())?));
            }
        }
        Ok(Self { columns, rest: rest_of(batch).cloned() })
    }

    fn set(&self, row: usize) -> impl Iterator<Item = &(PropertyColumn, ArrayRef)> {
        self.columns.iter().filter(move |(_, array)| array.is_valid(row))
    }

    fn all(&self, row: usize) -> Vec<(Cow<'_, str>, Value)> {
        let value = |(column, array): &(PropertyColumn, ArrayRef)| value_at(column.kind, array, row);
        let mut all: Vec<_> = self.set(row).map(|set| (Cow::Borrowed(set.0.property.as_ref()), value(set))).collect();
        self.for_each_in_rest(row, |name, json| all.push((name, value_of(json))));
        all
    }

    fn one(&self, row: usize, name: &str) -> Option<Value> {
        let column = self.set(row).find(|(column, _)| column.property.as_ref() == name);
        let mut found = column.map(|(column, array)| value_at(column.kind, array, row));
        if found.is_none() {
            self.for_each_in_rest(row, |member, json| {
                if member == name {
                    found = Some(value_of(json));
                }
            });
        }
        found
    }

    /// What is no JSON object has not been written by us, and has no properties to tell of.
    fn for_each_in_rest<'a>(&'a self, row: usize, visit: impl FnMut(Cow<'a, str>, &'a str)) {
        if let Some(rest) = self.rest.as_ref().filter(|rest| rest.is_valid(row)) {
            let _ = for_each_member(rest.value(row), visit);
        }
    }

    /// Adds the row's properties to the row that `rest` is at.
    pub fn add_to(&self, row: usize, rest: &mut RestBuilder) {
        self.for_each_member(row, |name, json| rest.add_json(&name, &json));
    }

    /// The row's properties as the members of an object.
    fn for_each_member<'a>(&'a self, row: usize, mut visit: impl FnMut(Cow<'a, str>, Cow<'a, str>)) {
        for (column, array) in self.set(row) {
            let json = match column.kind {
                // They are JSON text already.
                PropertyType::Json | PropertyType::Texts => Cow::Borrowed(array.as_string::<i32>().value(row)),
                kind => Cow::Owned(json_text(&value_at(kind, array, row))),
            };
            visit(Cow::Borrowed(&column.property), json);
        }
        self.for_each_in_rest(row, |name, json| visit(name, Cow::Borrowed(json)));
    }
}

/// All properties of a batch's rows, as a `rest` that leaves none out. Members are in the order of their names, so that a
/// row reads the same wherever its properties are.
pub fn all_as_rest(batch: &RecordBatch) -> Result<ArrayRef, ArrowError> {
    let reader = PropertyReader::try_new(batch)?;
    let mut rest = RestBuilder::with_capacity(batch.num_rows());
    let mut members = Vec::new();
    for row in 0..batch.num_rows() {
        reader.for_each_member(row, |name, json| members.push((name, json)));
        members.sort_unstable();
        for (name, json) in members.drain(..) {
            rest.add_json(&name, &json);
        }
        rest.end_row();
    }
    Ok(Arc::new(rest.finish()))
}

fn value_at(kind: PropertyType, array: &ArrayRef, row: usize) -> Value {
    match kind {
        PropertyType::Null => Value::Null,
        PropertyType::Boolean => Value::Bool(array.as_boolean().value(row)),
        PropertyType::Integer => Value::Int(array.as_primitive::<Int64Type>().value(row)),
        PropertyType::Double => Value::Float(array.as_primitive::<Float64Type>().value(row)),
        PropertyType::String => Value::Text(array.as_string::<i32>().value(row).to_owned()),
        PropertyType::Json | PropertyType::Texts => value_of(array.as_string::<i32>().value(row)),
    }
}

#[cfg(test)]
mod tests {
    use footfall_model::Shard;

    use super::super::{ColumnBudget, to_batch};
    use super::*;

    fn stored(row: i64, properties: Vec<(&str, Value)>) -> StoredEvent {
        StoredEvent {
            event: Event {
                name: "Play".into(),
                distinct_id: if row == 2 { String::new() } else { format!("u{row}") },
                time: 1_700_000_000_000 + row,
                insert_id: format!("i{row}"),
                insert_id_generated: false,
                properties: properties.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
            },
            uid: Uid::new(Shard(3), row as u32),
            received_at: 1_700_000_000_000_000 + row,
        }
    }

    #[test]
    fn every_type_comes_back_as_it_was_sent() {
        let rows = vec![
            stored(0, vec![("p", Value::Int(5)), ("q", Value::Null)]),
            stored(1, vec![("p", Value::Float(5.0)), ("q", Value::List(vec![Value::Text("x".into()), Value::Int(1)]))]),
            stored(2, vec![]),
            stored(3, vec![("q", Value::Bool(true)), ("p", Value::Text("5".into()))]),
            stored(4, vec![("q", Value::Map(vec![("b".into(), Value::Float(0.5)), ("a".into(), Value::Null)]))]),
        ];
        let mut catalog = Arc::new(Catalog::default());
        let budget = ColumnBudget::of_live_rows(256);
        let (batch, rest) = to_batch(rows.iter(), &mut catalog, &budget).unwrap();
        assert!(rest.is_empty());
        assert_eq!(batch.num_columns(), Builtin::ALL.len() + 6);
        let reader = RowReader::try_new(&batch).unwrap();
        for (i, row) in rows.iter().enumerate() {
            assert!(reader.has_properties(i, &row.event.properties), "row {i}");
            assert_eq!(reader.uid(i), row.uid);
            assert_eq!(reader.distinct_id(i), row.event.distinct_id);
            assert_eq!((reader.time(i), reader.received_at(i)), (row.event.time, row.received_at));
        }
        assert!(!reader.has_properties(0, &rows[1].event.properties));
        assert!(batch.column_by_name("user_id").unwrap().is_null(2));
    }
}
