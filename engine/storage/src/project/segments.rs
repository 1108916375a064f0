//! The new segments of a flush on their way into the store.

use std::sync::Arc;

use footfall_model::Shard;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use object_store::path::Path;
use parking_lot::Mutex;

use super::build::{Plan, add_file, build, new_segment, plans};
use super::flush::Cut;
use super::{ProjectStore, run_blocking};
use crate::columns::Layout;
use crate::compaction::rewrite::{Rewrite, Source};
use crate::error::StorageError;
use crate::failpoint;
use crate::segment::Segment;
use crate::table::AddFile;

/// Segments that are made at once: while one is computed, others wait for the disk. Each takes memory for its rows.
const SEGMENTS_AT_ONCE: usize = 4;

/// What a flush has made of one day and shard.
struct WrittenSegment {
    /// `None` if no row is left.
    added: Option<(Arc<Segment>, AddFile)>,
    /// Segments that it replaces.
    removed: Vec<Arc<Segment>>,
}

/// Files that are in the store, and those that they replace.
#[derive(Default)]
pub(super) struct NewSegments {
    pub added: Vec<Arc<Segment>>,
    pub adds: Vec<AddFile>,
    pub removed: Vec<Arc<Segment>>,
}

impl NewSegments {
    fn add(&mut self, written: WrittenSegment) {
        self.removed.extend(written.removed);
        if let Some((segment, add)) = written.added {
            self.added.push(segment);
            self.adds.push(add);
        }
    }
}

impl ProjectStore {
    /// Puts the files of new segments. `files` is told what may be in the store when this fails.
    pub(super) async fn write_segments(
        &self,
        cut: &Cut,
        layout: &Layout,
        files: &mut Vec<Path>,
    ) -> Result<NewSegments, StorageError> {
        let mut plans = plans(cut).into_iter();
        let put = Mutex::new(Vec::new());
        let mut running = FuturesOrdered::new();
        let mut new = NewSegments::default();
        let mut failed = None;
        loop {
            while failed.is_none()
                && running.len() < SEGMENTS_AT_ONCE
                && let Some((place, plan)) = plans.next()
            {
                running.push_back(self.write_segment(place, plan, cut, layout, &put));
            }
            // After a failure, too, until all have ended: a file that came later would be nobody's.
            match running.next().await {
                Some(Ok(written)) => new.add(written),
                Some(Err(error)) => failed = failed.or(Some(error)),
                None => break,
            }
        }
        drop(running);
        files.append(&mut put.into_inner());
        failed.map_or(Ok(new), Err)
    }

    async fn write_segment(
        &self,
        (day, shard): (i32, Shard),
        plan: Plan,
        cut: &Cut,
        layout: &Layout,
        put: &Mutex<Vec<Path>>,
    ) -> Result<WrittenSegment, StorageError> {
        let Plan { live, replaces } = plan;
        let removed = replaces.clone();
        let rewrite = self.rewrite(replaces, cut).await?;
        let layout = layout.clone();
        let built = run_blocking(move || build(&live, rewrite, &layout)).await?;
        let Some((keys, encoded)) = built else { return Ok(WrittenSegment { removed, added: None }) };
        let segment = new_segment(day, shard, &encoded);
        let add = add_file(&segment, &encoded);
        put.lock().push(self.files.location(&segment));
        self.files.put(&segment, encoded.bytes).await?;
        failpoint::hit("flush::after_put")?;
        self.keys.remember(&segment, keys);
        Ok(WrittenSegment { removed, added: Some((Arc::new(segment), add)) })
    }

    /// The segments of a plan without the rows that something has replaced.
    async fn rewrite(&self, segments: Vec<Arc<Segment>>, cut: &Cut) -> Result<Rewrite, StorageError> {
        let mut rewrite = Rewrite::default();
        for segment in segments {
            let file = self.files.whole(&segment).await?;
            let without = cut.masks.segments.get(&segment.path).cloned().unwrap_or_default();
            rewrite.add_segment(Source { segment, file, without });
        }
        Ok(rewrite)
    }
}
