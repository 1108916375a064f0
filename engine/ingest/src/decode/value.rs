//! Any JSON value → `Value`, counting its size and cutting what no rule would keep.

use std::fmt;

use footfall_model::Value;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::limits::NESTED_MAX;
use crate::members::{Members, keep_last};

/// What is learned of a record's text while reading it, and how much of it is worth keeping.
pub(crate) struct Tally {
    pub bytes: usize,
    /// Look for U+FFFD, because the text was mended.
    pub watch: bool,
    pub damaged: bool,
    /// Elements of one list, members of one nested object that are kept.
    pub nested_keep: usize,
    /// Past so many bytes nothing more is kept, because the record will be refused for its size.
    pub bytes_keep: usize,
}

/// What suits an event: one element more than is allowed, so that validation still sees the excess.
impl Default for Tally {
    fn default() -> Self {
        Self { bytes: 0, watch: false, damaged: false, nested_keep: NESTED_MAX + 1, bytes_keep: usize::MAX }
    }
}

impl Tally {
    fn keeps(&self, count: usize, keep: usize) -> bool {
        count < keep && self.bytes <= self.bytes_keep
    }

    pub fn text(&mut self, text: &str) {
        self.bytes += text.len() + 3;
        if self.watch && text.contains(char::REPLACEMENT_CHARACTER) {
            self.damaged = true;
        }
    }

    fn whole(&mut self, number: u64) {
        self.bytes += number.checked_ilog10().unwrap_or(0) as usize + 2;
    }
}

/// What [`Tally`] would have counted, had the value been text.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Int(number) => number.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 2,
        Value::Float(_) => 8,
        Value::Text(text) => text.len() + 3,
        Value::List(items) => 3 + items.iter().map(size).sum::<usize>(),
        Value::Map(members) => 3 + members.iter().map(|(name, value)| name.len() + 3 + size(value)).sum::<usize>(),
    }
}

/// Whether numbers too large for 64 bits may become doubles.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    Double,
    /// Such a number becomes text: an id must not become another id.
    Exact,
}

/// Reads one value. Of lists and objects only so many elements are kept as the tally says; the rest is read, counted and
/// dropped.
pub(super) struct ValueSeed<'t> {
    pub tally: &'t mut Tally,
    pub precision: Precision,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.tally.bytes += 5;
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, answer: bool) -> Result<Value, E> {
        self.tally.bytes += 5;
        Ok(Value::Bool(answer))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        self.tally.whole(number.unsigned_abs());
        Ok(Value::Int(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        self.tally.whole(number);
        Ok(match i64::try_from(number) {
            Ok(number) => Value::Int(number),
            Err(_) if self.precision == Precision::Exact => Value::Text(number.to_string()),
            Err(_) => Value::Float(number as f64),
        })
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        self.tally.bytes += 8;
        Ok(Value::Float(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.tally.text(text);
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        self.tally.text(&text);
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let Self { tally, precision } = self;
        tally.bytes += 3;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(ValueSeed { tally: &mut *tally, precision })? {
            if tally.keeps(items.len(), tally.nested_keep) {
                items.push(item);
            }
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        let Self { tally, precision } = self;
        let keep = tally.nested_keep;
        let (members, _) = read_members(map, tally, keep, |_| precision)?;
        Ok(Value::Map(members))
    }
}

/// Members of an object, unique by name, and whether more than `keep_max` were sent (all but those were dropped).
pub(crate) fn read_members<'de, A: MapAccess<'de>>(
    mut map: A,
    tally: &mut Tally,
    keep_max: usize,
    precision_of: impl Fn(&str) -> Precision,
) -> Result<(Members, bool), A::Error> {
    tally.bytes += 3;
    let mut members: Members = Vec::new();
    let mut more = false;
    while let Some(name) = map.next_key::<String>()? {
        tally.text(&name);
        let precision = precision_of(&name);
        let value = map.next_value_seed(ValueSeed { tally: &mut *tally, precision })?;
        if tally.keeps(members.len(), keep_max) {
            if members.capacity() == 0 {
                members.reserve(16);
            }
            members.push((name, value));
        } else {
            more = true;
        }
    }
    keep_last(&mut members);
    Ok((members, more))
}
