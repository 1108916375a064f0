//! What a log record holds, for people who look into the log.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::record::{EVENTS_RECORD, PROFILES_RECORD};
use crate::log::LOST;

/// As much of a record's first line as says how many events or updates it has.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Counted {
    uids: Vec<IgnoredAny>,
    updates: usize,
}

/// The name of a record's kind, and how many events or updates it holds. Never fails: a dump shows what there is.
pub fn record_contents(kind: u8, payload: &[u8]) -> (&'static str, usize) {
    let first = payload.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let counted: Counted = serde_json::from_slice(first).unwrap_or_default();
    match kind {
        EVENTS_RECORD => ("events", counted.uids.len()),
        PROFILES_RECORD => ("profiles", counted.updates),
        LOST => ("lost", 0),
        _ => ("unknown", 0),
    }
}
