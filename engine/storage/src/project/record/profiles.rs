//! The log record of one request's profile updates.
//!
//! ```text
//! {"format":1,"received_at":1732147200000000,"updates":2,"source":"/engage"}     received_at of the first; each next is +1
//! {"distinct_id":"u1","record":{"$set":{…}}}                                     one line an update
//! ```

use footfall_model::ProfileUpdate;
use serde::{Deserialize, Serialize};

use super::super::Arrival;
use super::{ArrivalHeader, end, open, rows, write};
use crate::journal::ProfileEntry;

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    received_at: i64,
    updates: usize,
    #[serde(flatten)]
    arrival: ArrivalHeader,
}

/// A request's updates as lines of JSON.
pub(in super::super) struct EncodedProfiles {
    pub bytes: Vec<u8>,
}

impl EncodedProfiles {
    pub fn of(updates: &[ProfileUpdate]) -> Self {
        let mut bytes = Vec::with_capacity(updates.len() * 256);
        for update in updates {
            write(&mut bytes, update);
        }
        Self { bytes }
    }

    pub fn record(&self, updates: usize, arrival: &Arrival, received_at: i64) -> Vec<u8> {
        let mut record = Vec::with_capacity(self.bytes.len() + 128);
        write(&mut record, &Header { format: FORMAT, received_at, updates, arrival: arrival.into() });
        record.extend_from_slice(&self.bytes);
        record
    }
}

/// What a record holds.
#[derive(Debug, PartialEq)]
pub(in super::super) struct ProfilesRecord {
    pub arrival: Arrival,
    pub entries: Vec<ProfileEntry>,
}

impl ProfilesRecord {
    pub fn decode(record: &[u8]) -> Result<Self, String> {
        let (header, mut lines) = open::<Header>(record)?;
        if header.format != FORMAT {
            return Err(format!("unknown format {}", header.format));
        }
        let updates: Vec<ProfileUpdate> = rows(&mut lines, header.updates, "update")?;
        end(&mut lines)?;
        let arrival = Arrival::from(header.arrival);
        Ok(Self { entries: entries(updates, &arrival, header.received_at), arrival })
    }
}

/// Updates with their places in the order of arrival.
pub(in super::super) fn entries(
    updates: Vec<ProfileUpdate>,
    arrival: &Arrival,
    received_from: i64,
) -> Vec<ProfileEntry> {
    let source = arrival.source_if_known();
    let entry = |(at, update)| ProfileEntry { received_at: received_from + at as i64, source: source.clone(), update };
    updates.into_iter().enumerate().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use footfall_model::{ProfileTarget, Value};

    use super::super::super::ImportBatch;
    use super::*;

    #[test]
    fn updates_come_back_and_a_cut_record_is_refused() {
        let record = Value::Map(vec![("$add".into(), Value::Map(vec![("n".into(), Value::Int(1))]))]);
        let person = ProfileTarget::Person { distinct_id: "ann\n".into() };
        let group = ProfileTarget::Group { key: "company".into(), id: "".into() };
        let updates = [person, group].map(|target| ProfileUpdate { target, record: record.clone() }).to_vec();
        let batch = Some(ImportBatch { import: "people".into(), sequence: 0 });
        for arrival in [Arrival { batch, ..Arrival::from_source("/engage") }, Arrival::default()] {
            let bytes = EncodedProfiles::of(&updates).record(updates.len(), &arrival, 70);
            let decoded = ProfilesRecord::decode(&bytes).unwrap();
            assert_eq!(decoded.entries, entries(updates.clone(), &arrival, 70));
            assert_eq!(decoded.entries[1].received_at, 71);
            assert_eq!(decoded.arrival, arrival);
            for cut in 0..bytes.len() - 1 {
                assert!(ProfilesRecord::decode(&bytes[..cut]).is_err(), "cut={cut}");
            }
        }
    }
}
