//! An event as a client sent it, and which copies of it survive.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

#[derive(Clone, Debug, PartialEq)]
pub struct RawEvent {
    pub event: String,
    /// Empty: the event belongs to no user.
    pub distinct_id: String,
    pub time_ms: i64,
    /// `None`: sent without one, so never a duplicate.
    pub insert_id: Option<String>,
    pub properties: Map<String, Value>,
}

impl RawEvent {
    pub fn new(event: &str, distinct_id: &str, time_ms: i64, insert_id: &str) -> Self {
        Self {
            event: event.into(),
            distinct_id: distinct_id.into(),
            time_ms,
            insert_id: Some(insert_id.into()),
            properties: Map::new(),
        }
    }

    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.properties.insert(name.into(), value.into());
        self
    }

    pub fn instant(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.time_ms).expect("a time in range")
    }

    /// The record of `/track` and `/import`.
    pub fn to_json(&self) -> Value {
        let mut properties = self.properties.clone();
        properties.insert("time".into(), json!(self.time_ms));
        if !self.distinct_id.is_empty() {
            properties.insert("distinct_id".into(), json!(self.distinct_id));
        }
        if let Some(insert_id) = &self.insert_id {
            properties.insert("$insert_id".into(), json!(insert_id));
        }
        json!({"event": self.event, "properties": properties})
    }
}

/// One event per key (event, distinct_id, time, `$insert_id`), the latest arrival's properties (section 1).
pub fn surviving(arrivals: &[RawEvent]) -> Vec<RawEvent> {
    let mut kept: Vec<RawEvent> = Vec::new();
    let mut places = HashMap::new();
    for event in arrivals {
        let Some(insert_id) = &event.insert_id else {
            kept.push(event.clone());
            continue;
        };
        let key = (event.event.clone(), event.distinct_id.clone(), event.time_ms, insert_id.clone());
        match places.get(&key) {
            Some(&place) => kept[place] = event.clone(),
            None => {
                places.insert(key, kept.len());
                kept.push(event.clone());
            }
        }
    }
    kept
}

/// A copy that is not among the surviving events, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Loser {
    pub copy: RawEvent,
    /// `duplicate` or `superseded`, as `rejected_events` has it.
    pub reason: &'static str,
}

/// Every copy that lost, in the order in which they lost: one equal to the copy that is there loses itself, one with
/// other properties makes that copy lose.
pub fn losers(arrivals: &[RawEvent]) -> Vec<Loser> {
    let mut losers = Vec::new();
    let mut kept: HashMap<(String, String, i64, String), RawEvent> = HashMap::new();
    for event in arrivals {
        let Some(insert_id) = &event.insert_id else { continue };
        let key = (event.event.clone(), event.distinct_id.clone(), event.time_ms, insert_id.clone());
        match kept.insert(key, event.clone()) {
            Some(before) if before == *event => losers.push(Loser { copy: before, reason: "duplicate" }),
            Some(before) => losers.push(Loser { copy: before, reason: "superseded" }),
            None => {}
        }
    }
    losers
}

#[test]
fn latest_arrival_of_a_key_survives_and_events_without_insert_id_all_do() {
    let first = RawEvent::new("A", "u", 1, "x").with("v", 1);
    let second = RawEvent::new("A", "u", 1, "x").with("v", 2);
    let bare = RawEvent { insert_id: None, ..first.clone() };
    let kept = surviving(&[first, bare.clone(), bare.clone(), second.clone()]);
    assert_eq!(kept, vec![second, bare.clone(), bare]);
}

#[test]
fn every_copy_but_the_last_of_a_key_loses() {
    let first = RawEvent::new("A", "u", 1, "x").with("v", 1);
    let second = first.clone().with("v", 2);
    let bare = RawEvent { insert_id: None, ..first.clone() };
    let arrivals = [first.clone(), bare.clone(), first.clone(), second.clone(), second.clone(), bare, first.clone()];
    let reasons: Vec<_> = losers(&arrivals).iter().map(|loser| (loser.copy.clone(), loser.reason)).collect();
    let expect = [(&first, "duplicate"), (&first, "superseded"), (&second, "duplicate"), (&second, "superseded")];
    assert_eq!(reasons, expect.map(|(copy, reason)| (copy.clone(), reason)));
    assert_eq!(losers(&arrivals).len() + surviving(&arrivals).len(), arrivals.len());
}
