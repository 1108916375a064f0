//! Ids: how a value of any type becomes an id, which ids name nobody, and ids for events that came without one.

use std::sync::atomic::{AtomicU64, Ordering};

use footfall_model::Value;

use crate::limits::TEXT_CHARS_MAX;

/// Makes `$insert_id`s for events that came without one. One source per process is enough; it may be shared by threads.
///
/// An id is a random number of the process and a counter, `3f1c09d2a77be410-1a2b`: unique without a system call per
/// event, and neighbours differ in their last digits only, which keeps the column small on disk.
#[derive(Debug)]
pub struct IdSource {
    origin: u64,
    next: AtomicU64,
}

impl IdSource {
    /// A source whose ids no other process makes.
    pub fn random() -> Self {
        Self::seeded(uuid::Uuid::new_v4().as_u64_pair().1)
    }

    /// A source that makes the same ids for the same seed.
    pub fn seeded(origin: u64) -> Self {
        Self { origin, next: AtomicU64::new(0) }
    }

    /// An id never given before.
    pub(crate) fn next_id(&self) -> String {
        // Only uniqueness matters, not the order in which threads see it.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = String::with_capacity(33);
        push_hex(&mut id, self.origin, 16);
        id.push('-');
        push_hex(&mut id, number, (64 - number.leading_zeros()).div_ceil(4).max(1));
        id
    }
}

/// `format!("{:x}")` takes a fifth of a microsecond, which is a tenth of an event's whole budget.
fn push_hex(out: &mut String, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        let nibble = (number >> (4 * place) & 15) as u32;
        out.push(char::from_digit(nibble, 16).unwrap_or('0'));
    }
}

/// A stable id of 32 hexadecimal digits that stands for `text`.
pub(crate) fn hashed(text: &str) -> String {
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes()))
}

/// Values that clients send by accident where an id should be. Thousands of people would become one.
const DENIED: [&str; 17] = [
    "00000000-0000-0000-0000-000000000000",
    "anon",
    "anonymous",
    "nil",
    "none",
    "null",
    "n/a",
    "na",
    "undefined",
    "unknown",
    "<nil>",
    "0",
    "-1",
    "true",
    "false",
    "[]",
    "{}",
];

/// Whether `id` is on the list of values that never name anybody. Identity must not link through such an id either.
pub fn denied_id(id: &str) -> bool {
    // Real ids are longer than any accident but the nil UUID.
    (id.len() <= 9 || id.len() == 36) && DENIED.iter().any(|denied| denied.eq_ignore_ascii_case(id))
}

/// The id a value stands for: text as it is, everything else as its JSON text, objects with their names sorted so that
/// the same object is the same id. `None` where nothing was given.
pub(crate) fn id_text(value: Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Text(text) => text,
        Value::Int(number) => number.to_string(),
        Value::Bool(answer) => answer.to_string(),
        Value::Float(_) => json_text(&value),
        Value::List(_) | Value::Map(_) => json_text(&sorted(value)),
    })
}

/// Compact JSON.
pub(crate) fn json_text(value: &Value) -> String {
    serde_json::Value::from(value).to_string()
}

/// Cuts a text to the length that is kept. Tells whether there was anything to cut.
pub(crate) fn truncate(text: &mut String) -> bool {
    if text.len() <= TEXT_CHARS_MAX {
        return false;
    }
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => {
            text.truncate(end);
            true
        }
        None => false,
    }
}

fn sorted(value: Value) -> Value {
    match value {
        Value::List(items) => Value::List(items.into_iter().map(sorted).collect()),
        Value::Map(members) => {
            let mut members: Vec<_> = members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Map(members)
        }
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_are_unique_and_valid() {
        let ids = IdSource::seeded(0x2a);
        let made: Vec<String> = (0..18).map(|_| ids.next_id()).collect();
        assert_eq!(made[0], "000000000000002a-0");
        assert_eq!(made[17], "000000000000002a-11");
        assert_ne!(IdSource::random().next_id(), IdSource::random().next_id());
        let last = IdSource { origin: u64::MAX, next: AtomicU64::new(u64::MAX) }.next_id();
        assert_eq!(last, "ffffffffffffffff-ffffffffffffffff");
    }

    #[test]
    fn accidents_are_denied_in_any_case() {
        for id in DENIED {
            assert!(denied_id(id) && denied_id(&id.to_uppercase()), "{id}");
        }
        for id in ["", "u1", "nobody", "00", " null", "00000000-0000-0000-0000-000000000001"] {
            assert!(!denied_id(id), "{id}");
        }
    }

    #[test]
    fn every_type_has_an_id_text() {
        let check = |json: &str, expect: Option<&str>| {
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(id_text(value.into()).as_deref(), expect, "{json}");
        };
        check("null", None);
        check(r#""""#, Some(""));
        check(r#""u1""#, Some("u1"));
        check("17", Some("17"));
        check("17.5", Some("17.5"));
        check("true", Some("true"));
        check("[]", Some("[]"));
        check(r#"{"b":1,"a":{"d":"x","c":[2]}}"#, Some(r#"{"a":{"c":[2],"d":"x"},"b":1}"#));
    }

    #[test]
    fn texts_are_cut_at_255_characters_not_bytes() {
        for (char, count, cut) in [("x", 255, false), ("x", 256, true), ("é", 255, false), ("é", 300, true)] {
            let mut text = char.repeat(count);
            assert_eq!(truncate(&mut text), cut);
            assert_eq!(text.chars().count(), count.min(255));
        }
    }
}
