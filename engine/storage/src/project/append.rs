//! One request's events on their way in: deduplicated, numbered, logged, visible, acknowledged.

use std::sync::Arc;

use footfall_model::{Event, StoredEvent, Uid};
use hashbrown::HashMap;

use super::flush::run_blocking;
use super::record::{EVENTS_RECORD, EncodedEvents};
use super::{Arrival, IngestSummary, Pending, ProjectStore, Replaced, State};
use crate::error::StorageError;
use crate::failpoint;
use crate::keys::{EventKey, event_key, generated_insert_id};
use crate::live::{Block, seal};
use crate::log::{Entry, LogError, Lsn, Reservation};
use crate::recent::Found;
use crate::segment::{Segment, day_of};

/// How often an append waits for a flush before it answers that the store is busy.
const APPEND_ROUNDS_MAX: usize = 8;

/// What the segments said about a request's events, and about which segments.
struct Lookups {
    /// By index into the request.
    found: HashMap<usize, (Arc<Segment>, Found)>,
    /// `segments_version` of the set that was asked.
    version: u64,
}

/// How an attempt under the lock ended.
enum Prepared {
    /// In the log's queue; the receiver hears when it is durable.
    Queued { summary: IngestSummary, durable: tokio::sync::oneshot::Receiver<Result<Lsn, Arc<LogError>>> },
    /// Segments changed since they were asked.
    Stale(Vec<Event>),
    /// A row that is just being written to a segment would be replaced.
    Flushing(Vec<Event>),
}

impl ProjectStore {
    /// Stores the events of one request, all or none. When this returns they are durable, visible and counted once.
    ///
    /// `now` is the time of arrival in microseconds since the epoch.
    pub async fn append(
        self: &Arc<Self>,
        events: Vec<Event>,
        arrival: Arrival,
        now: i64,
    ) -> Result<IngestSummary, StorageError> {
        let rows = self.live_rows();
        if rows >= self.options.live_rows_max {
            return Err(StorageError::Backpressure { rows });
        }
        let keys: Vec<Option<EventKey>> = events.iter().map(event_key).collect();
        let encoded = EncodedEvents::of(&events);
        let mut waiting = events;
        // Each round waits for a flush to end; two flushes in a row may touch the same rows, endless ones may not.
        for _ in 0..APPEND_ROUNDS_MAX {
            let lookups = self.look_up(&waiting, &keys).await?;
            // Taken before the lock: under it the queue must not make us wait, for the log's thread wants the lock too.
            let place = self.reserve(encoded.bytes.len()).await?;
            match self.prepare(waiting, &keys, &encoded, &lookups, place, &arrival, now)? {
                Prepared::Queued { summary, durable } => {
                    let durable = durable.await.map_err(|_| StorageError::Closed)?;
                    durable.map_err(StorageError::LogGroup)?;
                    self.seal_if_large();
                    return Ok(summary);
                }
                Prepared::Stale(events) => waiting = events,
                Prepared::Flushing(events) => {
                    waiting = events;
                    drop(self.flushing.lock().await);
                }
            }
        }
        Err(StorageError::Backpressure { rows })
    }

    /// Asks the segments of each event's shard and day whether they hold its key.
    async fn look_up(&self, events: &[Event], keys: &[Option<EventKey>]) -> Result<Lookups, StorageError> {
        let (segments, version) = {
            let state = self.state.lock();
            (state.segments.clone(), state.segments_version)
        };
        let mut found = HashMap::new();
        for (i, (event, key)) in events.iter().zip(keys).enumerate() {
            let Some(key) = key else { continue };
            let shard = crate::users::shard_of(&event.distinct_id, self.options.shards);
            for segment in segments.runs(day_of(event.time), shard) {
                if let Some(hit) = self.keys.find(&self.files, segment, *key as u64, event).await? {
                    found.insert(i, (segment.clone(), hit));
                }
            }
        }
        Ok(Lookups { found, version })
    }

