//! Rows to columns: a builder for each built-in column, and one for each property column that occurs.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder, TimestampMillisecondBuilder,
};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use footfall_model::{StoredEvent, Value};

use super::budget::ColumnBudget;
use super::rest::{RestBuilder, RestIndex, json_text, rest_field};
use super::slots::Slots;
use super::{Builtin, Catalog, PropertyColumn, PropertyType};

/// Builds one batch in the order given, and tells what of it is in `rest`. New (property, type) pairs are added to
/// `catalog`, which is copied only then.
pub fn to_batch<'a>(
    events: impl Iterator<Item = &'a StoredEvent> + Clone,
    catalog: &mut Arc<Catalog>,
    budget: &ColumnBudget,
) -> Result<(RecordBatch, RestIndex), ArrowError> {
    let mut builtin = BuiltinBuilders::with_capacity(events.size_hint().0);
    events.clone().for_each(|stored| builtin.append(stored));
    let rows = ArrayBuilder::len(&builtin.uid);
    // Few columns need no choice, and one pass.
    let (properties, rest) = match all_columns(events.clone(), catalog, budget) {
        Some(properties) => (properties, None),
        None => chosen_columns(events, rows, catalog, budget),
    };
    let mut fields: Vec<Field> = Builtin::ALL.into_iter().map(Builtin::field).collect();
    let mut arrays = builtin.finish();
    for (column, array) in properties.finish(rows) {
        fields.push(column.field());
        arrays.push(array);
    }
    if let Some(rest) = rest {
        fields.push(rest_field());
        arrays.push(compact(rest.finish()));
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
    let index = RestIndex::of(&batch)?;
    Ok((batch, index))
}

/// Every property as a column; `None` if these are too many.
fn all_columns<'a>(
    events: impl Iterator<Item = &'a StoredEvent>,
    catalog: &mut Arc<Catalog>,
    budget: &ColumnBudget,
) -> Option<PropertyBuilders> {
    let mut properties = PropertyBuilders::default();
    for (row, stored) in events.enumerate() {
        for (name, value) in &stored.event.properties {
            let kind = PropertyType::of(value);
            let column = properties.slots.get_or_insert(name, kind, || {
                properties.builders.push((catalogued(name, kind, catalog), ColumnBuilder::new(kind)));
                properties.builders.len() - 1
            });
            properties.append(column, row, value);
        }
        if !budget.is_free(properties.builders.len()) {
            return None;
        }
    }
    Some(properties)
}

/// The most used properties as columns, the others as the rows' `rest`.
fn chosen_columns<'a>(
    events: impl Iterator<Item = &'a StoredEvent> + Clone,
    rows: usize,
    catalog: &mut Arc<Catalog>,
    budget: &ColumnBudget,
) -> (PropertyBuilders, Option<RestBuilder>) {
    let mut slots = Slots::default();
    let mut uses: Vec<(Arc<PropertyColumn>, u64)> = Vec::new();
    for (name, value) in events.clone().flat_map(|stored| &stored.event.properties) {
        let kind = PropertyType::of(value);
        let at = slots.get_or_insert(name, kind, || {
            uses.push((catalogued(name, kind, catalog), 0));
            uses.len() - 1
        });
        uses[at].1 += 1;
    }
    let chosen = budget.choose(&uses, rows as u64, None);
    let mut properties = PropertyBuilders::default();
    for ((column, _), _) in uses.into_iter().zip(&chosen).filter(|(_, chosen)| **chosen) {
        properties.slots.insert(&column.property, column.kind, properties.builders.len());
        let builder = ColumnBuilder::new(column.kind);
        properties.builders.push((column, builder));
    }
    let mut rest = RestBuilder::with_capacity(rows);
    for (row, stored) in events.enumerate() {
        for (name, value) in &stored.event.properties {
            match properties.slots.get(name, PropertyType::of(value)) {
                Some(column) => properties.append(column, row, value),
                None => rest.add(name, value),
            }
        }
        rest.end_row();
    }
    let all = chosen.iter().all(|chosen| *chosen);
    (properties, (!all).then_some(rest))
}

