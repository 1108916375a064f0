//! Functions of numbers.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Float64Array};
use datafusion::common::Result;
use footfall_eval::{number_to_text, parse_number};

use super::columns::{Args, number_column, presentable, text_column};

/// Makes −0 into +0, and NaN and infinities into nulls. The common column has none of these and costs one pass.
pub(super) fn finite(args: &Args) -> Result<ArrayRef> {
    let numbers = args.numbers(0)?;
    let Some(column) = numbers.column() else {
        return Ok(number_column(args.rows, |row| numbers.get(row)));
    };
    // What lies under a null does not matter, except that it must not force the slow way for ever; it seldom does.
    if column.values().iter().fold(true, |all, x| all & x.is_finite()) {
        let values = column.values().iter().map(|x| x + 0.0).collect();
        return Ok(Arc::new(Float64Array::new(values, column.nulls().cloned())));
    }
    Ok(Arc::new(column.iter().map(|x| x.and_then(presentable)).collect::<Float64Array>()))
}

pub(super) fn map(args: &Args, function: fn(f64) -> f64) -> Result<ArrayRef> {
    let numbers = args.numbers(0)?;
    Ok(number_column(args.rows, |row| numbers.get(row).map(function)))
}

pub(super) fn combine(args: &Args, function: fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (left, right) = (args.numbers(0)?, args.numbers(1)?);
    Ok(number_column(args.rows, |row| Some(function(left.get(row)?, right.get(row)?))))
}

pub(super) fn to_text(args: &Args) -> Result<ArrayRef> {
    let numbers = args.numbers(0)?;
    Ok(text_column(args.rows, |row| numbers.get(row).map(number_to_text)))
}

pub(super) fn from_text(args: &Args) -> Result<ArrayRef> {
    let texts = args.texts(0)?;
    Ok(number_column(args.rows, |row| parse_number(texts.get(row)?)))
}
