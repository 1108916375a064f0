//! What a column of the `events` table is made of.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, RecordBatch, StringArray, StringBuilder, new_null_array};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, is_not_null};
use arrow::datatypes::{DataType, Field, Float64Type};
use arrow::error::ArrowError;
use footfall_storage::columns::{Builtin, Catalog, PropertyColumn, PropertyType};

/// A column of the table and how to compute it from stored columns.
#[derive(Clone, Debug)]
pub struct TableColumn {
    pub field: Field,
    pub source: Source,
}

#[derive(Clone, Debug)]
pub enum Source {
    /// A stored column as it is.
    Stored,
    /// The UTC day and the shard of a row, which the file's place tells.
    Day,
    Shard,
    /// All types of one property as one column.
    Unified(Arc<[Arc<PropertyColumn>]>),
}

impl TableColumn {
    pub fn builtin(builtin: Builtin) -> Self {
        Self { field: builtin.field(), source: Source::Stored }
    }

    /// One physical column of a property, under its stored name and with the metadata that says what it is.
    pub fn stored(column: &PropertyColumn) -> Self {
        Self { field: column.field(), source: Source::Stored }
    }

    pub fn day() -> Self {
        Self { field: Field::new("day", DataType::Int32, false), source: Source::Day }
    }

    pub fn shard() -> Self {
        Self { field: Field::new("shard", DataType::Int32, false), source: Source::Shard }
    }

    /// A property under its own name. One type keeps it; integers and doubles together are doubles; anything else that
    /// is mixed is text. Null and missing are both SQL's NULL.
    pub fn unified(name: String, property: &str, catalog: &Catalog) -> Self {
        let parts: Arc<[_]> = catalog.columns_of(property).filter(|c| c.kind != PropertyType::Null).cloned().collect();
        let numeric = |c: &Arc<PropertyColumn>| matches!(c.kind, PropertyType::Integer | PropertyType::Double);
        let data_type = match parts.as_ref() {
            [] => DataType::Null,
            [one] if one.kind == PropertyType::Texts => text_list(),
            [one] => one.kind.data_type(),
            many if many.iter().all(numeric) => DataType::Float64,
            _ => DataType::Utf8,
        };
        Self { field: Field::new(name, data_type, true), source: Source::Unified(parts) }
    }

    /// The stored columns that this one is computed from.
    pub fn stored_names(&self) -> Vec<&str> {
        match &self.source {
            Source::Stored => vec![self.field.name()],
            Source::Day | Source::Shard => Vec::new(),
            Source::Unified(parts) => parts.iter().map(|part| part.column.as_ref()).collect(),
        }
    }

    /// Computes the column from a batch of stored ones; what the batch lacks is null.
    pub fn compute(&self, stored: &RecordBatch, day: i32, shard: u16) -> Result<ArrayRef, ArrowError> {
        let rows = stored.num_rows();
        match &self.source {
            Source::Day => Ok(Arc::new(arrow::array::Int32Array::from_value(day, rows))),
            Source::Shard => Ok(Arc::new(arrow::array::Int32Array::from_value(i32::from(shard), rows))),
            Source::Stored => match stored.column_by_name(self.field.name()) {
                Some(array) => as_type(array, self.field.data_type()),
                None => Ok(new_null_array(self.field.data_type(), rows)),
            },
            Source::Unified(parts) => self.unify(parts, stored),
        }
    }

    fn unify(&self, parts: &[Arc<PropertyColumn>], stored: &RecordBatch) -> Result<ArrayRef, ArrowError> {
        let target = self.field.data_type();
        let mut unified: Option<ArrayRef> = None;
        for part in parts {
            let Some(array) = stored.column_by_name(&part.column) else { continue };
            let array = as_unified(array, part.kind, target)?;
            unified = Some(match unified {
                None => array,
                // C1 of the compiler, and of storage: at most one of them is set in a row.
                Some(before) => zip(&is_not_null(&before)?, &before, &array)?,
            });
        }
        Ok(unified.unwrap_or_else(|| new_null_array(target, stored.num_rows())))
    }
}

/// SQL's type of a list of texts.
fn text_list() -> DataType {
    DataType::new_list(DataType::Utf8, true)
}

/// Lists of texts from their JSON. Only our own writer fills such columns; what does not parse is null.
fn parse_texts(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for text in array.as_string_opt::<i32>().into_iter().flatten() {
        let items = text.and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
        lists.append_option(items.map(|items| items.into_iter().map(Some)));
    }
    Ok(Arc::new(lists.finish()))
}

fn as_type(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == target { Ok(array.clone()) } else { cast(array, target) }
}

/// One type's values as the unified column's type. Doubles become the text that the expression language gives them.
fn as_unified(array: &ArrayRef, kind: PropertyType, target: &DataType) -> Result<ArrayRef, ArrowError> {
    if kind == PropertyType::Texts && target != &DataType::Utf8 {
        return parse_texts(array);
    }
    if kind == PropertyType::Double && target == &DataType::Utf8 {
        let doubles = array.as_primitive::<Float64Type>();
        let texts: StringArray = doubles.iter().map(|x| x.map(footfall_eval::number_to_text)).collect();
        return Ok(Arc::new(texts));
    }
    as_type(array, target)
}
