//! One immutable fact, before and after it has been given its place.

use serde::{Deserialize, Serialize};

use crate::{Uid, Value};

/// An event as validation accepted it: named, timed, attributed to a `distinct_id`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Event name, never empty.
    pub name: String,
    /// The id at arrival, derived from `$user_id`, `$device_id` and `distinct_id`; empty means "no user".
    pub distinct_id: String,
    /// Milliseconds since the Unix epoch, UTC.
    pub time: i64,
    /// As sent, or generated when the sender gave none.
    pub insert_id: String,
    /// A generated id never makes two events duplicates.
    pub insert_id_generated: bool,
    /// In the order sent, without `token`, `time`, `distinct_id`, `$insert_id` and `ip`; names are unique.
    pub properties: Vec<(String, Value)>,
}

/// An event with its place in the store: whose it is, and when it arrived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredEvent {
    pub event: Event,
    pub uid: Uid,
    /// Microseconds since the Unix epoch. Strictly increasing within a project, so that it is also the order of arrival
    /// that breaks ties between events of equal `time`.
    pub received_at: i64,
}
