//! What a column of the `events` table is made of.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, RecordBatch, StringArray, StringBuilder, new_null_array};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, is_not_null};
use arrow::datatypes::{DataType, Field, Float64Type};
use arrow::error::ArrowError;
use footfall_storage::columns::{
    Builtin, Catalog, PropertyColumn, PropertyType, all_as_rest, rest_field, with_columns_from_rest,
};

/// A column of the table and how to compute it from stored columns.
#[derive(Clone, Debug)]
pub struct TableColumn {
    pub field: Field,
    pub source: Source,
}

#[derive(Clone, Debug)]
pub enum Source {
    /// A built-in column as it is.
    Builtin,
    /// One type of one property.
    Property(Arc<PropertyColumn>),
    /// All properties of a row as one JSON object.
    Whole,
    /// The UTC day and the shard of a row, which the file's place tells.
    Day,
    Shard,
    /// All types of one property as one column.
    Unified(Arc<[Arc<PropertyColumn>]>),
}

impl TableColumn {
    pub fn builtin(builtin: Builtin) -> Self {
        Self { field: builtin.field(), source: Source::Builtin }
    }

    /// One physical column of a property, under its stored name and with the metadata that says what it is.
    pub fn of_type(column: &Arc<PropertyColumn>) -> Self {
        Self { field: column.field(), source: Source::Property(column.clone()) }
    }

    /// Every property of a row, whichever have columns: with the built-in columns a row that can be read as an event.
    pub fn whole() -> Self {
        Self { field: rest_field(), source: Source::Whole }
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

    /// The same column under another name, which tells nothing of a property.
    pub fn named(self, name: String) -> Self {
        let field = Field::new(name, self.field.data_type().clone(), self.field.is_nullable());
        Self { field, ..self }
    }

    /// Whether another column has the same values of the same type, whatever its name.
    pub fn is_same(&self, other: &Self) -> bool {
        if self.field.data_type() != other.field.data_type() {
            return false;
        }
        match (self.builtin_name(), other.builtin_name()) {
            (None, None) => {
                let (own, others) = (self.properties(), other.properties());
                let both_unified = matches!((&self.source, &other.source), (Source::Unified(_), Source::Unified(_)));
                own == others && !own.is_empty() && (own.len() == 1 || both_unified)
            }
            (own, others) => own == others,
        }
    }

    /// The built-in column that this one is.
    pub fn builtin_name(&self) -> Option<&str> {
        matches!(self.source, Source::Builtin).then(|| self.field.name().as_str())
    }

    /// The properties, type by type, that this one is computed from.
    pub fn properties(&self) -> &[Arc<PropertyColumn>] {
        match &self.source {
            Source::Builtin | Source::Day | Source::Shard | Source::Whole => &[],
            Source::Property(column) => std::slice::from_ref(column),
            Source::Unified(parts) => parts,
        }
    }

    /// Computes the column from stored ones; what they lack is null.
    pub fn compute(&self, stored: &StoredRows, day: i32, shard: u16) -> Result<ArrayRef, ArrowError> {
        let rows = stored.rows();
        match &self.source {
            Source::Day => Ok(Arc::new(arrow::array::Int32Array::from_value(day, rows))),
            Source::Shard => Ok(Arc::new(arrow::array::Int32Array::from_value(i32::from(shard), rows))),
            Source::Builtin => self.stored(stored, self.field.name()),
            Source::Property(column) => self.stored(stored, &column.column),
            Source::Whole => all_as_rest(&stored.own),
            Source::Unified(parts) => self.unify(parts, stored),
        }
    }

    fn stored(&self, stored: &StoredRows, name: &str) -> Result<ArrayRef, ArrowError> {
        match stored.column(name) {
            Some(array) => as_type(array, self.field.data_type()),
            None => Ok(new_null_array(self.field.data_type(), stored.rows())),
        }
    }

    fn unify(&self, parts: &[Arc<PropertyColumn>], stored: &StoredRows) -> Result<ArrayRef, ArrowError> {
        let target = self.field.data_type();
        let mut unified: Option<ArrayRef> = None;
        for part in parts {
            let Some(array) = stored.column(&part.column) else { continue };
            let array = as_unified(array, part.kind, target)?;
            unified = Some(match unified {
                None => array,
                // C1 of the compiler, and of storage: at most one of them is set in a row.
                Some(before) => zip(&is_not_null(&before)?, &before, &array)?,
            });
        }
        Ok(unified.unwrap_or_else(|| new_null_array(target, stored.rows())))
    }
}

/// A batch as it is stored, and what a query names of its `rest` as columns.
pub struct StoredRows {
    own: RecordBatch,
    columns: RecordBatch,
    places: HashMap<String, usize>,
}

impl StoredRows {
    /// `in_rest`: what is named and in the batch's `rest`.
    pub fn new(own: RecordBatch, in_rest: &[Arc<PropertyColumn>]) -> Result<Self, ArrowError> {
        let columns = with_columns_from_rest(&own, in_rest)?;
        let places = columns.schema_ref().fields().iter().enumerate().map(|(at, f)| (f.name().clone(), at)).collect();
        Ok(Self { own, columns, places })
    }

    pub fn rows(&self) -> usize {
        self.own.num_rows()
    }

    fn column(&self, name: &str) -> Option<&ArrayRef> {
        self.columns.columns().get(*self.places.get(name)?)
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
