//! What a project holds, as lists: one arrival at a time, no blocks, no masks, no flush.

use std::collections::BTreeMap;

use footfall_model::{Event, ProfileUpdate, Value};

use crate::journal::{ProfileEntry, RejectReason, RejectedEvent};
use crate::{Arrival, IngestSummary, generated_insert_id};

#[derive(Default)]
pub struct Model {
    /// By arrival.
    kept: BTreeMap<i64, (Event, Arrival)>,
    pub rejected: Vec<RejectedEvent>,
    pub profiles: Vec<ProfileEntry>,
    /// The last part of the import.
    pub part: Option<u64>,
    last_received_at: i64,
}

fn loser(copy: &Event, received_at: i64, kept_received_at: i64, reason: RejectReason, by: &Arrival) -> RejectedEvent {
    RejectedEvent {
        event: copy.name.clone(),
        distinct_id: copy.distinct_id.clone(),
        time: copy.time,
        insert_id: copy.insert_id.clone(),
        received_at,
        kept_received_at,
        reason,
        source: Some(by.source.clone()).filter(|source| !source.is_empty()),
        properties: sorted(&copy.properties),
    }
}

/// A copy that has been flushed has its properties in the order of columns.
pub fn sorted(properties: &[(String, Value)]) -> Vec<(String, Value)> {
    let mut sorted = properties.to_vec();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    sorted
}

impl Model {
    pub fn events(&self) -> Vec<(i64, String, i64)> {
        let version = |event: &Event| match event.properties.first() {
            Some((_, Value::Int(version))) => *version,
            _ => panic!("no version"),
        };
        let insert_id = |at: i64, event: &Event| match event.insert_id_generated {
            true => generated_insert_id(at),
            false => event.insert_id.clone(),
        };
        self.kept.iter().map(|(at, (event, _))| (*at, insert_id(*at, event), version(event))).collect()
    }

    /// The properties of the events, in the same order.
    pub fn properties(&self) -> Vec<Vec<(String, Value)>> {
        self.kept.values().map(|(event, _)| sorted(&event.properties)).collect()
    }

    /// Whether the arrival is a part that was applied before; if not, its first place in the order of arrival.
    fn admit(&mut self, arrival: &Arrival, now: i64, count: usize) -> Option<i64> {
        let sequence = arrival.batch.as_ref().map(|batch| batch.sequence);
        if sequence.is_some() && sequence <= self.part {
            return None;
        }
        self.part = self.part.max(sequence);
        let first = now.max(self.last_received_at + 1);
        if count > 0 {
            self.last_received_at = first + count as i64 - 1;
        }
        Some(first)
    }

    pub fn append(&mut self, events: &[Event], arrival: &Arrival, now: i64) -> IngestSummary {
        let mut summary = IngestSummary::default();
        let Some(first) = self.admit(arrival, now, events.len()) else {
            return IngestSummary { repeated: true, ..summary };
        };
        for (at, event) in (first..).zip(events) {
            let key = |e: &Event| (e.name.clone(), e.distinct_id.clone(), e.time, e.insert_id.clone());
            let same = |e: &Event| !event.insert_id_generated && !e.insert_id_generated && key(e) == key(event);
            let earlier = self.kept.iter().find(|(_, (kept, _))| same(kept)).map(|(at, kept)| (*at, kept.clone()));
            match earlier {
                Some((kept_at, (kept, _))) if kept.properties == event.properties => {
                    summary.duplicates += 1;
                    self.rejected.push(loser(event, at, kept_at, RejectReason::Duplicate, arrival));
                    continue;
                }
                Some((kept_at, (kept, by))) => {
                    summary.superseded += 1;
                    self.kept.remove(&kept_at);
                    self.rejected.push(loser(&kept, kept_at, at, RejectReason::Superseded, &by));
                }
                None => {}
            }
            summary.stored += 1;
            self.kept.insert(at, (event.clone(), arrival.clone()));
        }
        summary
    }

    pub fn record_profiles(&mut self, updates: &[ProfileUpdate], arrival: &Arrival, now: i64) {
        let Some(first) = self.admit(arrival, now, updates.len()) else { return };
        let source = Some(arrival.source.clone()).filter(|source| !source.is_empty());
        let entry = |(received_at, update): (i64, &ProfileUpdate)| ProfileEntry {
            received_at,
            source: source.clone(),
            update: update.clone(),
        };
        self.profiles.extend((first..).zip(updates).map(entry));
    }
}
