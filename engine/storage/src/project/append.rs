//! One request's events on their way in: deduplicated, numbered, logged, visible, acknowledged.

use std::sync::{Arc, LazyLock};

use footfall_model::{Event, StoredEvent, Uid};
use hashbrown::HashMap;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::fate::{Fate, Fates, Lookups, decide, lost};
use super::record::{EVENTS_RECORD, EncodedEvents};
use super::{Arrival, Group, IngestSummary, Pending, ProjectStore, State, run_blocking};
use crate::error::StorageError;
use crate::failpoint;
use crate::journal::{RejectReason, RejectedEvent};
use crate::keys::{EventKey, event_key, generated_insert_id};
use crate::live::{Block, seal};
use crate::log::{Entry, LogError, Lsn, PAYLOAD_BYTES_MAX, Reservation};
use crate::segment::day_of;

/// How often an append waits for a flush before it answers that the store is busy.
const APPEND_ROUNDS_MAX: usize = 8;
/// At most what a record needs beyond its lines: a user's number for each row; the fields of the header.
const UID_BYTES: usize = 32;
const HEADER_BYTES: usize = 1 << 16;

/// Answers when a queued record is durable and visible.
pub(super) type Durable = tokio::sync::oneshot::Receiver<Result<Lsn, Arc<LogError>>>;
type Answer = tokio::sync::oneshot::Sender<Result<Lsn, Arc<LogError>>>;

/// How an attempt under the lock ended.
enum Prepared {
    /// In the log's queue; the receiver hears when it is durable.
    Queued { summary: IngestSummary, durable: Durable },
    /// Segments changed since they were asked.
    Stale(Vec<Event>),
    /// A row that is just being written to a segment would be replaced.
    Flushing(Vec<Event>),
}

