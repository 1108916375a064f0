//! Functions of datetimes, which are Int64 Unix seconds here.

use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::arrow::array::{ArrayRef, Int64Array};
use datafusion::common::{Result, exec_datafusion_err};
use footfall_eval::cast::number_to_datetime;
use footfall_eval::datetime::{CalendarField, DateUnit, calendar_field, date_difference, datetime_to_text};
use footfall_eval::parse_datetime;
use footfall_lang::ast::Function;

use super::columns::{Args, integer_column, number_column, text_column};

/// The whole seconds of a column of milliseconds.
pub(super) fn seconds(args: &Args) -> Result<ArrayRef> {
    let milliseconds = args.timestamps(0)?;
    Ok(match milliseconds.column() {
        Some(column) => Arc::new(column.unary::<_, datafusion::arrow::datatypes::Int64Type>(|ms| ms.div_euclid(1000))),
        None => {
            Arc::new(Int64Array::from_iter((0..args.rows).map(|row| Some(milliseconds.get(row)?.div_euclid(1000)))))
        }
    })
}

pub(super) fn from_number(args: &Args) -> Result<ArrayRef> {
    let numbers = args.numbers(0)?;
    Ok(integer_column(args.rows, |row| number_to_datetime(numbers.get(row)?)))
}

pub(super) fn from_text(args: &Args) -> Result<ArrayRef> {
    let texts = args.texts(0)?;
    Ok(integer_column(args.rows, |row| parse_datetime(texts.get(row)?, None)))
}

pub(super) fn to_text(args: &Args) -> Result<ArrayRef> {
    let (seconds, zone) = (args.integers(0)?, zone(args, 1)?);
    Ok(text_column(args.rows, |row| datetime_to_text(seconds.get(row)?, zone)))
}

pub(super) fn part(args: &Args) -> Result<ArrayRef> {
    let field = args.literal(0)?.and_then(|name| field_of_name(&name));
    let field = field.ok_or_else(|| exec_datafusion_err!("unknown calendar field"))?;
    let (seconds, zone) = (args.integers(1)?, zone(args, 2)?);
    Ok(number_column(args.rows, |row| calendar_field(field, seconds.get(row)?, zone)))
}

pub(super) fn difference(args: &Args) -> Result<ArrayRef> {
    let (from, to, unit, zone) = (args.integers(0)?, args.integers(1)?, args.texts(2)?, zone(args, 3)?);
    Ok(number_column(args.rows, |row| {
        let unit = DateUnit::from_name(unit.get(row)?)?;
        Some(date_difference(from.get(row)?, to.get(row)?, unit, zone)? as f64)
    }))
}

fn field_of_name(name: &str) -> Option<CalendarField> {
    const FUNCTIONS: [Function; 7] = [
        Function::Year,
        Function::Month,
        Function::Day,
        Function::Hour,
        Function::Minute,
        Function::Second,
        Function::Week,
    ];
    FUNCTIONS.into_iter().find(|function| function.name() == name).and_then(CalendarField::from_function)
}

fn zone(args: &Args, position: usize) -> Result<Tz> {
    let name = args.literal(position)?.unwrap_or_default();
    name.parse().map_err(|_| exec_datafusion_err!("unknown time zone, zone={name}"))
}
