//! Everything stored of one project, and the two moments that change it: an append and a flush.
//!
//! A record lives in exactly one place at a time: live rows, or a segment that the table lists. The swap from one to
//! the other happens under one lock, so that a [`Snapshot`] never sees a row twice or not at all.
//!
//! Beside the events a project has journals ([`crate::journal`]): the copies of events that lost, and the changes of
//! profiles. One log record may speak of all of them; one flush writes them all up to the same record.
//!
//! Invariants:
//! - P1: live rows and listed segments are disjoint; together they are every acknowledged event, each key once after
//!   masks are applied.
//! - P2: log order, arrival order (`received_at`) and live positions agree. Every arrival has a `received_at` of its own,
//!   copies that lose and changes of profiles included, also across restarts.
//! - P3: the events table's transaction for this log names the last log position whose rows are in segments.
//! - P4: a mask names a row that a later arrival of the same key has replaced; it becomes visible with its successor, and
//!   with the replaced copy in `rejected_events`.
//! - P5: a flush commits users, then journals, then events, each with the same log position. What the events table's
//!   transaction names is therefore in all of them. Between two of these commits a journal is ahead of the events; each
//!   table is replayed from its own position, or from the events' where that is higher (a flush commits no journal that
//!   has no rows).
//! - P6: a part of an import is applied once: its number is in the record that applies it, and in the commit of the events
//!   that lets go of this record.
//! - P7: a record that the log could not take leaves no trace in the live state (`rollback`).
//! - P8: a compaction changes which segments rows are in, and nothing else. The swap of segments moves masks along, those
//!   that came meanwhile and those on their way included. A row that is masked stays in the file until the flush that
//!   commits its successor: the table by itself always has one of the two.
//! - P9: a file is deleted only if no version of the table that is still to come lists it, and no snapshot reads it.

mod append;
mod arrival;
mod attended;
mod build;
mod collect;
mod compact;
mod compact_journals;
mod dump;
mod fate;
mod flush;
mod follow;
mod profiles;
mod record;
mod recover;
mod rollback;
mod segment_set;
mod segments;
mod snapshot;
mod tables;
mod unflushed;

#[cfg(test)]
mod tests;

pub use arrival::{Arrival, ImportBatch, IngestSummary};
pub(crate) use build::date;
pub use collect::Collected;
pub use compact::Compacted;
pub use dump::record_contents;
pub use follow::Arrived;
pub use recover::{Recovered, Shared};
pub use segment_set::SegmentSet;
pub use snapshot::{Newest, Snapshot};
pub(crate) use tables::segment_of;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use footfall_model::{ProjectId, StoredEvent};
use parking_lot::Mutex;
use roaring::{RoaringBitmap, RoaringTreemap};
use tokio::sync::watch;

use crate::columns::{Catalog, ColumnBudget};
use crate::error::StorageError;
use crate::journal::{Journal, JournalRows, ProfileEntry, RejectedEvent};
use crate::kept::KeptLimits;
use crate::keys::EventKey;
use crate::live::LiveRows;
use crate::log::{Log, Lsn};
use crate::recent::KeyCache;
use crate::segment::{Segment, SegmentFiles};
use crate::split_map::SplitMap;
use crate::table::Table;
use crate::users::UserDirectory;
use arrival::{Imports, Part, Sources};
use attended::Attended;
use segment_set::Changed;
use unflushed::Unflushed;

/// Plain settings of a project's store.
#[derive(Clone, Debug)]
pub struct ProjectOptions {
    pub shards: u16,
    /// Visible rows after which they are turned into Arrow.
    pub seal_rows: usize,
    /// Live rows at which appends answer [`crate::StorageError::Backpressure`].
    pub live_rows_max: usize,
    /// Memory in live rows at which they do.
    pub live_bytes_max: usize,
    /// Property columns of a segment, and of sealed live rows, at most; what is left of a row is in its `rest`.
    pub columns_max: usize,
    /// Flushed rows kept in memory for those who follow the arrivals.
    pub kept: KeptLimits,
}

