//! A cell of an Arrow array as a property's value.
//!
//! | Arrow | value |
//! |---|---|
//! | null; NaN and infinities, which JSON does not have | none |
//! | boolean, integers, doubles | the same; beyond 64 bits signed, text |
//! | decimals | a whole number where it is one, else a double |
//! | text, and bytes that are UTF-8 | text |
//! | timestamp | `YYYY-MM-DDTHH:MM:SS`, with milliseconds where there are any, in UTC |
//! | date | `YYYY-MM-DD` |
//! | lists | list, nulls kept in their places |
//! | struct, map | object without the members that are null |
//! | dictionary | what it stands for |
//! | everything else (times of day, durations, intervals) | text as Arrow prints it |

use arrow::array::types::{
    Date32Type, Date64Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use chrono::{DateTime, Utc};
use footfall_model::Value;

use crate::commands::import::formats::cell::{from_ticks, iso};

/// The value of a row. `None`: there is none. An error says why it cannot be one.
pub fn of(array: &ArrayRef, row: usize) -> Result<Option<Value>, String> {
    if row >= array.len() || array.is_null(row) {
        return Ok(None);
    }
    let float = |number: f64| number.is_finite().then_some(Value::Float(number));
    let int = |number: i64| Some(Value::Int(number));
    Ok(match array.data_type() {
        DataType::Null => None,
        DataType::Boolean => Some(Value::Bool(array.as_boolean().value(row))),
        DataType::Int8 => int(array.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => int(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => int(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => int(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt8 => int(array.as_primitive::<UInt8Type>().value(row).into()),
        DataType::UInt16 => int(array.as_primitive::<UInt16Type>().value(row).into()),
        DataType::UInt32 => int(array.as_primitive::<UInt32Type>().value(row).into()),
        DataType::UInt64 => {
            let number = array.as_primitive::<UInt64Type>().value(row);
            Some(i64::try_from(number).map_or_else(|_| Value::Text(number.to_string()), Value::Int))
        }
        DataType::Float16 => float(array.as_primitive::<Float16Type>().value(row).to_f64()),
        DataType::Float32 => float(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Some(Value::Text(array.as_string::<i32>().value(row).to_owned())),
        DataType::LargeUtf8 => Some(Value::Text(array.as_string::<i64>().value(row).to_owned())),
        DataType::Utf8View => Some(Value::Text(array.as_string_view().value(row).to_owned())),
        DataType::Binary => Some(bytes(array.as_binary::<i32>().value(row))?),
        DataType::LargeBinary => Some(bytes(array.as_binary::<i64>().value(row))?),
        DataType::BinaryView => Some(bytes(array.as_binary_view().value(row))?),
        DataType::FixedSizeBinary(_) => Some(bytes(array.as_fixed_size_binary().value(row))?),
        DataType::Timestamp(..) | DataType::Date64 => {
            instant(array, row).and_then(|(ticks, per_second)| at(ticks, per_second)).map(|at| Value::Text(iso(at)))
        }
        DataType::Date32 => {
            let seconds = i64::from(array.as_primitive::<Date32Type>().value(row)) * 86_400;
            DateTime::from_timestamp(seconds, 0).map(|at| Value::Text(at.format("%Y-%m-%d").to_string()))
        }
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            decimal(&printed(array, row)?)
        }
        DataType::List(_) => Some(list(&array.as_list::<i32>().value(row))?),
        DataType::LargeList(_) => Some(list(&array.as_list::<i64>().value(row))?),
        DataType::FixedSizeList(..) => Some(list(&array.as_fixed_size_list().value(row))?),
        DataType::ListView(_) => Some(list(&array.as_list_view::<i32>().value(row))?),
        DataType::LargeListView(_) => Some(list(&array.as_list_view::<i64>().value(row))?),
        DataType::Struct(_) => {
            let parts = array.as_struct();
            let mut members = Vec::with_capacity(parts.num_columns());
            for (name, column) in parts.column_names().into_iter().zip(parts.columns()) {
                members.extend(of(column, row)?.map(|value| (name.to_owned(), value)));
            }
            Some(Value::Map(members))
        }
        DataType::Map(..) => Some(map(&array.as_map().value(row))?),
        DataType::Dictionary(_, values) => {
            let one = cast(&array.slice(row, 1), values).map_err(|e| e.to_string())?;
            of(&one, 0)?
        }
        _ => Some(Value::Text(printed(array, row)?)),
    })
}

/// The columns of a batch with dictionaries replaced by what they stand for, which is slow to ask for row by row.
pub fn plain(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = rows.columns().iter().map(|column| match column.data_type() {
        DataType::Dictionary(_, values) => cast(column, values),
        _ => Ok(column.clone()),
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let named = rows.schema_ref().fields().iter().zip(columns);
    RecordBatch::try_from_iter_with_nullable(named.map(|(field, column)| (field.name(), column, true)))
}

/// A moment, where the column is one of moments; what `time` of a record understands.
pub fn moment_of(array: &ArrayRef, row: usize) -> Option<Value> {
    if row >= array.len() || array.is_null(row) {
        return None;
    }
    instant(array, row).map(|(ticks, per_second)| from_ticks(ticks, per_second))
}

/// Ticks since the epoch, and how many make a second.
fn instant(array: &ArrayRef, row: usize) -> Option<(i64, i64)> {
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => Some((array.as_primitive::<TimestampSecondType>().value(row), 1)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Some((array.as_primitive::<TimestampMillisecondType>().value(row), 1_000))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Some((array.as_primitive::<TimestampMicrosecondType>().value(row), 1_000_000))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Some((array.as_primitive::<TimestampNanosecondType>().value(row), 1_000_000_000))
        }
        DataType::Date64 => Some((array.as_primitive::<Date64Type>().value(row), 1_000)),
        DataType::Date32 => Some((i64::from(array.as_primitive::<Date32Type>().value(row)) * 86_400, 1)),
        _ => None,
    }
}

fn at(ticks: i64, per_second: i64) -> Option<DateTime<Utc>> {
    let nanoseconds = ticks.rem_euclid(per_second) * (1_000_000_000 / per_second);
    DateTime::from_timestamp(ticks.div_euclid(per_second), u32::try_from(nanoseconds).ok()?)
}

fn bytes(bytes: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "holds bytes that are not UTF-8 text")?;
    Ok(Value::Text(text.to_owned()))
}

fn decimal(text: &str) -> Option<Value> {
    let whole = text
        .split_once('.')
        .map_or(text, |(whole, fraction)| if fraction.bytes().all(|digit| digit == b'0') { whole } else { text });
    match whole.parse::<i64>() {
        Ok(number) => Some(Value::Int(number)),
        Err(_) => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::Float),
    }
}

fn list(items: &ArrayRef) -> Result<Value, String> {
    let values = (0..items.len()).map(|row| Ok(of(items, row)?.unwrap_or(Value::Null)));
    values.collect::<Result<_, String>>().map(Value::List)
}

fn map(entries: &arrow::array::StructArray) -> Result<Value, String> {
    let [keys, values] = entries.columns() else { return Err("is a map without keys and values".to_owned()) };
    let mut members: Vec<(String, Value)> = Vec::with_capacity(entries.len());
    for row in 0..entries.len() {
        let key = match of(keys, row)? {
            Some(Value::Text(key)) => key,
            Some(_) => printed(keys, row)?,
            None => continue,
        };
        members.extend(of(values, row)?.map(|value| (key, value)));
    }
    Ok(Value::Map(members))
}

fn printed(array: &ArrayRef, row: usize) -> Result<String, String> {
    array_value_to_string(array, row).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests;
