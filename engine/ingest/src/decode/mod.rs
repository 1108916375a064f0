//! JSON text → records, straight into the model's values without a tree in between.
//!
//! A record keeps just what validation asks for: the event's name, its properties, and what the text was like (size,
//! damage). Names are already unique. Nothing is collected beyond the limits, so hostile text costs time in proportion
//! to its length and memory in proportion to what is allowed.

mod record;
mod repair;
mod value;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use footfall_model::Value;
use serde::de::DeserializeSeed;

use crate::limits::RECORDS_MAX;
use crate::members::{Members, keep_last};
use record::{BatchSeed, ObjectSeed, RecordReader};
pub(crate) use repair::{is_broken, is_broken_text};
use value::size;

pub(crate) use record::{ItemReader, ObjectReader};
pub(crate) use value::{Precision, Tally, read_members};

/// How records are laid out in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One object, or an array of them.
    Json,
    /// One record on each line that is not empty.
    Ndjson,
}

/// What to do with text that is not Unicode: bytes that are not UTF-8, or half of a surrogate pair as an escape, which
/// JavaScript leaves when it cuts an emoji in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Bytes that are not UTF-8 fail the request; half a pair becomes U+FFFD.
    Refuse,
    /// Both become U+FFFD, and validation then refuses the records they are in, and only those.
    Report,
}

/// Why a text holds no records at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("data, missing or empty")]
    Empty,
    #[error("data, invalid json")]
    InvalidJson,
    #[error("too many records")]
    TooManyRecords,
}

/// One element of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Record(Record),
    /// JSON of another type.
    NotAnObject,
    /// A line of NDJSON that is no JSON.
    Malformed,
}

impl Item {
    /// A record that came as values and not as text, from a table for instance. It is judged as if it had been JSON; of
    /// a repeated name the last value counts.
    pub fn of(event: Option<Value>, mut properties: Vec<(String, Value)>) -> Self {
        let bytes =
            event.as_ref().map_or(0, size) + properties.iter().map(|(n, v)| n.len() + 3 + size(v)).sum::<usize>();
        keep_last(&mut properties);
        let properties = Properties::Members(properties);
        Self::Record(Record { event, properties, ignore: false, bytes, damaged: false })
    }

    /// The project token inside the record, where there is one that could be right.
    pub fn token(&self) -> Option<&str> {
        let Self::Record(Record { properties: Properties::Members(members), .. }) = self else { return None };
        match members.iter().find(|(name, _)| name == "token") {
            Some((_, Value::Text(token))) if !token.is_empty() => Some(token),
            _ => None,
        }
    }
}

/// An event as sent, not yet checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    pub(crate) event: Option<Value>,
    pub(crate) properties: Properties,
    /// `$ignore` stands beside `event` instead of among the properties.
    pub(crate) ignore: bool,
    /// Size as compact JSON, give or take escapes and the digits of fractions.
    pub(crate) bytes: usize,
    /// Some text in it was not Unicode and holds U+FFFD instead.
    pub(crate) damaged: bool,
}

/// What stood under `properties`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Properties {
    #[default]
    Missing,
    NotAnObject,
    TooMany,
    Members(Members),
}

/// Reads the events of one request, at least one and at most [`RECORDS_MAX`].
pub fn decode(text: &[u8], form: Form, damage: Damage) -> Result<Vec<Item>, DecodeError> {
    decode_in_slices(text, form, damage, RECORDS_MAX, &mut || {})
}

/// As [`decode`], with at most `records_max` records. Calls `slice_done` between two records about every 64 KiB, so that
/// who shares a processor can let others go first.
pub fn decode_in_slices(
    text: &[u8],
    form: Form,
    damage: Damage,
    records_max: usize,
    slice_done: &mut dyn FnMut(),
) -> Result<Vec<Item>, DecodeError> {
    decode_as::<RecordReader>(text, form, damage, Reading { records_max, spent: 0, slice_done })
}