/// The store of one project. Cheap to share; every method takes `&self`.
pub struct ProjectStore {
    id: ProjectId,
    options: ProjectOptions,
    log: Arc<Log>,
    /// Names this log in the table's transactions.
    log_app_id: String,
    events: Table,
    users: Table,
    rejected: Journal,
    profiles: Journal,
    store: Arc<dyn object_store::ObjectStore>,
    users_root: object_store::path::Path,
    files: SegmentFiles,
    keys: Arc<KeyCache>,
    /// Property columns; its own lock, for sealing holds it while it builds columns.
    catalog: Mutex<Arc<Catalog>>,
    state: Attended<State>,
    /// One flush at a time, and no change of the segments beside it; appends that would touch rows being flushed wait for
    /// it. Holds what could not be finished.
    flushing: tokio::sync::Mutex<Unfinished>,
    /// One compaction or collection of dead files at a time; taken before `flushing`.
    compacting: tokio::sync::Mutex<()>,
    /// Held by the task that seals the tail.
    sealing: Arc<tokio::sync::Mutex<()>>,
    /// Where it seals.
    nice: tokio::runtime::Handle,
    /// The position after the last visible row, for those who wait for it to move.
    arrived: watch::Sender<u64>,
}

/// What changes with every append; locked briefly and never across a wait.
struct State {
    users: UserDirectory,
    live: LiveRows,
    /// Keys of live rows that came with an insert id.
    keys: LiveKeys,
    /// Replaced rows among the live ones, by position, and among segments, by path (P4).
    masks: Masks,
    /// By which way live rows came.
    sources: Sources,
    rejected: JournalRows<RejectedEvent>,
    profiles: JournalRows<ProfileEntry>,
    /// Records in the log's queue, in log order.
    pending: VecDeque<Pending>,
    segments: Arc<SegmentSet>,
    /// Grows whenever `segments` is replaced.
    segments_version: u64,
    /// Segments that the table lists no more, as long as a snapshot may read them.
    retired: Vec<Weak<Segment>>,
    /// Files of commits of which nobody will ask again whether they have landed.
    undecided: Vec<String>,
    unflushed: Unflushed,
    imports: Imports,
    last_received_at: i64,
    /// Grows with every visible change; names a snapshot.
    version: u64,
}

/// What waits for a commit of which nobody knows whether it has landed. It is repeated before anything else is committed.
#[derive(Default)]
struct Unfinished {
    flush: Option<flush::Written>,
    compaction: Option<compact::Merged>,
}

impl Unfinished {
    fn is_empty(&self) -> bool {
        self.flush.is_none() && self.compaction.is_none()
    }
}

/// What one log record adds.
#[derive(Default)]
struct Group {
    rows: Vec<StoredEvent>,
    /// Length of the rows' texts, about.
    text_bytes: usize,
    replaced: Vec<Replaced>,
    rejected: Vec<RejectedEvent>,
    profiles: Vec<ProfileEntry>,
}

/// What a record that is on its way to the disk has changed already, or changes when it is there.
struct Pending {
    lsn: Lsn,
    /// Whether it has a block in `live`.
    has_rows: bool,
    /// Rows that its own rows replace; hidden when these become visible (P4).
    replaced: Vec<Replaced>,
    /// The part of an import that it applies.
    part: Option<Part>,
}

/// Rows that a later arrival replaced.
#[derive(Clone, Default)]
struct Masks {
    live: Arc<RoaringTreemap>,
    segments: Arc<HashMap<String, RoaringBitmap>>,
}

/// The row that an arrival replaces.
#[derive(Clone, Debug)]
enum Replaced {
    Live(u64),
    Segment(String, u32),
}

