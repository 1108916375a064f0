//! What a log record holds, for people who look into the log.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::record::{EVENTS_RECORD, PROFILES_RECORD};
use crate::log::LOST;

/// As much of a record's first line as says how many events it has.
#[derive(Deserialize)]
struct Counted {
    uids: Vec<IgnoredAny>,
}

/// The name of a record's kind, and how many events or updates it holds. Never fails: a dump shows what there is.
pub fn record_contents(kind: u8, payload: &[u8]) -> (&'static str, usize) {
    let lines = || payload.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    match kind {
        EVENTS_RECORD => {
            let first = lines().next().unwrap_or_default();
            ("events", serde_json::from_slice(first).map_or(0, |counted: Counted| counted.uids.len()))
        }
        PROFILES_RECORD => ("profiles", lines().count()),
        LOST => ("lost", 0),
        _ => ("unknown", 0),
    }
}
