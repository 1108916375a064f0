//! Functions of texts.

use datafusion::arrow::array::ArrayRef;
use datafusion::common::{Result, exec_datafusion_err};

use super::columns::{Args, bool_column, number_column, text_column};
use crate::compile::scalar;

pub(super) fn has_prefix(args: &Args) -> Result<ArrayRef> {
    let (text, prefix) = (args.texts(0)?, args.texts(1)?);
    Ok(bool_column(args.rows, |row| Some(scalar::has_prefix(text.get(row)?, prefix.get(row)?))))
}

pub(super) fn has_suffix(args: &Args) -> Result<ArrayRef> {
    let (text, suffix) = (args.texts(0)?, args.texts(1)?);
    Ok(bool_column(args.rows, |row| Some(scalar::has_suffix(text.get(row)?, suffix.get(row)?))))
}

pub(super) fn upper(args: &Args) -> Result<ArrayRef> {
    let text = args.texts(0)?;
    Ok(text_column(args.rows, |row| text.get(row).map(str::to_uppercase)))
}

pub(super) fn lower(args: &Args) -> Result<ArrayRef> {
    let text = args.texts(0)?;
    Ok(text_column(args.rows, |row| text.get(row).map(str::to_lowercase)))
}

pub(super) fn length(args: &Args) -> Result<ArrayRef> {
    let text = args.texts(0)?;
    Ok(number_column(args.rows, |row| Some(text.get(row)?.chars().count() as f64)))
}

pub(super) fn concat(args: &Args) -> Result<ArrayRef> {
    let (left, right) = (args.texts(0)?, args.texts(1)?);
    Ok(text_column(args.rows, |row| Some([left.get(row)?, right.get(row)?].concat())))
}

pub(super) fn left(args: &Args) -> Result<ArrayRef> {
    let (text, count) = (args.texts(0)?, args.numbers(1)?);
    Ok(text_column(args.rows, |row| scalar::left(text.get(row)?, count.get(row)?)))
}

pub(super) fn right(args: &Args) -> Result<ArrayRef> {
    let (text, count) = (args.texts(0)?, args.numbers(1)?);
    Ok(text_column(args.rows, |row| scalar::right(text.get(row)?, count.get(row)?)))
}

pub(super) fn mid(args: &Args) -> Result<ArrayRef> {
    let (text, first, count) = (args.texts(0)?, args.numbers(1)?, args.numbers(2)?);
    Ok(text_column(args.rows, |row| scalar::mid(text.get(row)?, first.get(row)?, count.get(row)?)))
}

pub(super) fn split_part(args: &Args) -> Result<ArrayRef> {
    let (text, delimiter, part) = (args.texts(0)?, args.texts(1)?, args.numbers(2)?);
    Ok(text_column(args.rows, |row| scalar::split_part(text.get(row)?, delimiter.get(row)?, part.get(row)?)))
}

pub(super) fn regex_match(args: &Args) -> Result<ArrayRef> {
    let (text, pattern) = (args.texts(0)?, pattern(args)?);
    Ok(bool_column(args.rows, |row| Some(pattern.is_match(text.get(row)?))))
}

pub(super) fn regex_extract(args: &Args) -> Result<ArrayRef> {
    let (text, pattern, group) = (args.texts(0)?, pattern(args)?, args.numbers(2)?);
    Ok(text_column(args.rows, |row| pattern.extract(text.get(row)?, group.get(row)?)))
}

pub(super) fn regex_replace(args: &Args) -> Result<ArrayRef> {
    let (text, pattern, replacement) = (args.texts(0)?, pattern(args)?, args.texts(2)?);
    Ok(text_column(args.rows, |row| Some(pattern.replace(text.get(row)?, replacement.get(row)?))))
}

fn pattern(args: &Args) -> Result<scalar::Pattern> {
    let text = args.literal(1)?.unwrap_or_default();
    scalar::Pattern::new(&text).ok_or_else(|| exec_datafusion_err!("invalid pattern, pattern={text}"))
}