    /// A place in the log's queue, waiting for one off the async threads if need be.
    pub(super) async fn reserve(&self, bytes: usize) -> Result<Reservation, StorageError> {
        match self.log.try_reserve(bytes) {
            Err(LogError::Full) => {
                let log = self.log.clone();
                run_blocking(move || Ok(log.reserve(bytes)?)).await
            }
            place => Ok(place?),
        }
    }

    /// Decides each event's fate and queues the survivors, under the lock that orders everything (P2).
    fn prepare(
        self: &Arc<Self>,
        events: Vec<Event>,
        keys: &[Option<EventKey>],
        encoded: &EncodedEvents,
        lookups: &Lookups,
        place: Reservation,
        arrival: &Arrival,
        now: i64,
    ) -> Result<Prepared, StorageError> {
        let (answer, durable) = tokio::sync::oneshot::channel();
        let mut state = self.state.lock();
        if arrival.batch.as_ref().is_some_and(|batch| state.imports.is_repeated(batch)) {
            // What it repeats may still be on its way to the disk.
            place.barrier(Box::new(move |result| {
                let _ = answer.send(result.map_err(Arc::new));
            }))?;
            let summary = IngestSummary { repeated: true, ..IngestSummary::default() };
            return Ok(Prepared::Queued { summary, durable });
        }
        if state.segments_version != lookups.version {
            return Ok(Prepared::Stale(events));
        }
        let Some(fates) = decide(&state, &events, keys, lookups) else { return Ok(Prepared::Flushing(events)) };
        let mut summary = IngestSummary::default();
        let mut replaced = Vec::new();
        let mut rows = Vec::with_capacity(events.len());
        let mut kept = Vec::with_capacity(events.len());
        // By index into the request, for those that are kept.
        let mut positions = vec![None; events.len()];
        let first = state.live.next_position();
        let received_from = now.max(state.last_received_at + 1);
        for (i, (event, fate)) in events.into_iter().zip(fates).enumerate() {
            match fate {
                Fate::Duplicate => {
                    summary.duplicates += 1;
                    continue;
                }
                Fate::New => {}
                Fate::Replaces(old) => {
                    summary.superseded += 1;
                    replaced.push(old);
                }
                Fate::ReplacesInRequest(earlier) => {
                    summary.superseded += 1;
                    // The request's own earlier copy has been given its position already.
                    if let Some(position) = positions.get(earlier).copied().flatten() {
                        replaced.push(Replaced::Live(position));
                    }
                }
            }
            positions[i] = Some(first + rows.len() as u64);
            rows.push(state.place(event, received_from + rows.len() as i64));
            kept.push(i);
            summary.stored += 1;
        }
        let store = self.clone();
        if rows.is_empty() {
            // The copies we hold may still be on their way to the disk: acknowledge when they are there.
            place.barrier(Box::new(move |result| {
                let _ = answer.send(result.map_err(Arc::new));
            }))?;
            return Ok(Prepared::Queued { summary, durable });
        }
        state.last_received_at = received_from + rows.len() as i64 - 1;
        let payload = encoded.record(&rows, &kept, received_from);
        let entry = Entry { project: self.id.0, kind: EVENTS_RECORD, payload };
        let lsn = place.append(
            entry,
            Box::new(move |result| {
                match result {
                    Ok(lsn) => store.publish(lsn),
                    Err(_) => store.roll_back(),
                }
                // A caller that has gone away does not mind.
                let _ = answer.send(result.map_err(Arc::new));
            }),
        )?;
        // From here on the next request is decided on this one, and `roll_back` knows of it.
        for (key, position) in keys.iter().zip(positions) {
            if let (Some(key), Some(position)) = (key, position) {
                state.keys.insert(*key, position);
            }
        }
        let import = arrival.batch.clone().map(|batch| state.imports.applied(batch));
        state.enqueue(Pending { lsn, replaced, import }, rows, received_from);
        Ok(Prepared::Queued { summary, durable })
    }

    /// The oldest pending block is durable: queries may see it.
    fn publish(&self, lsn: Lsn) {
        let _ = failpoint::hit("shard::apply");
        let mut state = self.state.lock();
        state.publish(lsn);
        let end = state.live.visible_end();
        drop(state);
        // Costs nothing but this test while nobody follows the arrivals.
        if self.arrived.receiver_count() > 0 {
            self.arrived.send_replace(end);
        }
    }

