//! Runs of a shard and day become one, and no reader notices.
//!
//! ```text
//! choose ▸ read whole files, checked ▸ merge ▸ put ▸ no flush from here on ▸ are the runs still there?
//!   ▸ one commit { removes, add, no change of data } ▸ swap under the lock, masks moved along (P8)
//! ```
//!
//! The work is done beside flushes; only the commit waits for the one under way. A flush that has rewritten one of the
//! runs meanwhile was first: the new file is thrown away and the runs are chosen anew. A crash before the commit leaves an
//! orphan, a crash after it leaves the new file listed and the old ones to be collected; never both.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::MutexGuard;

use super::build::{add_file, new_segment};
use super::flush::may_have_landed;
use super::tables::table_schema;
use super::{Masks, Pending, ProjectStore, Replaced, State, Unfinished, run_blocking};
use crate::columns::{ColumnBudget, Layout, TableColumns};
use crate::compaction::policy::{self, CompactionMode, CompactionPolicy, Run};
use crate::compaction::rewrite::{Rewrite, Rewritten, Source};
use crate::compaction::{GONE, Pace};
use crate::error::StorageError;
use crate::failpoint;
use crate::segment::Segment;
use crate::table::{Operation, TableCommit, TableError};

/// What one step of compaction has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compacted {
    /// There was nothing to do, or it has to wait for a flush.
    Nothing,
    Merged {
        files: usize,
        rows: u64,
        bytes_read: u64,
        bytes_written: u64,
    },
    /// A flush has changed the files meanwhile; what was done is thrown away.
    Overtaken,
}

/// A file that waits for the commit that lists it in place of its sources.
pub(super) struct Merged {
    commit: TableCommit,
    sources: Vec<Arc<Segment>>,
    segment: Arc<Segment>,
    /// For each source, the new row of each of its rows.
    places: Vec<Vec<u32>>,
}

impl ProjectStore {
    /// Grows whenever other files than before hold the events.
    pub fn segments_version(&self) -> u64 {
        self.state.lock().segments_version
    }

    /// Files that hold the events.
    pub fn segment_count(&self) -> usize {
        self.state.lock().segments.len()
    }

    /// Merges the runs of one shard and day for which it is worth most or, if there are none, files of a journal. Answers of
    /// queries do not change.
    pub async fn compact(
        self: &Arc<Self>,
        policy: CompactionPolicy,
        mode: CompactionMode,
        pace: Pace,
    ) -> Result<Compacted, StorageError> {
        let _one_at_a_time = self.compacting.lock().await;
        {
            let mut unfinished = self.flushing.lock().await;
            self.finish_compaction(&mut unfinished).await?;
        }
        match self.merge(&policy, mode, &pace).await? {
            Some(merged) => self.land(merged).await,
            None => self.compact_journals(&policy, mode, &pace).await,
        }
    }

    /// Puts the file that takes the place of several; nobody sees it yet. `None` if there is nothing to merge.
    pub(super) async fn merge(
        &self,
        policy: &CompactionPolicy,
        mode: CompactionMode,
        pace: &Pace,
    ) -> Result<Option<Merged>, StorageError> {
        let Some(sources) = self.choose(policy, mode) else { return Ok(None) };
        let Some((day, shard)) = sources.first().map(|s| (s.day, s.shard)) else { return Ok(None) };
        // Flushes alone give the table columns, and list what has none: the commit may be older than theirs when it lands.
        let layout = Layout {
            catalog: self.catalog.lock().clone(),
            budget: ColumnBudget::of_segment(self.options.columns_max),
            table: Arc::new(TableColumns::fixed(&self.events.snapshot().schema)),
        };
        let Some(rewritten) = self.rewrite_all(&sources, &layout, pace.clone()).await? else { return Ok(None) };
        let Rewritten { file, keys, places } = rewritten;
        let segment = Arc::new(new_segment(day, shard, &file));
        let add = add_file(&segment, &file);
        let put = self.files.put(&segment, file.bytes).await;
        if let Err(error) = put.and_then(|()| Ok(failpoint::hit("compact::after_write")?)) {
            self.discard(&[self.files.location(&segment)]).await;
            return Err(error);
        }
        self.keys.remember(&segment, keys);
        let commit = TableCommit {
            operation: Operation::Compact,
            at: Utc::now(),
            adds: vec![add],
            removes: sources.iter().map(|source| source.path.clone()).collect(),
            // What rewritten rows no longer have columns for goes there.
            schema: Some(table_schema(&layout.table.added_schema(&layout.catalog))),
            properties: Vec::new(),
            transaction: None,
            positions: Vec::new(),
        };
        Ok(Some(Merged { commit, sources, segment, places }))
    }

    /// Lets the file take their place, if they are all still there.
    pub(super) async fn land(&self, merged: Merged) -> Result<Compacted, StorageError> {
        let segment = merged.segment.clone();
        let done = Compacted::Merged {
            files: merged.sources.len(),
            rows: segment.rows,
            bytes_read: merged.sources.iter().map(|source| source.bytes).sum(),
            bytes_written: segment.bytes,
        };
        let mut unfinished = self.flushing.lock().await;
        // A flush of which nobody knows whether it has removed these very files goes first.
        if !unfinished.is_empty() || !self.are_listed(&merged.sources) {
            drop(unfinished);
            self.discard(&[self.files.location(&segment)]).await;
            return Ok(Compacted::Overtaken);
        }
        // Before the commit: whoever gives up waiting for it leaves it to the next one who has the lock.
        unfinished.compaction = Some(merged);
        self.finish_compaction(&mut unfinished).await?;
        let is_listed = self.state.lock().segments.contains(&segment);
        Ok(if is_listed { done } else { Compacted::Overtaken })
    }

