//! A fixed view of a project: what one query sees from its start to its end.

use std::collections::HashMap;
use std::sync::Arc;

use roaring::{RoaringBitmap, RoaringTreemap};

use super::{ProjectStore, SegmentSet};
use crate::columns::Catalog;
use crate::error::StorageError;
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
    pub version: u64,
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

    /// Whether no live row has been replaced: the common case, in which readers skip the test.
    pub fn has_no_masked_live_rows(&self) -> bool {
        self.masked_live.is_empty()
    }
}

impl ProjectStore {
    /// What is visible now. CPU work of up to a few milliseconds when many live rows are not in Arrow yet.
    pub fn snapshot(&self) -> Result<Snapshot, StorageError> {
        // The catalog's lock comes first everywhere, so that two threads never wait for each other.
        let mut catalog = self.catalog.lock();
        let state = self.state.lock();
        let (mut live, tail) = state.live.visible();
        let segments = state.segments.clone();
        let masks = state.masks.clone();
        let version = state.version;
        drop(state);
        match tail {
            Tail::Empty => {}
            Tail::Chunk(chunk) => live.push(chunk),
            Tail::Blocks(blocks) => {
                let chunk = seal(&blocks, &mut catalog)?;
                self.state.lock().live.remember_tail(&chunk);
                live.push(chunk);
            }
        }
        Ok(Snapshot {
            shards: self.options.shards,
            catalog: catalog.clone(),
            segments,
            live,
            files: self.files.clone(),
            version,
            masked_live: masks.live,
            masked_segments: masks.segments,
        })
    }
}
