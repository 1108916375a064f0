//! Everything stored of one project, and the two moments that change it: an append and a flush.
//!
//! A record lives in exactly one place at a time: live rows, or a segment that the table lists. The swap from one to
//! the other happens under one lock, so that a [`Snapshot`] never sees a row twice or not at all.
//!
//! Invariants:
//! - P1: live rows and listed segments are disjoint; together they are every acknowledged event, each key once after
//!   masks are applied.
//! - P2: log order, arrival order (`received_at`) and live positions agree.
//! - P3: the table's transaction for this log names the last log position whose rows are in segments.
//! - P4: a mask names a row that a later arrival of the same key has replaced; it becomes visible with its successor.
//! - P5: a record that the log could not take leaves no trace in the live state (`rollback`).

mod append;
mod arrival;
mod flush;
mod follow;
mod profiles;
mod record;
mod recover;
mod rollback;
mod snapshot;

pub use arrival::{Arrival, ImportBatch, IngestSummary};
pub use follow::Arrived;
pub use recover::{Recovered, Shared};
pub use snapshot::{Newest, Snapshot};

use std::collections::{BTreeMap, HashMap as StdHashMap, VecDeque};
use std::sync::Arc;

use footfall_model::{ProjectId, Shard};
use hashbrown::HashMap;
use parking_lot::Mutex;
use roaring::{RoaringBitmap, RoaringTreemap};
use tokio::sync::watch;

use crate::columns::Catalog;
use crate::kept::KeptLimits;
use crate::keys::EventKey;
use crate::live::LiveRows;
use crate::log::{Log, Lsn};
use crate::recent::KeyCache;
use crate::segment::{Segment, SegmentFiles};
use crate::table::Table;
use crate::users::UserDirectory;

/// Plain settings of a project's store.
#[derive(Clone, Debug)]
pub struct ProjectOptions {
    pub shards: u16,
    /// Visible rows after which they are turned into Arrow.
    pub seal_rows: usize,
    /// Live rows at which appends answer [`crate::StorageError::Backpressure`].
    pub live_rows_max: usize,
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
    store: Arc<dyn object_store::ObjectStore>,
    users_root: object_store::path::Path,
    files: SegmentFiles,
    keys: Arc<KeyCache>,
    /// Property columns; its own lock, for sealing holds it while it builds columns.
    catalog: Mutex<Arc<Catalog>>,
    state: Mutex<State>,
    /// One flush at a time; appends that would touch rows being flushed wait for it. Holds what a flush could not
    /// finish.
    flushing: tokio::sync::Mutex<Option<flush::Written>>,
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
    /// Records in the log's queue, in log order; those of events have a block in `live` each.
    pending: VecDeque<Pending>,
    segments: Arc<SegmentSet>,
    /// Grows whenever `segments` is replaced.
    segments_version: u64,
    /// Rows below this position are being written to segments.
    flush_cut: Option<u64>,
    last_received_at: i64,
    imports: arrival::Imports,
    /// Log position of the oldest block not yet in a segment.
    oldest_unflushed: Option<Lsn>,
    /// Microseconds since the epoch at which the oldest live row arrived.
    oldest_live_at: Option<i64>,
    /// Grows with every visible change; names a snapshot.
    version: u64,
}

/// Segments of the table in the order a scan wants them.
#[derive(Debug, Default)]
pub struct SegmentSet {
    by_day_shard: BTreeMap<(i32, Shard), Vec<Arc<Segment>>>,
}

impl SegmentSet {
    /// The runs of one shard and day.
    pub fn runs(&self, day: i32, shard: Shard) -> &[Arc<Segment>] {
        self.by_day_shard.get(&(day, shard)).map_or(&[], Vec::as_slice)
    }

    pub fn is_empty(&self) -> bool {
        self.by_day_shard.is_empty()
    }

    /// All segments, by day, then shard, then age.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.by_day_shard.values().flatten()
    }

    fn insert(&mut self, segment: Arc<Segment>) {
        self.by_day_shard.entry((segment.day, segment.shard)).or_default().push(segment);
    }

    fn with_changes(&self, added: &[Arc<Segment>], removed: &[String]) -> Self {
        let mut next = Self::default();
        for segment in self.iter().filter(|s| !removed.contains(&s.path)).chain(added) {
            next.insert(segment.clone());
        }
        next
    }
}

/// Rows that a later arrival replaced.
#[derive(Clone, Default)]
struct Masks {
    live: Arc<RoaringTreemap>,
    segments: Arc<StdHashMap<String, RoaringBitmap>>,
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

/// What a record that is on its way to the disk has changed already, or changes when it is there.
struct Pending {
    lsn: Lsn,
    /// Rows that its own rows replace; hidden when these become visible (P4).
    replaced: Vec<Replaced>,
    /// What the position of its import was before it.
    import: Option<arrival::Before>,
}

/// Keys of live rows in two generations, so that a flush forgets what it wrote in one step.
#[derive(Default)]
struct LiveKeys {
    current: HashMap<EventKey, u64>,
    flushing: HashMap<EventKey, u64>,
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
        if self.flushing.is_empty() {
            self.flushing = std::mem::take(&mut self.current);
        } else {
            // The flush before failed: its rows are still live.
            self.flushing.extend(self.current.drain());
        }
    }

    fn end_flush(&mut self) {
        self.flushing = HashMap::new();
    }
}

impl ProjectStore {
    pub fn id(&self) -> ProjectId {
        self.id
    }

    /// Rows in memory, visible or on their way to the disk.
    pub fn live_rows(&self) -> usize {
        self.state.lock().live.len()
    }

    /// When the oldest live row arrived, in microseconds since the epoch.
    pub fn oldest_live_at(&self) -> Option<i64> {
        self.state.lock().oldest_live_at
    }

    /// The oldest log position this project still needs; `None` if it needs nothing.
    pub fn oldest_unflushed(&self) -> Option<Lsn> {
        self.state.lock().oldest_unflushed
    }
}