fn catalogued(name: &str, kind: PropertyType, catalog: &mut Arc<Catalog>) -> Arc<PropertyColumn> {
    let known = catalog.column(name, kind).cloned();
    known.unwrap_or_else(|| Arc::make_mut(catalog).column_or_add(name, kind))
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

/// A builder for each property column; columns are padded with nulls only where a value follows.
#[derive(Default)]
struct PropertyBuilders {
    slots: Slots,
    builders: Vec<(Arc<PropertyColumn>, ColumnBuilder)>,
}

impl PropertyBuilders {
    fn append(&mut self, column: usize, row: usize, value: &Value) {
        self.builders[column].1.append(row, value);
    }

    fn finish(self, rows: usize) -> impl Iterator<Item = (Arc<PropertyColumn>, ArrayRef)> {
        self.builders.into_iter().map(move |(column, builder)| (column, builder.finish(rows)))
    }
}

/// Builds one property column. Rows come in ascending order; those left out are null.
pub(super) enum ColumnBuilder {
    Boolean(BooleanBuilder),
    /// Explicit nulls: true where one was sent.
    Null(BooleanBuilder),
    Integer(Int64Builder),
    Double(Float64Builder),
    String(StringBuilder),
    Json(StringBuilder),
}

/// Runs the same statement on whichever builder it is.
macro_rules! each_builder {
    ($self:expr, $b:ident => $body:expr) => {
        match $self {
            ColumnBuilder::Boolean($b) | ColumnBuilder::Null($b) => $body,
            ColumnBuilder::Integer($b) => $body,
            ColumnBuilder::Double($b) => $body,
            ColumnBuilder::String($b) | ColumnBuilder::Json($b) => $body,
        }
    };
}

impl ColumnBuilder {
    pub fn new(kind: PropertyType) -> Self {
        match kind {
            PropertyType::Boolean => Self::Boolean(BooleanBuilder::new()),
            PropertyType::Null => Self::Null(BooleanBuilder::new()),
            PropertyType::Integer => Self::Integer(Int64Builder::new()),
            PropertyType::Double => Self::Double(Float64Builder::new()),
            PropertyType::String => Self::String(StringBuilder::new()),
            PropertyType::Json | PropertyType::Texts => Self::Json(StringBuilder::new()),
        }
    }

    pub fn append(&mut self, row: usize, value: &Value) {
        self.pad(row);
        match (self, value) {
            (Self::Boolean(b), Value::Bool(v)) => b.append_value(*v),
            (Self::Null(b), Value::Null) => b.append_value(true),
            (Self::Integer(b), Value::Int(v)) => b.append_value(*v),
            (Self::Double(b), Value::Float(v)) => b.append_value(*v),
            (Self::String(b), Value::Text(v)) => b.append_value(v),
            (Self::Json(b), v) => b.append_value(json_text(v)),
            // The builder was chosen by the value's own type.
            (_, _) => {}
        }
    }

    /// Appends a value of the builder's type that is written as JSON.
    pub fn append_json(&mut self, row: usize, json: &str) {
        self.pad(row);
        match self {
            Self::Boolean(b) => b.append_value(json == "true"),
            Self::Null(b) => b.append_value(true),
            Self::Integer(b) => b.append_option(json.parse().ok()),
            Self::Double(b) => b.append_option(json.parse().ok()),
            Self::String(b) => b.append_option(serde_json::from_str::<String>(json).ok()),
            Self::Json(b) => b.append_value(json),
        }
    }

    fn pad(&mut self, rows: usize) {
        each_builder!(self, b => {
            let missing = rows.saturating_sub(ArrayBuilder::len(b));
            // StringBuilder has no bulk append of nulls; gaps are short where a property is common.
            for _ in 0..missing {
                b.append_null();
            }
        });
    }

    pub fn finish(mut self, rows: usize) -> ArrayRef {
        self.pad(rows);
        each_builder!(&mut self, b => compact(b.finish()))
    }
}

/// Without what its builder reserved in vain: live rows wait for a flush by the million.
fn compact(mut array: impl Array + 'static) -> ArrayRef {
    array.shrink_to_fit();
    Arc::new(array)
}
