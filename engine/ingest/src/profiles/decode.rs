//! JSON text → envelopes of profile updates.

use footfall_model::Value;
use serde::de::MapAccess;

use crate::decode::{
    Damage, DecodeError, Form, ItemReader, ObjectReader, Precision, Reading, Tally, decode_as, is_broken,
    is_broken_text, read_members,
};
use crate::limits::{RECORD_BYTES_MAX, RECORDS_MAX};
use crate::members::Members;

/// One element of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum ProfileItem {
    Record(ProfileRecord),
    /// JSON of another type.
    NotAnObject,
    /// A line of NDJSON that is no JSON.
    Malformed,
}

/// A profile update as sent, not yet checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileRecord {
    pub(super) members: Members,
    /// Size as compact JSON, give or take escapes and the digits of fractions. Of a record that is too large only the
    /// beginning was kept.
    pub(super) bytes: usize,
    /// Some text in it was not Unicode and holds U+FFFD instead.
    damaged: bool,
}

/// Reads the records of one request, at least one and at most [`crate::RECORDS_MAX`].
pub fn decode(text: &[u8], form: Form, damage: Damage) -> Result<Vec<ProfileItem>, DecodeError> {
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
) -> Result<Vec<ProfileItem>, DecodeError> {
    decode_as::<ProfileReader>(text, form, damage, Reading { records_max, spent: 0, slice_done })
}

impl ProfileItem {
    /// The project token inside the record, where there is one that could be right.
    pub fn token(&self) -> Option<&str> {
        match self {
            Self::Record(record) => record.token(),
            Self::NotAnObject | Self::Malformed => None,
        }
    }
}

impl ProfileRecord {
    pub(super) fn member(&self, key: &str) -> Option<&Value> {
        self.members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(super) fn token(&self) -> Option<&str> {
        match self.member("$token") {
            Some(Value::Text(token)) if !token.is_empty() => Some(token),
            _ => None,
        }
    }

    /// The first key of the envelope that holds text which was not Unicode.
    pub(super) fn broken_text(&self) -> Option<String> {
        let broken = |(name, value): &&(String, Value)| is_broken_text(name) || is_broken(value);
        self.members.iter().filter(|_| self.damaged).find(broken).map(|(name, _)| name.clone())
    }
}

#[derive(Clone, Copy)]
struct ProfileReader {
    watch: bool,
}

impl ObjectReader for ProfileReader {
    type Output = ProfileItem;

    fn object<'de, A: MapAccess<'de>>(self, map: A) -> Result<ProfileItem, A::Error> {
        let mut tally =
            Tally { watch: self.watch, nested_keep: usize::MAX, bytes_keep: RECORD_BYTES_MAX, ..Tally::default() };
        let (members, _) = read_members(map, &mut tally, usize::MAX, precision_of)?;
        Ok(ProfileItem::Record(ProfileRecord { members, bytes: tally.bytes, damaged: tally.damaged }))
    }

    fn other(self) -> ProfileItem {
        ProfileItem::NotAnObject
    }
}

impl ItemReader for ProfileReader {
    fn new(watch: bool) -> Self {
        Self { watch }
    }

    fn malformed() -> ProfileItem {
        ProfileItem::Malformed
    }

    fn bytes(item: &ProfileItem) -> usize {
        match item {
            ProfileItem::Record(record) => record.bytes,
            ProfileItem::NotAnObject | ProfileItem::Malformed => 0,
        }
    }
}

/// What names somebody keeps every digit.
fn precision_of(key: &str) -> Precision {
    match key {
        "$distinct_id" | "$group_id" | "$group_key" => Precision::Exact,
        _ => Precision::Double,
    }
}
