//! The key that tells whether two events are one: (event, distinct_id as sent, time, `$insert_id`).

use std::io::Write;

use footfall_model::Event;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::columns::RowReader;

/// A 128-bit hash of the four fields. Two different keys never meet by chance in practice (2^-64 at 2^32 keys), and a
/// hit is confirmed against the fields before an event is dropped.
pub type EventKey = u128;

const GENERATED_PREFIX: &str = "ff-";

/// The key of an event; `None` when its insert id was generated, which never makes a duplicate.
pub fn event_key(event: &Event) -> Option<EventKey> {
    (!event.insert_id_generated).then(|| key_of(&event.name, &event.distinct_id, event.time, &event.insert_id))
}

/// The key of a row that was stored.
pub(crate) fn row_key(reader: &RowReader, row: usize) -> Option<EventKey> {
    let generated = is_generated(reader.insert_id(row), reader.received_at(row));
    (!generated).then(|| key_of(reader.event(row), reader.distinct_id(row), reader.time(row), reader.insert_id(row)))
}

/// The key of the four fields.
pub fn key_of(event: &str, distinct_id: &str, time: i64, insert_id: &str) -> EventKey {
    // Lengths keep ("ab", "c") and ("a", "bc") apart.
    short_key([event, distinct_id, insert_id], time).unwrap_or_else(|| {
        let mut hasher = Xxh3::new();
        for text in [event, distinct_id, insert_id] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.update(&time.to_le_bytes());
        hasher.digest128()
    })
}

/// The same for texts that are short together, as nearly all are: hashing in parts costs them several times as much.
fn short_key(texts: [&str; 3], time: i64) -> Option<EventKey> {
    let mut buffer = [0; 256];
    let size = buffer.len();
    let mut rest = buffer.as_mut_slice();
    for text in texts {
        rest.write_all(&(text.len() as u64).to_le_bytes()).ok()?;
        rest.write_all(text.as_bytes()).ok()?;
    }
    rest.write_all(&time.to_le_bytes()).ok()?;
    let written = size - rest.len();
    buffer.get(..written).map(xxh3_128)
}

/// The insert id given to an event that came without one: unique within a project, because `received_at` is.
pub fn generated_insert_id(received_at: i64) -> String {
    format!("{GENERATED_PREFIX}{received_at:x}")
}

/// Whether an event that arrived then was given this insert id.
pub(crate) fn is_generated(insert_id: &str, received_at: i64) -> bool {
    insert_id.starts_with(GENERATED_PREFIX) && insert_id == generated_insert_id(received_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_texts_are_hashed_alike() {
        for length in [0, 1, 200, 223, 224, 225, 1000] {
            let id = "x".repeat(length);
            let whole =
                [&1u64.to_le_bytes()[..], b"e", &(length as u64).to_le_bytes(), id.as_bytes(), &[0; 8]].concat();
            let whole = [&whole[..], &7i64.to_le_bytes()].concat();
            assert_eq!(key_of("e", &id, 7, ""), xxh3_128(&whole), "length={length}");
        }
        assert_ne!(key_of("ab", "c", 0, ""), key_of("a", "bc", 0, ""));
    }
}