    /// Turns the visible tail into Arrow once it is large, off the log's thread and outside the lock.
    fn seal_if_large(self: &Arc<Self>) {
        let Some(blocks) = self.state.lock().tail_to_seal(self.options.seal_rows) else { return };
        let store = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut catalog = store.catalog.lock();
            // Another task may have sealed these blocks while we waited for the lock.
            let first = |blocks: &[Block]| blocks.first().map(|b| b.first);
            let now = store.state.lock().tail_to_seal(1);
            if now.is_none_or(|now| first(&now) != first(&blocks)) {
                return;
            }
            match seal(&blocks, &mut catalog) {
                Ok(chunk) => store.state.lock().live.install(chunk),
                Err(error) => tracing::error!(%error, "live rows could not be turned into columns"),
            }
        });
    }
}

impl State {
    fn tail_to_seal(&self, rows_min: usize) -> Option<Vec<Block>> {
        self.live.tail_of_at_least(rows_min, self.flush_cut)
    }

    pub(super) fn place(&mut self, mut event: Event, received_at: i64) -> StoredEvent {
        if event.insert_id_generated {
            event.insert_id = generated_insert_id(received_at);
        }
        let uid: Uid = self.users.uid(&event.distinct_id);
        StoredEvent { event, uid, received_at }
    }

    pub(super) fn enqueue(&mut self, pending: Pending, rows: Vec<StoredEvent>, received_at: i64) {
        self.oldest_unflushed.get_or_insert(pending.lsn);
        self.oldest_live_at.get_or_insert(received_at);
        self.live.append(pending.lsn, Arc::new(rows));
        self.pending.push_back(pending);
    }

    pub(super) fn publish(&mut self, lsn: Lsn) {
        if let Some(pending) = self.pending.pop_front() {
            assert_eq!(pending.lsn, lsn, "P4: masks become visible with their successor");
            self.live.publish(lsn);
            self.masks.apply(&pending.replaced);
        }
        self.version += 1;
    }
}

/// What happens to an event of a request.
enum Fate {
    New,
    Duplicate,
    Replaces(Replaced),
    /// A later copy within the same request replaces the one at this index.
    ReplacesInRequest(usize),
}

/// The fate of every event; `None` if one would replace a row that is being flushed.
fn decide(state: &State, events: &[Event], keys: &[Option<EventKey>], lookups: &Lookups) -> Option<Vec<Fate>> {
    let mut in_request: HashMap<EventKey, usize> = HashMap::new();
    let mut fates = Vec::with_capacity(events.len());
    for (i, (event, key)) in events.iter().zip(keys).enumerate() {
        let Some(key) = key else {
            fates.push(Fate::New);
            continue;
        };
        let earlier = in_request.get(key).copied();
        let fate = if let Some(earlier) = earlier {
            let same = events.get(earlier).is_some_and(|e| same_properties(&e.properties, &event.properties));
            if same { Fate::Duplicate } else { Fate::ReplacesInRequest(earlier) }
        } else if let Some(position) = state.keys.get(*key) {
            let same = state.live.row(position).is_some_and(|row| row.has_properties(&event.properties));
            match same {
                true => Fate::Duplicate,
                false if state.flush_cut.is_some_and(|cut| position < cut) => return None,
                false => Fate::Replaces(Replaced::Live(position)),
            }
        } else {
            match lookups.found.get(&i) {
                None => Fate::New,
                Some((_, Found::Identical { .. })) => Fate::Duplicate,
                Some(_) if state.flush_cut.is_some() => return None,
                Some((segment, found)) => Fate::Replaces(Replaced::Segment(segment.path.clone(), found.row())),
            }
        };
        if !matches!(fate, Fate::Duplicate) {
            in_request.insert(*key, i);
        }
        fates.push(fate);
    }
    Some(fates)
}

fn same_properties(a: &[(String, footfall_model::Value)], b: &[(String, footfall_model::Value)]) -> bool {
    a.len() == b.len() && a.iter().all(|(name, value)| b.iter().any(|(n, v)| n == name && v == value))
}