impl Masks {
    fn apply(&mut self, replaced: &[Replaced]) {
        for row in replaced {
            match row {
                Replaced::Live(position) => {
                    Arc::make_mut(&mut self.live).insert(*position);
                }
                Replaced::Segment(path, row) => {
                    Arc::make_mut(&mut self.segments).entry(path.clone()).or_default().insert(*row);
                }
            }
        }
    }
}

/// Keys of live rows in two generations, so that a flush forgets what it wrote in one step.
#[derive(Default)]
struct LiveKeys {
    current: SplitMap<EventKey, u64>,
    flushing: SplitMap<EventKey, u64>,
}

impl LiveKeys {
    fn get(&self, key: EventKey) -> Option<u64> {
        self.current.get(&key).or_else(|| self.flushing.get(&key)).copied()
    }

    fn insert(&mut self, key: EventKey, position: u64) {
        self.current.insert(key, position);
    }

    /// The row at or past `failed_from` that has this key is gone; `earlier` had it before.
    fn restore(&mut self, key: EventKey, failed_from: u64, earlier: Option<u64>) {
        for generation in [&mut self.current, &mut self.flushing] {
            let Some(position) = generation.get_mut(&key).filter(|position| **position >= failed_from) else {
                continue;
            };
            match earlier {
                Some(earlier) => *position = earlier,
                None => drop(generation.remove(&key)),
            }
        }
    }

    /// Everything known so far belongs to the flush that begins.
    fn begin_flush(&mut self) {
        let flushing = std::mem::take(&mut self.current);
        if self.flushing.is_empty() {
            self.flushing = flushing;
        } else {
            // The flush before failed: its rows are still live.
            self.flushing.extend(flushing);
        }
    }

    /// Answers what is forgotten, which is better dropped where nobody waits.
    fn end_flush(&mut self) -> SplitMap<EventKey, u64> {
        std::mem::take(&mut self.flushing)
    }
}

impl ProjectStore {
    pub fn id(&self) -> ProjectId {
        self.id
    }

    fn live_budget(&self) -> ColumnBudget {
        ColumnBudget::of_live_rows(self.options.columns_max)
    }

    /// Memory that live rows take, about: of events, and of journals.
    pub fn live_bytes(&self) -> usize {
        self.state.lock().live_bytes()
    }

    /// Rows in memory, visible or on their way to the disk: events, and rows of journals.
    pub fn live_rows(&self) -> usize {
        self.state.lock().live_rows()
    }

    /// When the last record arrived, in microseconds since the epoch.
    pub fn last_received_at(&self) -> i64 {
        self.state.lock().last_received_at
    }

    /// When the oldest live row arrived, in microseconds since the epoch.
    pub fn oldest_live_at(&self) -> Option<i64> {
        self.state.lock().unflushed.oldest_received_at()
    }

    /// The segments after a change. Made outside the project's lock, which every append wants: only who has `flushing`
    /// changes them.
    fn changed_segments(&self, added: &[Arc<Segment>], removed: &[Arc<Segment>]) -> Changed {
        let segments = self.state.lock().segments.clone();
        segments.with_changes(added, removed)
    }

    /// The oldest log position this project still needs; `None` if it needs nothing.
    pub fn oldest_unflushed(&self) -> Option<Lsn> {
        self.state.lock().unflushed.oldest()
    }
}

impl State {
    /// From here on queries read other segments.
    fn install(&mut self, changed: Changed) {
        self.retired.retain(|segment| segment.strong_count() > 0);
        self.retired.extend(changed.retired);
        self.segments = changed.segments;
        self.segments_version += 1;
        self.version += 1;
    }

    fn live_rows(&self) -> usize {
        self.live.len() + self.rejected.len() + self.profiles.len()
    }

    fn live_bytes(&self) -> usize {
        self.live.bytes() + self.rejected.bytes() + self.profiles.bytes()
    }
}

/// CPU work off the async threads.
pub(crate) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| StorageError::Closed)?
}
