//! The key that tells whether two events are one: (event, distinct_id as sent, time, `$insert_id`).

use footfall_model::Event;
use xxhash_rust::xxh3::Xxh3;

use crate::columns::RowReader;

/// A 128-bit hash of the four fields. Two different keys never meet by chance in practice (2^-64 at 2^32 keys), and a
/// hit is confirmed against the fields before an event is dropped.
pub type EventKey = u128;

/// The key of an event; `None` when its insert id was generated, which never makes a duplicate.
pub fn event_key(event: &Event) -> Option<EventKey> {
    (!event.insert_id_generated).then(|| key_of(&event.name, &event.distinct_id, event.time, &event.insert_id))
}

/// The key of a row that was stored.
pub(crate) fn row_key(reader: &RowReader, row: usize) -> Option<EventKey> {
    let generated = reader.insert_id(row) == generated_insert_id(reader.received_at(row));
    (!generated).then(|| key_of(reader.event(row), reader.distinct_id(row), reader.time(row), reader.insert_id(row)))
}

/// The key of the four fields.
pub fn key_of(event: &str, distinct_id: &str, time: i64, insert_id: &str) -> EventKey {
    let mut hasher = Xxh3::new();
    for text in [event, distinct_id, insert_id] {
        // Lengths keep ("ab", "c") and ("a", "bc") apart.
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.update(&time.to_le_bytes());
    hasher.digest128()
}

/// The insert id given to an event that came without one: unique within a project, because `received_at` is.
pub fn generated_insert_id(received_at: i64) -> String {
    format!("ff-{received_at:x}")
}