/// Who may seal at once, over all projects: sealing is never urgent, and half of the cores are for those who wait for an
/// acknowledgement.
static SEALERS: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(2, |n| n.get());
    Semaphore::new((cores / 2).max(1))
});

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
        let rows = self.admit(&arrival)?;
        let keys: Vec<Option<EventKey>> = events.iter().map(event_key).collect();
        let encoded = EncodedEvents::of(&events);
        let mut waiting = events;
        // Each round waits for a flush to end; two flushes in a row may touch the same rows, endless ones may not.
        for _ in 0..APPEND_ROUNDS_MAX {
            let lookups = self.look_up(&waiting, &keys).await?;
            // Taken before the lock: under it the queue must not make us wait, for the log's thread wants the lock too.
            let place = self.reserve(encoded.bytes.len()).await?;
            match self.prepare(waiting, &keys, &encoded, &lookups, place, (&arrival, now))? {
                Prepared::Queued { summary, durable } => {
                    settled(durable).await?;
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

    /// The live rows, if more may be added.
    pub(super) fn admit(&self, arrival: &Arrival) -> Result<usize, StorageError> {
        // A table's transaction is signed.
        if let Some(sequence) = arrival.batch.as_ref().map(|b| b.sequence).filter(|s| i64::try_from(*s).is_err()) {
            return Err(StorageError::SequenceTooLarge { sequence });
        }
        let (rows, bytes) = {
            let state = self.state.lock();
            (state.live_rows(), state.live_bytes())
        };
        let has_room = rows < self.options.live_rows_max && bytes < self.options.live_bytes_max;
        if has_room { Ok(rows) } else { Err(StorageError::Backpressure { rows }) }
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

    /// Decides each event's fate and queues what comes of it, under the lock that orders everything (P2).
    fn prepare(
        self: &Arc<Self>,
        events: Vec<Event>,
        keys: &[Option<EventKey>],
        encoded: &EncodedEvents,
        lookups: &Lookups,
        place: Reservation,
        arrived: (&Arrival, i64),
    ) -> Result<Prepared, StorageError> {
        let (arrival, now) = arrived;
        let mut state = self.state.lock();
        if state.imports.is_repeated(arrival.batch.as_ref()) {
            let summary = IngestSummary { repeated: true, ..IngestSummary::default() };
            return Ok(Prepared::Queued { summary, durable: self.wait_for_all(place)? });
        }
        if state.segments_version != lookups.version {
            return Ok(Prepared::Stale(events));
        }
        let Some(fates) = decide(&state, &events, keys, lookups, now) else { return Ok(Prepared::Flushing(events)) };
        // Nothing has been changed so far. From here on nothing but the log itself can fail.
        let bytes = encoded.bytes.len() + events.len() * UID_BYTES + fates.bytes_of_losers();
        if bytes > PAYLOAD_BYTES_MAX - HEADER_BYTES {
            return Err(StorageError::TooLarge { bytes });
        }
        if events.is_empty() && arrival.batch.is_none() {
            return Ok(Prepared::Queued { summary: IngestSummary::default(), durable: self.wait_for_all(place)? });
        }
        let received_from = fates.received_from;
        let Settled { summary, kept, mut group } = state.settle(events, fates, arrival);
        let payload = encoded.record(&group.rows, &kept, &group.rejected, arrival, received_from);
        group.text_bytes = payload.len();
        let entry = Entry { project: self.id.0, kind: EVENTS_RECORD, payload };
        let (lsn, durable) = self.queue(place, entry)?;
        // From here on the next request is decided on this one, and `roll_back` knows of it.
        for (position, place) in (state.live.next_position()..).zip(&kept) {
            if let Some(key) = keys.get(*place as usize).copied().flatten() {
                state.keys.insert(key, position);
            }
        }
        state.enqueue(lsn, group, arrival, received_from);
        Ok(Prepared::Queued { summary, durable })
    }

    /// Queues a record. Its rows become visible before the receiver hears of it.
    pub(super) fn queue(self: &Arc<Self>, place: Reservation, entry: Entry) -> Result<(Lsn, Durable), StorageError> {
        let (answer, durable) = tokio::sync::oneshot::channel();
        let store = self.clone();
        let lsn = place.append(
            entry,
            Box::new(move |result| match result {
                Ok(lsn) => store.publish(lsn, answer),
                Err(failed) => {
                    // Here the log's thread waits for the lock: nothing may be decided any more on what has failed.
                    store.roll_back();
                    // A caller that has gone away does not mind.
                    let _ = answer.send(Err(Arc::new(failed)));
                }
            }),
        )?;
        Ok((lsn, durable))
    }

    /// The oldest pending block is durable: queries may see it, and its caller hears of it.
    fn publish(self: &Arc<Self>, lsn: Lsn, answer: Answer) {
        let _ = failpoint::hit("shard::apply");
        let store = self.clone();
        self.state.tell(move |state| {
            state.publish(lsn);
            // Costs nothing but this test while nobody follows the arrivals.
            if store.arrived.receiver_count() > 0 {
                store.arrived.send_replace(state.live.visible_end());
            }
            let _ = answer.send(Ok(lsn));
        });
    }

    /// Hears when everything queued so far is durable, and visible.
    pub(super) fn wait_for_all(self: &Arc<Self>, place: Reservation) -> Result<Durable, StorageError> {
        let (answer, durable) = tokio::sync::oneshot::channel();
        let store = self.clone();
        place.barrier(Box::new(move |result| {
            // Behind the word of what was queued before.
            store.state.tell(move |_| drop(answer.send(result.map_err(Arc::new))));
        }))?;
        Ok(durable)
    }

    /// Turns the visible tail into Arrow once it is large, off the log's thread and outside the lock. One task does it:
    /// others would only wait for the catalog, each on a thread of its own, which under load were hundreds.
    fn seal_if_large(self: &Arc<Self>) {
        let Ok(only) = self.sealing.clone().try_lock_owned() else { return };
        if self.state.lock().tail_to_seal(self.options.seal_rows).is_none() {
            return;
        }
        let store = self.clone();
        self.nice.spawn_blocking(move || {
            let _only = only;
            loop {
                // Anew each time, so that projects take turns. An error would mean a closed semaphore, which nobody closes.
                let _slot = Handle::current().block_on(SEALERS.acquire());
                if !store.seal_tail() {
                    break;
                }
            }
        });
    }

    /// Whether there was something to seal.
    fn seal_tail(&self) -> bool {
        // Before the look, for a flush may be sealing the same rows.
        let mut catalog = self.catalog.lock();
        let Some(blocks) = self.state.lock().tail_to_seal(self.options.seal_rows) else { return false };
        match seal(&blocks, &mut catalog, &self.live_budget()) {
            Ok(chunk) => self.state.lock().live.install(chunk),
            Err(error) => {
                tracing::error!(%error, "live rows could not be turned into columns");
                return false;
            }
        }
        true
    }
}

/// Waits until a record is durable.
pub(super) async fn settled(durable: Durable) -> Result<(), StorageError> {
    durable.await.map_err(|_| StorageError::Closed)?.map_err(StorageError::LogGroup)?;
    Ok(())
}

/// A request's events after their fates were applied.
struct Settled {
    summary: IngestSummary,
    /// Places in the request of the events that became rows.
    kept: Vec<u32>,
    group: Group,
}

impl State {
    fn tail_to_seal(&self, rows_min: usize) -> Option<Vec<Block>> {
        self.live.tail_of_at_least(rows_min, self.unflushed.cut_position())
    }

    /// Gives every event its place: a row, or a copy that lost.
    fn settle(&mut self, events: Vec<Event>, fates: Fates, arrival: &Arrival) -> Settled {
        let mut summary = IngestSummary::default();
        let mut kept = Vec::with_capacity(events.len());
        let mut group = Group { rows: Vec::with_capacity(events.len()), ..Group::default() };
        self.arrived(fates.received_from, events.len());
        for (index, (event, fate)) in events.into_iter().zip(fates.of).enumerate() {
            let received_at = fates.received_from + index as i64;
            let (earlier, overtaken_at) = match fate {
                Fate::Duplicate { kept_received_at } => {
                    summary.duplicates += 1;
                    group.rejected.push(lost(event, received_at, kept_received_at, RejectReason::Duplicate, arrival));
                    continue;
                }
                Fate::Stays => (None, None),
                Fate::Replaces(earlier) => (Some(earlier), None),
                Fate::Overtaken { by_received_at, replaces } => (replaces, Some(by_received_at)),
            };
            summary.stored += 1;
            if let Some(earlier) = earlier {
                summary.superseded += 1;
                let (row, rejected) = earlier.superseded(&event, received_at);
                group.replaced.push(row);
                group.rejected.push(rejected);
            }
            if let Some(by) = overtaken_at {
                summary.superseded += 1;
                group.rejected.push(lost(event, received_at, by, RejectReason::Superseded, arrival));
                continue;
            }
            group.rows.push(self.place(event, received_at));
            kept.push(index as u32);
        }
        // What was overtaken lost when its successor arrived, which may be after others lost (J1).
        group.rejected.sort_unstable_by_key(RejectedEvent::rejected_at);
        Settled { summary, kept, group }
    }

    /// So many records have arrived, each a microsecond after the one before (P2).
    pub(super) fn arrived(&mut self, received_from: i64, count: usize) {
        if count > 0 {
            self.last_received_at = self.last_received_at.max(received_from + count as i64 - 1);
        }
    }

    fn place(&mut self, mut event: Event, received_at: i64) -> StoredEvent {
        if event.insert_id_generated {
            event.insert_id = generated_insert_id(received_at);
        }
        let uid: Uid = self.users.uid(&event.distinct_id);
        StoredEvent { event, uid, received_at }
    }

    /// Takes in what a queued record says; queries see it once [`Self::publish`] is called.
    pub(super) fn enqueue(&mut self, lsn: Lsn, group: Group, arrival: &Arrival, received_at: i64) {
        self.unflushed.queued(lsn, received_at);
        let part = self.imports.applied(arrival.batch.as_ref());
        let has_rows = !group.rows.is_empty();
        if has_rows {
            self.sources.note(self.live.next_position(), &arrival.source);
            self.live.append(lsn, Arc::new(group.rows), group.text_bytes);
        }
        self.rejected.append(lsn, group.rejected);
        self.profiles.append(lsn, group.profiles);
        self.pending.push_back(Pending { lsn, has_rows, replaced: group.replaced, part });
    }

    /// The oldest queued record is durable.
    pub(super) fn publish(&mut self, lsn: Lsn) {
        let Some(pending) = self.pending.pop_front() else { return };
        assert_eq!(pending.lsn, lsn, "P2: records become visible in log order");
        self.unflushed.logged(lsn);
        if pending.has_rows {
            self.live.publish(lsn);
        }
        // P4: masks become visible with their successors, and with the copies that lost.
        self.masks.apply(&pending.replaced);
        self.rejected.publish(lsn);
        self.profiles.publish(lsn);
        self.imports.durable(pending.part);
        self.version += 1;
    }
}
