//! Which copy of an event stays: new events, identical resends, and later copies that replace earlier ones.
//!
//! Decided under the project's lock from what the live keys, the segments and the request itself hold of each key. The
//! latest arrival's properties count; every copy that loses is kept in `rejected_events`, once.

use std::borrow::Cow;
use std::sync::Arc;

use footfall_model::{Event, Value};
use hashbrown::HashMap;

use super::{Arrival, Replaced, State};
use crate::journal::{RejectReason, RejectedEvent};
use crate::keys::EventKey;
use crate::recent::Found;
use crate::segment::Segment;

/// What the segments said about a request's events, and about which segments.
pub(super) struct Lookups {
    /// By index into the request.
    pub found: HashMap<usize, (Arc<Segment>, Found)>,
    /// `segments_version` of the set that was asked.
    pub version: u64,
}

/// What happens to each event of a request.
pub(super) struct Fates {
    pub of: Vec<Fate>,
    /// `received_at` of the request's first event; each next event's is 1 higher, whatever becomes of it.
    pub received_from: i64,
}

pub(super) enum Fate {
    /// Becomes a row.
    Stays,
    /// Becomes a row in place of an earlier one.
    Replaces(Box<Earlier>),
    /// Equal to a copy that arrived at this time.
    Duplicate { kept_received_at: i64 },
    /// A later event of the request, arriving at this time, replaces it; it may itself have replaced an earlier one.
    Overtaken { by_received_at: i64, replaces: Option<Box<Earlier>> },
}

/// A stored row that a later copy replaces.
pub(super) struct Earlier {
    pub row: Replaced,
    received_at: i64,
    source: Option<Cow<'static, str>>,
    properties: Vec<(String, Value)>,
}

/// The fate of every event; `None` if one would replace a row that is being flushed.
pub(super) fn decide(
    state: &State,
    events: &[Event],
    keys: &[Option<EventKey>],
    lookups: &Lookups,
    now: i64,
) -> Option<Fates> {
    let received_from = now.max(state.last_received_at + 1);
    let arrival_of = |index: usize| received_from + index as i64;
    // The copy of a key that stays so far.
    let mut in_request: HashMap<EventKey, usize> = HashMap::new();
    let mut of: Vec<Fate> = Vec::with_capacity(events.len());
    for (index, (event, key)) in events.iter().zip(keys).enumerate() {
        let Some(key) = key else {
            of.push(Fate::Stays);
            continue;
        };
        let fate = match in_request.get(key).copied() {
            Some(earlier) if events.get(earlier).is_some_and(|e| same_properties(&e.properties, &event.properties)) => {
                Fate::Duplicate { kept_received_at: arrival_of(earlier) }
            }
            Some(earlier) => {
                if let Some(overtaken) = of.get_mut(earlier) {
                    overtaken.overtake(arrival_of(index));
                }
                Fate::Stays
            }
            None => against_stored(state, event, *key, lookups.found.get(&index))?,
        };
        if !matches!(fate, Fate::Duplicate { .. }) {
            in_request.insert(*key, index);
        }
        of.push(fate);
    }
    Some(Fates { of, received_from })
}

/// The fate of a key's first event in a request; `None` if the row that it would replace is being flushed.
fn against_stored(
    state: &State,
    event: &Event,
    key: EventKey,
    in_segment: Option<&(Arc<Segment>, Found)>,
) -> Option<Fate> {
    let earlier = if let Some(position) = state.keys.get(key) {
        // Keys and live rows are forgotten together, so the row is there.
        let Some(row) = state.live.row(position) else { return Some(Fate::Stays) };
        if row.has_properties(&event.properties) {
            return Some(Fate::Duplicate { kept_received_at: row.received_at() });
        }
        if state.unflushed.cut_position().is_some_and(|cut| position < cut) {
            return None;
        }
        let (received_at, properties) = (row.received_at(), row.to_properties());
        Earlier { row: Replaced::Live(position), received_at, source: state.sources.of(position), properties }
    } else {
        let Some((segment, Found { row, received_at, changed_from })) = in_segment else { return Some(Fate::Stays) };
        let Some(properties) = changed_from.clone() else {
            return Some(Fate::Duplicate { kept_received_at: *received_at });
        };
        if state.unflushed.cut_position().is_some() {
            return None;
        }
        // By which way a flushed row came is not stored with it.
        let row = Replaced::Segment(segment.path.clone(), *row);
        Earlier { row, received_at: *received_at, source: None, properties }
    };
    Some(Fate::Replaces(Box::new(earlier)))
}

fn same_properties(a: &[(String, Value)], b: &[(String, Value)]) -> bool {
    a.len() == b.len() && a.iter().all(|(name, value)| b.iter().any(|(n, v)| n == name && v == value))
}

impl Fate {
    fn overtake(&mut self, by_received_at: i64) {
        *self = match std::mem::replace(self, Fate::Stays) {
            Fate::Stays => Fate::Overtaken { by_received_at, replaces: None },
            Fate::Replaces(earlier) => Fate::Overtaken { by_received_at, replaces: Some(earlier) },
            lost @ (Fate::Duplicate { .. } | Fate::Overtaken { .. }) => lost,
        };
    }

    fn earlier(&self) -> Option<&Earlier> {
        match self {
            Self::Replaces(earlier) => Some(earlier),
            Self::Overtaken { replaces, .. } => replaces.as_deref(),
            Self::Stays | Self::Duplicate { .. } => None,
        }
    }
}

impl Fates {
    /// About how many bytes the copies that lose add to the request's own.
    pub fn bytes_of_losers(&self) -> usize {
        const FIELDS: usize = 512;
        let of = |earlier: &Earlier| serde_json::to_vec(&earlier.properties).map_or(0, |json| json.len());
        let lost = |fate: &Fate| match fate {
            Fate::Stays => 0,
            Fate::Duplicate { .. } => FIELDS,
            Fate::Replaces(_) | Fate::Overtaken { .. } => 2 * FIELDS + fate.earlier().map_or(0, of),
        };
        self.of.iter().map(lost).sum()
    }
}

impl Earlier {
    /// The row of `rejected_events` for the replaced copy.
    pub fn superseded(self, by: &Event, by_received_at: i64) -> (Replaced, RejectedEvent) {
        let rejected = RejectedEvent {
            event: by.name.clone(),
            distinct_id: by.distinct_id.clone(),
            time: by.time,
            insert_id: by.insert_id.clone(),
            received_at: self.received_at,
            kept_received_at: by_received_at,
            reason: RejectReason::Superseded,
            source: self.source,
            properties: self.properties,
        };
        (self.row, rejected)
    }
}

/// The row of `rejected_events` for an event of this request that lost.
pub(super) fn lost(
    event: Event,
    received_at: i64,
    kept_received_at: i64,
    reason: RejectReason,
    arrival: &Arrival,
) -> RejectedEvent {
    RejectedEvent {
        event: event.name,
        distinct_id: event.distinct_id,
        time: event.time,
        insert_id: event.insert_id,
        received_at,
        kept_received_at,
        reason,
        source: arrival.source_if_known(),
        properties: event.properties,
    }
}
