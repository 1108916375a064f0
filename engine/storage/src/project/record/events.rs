//! The log record of one request's events.
//!
//! ```text
//! {"format":2,"received_at":1732147200000000,"uids":[12884901889,…],"source":"/track"}
//! {"name":"Play","distinct_id":"u1","time":…,"insert_id":"…",…}           one line a row
//! {"event":"Play",…,"reason":"duplicate","received_at":…,…}               one line a copy that lost
//! ```
//!
//! `received_at` is that of the request's first event, each next is +1; where only some of the request's events became
//! rows, `at` lists their places. `rejected` counts the copies that lost. A part of an import has `import` and `sequence`.
//! Format 1 had none of these.
//!
//! Events are encoded before the project's lock is taken; under it only the other lines are made and lines are copied.

use std::ops::Range;

use footfall_model::{Event, StoredEvent, Uid};
use serde::{Deserialize, Serialize};

use super::super::Arrival;
use super::line::write_event;
use super::{ArrivalHeader, end, open, rows, write};
use crate::journal::RejectedEvent;
use crate::keys::generated_insert_id;

const FORMAT: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    received_at: i64,
    uids: Vec<Uid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<Vec<u32>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    rejected: usize,
    #[serde(flatten)]
    arrival: ArrivalHeader,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A request's events as lines of JSON.
pub(in super::super) struct EncodedEvents {
    pub bytes: Vec<u8>,
    lines: Vec<Range<usize>>,
}

impl EncodedEvents {
    pub fn of(events: &[Event]) -> Self {
        let mut bytes = Vec::with_capacity(events.len() * 384);
        let mut lines = Vec::with_capacity(events.len());
        for event in events {
            let start = bytes.len();
            write_event(&mut bytes, event);
            bytes.push(b'\n');
            lines.push(start..bytes.len());
        }
        Self { bytes, lines }
    }

    /// The record of a request of which the events at the places `kept` became `rows`.
    pub fn record(
        &self,
        rows: &[StoredEvent],
        kept: &[u32],
        rejected: &[RejectedEvent],
        arrival: &Arrival,
        received_from: i64,
    ) -> Vec<u8> {
        let whole = kept.len() == self.lines.len();
        let header = Header {
            format: FORMAT,
            received_at: received_from,
            uids: rows.iter().map(|row| row.uid).collect(),
            at: (!whole).then(|| kept.to_vec()),
            rejected: rejected.len(),
            arrival: arrival.into(),
        };
        let mut record = Vec::with_capacity(self.bytes.len() + rows.len() * 16 + 128);
        write(&mut record, &header);
        if whole {
            record.extend_from_slice(&self.bytes);
        } else {
            for line in kept.iter().filter_map(|place| self.lines.get(*place as usize)) {
                record.extend_from_slice(&self.bytes[line.clone()]);
            }
        }
        for copy in rejected {
            write(&mut record, copy);
        }
        record
    }
}

/// What a record holds.
#[derive(Debug, PartialEq)]
pub(in super::super) struct EventsRecord {
    pub arrival: Arrival,
    pub rows: Vec<StoredEvent>,
    pub rejected: Vec<RejectedEvent>,
}

impl EventsRecord {
    pub fn decode(record: &[u8]) -> Result<Self, String> {
        let (header, mut lines) = open::<Header>(record)?;
        if header.format == 0 || header.format > FORMAT {
            return Err(format!("unknown format {}", header.format));
        }
        if header.at.as_ref().is_some_and(|at| at.len() != header.uids.len()) {
            return Err("places and users differ in number".to_owned());
        }
        let events: Vec<Event> = rows(&mut lines, header.uids.len(), "row")?;
        let rejected = rows(&mut lines, header.rejected, "rejected copy")?;
        end(&mut lines)?;
        let place = |row: usize| match &header.at {
            Some(at) => at.get(row).map_or(row as i64, |place| i64::from(*place)),
            None => row as i64,
        };
        let stored = |(row, (mut event, uid)): (usize, (Event, &Uid))| {
            let received_at = header.received_at + place(row);
            if event.insert_id_generated {
                event.insert_id = generated_insert_id(received_at);
            }
            StoredEvent { event, uid: *uid, received_at }
        };
        let rows = events.into_iter().zip(&header.uids).enumerate().map(stored).collect();
        Ok(Self { arrival: header.arrival.into(), rows, rejected })
    }
}

#[cfg(test)]
mod tests {
    use footfall_model::{Shard, Value};

    use super::super::super::ImportBatch;
    use super::*;
    use crate::journal::RejectReason;

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

    fn stored(events: &[Event], kept: &[u32]) -> Vec<StoredEvent> {
        let row = |place: &u32| {
            let mut event = events[*place as usize].clone();
            let received_at = 70 + i64::from(*place);
            if event.insert_id_generated {
                event.insert_id = generated_insert_id(received_at);
            }
            StoredEvent { event, uid: Uid::new(Shard(1), *place), received_at }
        };
        kept.iter().map(row).collect()
    }

    #[test]
    fn rows_and_losers_come_back_and_a_cut_record_is_refused() {
        let events = [event(0, false), event(1, true), event(2, false)];
        let loser = RejectedEvent {
            event: events[2].name.clone(),
            distinct_id: events[2].distinct_id.clone(),
            time: events[2].time,
            insert_id: events[2].insert_id.clone(),
            received_at: 72,
            kept_received_at: 12,
            reason: RejectReason::Duplicate,
            source: None,
            properties: events[2].properties.clone(),
        };
        let batch = Some(ImportBatch { import: "a \"b\"".into(), sequence: u64::MAX });
        let cases: [(&[u32], Vec<RejectedEvent>); 4] =
            [(&[0, 1, 2], vec![]), (&[0, 1], vec![loser.clone()]), (&[1], vec![]), (&[], vec![loser])];
        for (kept, rejected) in cases {
            let arrival = Arrival { batch: batch.clone(), ..Arrival::from_source("/track") };
            let rows = stored(&events, kept);
            let record = EncodedEvents::of(&events).record(&rows, kept, &rejected, &arrival, 70);
            assert_eq!(EventsRecord::decode(&record).unwrap(), EventsRecord { arrival, rows, rejected });
            for cut in 0..record.len() - 1 {
                assert!(EventsRecord::decode(&record[..cut]).is_err(), "cut={cut}");
            }
        }
    }

    #[test]
    fn records_of_the_first_format_are_read() {
        let events = [event(0, false), event(1, true)];
        let mut record = b"{\"format\":1,\"received_at\":70,\"uids\":[4294967296,4294967297]}\n".to_vec();
        record.extend_from_slice(&EncodedEvents::of(&events).bytes);
        let decoded = EventsRecord::decode(&record).unwrap();
        assert_eq!(decoded.rows, stored(&events, &[0, 1]));
        assert_eq!((decoded.arrival, decoded.rejected), (Arrival::default(), vec![]));
    }
}
