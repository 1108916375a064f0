//! Opening a project: the tables say what is in files, the log says what came after.

use std::sync::Arc;

use footfall_model::{ProjectId, StoredEvent};
use object_store::ObjectStore;
use object_store::path::Path;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::record::{EVENTS_RECORD, EventsRecord, PROFILES_RECORD, ProfilesRecord};
use super::tables::{
    IMPORT_APP_ID, RECEIVED_APP_ID, WITHOUT_COLUMNS, events_definition, load_users, segment_of, users_definition,
};
use super::{
    Attended, Group, Imports, LiveKeys, Masks, ProjectOptions, ProjectStore, Replaced, SegmentSet, State, Unflushed,
};
use crate::columns::Catalog;
use crate::error::StorageError;
use crate::journal::{Journal, ProfileEntry, RejectedEvent};
use crate::kept::{Kept, KeptBudget};
use crate::keys::event_key;
use crate::live::LiveRows;
use crate::log::{Log, Lsn};
use crate::recent::KeyCache;
use crate::segment::{SegmentCaches, SegmentFiles, day_of};
use crate::table::{Table, TableSnapshot};
use crate::users::{Saved, UserDirectory, shard_of};

/// A log record that may not be in a table yet.
#[derive(Clone)]
pub struct Recovered {
    pub lsn: Lsn,
    pub kind: u8,
    pub payload: bytes::Bytes,
}

/// What all projects of a process share.
#[derive(Clone)]
pub struct Shared {
    pub log: Arc<Log>,
    /// Names this log in the tables' transactions.
    pub log_id: uuid::Uuid,
    /// Where the log went on when it was opened: whatever a table has of an earlier run came before.
    pub log_start: Lsn,
    pub store: Arc<dyn ObjectStore>,
    pub segments: Arc<SegmentCaches>,
    pub keys: Arc<KeyCache>,
    /// Memory for flushed rows that those who follow the arrivals may still read.
    pub kept: Arc<KeptBudget>,
    /// Threads for work that nobody waits for: [`NiceThreads`](crate::NiceThreads).
    pub nice: tokio::runtime::Handle,
}

/// From which record on each table lacks the log's records (P5).
#[derive(Clone, Copy)]
struct Flushed {
    events: Lsn,
    rejected: Lsn,
    profiles: Lsn,
}

impl ProjectStore {
    /// Opens (or creates) a project's tables and replays what the log holds beyond them.
    pub async fn open(
        id: ProjectId,
        options: ProjectOptions,
        shared: &Shared,
        recovered: Vec<Recovered>,
    ) -> Result<Arc<Self>, StorageError> {
        let root = format!("{id}/events");
        let users_root = format!("{id}/users");
        let store = || shared.store.clone();
        let (events, users, rejected, profiles) = tokio::try_join!(
            async { Ok(Table::open_or_create(store(), &root, events_definition(id)).await?) },
            async { Ok(Table::open_or_create(store(), &users_root, users_definition(id)).await?) },
            Journal::open::<RejectedEvent>(store(), id),
            Journal::open::<ProfileEntry>(store(), id),
        )?;
        let snapshot = events.snapshot();
        let log_app_id = format!("footfall-log-{}", shared.log_id);
        let flushed_events = snapshot.transaction(&log_app_id).map(|lsn| Lsn(lsn.max(0) as u64));
        let at_least_events = |journal: Option<Lsn>| journal.max(flushed_events).unwrap_or_default();
        let flushed = Flushed {
            events: flushed_events.unwrap_or_default(),
            rejected: at_least_events(rejected.flushed(&log_app_id)),
            profiles: at_least_events(profiles.flushed(&log_app_id)),
        };
        let last = flushed.events.max(flushed.rejected).max(flushed.profiles);
        if last >= shared.log_start {
            // New records would be taken for flushed ones.
            return Err(StorageError::LogBehind { flushed: last, next: shared.log_start });
        }

        let mut segments = SegmentSet::default();
        for file in &snapshot.files {
            segments.insert(Arc::new(segment_of(file)?));
        }
        let users_root = Path::from(users_root);
        let mut directory = UserDirectory::new(options.shards);
        for file in &users.snapshot().files {
            load_users(shared.store.as_ref(), &users_root, file, &mut directory).await?;
        }
        let mut catalog = Catalog::from_schema(&snapshot.schema);
        if let Some(without_columns) = snapshot.properties.get(WITHOUT_COLUMNS) {
            catalog.restore(without_columns).map_err(StorageError::CorruptProperties)?;
        }
        let rejected_rows = rejected.rows::<RejectedEvent>(&log_app_id)?;
        let profile_rows = profiles.rows::<ProfileEntry>(&log_app_id)?;
        // Arrival goes on where it stopped, whatever the clock says now (P2).
        let in_segments = segments.iter().map(|s| *s.received.end()).filter(|at| *at < i64::MAX).max();
        let noted = [snapshot.transaction(RECEIVED_APP_ID), rejected_rows.last_flushed(), profile_rows.last_flushed()];
        let last_received_at = noted.into_iter().chain([in_segments]).flatten().max().unwrap_or(0);
        // What followers were shown lies in segments or comes out of the log again.
        let forgotten = segments.iter().map(|s| *s.received.end()).max().unwrap_or(0).min(last_received_at);
        let kept = Kept::new(options.kept, shared.kept.clone(), forgotten);
        let store = Arc::new(Self {
            id,
            log: shared.log.clone(),
            log_app_id,
            files: SegmentFiles::new(shared.store.clone(), Path::from(root), shared.segments.clone()),
            store: shared.store.clone(),
            users_root,
            keys: shared.keys.clone(),
            catalog: Mutex::new(Arc::new(catalog)),
            state: Attended::new(State {
                users: directory,
                live: LiveRows::new(kept),
                keys: LiveKeys::default(),
                masks: Masks::default(),
                sources: Default::default(),
                rejected: rejected_rows,
                profiles: profile_rows,
                pending: Default::default(),
                segments: Arc::new(segments),
                segments_version: 0,
                retired: Vec::new(),
                undecided: Vec::new(),
                unflushed: Unflushed::since(flushed_events),
                imports: imports_of(&snapshot),
                last_received_at,
                version: 0,
            }),
            flushing: Default::default(),
            compacting: Default::default(),
            sealing: Arc::default(),
            nice: shared.nice.clone(),
            arrived: watch::Sender::new(0),
            events,
            users,
            rejected,
            profiles,
            options,
        });
        for record in recovered {
            if record.lsn > flushed.events {
                store.replay(record, flushed).await?;
            }
        }
        Ok(store)
    }

