//! Rows to columns when live rows are sealed, and columns to rows where a whole event is wanted again: comparing a
//! resent copy, raw export, recent events.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, AsArray, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder, TimestampMillisecondBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{Field, Float64Type, Int64Type, Schema, TimestampMicrosecondType, TimestampMillisecondType};
use arrow::error::ArrowError;
use footfall_model::{Event, StoredEvent, Uid, Value};
use hashbrown::HashMap;

use super::{Builtin, Catalog, PropertyColumn, PropertyType};
use crate::keys::generated_insert_id;

/// Builds one batch in the order given. New (property, type) pairs are added to `catalog`, which is copied only then.
pub fn to_batch<'a>(
    events: impl Iterator<Item = &'a StoredEvent>,
    catalog: &mut Arc<Catalog>,
) -> Result<RecordBatch, ArrowError> {
    let mut builtin = BuiltinBuilders::with_capacity(events.size_hint().0);
    let mut properties = PropertyBuilders::default();
    for (row, stored) in events.enumerate() {
        builtin.append(stored);
        for (name, value) in &stored.event.properties {
            properties.append(row, name, value, catalog);
        }
    }
    let rows = ArrayBuilder::len(&builtin.uid);
    let mut fields: Vec<Field> = Builtin::ALL.into_iter().map(Builtin::field).collect();
    let mut arrays = builtin.finish();
    for (column, array) in properties.finish(rows) {
        fields.push(column.field());
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

struct BuiltinBuilders {
    uid: Int64Builder,
    time: TimestampMillisecondBuilder,
    event: StringBuilder,
    distinct_id: StringBuilder,
    user_id: StringBuilder,
    insert_id: StringBuilder,
    received_at: TimestampMicrosecondBuilder,
}

impl BuiltinBuilders {
    fn with_capacity(rows: usize) -> Self {
        Self {
            uid: Int64Builder::with_capacity(rows),
            time: TimestampMillisecondBuilder::with_capacity(rows).with_timezone("UTC"),
            event: StringBuilder::with_capacity(rows, rows * 12),
            distinct_id: StringBuilder::with_capacity(rows, rows * 16),
            user_id: StringBuilder::with_capacity(rows, rows * 16),
            insert_id: StringBuilder::with_capacity(rows, rows * 24),
            received_at: TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC"),
        }
    }

    fn append(&mut self, stored: &StoredEvent) {
        let event = &stored.event;
        self.uid.append_value(stored.uid.0 as i64);
        self.time.append_value(event.time);
        self.event.append_value(&event.name);
        self.distinct_id.append_value(&event.distinct_id);
        if event.distinct_id.is_empty() {
            self.user_id.append_null();
        } else {
            self.user_id.append_value(&event.distinct_id);
        }
        self.insert_id.append_value(&event.insert_id);
        self.received_at.append_value(stored.received_at);
    }

    /// The arrays in the order of [`Builtin::ALL`].
    fn finish(mut self) -> Vec<ArrayRef> {
        vec![
            compact(self.uid.finish()),
            compact(self.time.finish()),
            compact(self.event.finish()),
            compact(self.distinct_id.finish()),
            compact(self.user_id.finish()),
            compact(self.insert_id.finish()),
            compact(self.received_at.finish()),
        ]
    }
}

/// A builder per property column met so far; columns are padded with nulls only where a value follows.
#[derive(Default)]
struct PropertyBuilders {
    by_name: HashMap<String, [Option<usize>; PropertyType::ALL.len()]>,
    builders: Vec<(Arc<PropertyColumn>, ColumnBuilder)>,
}

impl PropertyBuilders {
    fn append(&mut self, row: usize, name: &str, value: &Value, catalog: &mut Arc<Catalog>) {
        let kind = PropertyType::of(value);
        let slots = match self.by_name.get_mut(name) {
            Some(slots) => slots,
            None => self.by_name.entry(name.to_owned()).or_default(),
        };
        let index = *slots[kind as usize].get_or_insert_with(|| {
            let known = catalog.column(name, kind).cloned();
            let column = known.unwrap_or_else(|| Arc::make_mut(catalog).column_or_add(name, kind));
            self.builders.push((column, ColumnBuilder::new(kind)));
            self.builders.len() - 1
        });
        self.builders[index].1.append(row, value);
    }

    fn finish(self, rows: usize) -> impl Iterator<Item = (Arc<PropertyColumn>, ArrayRef)> {
        self.builders.into_iter().map(move |(column, builder)| (column, builder.finish(rows)))
    }
}

enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Integer(Int64Builder),
    Double(Float64Builder),
    String(StringBuilder),
    Json(StringBuilder),
}

/// Runs the same statement on whichever builder it is.
macro_rules! each_builder {
    ($self:expr, $b:ident => $body:expr) => {
        match $self {
            ColumnBuilder::Boolean($b) => $body,
            ColumnBuilder::Integer($b) => $body,
            ColumnBuilder::Double($b) => $body,
            ColumnBuilder::String($b) | ColumnBuilder::Json($b) => $body,
        }
    };
}

impl ColumnBuilder {
    fn new(kind: PropertyType) -> Self {
        match kind {
            PropertyType::Boolean | PropertyType::Null => Self::Boolean(BooleanBuilder::new()),
            PropertyType::Integer => Self::Integer(Int64Builder::new()),
            PropertyType::Double => Self::Double(Float64Builder::new()),
            PropertyType::String => Self::String(StringBuilder::new()),
            PropertyType::Json | PropertyType::Texts => Self::Json(StringBuilder::new()),
        }
    }

    fn append(&mut self, row: usize, value: &Value) {
        self.pad(row);
        match (self, value) {
            (Self::Boolean(b), Value::Bool(v)) => b.append_value(*v),
            (Self::Boolean(b), Value::Null) => b.append_value(true),
            (Self::Integer(b), Value::Int(v)) => b.append_value(*v),
            (Self::Double(b), Value::Float(v)) => b.append_value(*v),
            (Self::String(b), Value::Text(v)) => b.append_value(v),
            (Self::Json(b), v) => b.append_value(serde_json::Value::from(v).to_string()),
            // The builder was chosen by the value's own type.
            (_, _) => {}
        }
    }

    fn pad(&mut self, rows: usize) {
        each_builder!(self, b => {
            let missing = rows.saturating_sub(ArrayBuilder::len(b));
            if missing > 0 {
                // StringBuilder has no bulk append of nulls; gaps are short where a property is common.
                for _ in 0..missing {
                    b.append_null();
                }
            }
        });
    }

    fn finish(mut self, rows: usize) -> ArrayRef {
        self.pad(rows);
        each_builder!(&mut self, b => compact(b.finish()))
    }
}

/// Reads single rows of a batch back as events. The batch may come from memory or from Parquet.
pub struct RowReader {
    uid: ArrayRef,
    time: ArrayRef,
    event: ArrayRef,
    distinct_id: ArrayRef,
    insert_id: ArrayRef,
    received_at: ArrayRef,
    properties: Vec<(PropertyColumn, ArrayRef)>,
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
        let mut properties = Vec::new();
        let catalog = Catalog::from_schema(&batch.schema());
        for described in catalog.columns() {
            if let Some(array) = batch.column_by_name(&described.column) {
                properties.push((described.as_ref().clone(), cast(array, &described.kind.data_type())?));
            }
        }
        Ok(Self {
            uid: column(Builtin::Uid)?,
            time: column(Builtin::Time)?,
            event: column(Builtin::Event)?,
            distinct_id: column(Builtin::DistinctId)?,
            insert_id: column(Builtin::InsertId)?,
            received_at: column(Builtin::ReceivedAt)?,
            properties,
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

    /// The row's properties that are set, in the catalog's order.
    pub fn properties(&self, row: usize) -> impl Iterator<Item = (&str, Value)> {
        self.properties.iter().filter(move |(_, array)| array.is_valid(row)).map(move |(column, array)| {
            let value = value_at(column.kind, array, row);
            (column.property.as_ref(), value)
        })
    }

    /// One property of the row, if it is set.
    pub fn property(&self, row: usize, name: &str) -> Option<Value> {
        let mut columns = self.properties.iter().filter(|(column, _)| column.property.as_ref() == name);
        columns.find(|(_, array)| array.is_valid(row)).map(|(column, array)| value_at(column.kind, array, row))
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
                insert_id_generated: insert_id == generated_insert_id(received_at),
                properties: self.properties(row).map(|(name, value)| (name.to_owned(), value)).collect(),
            },
            uid: self.uid(row),
            received_at,
        }
    }

    /// Whether the stored row carries exactly these properties, in any order.
    pub fn has_properties(&self, row: usize, expected: &[(String, Value)]) -> bool {
        let mut stored: Vec<_> = self.properties(row).collect();
        if stored.len() != expected.len() {
            return false;
        }
        let mut expected: Vec<_> = expected.iter().map(|(k, v)| (k.as_str(), v)).collect();
        stored.sort_by(|a, b| a.0.cmp(b.0));
        expected.sort_by(|a, b| a.0.cmp(b.0));
        stored.iter().zip(expected).all(|((a, x), (b, y))| *a == b && x == y)
    }
}

/// Without what its builder reserved in vain: live rows wait for a flush by the million.
fn compact(mut array: impl Array + 'static) -> ArrayRef {
    array.shrink_to_fit();
    Arc::new(array)
}

fn value_at(kind: PropertyType, array: &ArrayRef, row: usize) -> Value {
    match kind {
        PropertyType::Null => Value::Null,
        PropertyType::Boolean => Value::Bool(array.as_boolean().value(row)),
        PropertyType::Integer => Value::Int(array.as_primitive::<Int64Type>().value(row)),
        PropertyType::Double => Value::Float(array.as_primitive::<Float64Type>().value(row)),
        PropertyType::String => Value::Text(array.as_string::<i32>().value(row).to_owned()),
        PropertyType::Json | PropertyType::Texts => {
            let text = array.as_string::<i32>().value(row);
            // Only our own writer fills json columns; text that does not parse is kept as text.
            serde_json::from_str::<serde_json::Value>(text).map_or_else(|_| Value::Text(text.to_owned()), Value::from)
        }
    }
}

#[cfg(test)]
mod tests {
    use footfall_model::Shard;

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
        let batch = to_batch(rows.iter(), &mut catalog).unwrap();
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
