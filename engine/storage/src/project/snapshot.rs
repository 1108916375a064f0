//! A fixed view of a project: what one query sees from its start to its end.

use std::collections::HashMap;
use std::sync::Arc;

use footfall_model::Shard;
use roaring::{RoaringBitmap, RoaringTreemap};

use super::{ProjectStore, SegmentSet};
use crate::arrivals::ArrivedRows;
use crate::columns::Catalog;
use crate::error::StorageError;
use crate::journal::{JournalView, ProfileEntry, RejectedEvent};
use crate::live::{LiveChunk, Tail, seal};
use crate::segment::{Segment, SegmentFiles};

/// Segments and live rows as of one moment. Holding it keeps nothing locked; later appends and flushes do not show.
#[derive(Clone)]
pub struct Snapshot {
    pub shards: u16,
    /// Every property column that occurs in this snapshot (and perhaps some that do not).
    pub catalog: Arc<Catalog>,
    pub segments: Arc<SegmentSet>,
    /// In order of arrival.
    pub live: Vec<Arc<LiveChunk>>,
    pub files: SegmentFiles,
    /// Names the contents: two snapshots of one process with equal versions hold the same rows.
    /// A part of a snapshot keeps its number.
    pub version: u64,
    /// Copies of events that lost.
    pub rejected: JournalView<RejectedEvent>,
    /// Changes of profiles in order of arrival.
    pub profiles: JournalView<ProfileEntry>,
    masked_live: Arc<RoaringTreemap>,
    masked_segments: Arc<HashMap<String, RoaringBitmap>>,
}

impl Snapshot {
    /// Rows of a segment that a later arrival has replaced.
    pub fn masked_rows(&self, segment: &Segment) -> Option<&RoaringBitmap> {
        self.masked_segments.get(&segment.path)
    }

    /// Whether a live row, by its position, has been replaced by a later arrival.
    pub fn is_live_row_masked(&self, position: u64) -> bool {
        !self.masked_live.is_empty() && self.masked_live.contains(position)
    }

    /// The same moment with other segments and live rows: parts of this one's.
    pub fn narrowed(&self, segments: impl IntoIterator<Item = Arc<Segment>>, live: Vec<Arc<LiveChunk>>) -> Self {
        let mut kept = SegmentSet::default();
        for segment in segments {
            kept.insert(segment);
        }
        Self { segments: Arc::new(kept), live, ..self.clone() }
    }

    /// The shard that all rows of a `distinct_id` are in.
    pub fn shard_of(&self, distinct_id: &str) -> Shard {
        crate::users::shard_of(distinct_id, self.shards)
    }

    /// Whether no live row has been replaced: the common case, in which readers skip the test.
    pub fn has_no_masked_live_rows(&self) -> bool {
        self.masked_live.is_empty()
    }
}

/// A snapshot that leaves the newest rows as they came: it costs no work, however many there are.
pub struct Newest {
    /// Visible rows that are not in `rest`, in order of arrival; all of them arrived after those.
    pub tail: Vec<ArrivedRows>,
    /// Everything else. Its masks cover `tail` too.
    pub rest: Snapshot,
}

impl ProjectStore {
    /// What is visible now. CPU work of up to a few milliseconds when many live rows are not in Arrow yet.
    pub fn snapshot(&self) -> Result<Snapshot, StorageError> {
        // The catalog's lock comes first everywhere, so that two threads never wait for each other.
        let mut catalog = self.catalog.lock();
        let (mut snapshot, tail) = self.sealed(&catalog);
        match tail {
            Tail::Empty => {}
            Tail::Chunk(chunk) => snapshot.live.push(chunk),
            Tail::Blocks(blocks) => {
                let chunk = seal(&blocks, &mut catalog, &self.live_budget())?;
                self.state.lock().live.remember_tail(&chunk);
                snapshot.live.push(chunk);
                snapshot.catalog = catalog.clone();
            }
        }
        Ok(snapshot)
    }

    /// The copies of events that have lost until now.
    pub fn rejected(&self) -> JournalView<RejectedEvent> {
        self.state.lock().rejected.view()
    }

    /// What is visible now, newest rows apart.
    pub fn newest(&self) -> Newest {
        let catalog = self.catalog.lock();
        let (rest, tail) = self.sealed(&catalog);
        let tail = match tail {
            Tail::Empty => Vec::new(),
            Tail::Chunk(chunk) => vec![ArrivedRows::of_chunk(&chunk)],
            Tail::Blocks(blocks) => blocks.iter().map(ArrivedRows::of_block).collect(),
        };
        Newest { tail, rest }
    }

    /// One moment: a snapshot of what is in Arrow, and what is not.
    fn sealed(&self, catalog: &Arc<Catalog>) -> (Snapshot, Tail) {
        let state = self.state.lock();
        let (live, tail) = state.live.visible();
        let snapshot = Snapshot {
            shards: self.options.shards,
            catalog: catalog.clone(),
            segments: state.segments.clone(),
            live,
            files: self.files.clone(),
            version: state.version,
            rejected: state.rejected.view(),
            profiles: state.profiles.view(),
            masked_live: state.masks.live.clone(),
            masked_segments: state.masks.segments.clone(),
        };
        (snapshot, tail)
    }
}