/// Reads the records of one request as `R` understands them.
pub(crate) fn decode_as<R: ItemReader>(
    text: &[u8],
    form: Form,
    damage: Damage,
    mut reading: Reading<'_>,
) -> Result<Vec<R::Output>, DecodeError> {
    let items = match form {
        Form::Json => {
            read(text, damage, |text, watch| batch::<R>(text, watch, &mut reading))?.ok_or(DecodeError::InvalidJson)?
        }
        Form::Ndjson => lines::<R>(text, damage, &mut reading)?,
    };
    if items.is_empty() { Err(DecodeError::Empty) } else { Ok(items) }
}

/// How far a request has been read.
pub(crate) struct Reading<'a> {
    pub records_max: usize,
    /// Bytes since the last slice ended.
    pub spent: usize,
    pub slice_done: &'a mut dyn FnMut(),
}

/// Bytes of text between two pauses: about a third of a millisecond.
const SLICE_BYTES: usize = 64 << 10;

impl Reading<'_> {
    /// `bytes` more have been read.
    pub fn advance(&mut self, bytes: usize) {
        self.spent += bytes;
        if self.spent >= SLICE_BYTES {
            self.spent = 0;
            (self.slice_done)();
        }
    }
}

/// Reads the one record of a line: for files, which have no limit of records.
pub fn decode_line(line: &[u8], damage: Damage) -> Item {
    read(line, damage, one::<RecordReader>).ok().flatten().unwrap_or(Item::Malformed)
}

fn lines<R: ItemReader>(text: &[u8], damage: Damage, reading: &mut Reading<'_>) -> Result<Vec<R::Output>, DecodeError> {
    let mut items = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        if items.len() == reading.records_max {
            return Err(DecodeError::TooManyRecords);
        }
        items.push(read(line, damage, one::<R>)?.unwrap_or_else(R::malformed));
        reading.advance(line.len());
    }
    Ok(items)
}

/// Parses `text`, and once more with broken Unicode mended where that can help. `None`: this is no JSON.
///
/// The parser is told to watch for U+FFFD where the text may hold some that nobody sent.
fn read<T>(
    text: &[u8],
    damage: Damage,
    mut parse: impl FnMut(&str, bool) -> Result<T, Stop>,
) -> Result<Option<T>, DecodeError> {
    if text.trim_ascii().is_empty() {
        return Err(DecodeError::Empty);
    }
    let (text, watch) = match (std::str::from_utf8(text), damage) {
        (Ok(text), _) => (Cow::Borrowed(text), false),
        (Err(_), Damage::Refuse) => return Ok(None),
        (Err(_), Damage::Report) => (String::from_utf8_lossy(text), true),
    };
    match parse(&text, watch) {
        Ok(items) => return Ok(Some(items)),
        Err(Stop::TooManyRecords) => return Err(DecodeError::TooManyRecords),
        Err(Stop::NotJson) => {}
    }
    let Some(mended) = repair::lone_surrogates(&text) else { return Ok(None) };
    match parse(&mended, true) {
        Ok(items) => Ok(Some(items)),
        Err(Stop::TooManyRecords) => Err(DecodeError::TooManyRecords),
        Err(Stop::NotJson) => Ok(None),
    }
}

/// Why a parse ended early.
pub(crate) enum Stop {
    NotJson,
    TooManyRecords,
}

fn batch<R: ItemReader>(text: &str, watch: bool, reading: &mut Reading<'_>) -> Result<Vec<R::Output>, Stop> {
    let mut too_many = false;
    let mut json = serde_json::Deserializer::from_str(text);
    let items = BatchSeed { reader: R::new(watch), too_many: &mut too_many, reading }.deserialize(&mut json);
    match items {
        Ok(items) if json.end().is_ok() => Ok(items),
        Err(_) if too_many => Err(Stop::TooManyRecords),
        _ => Err(Stop::NotJson),
    }
}

fn one<R: ItemReader>(text: &str, watch: bool) -> Result<R::Output, Stop> {
    let mut json = serde_json::Deserializer::from_str(text);
    match (ObjectSeed { reader: R::new(watch) }).deserialize(&mut json) {
        Ok(item) if json.end().is_ok() => Ok(item),
        _ => Err(Stop::NotJson),
    }
}