    /// The runs that are most worth merging: of one shard and day, oldest first.
    fn choose(&self, policy: &CompactionPolicy, mode: CompactionMode) -> Option<Vec<Arc<Segment>>> {
        let (segments, masks) = {
            let state = self.state.lock();
            (state.segments.clone(), state.masks.clone())
        };
        let now = Utc::now().timestamp_micros();
        let run = |segment: &Arc<Segment>| Run {
            rows: segment.rows,
            bytes: segment.bytes,
            age: age(segment, now),
            is_masked: Run::has_masked(masks.segments.get(&segment.path)),
        };
        let groups = segments.all_runs().filter(|runs| runs.len() > 1);
        let choices = groups.filter_map(|runs| {
            // Those that do not say when their rows arrived are old.
            let arrived_at = |run: &Segment| Some(*run.received.end()).filter(|end| *end < i64::MAX).unwrap_or(0);
            let runs: Vec<_> = runs.iter().filter(|run| mode.includes(arrived_at(run))).cloned().collect();
            let choice = policy::choose(policy, mode, &runs.iter().map(run).collect::<Vec<_>>())?;
            Some((choice, runs))
        });
        let (choice, runs) = choices.max_by(|(a, _), (b, _)| a.gain().total_cmp(&b.gain()))?;
        Some(choice.runs.iter().filter_map(|place| runs.get(*place).cloned()).collect())
    }

    async fn rewrite_all(
        &self,
        sources: &[Arc<Segment>],
        layout: &Layout,
        mut pace: Pace,
    ) -> Result<Option<Rewritten>, StorageError> {
        let mut rewrite = Rewrite::default();
        for segment in sources {
            let file = self.files.whole(segment).await?;
            rewrite.add_segment(Source { segment: segment.clone(), file, without: Default::default() });
        }
        let layout = layout.clone();
        run_blocking(move || rewrite.run(&layout, &mut pace)).await
    }

    fn are_listed(&self, sources: &[Arc<Segment>]) -> bool {
        let segments = self.state.lock().segments.clone();
        sources.iter().all(|source| segments.contains(source))
    }

    /// Commits a compaction that waits for it, and swaps. Repeating it after an error is harmless: it lands once.
    pub(super) async fn finish_compaction(
        &self,
        unfinished: &mut MutexGuard<'_, Unfinished>,
    ) -> Result<(), StorageError> {
        let Some(merged) = &unfinished.compaction else { return Ok(()) };
        failpoint::hit("compact::commit")?;
        match self.events.commit(merged.commit.clone()).await.map_err(StorageError::from) {
            Ok(_) => {
                if let Some(merged) = unfinished.compaction.take() {
                    self.swap_compaction(&merged);
                }
                Ok(())
            }
            // It cannot land any more: somebody else has removed a source.
            Err(StorageError::Table(TableError::FileMissing { path })) => {
                tracing::warn!(path, "a compaction was overtaken");
                if let Some(merged) = unfinished.compaction.take() {
                    self.discard(&[self.files.location(&merged.segment)]).await;
                }
                Ok(())
            }
            Err(error) if may_have_landed(&error) => Err(error),
            Err(error) => {
                // The file is left to the collection of dead files, which will know.
                unfinished.compaction = None;
                Err(error)
            }
        }
    }

    fn swap_compaction(&self, merged: &Merged) {
        let _ = failpoint::hit("compact::swap");
        let changed = self.changed_segments(std::slice::from_ref(&merged.segment), &merged.sources);
        let mut state = self.state.lock();
        state.install(changed);
        state.move_masks(merged);
    }
}

impl State {
    /// What names a row of a source names its new place from here on (P8).
    fn move_masks(&mut self, merged: &Merged) {
        for (source, places) in merged.sources.iter().zip(&merged.places) {
            self.masks.move_rows(&source.path, &merged.segment.path, places);
            for pending in &mut self.pending {
                pending.move_rows(&source.path, &merged.segment.path, places);
            }
        }
    }
}

impl Masks {
    fn move_rows(&mut self, from: &str, to: &str, places: &[u32]) {
        if !self.segments.contains_key(from) {
            return;
        }
        let segments = Arc::make_mut(&mut self.segments);
        let Some(masked) = segments.remove(from) else { return };
        let moved = masked.iter().filter_map(|row| new_place(places, row));
        segments.entry(to.to_owned()).or_default().extend(moved);
    }
}

impl Pending {
    fn move_rows(&mut self, from: &str, to: &str, places: &[u32]) {
        self.replaced.retain_mut(|replaced| match replaced {
            Replaced::Segment(path, row) if path == from => match new_place(places, *row) {
                Some(place) => {
                    *replaced = Replaced::Segment(to.to_owned(), place);
                    true
                }
                None => false,
            },
            _ => true,
        });
    }
}

fn new_place(places: &[u32], row: u32) -> Option<u32> {
    places.get(row as usize).copied().filter(|place| *place != GONE)
}

/// How long ago the last row of a segment arrived. One that does not say is old.
fn age(segment: &Segment, now: i64) -> Duration {
    match *segment.received.end() {
        i64::MAX => Duration::MAX,
        last => Duration::from_micros(u64::try_from(now.saturating_sub(last)).unwrap_or(0)),
    }
}
