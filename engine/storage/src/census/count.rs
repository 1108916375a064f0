//! Counting a batch.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{Float64Type, Int64Type, TimestampMillisecondType};
use arrow::error::ArrowError;
use hashbrown::HashMap;

use super::{Census, Seen, ValueType};
use crate::columns::{Builtin, Catalog, PropertyType, REST, for_each_member, kind_of};

/// Longest example in bytes of JSON.
const EXAMPLE_BYTES_MAX: usize = 120;
const EXAMPLE_CHARS: usize = 60;

impl Census {
    /// The census of a batch's rows, but for those that `keeps` leaves out.
    pub fn of(batch: &RecordBatch, keeps: impl Fn(usize) -> bool) -> Result<Self, ArrowError> {
        let rows = Rows::of(batch, keeps)?;
        let mut counts = Counts::default();
        for column in Catalog::from_schema(&batch.schema()).columns() {
            let Some(array) = batch.column_by_name(&column.column) else { continue };
            let array = cast(array, &column.kind.data_type())?;
            for row in (0..array.len()).filter(|row| array.is_valid(*row)) {
                let json = || json_at(column.kind, &array, row);
                let kind = match column.kind {
                    PropertyType::Json => ValueType::of(column.kind, array.as_string::<i32>().value(row)),
                    kind => ValueType::of(kind, ""),
                };
                counts.count(&column.property, kind, rows.at(row), json);
            }
        }
        if let Some(rest) = batch.column_by_name(REST).and_then(|rest| rest.as_string_opt::<i32>()) {
            for (row, text) in rest.iter().enumerate() {
                let Some(text) = text else { continue };
                for_each_member(text, |name, json| {
                    let kind = ValueType::of(kind_of(json), json);
                    counts.count(&name, kind, rows.at(row), || json.to_owned());
                })?;
            }
        }
        Ok(counts.into_census(rows))
    }
}

/// Each row's event, by number, and time; `None` for a row that does not count.
struct Rows {
    names: Vec<String>,
    seen: Vec<Seen>,
    rows: Vec<Option<(usize, i64)>>,
}

impl Rows {
    fn of(batch: &RecordBatch, keeps: impl Fn(usize) -> bool) -> Result<Self, ArrowError> {
        let column = |builtin: Builtin| -> Result<ArrayRef, ArrowError> {
            let missing = || ArrowError::SchemaError(format!("column missing, column={}", builtin.name()));
            cast(batch.column_by_name(builtin.name()).ok_or_else(missing)?, &builtin.data_type())
        };
        let (events, times) = (column(Builtin::Event)?, column(Builtin::Time)?);
        let times = times.as_primitive::<TimestampMillisecondType>();
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let mut all = Self { names: Vec::new(), seen: Vec::new(), rows: Vec::with_capacity(batch.num_rows()) };
        for (row, name) in events.as_string::<i32>().iter().enumerate() {
            let name = name.filter(|_| keeps(row));
            let counted = name.map(|name| {
                let at = times.value(row);
                let number = *numbers.entry(name).or_insert_with(|| {
                    all.names.push(name.to_owned());
                    all.seen.push(Seen { rows: 0, ..Seen::once(at) });
                    all.names.len() - 1
                });
                all.seen[number] = all.seen[number].and(Seen::once(at));
                (number, at)
            });
            all.rows.push(counted);
        }
        Ok(all)
    }

    fn at(&self, row: usize) -> Option<(usize, i64)> {
        self.rows.get(row).copied().flatten()
    }
}

#[derive(Default)]
struct Counts {
    numbers: HashMap<String, Vec<(ValueType, usize)>>,
    properties: Vec<Count>,
}

/// One (property, type). Rows of one event mostly follow each other, so what is counted waits for the event to change.
struct Count {
    kind: ValueType,
    example: String,
    current: (usize, Seen),
    earlier: BTreeMap<usize, Seen>,
}

impl Counts {
    fn count(&mut self, property: &str, kind: ValueType, at: Option<(usize, i64)>, json: impl FnOnce() -> String) {
        let Some((event, time)) = at else { return };
        let seen = Seen::once(time);
        let kinds = match self.numbers.get_mut(property) {
            Some(kinds) => kinds,
            None => self.numbers.entry(property.to_owned()).or_default(),
        };
        match kinds.iter().find(|(k, _)| *k == kind).and_then(|(_, number)| self.properties.get_mut(*number)) {
            Some(count) if count.current.0 == event => count.current.1 = count.current.1.and(seen),
            Some(count) => {
                count.settle();
                count.current = (event, seen);
            }
            None => {
                kinds.push((kind, self.properties.len()));
                let example = shortened(json());
                self.properties.push(Count { kind, example, current: (event, seen), earlier: BTreeMap::new() });
            }
        }
    }

    fn into_census(mut self, rows: Rows) -> Census {
        let mut census = Census::default();
        let name = |event: &usize| rows.names.get(*event).cloned().unwrap_or_default();
        for (property, kinds) in self.numbers {
            for (kind, number) in kinds {
                let Some(count) = self.properties.get_mut(number) else { continue };
                count.settle();
                debug_assert_eq!(count.kind, kind);
                let used = census.properties.entry((property.clone(), kind)).or_default();
                used.by_event = count.earlier.iter().map(|(event, seen)| (name(event), *seen)).collect();
                used.examples = vec![std::mem::take(&mut count.example)];
            }
        }
        census.events = rows.names.into_iter().zip(rows.seen).collect();
        census
    }
}

impl Count {
    fn settle(&mut self) {
        let (event, seen) = self.current;
        self.earlier.entry(event).and_modify(|earlier| *earlier = earlier.and(seen)).or_insert(seen);
    }
}

fn json_at(kind: PropertyType, array: &ArrayRef, row: usize) -> String {
    match kind {
        PropertyType::Null => "null".to_owned(),
        PropertyType::Boolean => array.as_boolean().value(row).to_string(),
        PropertyType::Integer => array.as_primitive::<Int64Type>().value(row).to_string(),
        PropertyType::Double => serde_json::Value::from(array.as_primitive::<Float64Type>().value(row)).to_string(),
        PropertyType::String => serde_json::Value::from(array.as_string::<i32>().value(row)).to_string(),
        PropertyType::Json | PropertyType::Texts => array.as_string::<i32>().value(row).to_owned(),
    }
}

/// An example that is long is the text of its beginning.
fn shortened(json: String) -> String {
    if json.len() <= EXAMPLE_BYTES_MAX {
        return json;
    }
    let text = serde_json::from_str::<String>(&json).unwrap_or(json);
    let beginning: String = text.chars().take(EXAMPLE_CHARS).collect();
    serde_json::Value::from(format!("{beginning}…")).to_string()
}
