//! Functions of texts.

use datafusion::arrow::array::ArrayRef;
use datafusion::common::{Result, exec_datafusion_err};
use footfall_eval::{pattern, text};
use regex::Regex;

use super::columns::{Args, bool_column, number_column, text_column};

pub(super) fn has_prefix(args: &Args) -> Result<ArrayRef> {
    let (texts, prefix) = (args.texts(0)?, args.texts(1)?);
    Ok(bool_column(args.rows, |row| Some(text::has_prefix(texts.get(row)?, prefix.get(row)?))))
}

pub(super) fn has_suffix(args: &Args) -> Result<ArrayRef> {
    let (texts, suffix) = (args.texts(0)?, args.texts(1)?);
    Ok(bool_column(args.rows, |row| Some(text::has_suffix(texts.get(row)?, suffix.get(row)?))))
}

pub(super) fn upper(args: &Args) -> Result<ArrayRef> {
    let texts = args.texts(0)?;
    Ok(text_column(args.rows, |row| texts.get(row).map(str::to_uppercase)))
}

pub(super) fn lower(args: &Args) -> Result<ArrayRef> {
    let texts = args.texts(0)?;
    Ok(text_column(args.rows, |row| texts.get(row).map(str::to_lowercase)))
}

pub(super) fn length(args: &Args) -> Result<ArrayRef> {
    let texts = args.texts(0)?;
    Ok(number_column(args.rows, |row| Some(text::length(texts.get(row)?) as f64)))
}

pub(super) fn left(args: &Args) -> Result<ArrayRef> {
    let (texts, count) = (args.texts(0)?, args.numbers(1)?);
    Ok(text_column(args.rows, |row| text::left(texts.get(row)?, count.get(row)?)))
}

pub(super) fn right(args: &Args) -> Result<ArrayRef> {
    let (texts, count) = (args.texts(0)?, args.numbers(1)?);
    Ok(text_column(args.rows, |row| text::right(texts.get(row)?, count.get(row)?)))
}

pub(super) fn mid(args: &Args) -> Result<ArrayRef> {
    let (texts, first, count) = (args.texts(0)?, args.numbers(1)?, args.numbers(2)?);
    Ok(text_column(args.rows, |row| text::mid(texts.get(row)?, first.get(row)?, count.get(row)?)))
}

pub(super) fn split_part(args: &Args) -> Result<ArrayRef> {
    let (texts, delimiter, part) = (args.texts(0)?, args.texts(1)?, args.numbers(2)?);
    Ok(text_column(args.rows, |row| text::split_part(texts.get(row)?, delimiter.get(row)?, part.get(row)?)))
}

pub(super) fn concat(args: &Args) -> Result<ArrayRef> {
    let (left, right) = (args.texts(0)?, args.texts(1)?);
    Ok(text_column(args.rows, |row| Some([left.get(row)?, right.get(row)?].concat())))
}

pub(super) fn regex_match(args: &Args) -> Result<ArrayRef> {
    let (texts, regex) = (args.texts(0)?, compiled(args)?);
    Ok(bool_column(args.rows, |row| Some(regex.is_match(texts.get(row)?))))
}

pub(super) fn regex_extract(args: &Args) -> Result<ArrayRef> {
    let (texts, regex, group) = (args.texts(0)?, compiled(args)?, args.numbers(2)?);
    Ok(text_column(args.rows, |row| pattern::extract(&regex, texts.get(row)?, group.get(row)?)))
}

/// Once for each batch, which costs little beside its rows.
fn compiled(args: &Args) -> Result<Regex> {
    let text = args.literal(1)?.unwrap_or_default();
    pattern::compile(&text).map_err(|_| exec_datafusion_err!("invalid pattern, pattern={text}"))
}
