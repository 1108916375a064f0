//! The log record of one request's events: text that a person can read in a dump.
//!
//! ```text
//! {"format":1,"received_at":1732147200000000,"uids":[12884901889,…]}      received_at of the first row; each next is +1
//! {"name":"Play","distinct_id":"u1","time":…,"insert_id":"…",…}           one line a row
//! ```
//!
//! Events are encoded before the project's lock is taken; under it only the first line is made and lines are copied.

use std::ops::Range;

use footfall_model::{Event, StoredEvent, Uid};
use serde::{Deserialize, Serialize};

use crate::keys::generated_insert_id;

/// Record kind of a group of events in the log.
pub(crate) const EVENTS_RECORD: u8 = 1;
/// Record kind of a group of profile updates.
pub(crate) const PROFILES_RECORD: u8 = 2;

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    received_at: i64,
    uids: Vec<Uid>,
}

/// A request's events as lines of JSON.
pub(crate) struct EncodedEvents {
    pub bytes: Vec<u8>,
    lines: Vec<Range<usize>>,
}

impl EncodedEvents {
    pub fn of(events: &[Event]) -> Self {
        let mut bytes = Vec::with_capacity(events.len() * 384);
        let mut lines = Vec::with_capacity(events.len());
        for event in events {
            let start = bytes.len();
            write(&mut bytes, event);
            lines.push(start..bytes.len());
        }
        Self { bytes, lines }
    }

    /// The record of the rows that were kept, given by their index in the request.
    pub fn record(&self, rows: &[StoredEvent], kept: &[usize], received_at: i64) -> Vec<u8> {
        let mut record = Vec::with_capacity(self.bytes.len() + rows.len() * 16 + 64);
        write(&mut record, &Header { format: FORMAT, received_at, uids: rows.iter().map(|r| r.uid).collect() });
        if kept.len() == self.lines.len() {
            record.extend_from_slice(&self.bytes);
        } else {
            for line in kept.iter().filter_map(|i| self.lines.get(*i)) {
                record.extend_from_slice(&self.bytes[line.clone()]);
            }
        }
        record
    }
}

/// The rows of a record.
pub(crate) fn decode(record: &[u8]) -> Result<Vec<StoredEvent>, String> {
    let mut lines = record.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let first = lines.next().ok_or("record is empty")?;
    let header: Header = serde_json::from_slice(first).map_err(|e| format!("header: {e}"))?;
    if header.format != FORMAT {
        return Err(format!("unknown format {}", header.format));
    }
    let mut rows = Vec::with_capacity(header.uids.len());
    for (uid, line) in header.uids.iter().zip(&mut lines) {
        let mut event: Event = serde_json::from_slice(line).map_err(|e| format!("row {}: {e}", rows.len()))?;
        let received_at = header.received_at + rows.len() as i64;
        if event.insert_id_generated {
            event.insert_id = generated_insert_id(received_at);
        }
        rows.push(StoredEvent { event, uid: *uid, received_at });
    }
    match (rows.len() == header.uids.len(), lines.next()) {
        (true, None) => Ok(rows),
        _ => Err("number of rows differs from the header's".to_owned()),
    }
}

fn write(buffer: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(&mut *buffer, value).expect("plain data with text keys always serialises into memory");
    buffer.push(b'\n');
}

#[cfg(test)]
mod tests {
    use footfall_model::{Shard, Value};

    use super::*;

    fn event(i: i64, generated: bool) -> Event {
        Event {
            name: "Line\nbreak".into(),
            distinct_id: format!("u{i}"),
            time: i,
            insert_id: if generated { "whatever".into() } else { format!("i{i}") },
            insert_id_generated: generated,
            properties: vec![
                ("a".into(), Value::Float(5.0)),
                ("b".into(), Value::Int(i64::MAX)),
                ("c".into(), Value::List(vec![Value::Null, Value::Map(vec![("x".into(), Value::Text("é".into()))])])),
            ],
        }
    }

    #[test]
    fn rows_come_back_and_a_cut_record_is_refused() {
        let events = [event(0, false), event(1, true), event(2, false)];
        let encoded = EncodedEvents::of(&events);
        let kept = [0usize, 1];
        let rows: Vec<StoredEvent> = kept
            .iter()
            .map(|i| StoredEvent {
                event: events[*i].clone(),
                uid: Uid::new(Shard(1), *i as u32),
                received_at: 70 + *i as i64,
            })
            .collect();
        let record = encoded.record(&rows, &kept, 70);
        let mut expected = rows.clone();
        expected[1].event.insert_id = generated_insert_id(71);
        assert_eq!(decode(&record).unwrap(), expected);
        for cut in 0..record.len() - 1 {
            assert!(decode(&record[..cut]).is_err(), "cut={cut}");
        }
    }
}