    /// Puts a logged record back in place, as far as tables lack it.
    async fn replay(&self, record: Recovered, flushed: Flushed) -> Result<(), StorageError> {
        let corrupt = |what: String| StorageError::CorruptRecord { lsn: record.lsn.0, what };
        let (mut group, arrival, at) = match record.kind {
            EVENTS_RECORD => {
                let EventsRecord { arrival, rows, rejected } =
                    EventsRecord::decode(&record.payload).map_err(corrupt)?;
                let replaced = self.replaced_in_segments(&rows).await?;
                let arrivals = rows.iter().map(|r| r.received_at).chain(rejected.iter().map(|r| r.rejected_at()));
                let at = (arrivals.clone().min(), arrivals.max());
                let text_bytes = record.payload.len();
                (Group { rows, text_bytes, replaced, rejected, ..Group::default() }, arrival, at)
            }
            PROFILES_RECORD => {
                let ProfilesRecord { arrival, entries } = ProfilesRecord::decode(&record.payload).map_err(corrupt)?;
                let at = (entries.first().map(|e| e.received_at), entries.last().map(|e| e.received_at));
                (Group { profiles: entries, ..Group::default() }, arrival, at)
            }
            kind => return Err(corrupt(format!("unknown kind {kind}"))),
        };
        if record.lsn <= flushed.rejected {
            group.rejected.clear();
        }
        if record.lsn <= flushed.profiles {
            group.profiles.clear();
        }
        let mut state = self.state.lock();
        state.last_received_at = state.last_received_at.max(at.1.unwrap_or(0));
        let first = state.live.next_position();
        for (position, row) in (first..).zip(&group.rows) {
            state.users.restore(&row.event.distinct_id, row.uid, Saved::No);
            let Some(key) = event_key(&row.event) else { continue };
            if let Some(earlier) = state.keys.get(key) {
                group.replaced.push(Replaced::Live(earlier));
            }
            state.keys.insert(key, position);
        }
        let received_at = at.0.unwrap_or(state.last_received_at);
        state.enqueue(record.lsn, group, &arrival, received_at);
        state.publish(record.lsn);
        Ok(())
    }

    /// Every row of a logged group was new or replaced an older one when it was logged; which one in segments is found
    /// again by its key.
    async fn replaced_in_segments(&self, rows: &[StoredEvent]) -> Result<Vec<Replaced>, StorageError> {
        let segments = self.state.lock().segments.clone();
        let mut replaced = Vec::new();
        for event in rows.iter().map(|row| &row.event) {
            let Some(key) = event_key(event) else { continue };
            for segment in segments.runs(day_of(event.time), shard_of(&event.distinct_id, self.options.shards)) {
                if let Some(found) = self.keys.find(&self.files, segment, key as u64, event).await? {
                    replaced.push(Replaced::Segment(segment.path.clone(), found.row));
                }
            }
        }
        Ok(replaced)
    }
}

/// How far each import has got, as the events table has it.
fn imports_of(snapshot: &TableSnapshot) -> Imports {
    let mut imports = Imports::default();
    for (app_id, sequence) in &snapshot.transactions {
        if let (Some(import), Ok(sequence)) = (app_id.strip_prefix(IMPORT_APP_ID), u64::try_from(*sequence)) {
            imports.restore(import, sequence);
        }
    }
    imports
}
