//! Functions of numbers.

use std::fmt::Write;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, StringBuilder};
use datafusion::arrow::compute::binary;
use datafusion::common::Result;
use footfall_eval::{number_to_text, parse_number};

use super::columns::{Args, number_column, presentable};

/// Makes −0 into +0, and NaN and infinities into nulls. The common column has none of these and costs one pass.
pub(super) fn finite(args: &Args) -> Result<ArrayRef> {
    let numbers = args.numbers(0)?;
    let Some(column) = numbers.column() else {
        return Ok(number_column(args.rows, |row| numbers.get(row)));
    };
    Ok(Arc::new(without_infinities(column.unary(|x| x + 0.0))))
}

pub(super) fn map(args: &Args, function: fn(f64) -> f64) -> Result<ArrayRef> {
    let numbers = args.numbers(0)?;
    Ok(number_column(args.rows, |row| numbers.get(row).map(function)))
}

/// A function of two numbers; null where the result is none.
pub(super) fn combine(args: &Args, function: impl Fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (left, right) = (args.numbers(0)?, args.numbers(1)?);
    let result = match (left.column(), right.column()) {
        (Some(left), Some(right)) if left.len() == right.len() => binary(left, right, |a, b| function(a, b) + 0.0)?,
        (Some(left), None) => match right.get(0) {
            Some(right) => left.unary(|a| function(a, right) + 0.0),
            None => Float64Array::new_null(args.rows),
        },
        (None, Some(right)) => match left.get(0) {
            Some(left) => right.unary(|b| function(left, b) + 0.0),
            None => Float64Array::new_null(args.rows),
        },
        _ => return Ok(number_column(args.rows, |row| Some(function(left.get(row)?, right.get(row)?)))),
    };
    Ok(Arc::new(without_infinities(result)))
}

/// Infinities and NaN made null. A look first: the common column has none, not even under its nulls.
fn without_infinities(column: Float64Array) -> Float64Array {
    if column.values().iter().fold(true, |all, x| all & x.is_finite()) {
        return column;
    }
    column.iter().map(|x| x.and_then(presentable)).collect()
}

/// A whole number is printed as an integer, which is much faster and the same text; exact up to 2^53.
pub(super) fn to_text(args: &Args) -> Result<ArrayRef> {
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    let numbers = args.numbers(0)?;
    let mut texts = StringBuilder::with_capacity(args.rows, 8 * args.rows);
    for row in 0..args.rows {
        let Some(number) = numbers.get(row) else {
            texts.append_null();
            continue;
        };
        if number.trunc() == number && number.abs() <= WHOLE_MAX {
            // Writing to a builder does not fail.
            let _ = write!(texts, "{}", number as i64);
            texts.append_value("");
        } else {
            texts.append_value(number_to_text(number));
        }
    }
    Ok(Arc::new(texts.finish()))
}

pub(super) fn from_text(args: &Args) -> Result<ArrayRef> {
    let texts = args.texts(0)?;
    Ok(number_column(args.rows, |row| parse_number(texts.get(row)?)))
}
