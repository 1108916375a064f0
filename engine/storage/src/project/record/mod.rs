//! What a project writes into the log: text that a person can read in a dump. The first line of a record is a header,
//! each further line is a row.

mod events;
mod line;
mod profiles;

pub(super) use events::{EncodedEvents, EventsRecord};
pub(super) use profiles::{EncodedProfiles, ProfilesRecord, entries as profile_entries};

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Arrival, ImportBatch};

/// Record kind of a group of events in the log.
pub(super) const EVENTS_RECORD: u8 = 1;
/// Record kind of a group of profile updates.
pub(super) const PROFILES_RECORD: u8 = 2;

/// How a group arrived, as members of its header.
#[derive(Serialize, Deserialize)]
struct ArrivalHeader {
    #[serde(default, skip_serializing_if = "str::is_empty")]
    source: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    import: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
}

impl From<&Arrival> for ArrivalHeader {
    fn from(arrival: &Arrival) -> Self {
        let batch = arrival.batch.as_ref();
        Self {
            source: arrival.source.clone(),
            import: batch.map(|batch| batch.import.clone()),
            sequence: batch.map(|batch| batch.sequence),
        }
    }
}

impl From<ArrivalHeader> for Arrival {
    fn from(header: ArrivalHeader) -> Self {
        let batch = header.import.zip(header.sequence).map(|(import, sequence)| ImportBatch { import, sequence });
        Self { source: header.source, batch }
    }
}

/// The header and the remaining lines of a record.
fn open<'a, H: Deserialize<'a>>(record: &'a [u8]) -> Result<(H, impl Iterator<Item = &'a [u8]>), String> {
    let mut lines = record.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let first = lines.next().ok_or("record is empty")?;
    let header = serde_json::from_slice(first).map_err(|e| format!("header: {e}"))?;
    Ok((header, lines))
}

/// The next `count` lines as rows.
fn rows<'a, T: Deserialize<'a>>(
    lines: &mut impl Iterator<Item = &'a [u8]>,
    count: usize,
    what: &str,
) -> Result<Vec<T>, String> {
    // The count is a claim of bytes on a disk: it does not decide how much memory is set aside.
    let mut rows = Vec::with_capacity(count.min(1 << 16));
    while rows.len() < count {
        let line = lines.next().ok_or_else(|| format!("{what} {} of {count} is missing", rows.len()))?;
        rows.push(serde_json::from_slice(line).map_err(|e| format!("{what} {}: {e}", rows.len()))?);
    }
    Ok(rows)
}

/// Fails if anything is left.
fn end<'a>(lines: &mut impl Iterator<Item = &'a [u8]>) -> Result<(), String> {
    lines.next().map_or(Ok(()), |_| Err("more lines than the header announces".to_owned()))
}

fn write(buffer: &mut Vec<u8>, value: &impl Serialize) {
    line::write_json(buffer, value);
    buffer.push(b'\n');
}
