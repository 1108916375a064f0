//! Arrow schemas on our side, Delta schemas in the log; and the one way a schema may change: by growing.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use deltalake_core::kernel::StructType;
use deltalake_core::kernel::engine::arrow_conversion::{TryIntoArrow as _, TryIntoKernel as _};

use super::error::TableError;

/// The Delta form of an Arrow schema. Two names that differ only by case are refused, as every Delta reader would.
pub(super) fn to_delta(schema: &Schema) -> Result<StructType, TableError> {
    for field in schema.fields() {
        check_column(field)?;
    }
    schema.try_into_kernel().map_err(|source| TableError::SchemaConversion { source })
}

/// The Arrow form of a Delta schema, with the fields' metadata.
pub(super) fn to_arrow(schema: &StructType) -> Result<SchemaRef, TableError> {
    let schema: Schema = schema.try_into_arrow().map_err(|source| TableError::SchemaConversion { source })?;
    Ok(Arc::new(schema))
}

/// `current` with the columns and metadata it lacks from `wanted`, or `None` if it lacks nothing.
///
/// Called with every column for every flush, so only fields that are not word for word in `current` are converted.
pub(super) fn grow(current: &Schema, wanted: &Schema) -> Result<Option<SchemaRef>, TableError> {
    let mut fields: Vec<FieldRef> = current.fields().iter().cloned().collect();
    let mut places: HashMap<String, usize> = HashMap::with_capacity(fields.len());
    for (at, field) in fields.iter().enumerate() {
        places.insert(field.name().to_lowercase(), at);
    }
    let mut grown = false;
    for field in wanted.fields() {
        let name = field.name().to_lowercase();
        match places.get(&name).and_then(|at| fields.get_mut(*at)) {
            Some(present) if present == field => {}
            Some(present) => {
                if let Some(merged) = merge(present, &as_stored(field)?)? {
                    *present = merged;
                    grown = true;
                }
            }
            None if field.is_nullable() => {
                places.insert(name, fields.len());
                fields.push(as_stored(field)?);
                grown = true;
            }
            None => return Err(conflict(field, "a new column must be nullable, older files lack it")),
        }
    }
    Ok(grown.then(|| Arc::new(Schema::new(fields))))
}

/// The field as it comes back from the log: timestamps in microseconds, list items named `element`.
fn as_stored(field: &FieldRef) -> Result<FieldRef, TableError> {
    let stored = to_arrow(&to_delta(&Schema::new(vec![Arc::clone(field)]))?)?;
    Ok(stored.fields().first().cloned().unwrap_or_else(|| Arc::clone(field)))
}

/// The present field with metadata keys it lacks, or `None` if it lacks none.
fn merge(present: &FieldRef, wanted: &FieldRef) -> Result<Option<FieldRef>, TableError> {
    if present.name() != wanted.name() {
        return Err(conflict(wanted, "differs from another column only by case"));
    }
    if present.data_type() != wanted.data_type() {
        return Err(conflict(wanted, "the type differs"));
    }
    if present.is_nullable() != wanted.is_nullable() {
        return Err(conflict(wanted, "the nullability differs"));
    }
    let mut metadata = present.metadata().clone();
    for (key, value) in wanted.metadata() {
        // Metadata says which property a column holds: a second meaning under one name would mix two properties.
        if metadata.insert(key.clone(), value.clone()).is_some_and(|old| old != *value) {
            return Err(conflict(wanted, "the metadata differs"));
        }
    }
    let grown = metadata.len() > present.metadata().len();
    Ok(grown.then(|| Arc::new(present.as_ref().clone().with_metadata(metadata))))
}

/// Refuses what converts silently but would read wrongly elsewhere.
fn check_column(field: &Field) -> Result<(), TableError> {
    match field.data_type() {
        // Delta's integers are signed; the conversion reinterprets them without a word.
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            Err(conflict(field, "Delta has no unsigned integers"))
        }
        // The Arrow C interface ends names at the first NUL, so Python could not open the table.
        _ if field.name().is_empty() || field.name().contains('\0') => {
            Err(conflict(field, "not a name other readers take"))
        }
        _ => Ok(()),
    }
}

fn conflict(field: &Field, reason: &'static str) -> TableError {
    TableError::SchemaConflict { column: field.name().clone(), reason }
}
