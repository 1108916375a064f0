//! Fewer files for the tables beside the events: the journals, and the users' numbers.
//!
//! Their rows never change, so a merged file is its sources one after another. A journal's list of files is read from its
//! table whenever it is committed to, and nobody reads the files of the users' table but a start: a commit of which nobody
//! knows whether it has landed therefore needs no repetition. What it may have listed is only never collected.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::flush::may_have_landed;
use super::tables::{read_users, users_properties, users_schema};
use super::{Compacted, ProjectStore, State, run_blocking};
use crate::compaction::concat::concat;
use crate::compaction::policy::{self, Run};
use crate::compaction::{CompactionMode, CompactionPolicy, Pace};
use crate::error::StorageError;
use crate::failpoint;
use crate::journal::{Journal, JournalRow, JournalRows, ProfileEntry, RejectedEvent};
use crate::segment::{CHECKSUM_TAG, checksum_tag};
use crate::table::{AddFile, FileEntry, Operation, TableCommit, TableError};

/// A merged file on its way, and what it is made of.
struct Merge {
    commit: TableCommit,
    sources: Vec<Arc<FileEntry>>,
}

impl ProjectStore {
    /// One merge in the first of these tables that is worth it.
    pub(super) async fn compact_journals(
        &self,
        policy: &CompactionPolicy,
        mode: CompactionMode,
        pace: &Pace,
    ) -> Result<Compacted, StorageError> {
        let rejected =
            self.compact_journal::<RejectedEvent>(&self.rejected, |state| &mut state.rejected, policy, mode, pace);
        if let compacted @ (Compacted::Merged { .. } | Compacted::Overtaken) = rejected.await? {
            return Ok(compacted);
        }
        let profiles =
            self.compact_journal::<ProfileEntry>(&self.profiles, |state| &mut state.profiles, policy, mode, pace);
        if let compacted @ (Compacted::Merged { .. } | Compacted::Overtaken) = profiles.await? {
            return Ok(compacted);
        }
        self.compact_users(policy, mode, pace).await
    }

    async fn compact_journal<R: JournalRow>(
        &self,
        journal: &Journal,
        rows: fn(&mut State) -> &mut JournalRows<R>,
        policy: &CompactionPolicy,
        mode: CompactionMode,
        pace: &Pace,
    ) -> Result<Compacted, StorageError> {
        let Some(sources) = journal.to_merge(policy, mode, Utc::now().timestamp_micros())? else {
            return Ok(Compacted::Nothing);
        };
        let mut files = Vec::new();
        let merged = journal.merge::<R>(&sources, Utc::now(), pace.clone(), &mut files).await;
        let commit = self.stored(merged, &files).await?;
        let unfinished = self.flushing.lock().await;
        if unfinished.flush.is_some() {
            // The table may have rows that are live still: its list of files is not ours to show yet.
            self.discard(&files).await;
            return Ok(Compacted::Overtaken);
        }
        let merge = Merge { commit, sources };
        let committed = journal.commit(&merge.commit).await;
        let compacted = self.committed(merge, committed, |listed| {
            rows(&mut self.state.lock()).replace_files(listed);
        });
        let compacted = compacted.await;
        drop(unfinished);
        compacted
    }

    async fn compact_users(
        &self,
        policy: &CompactionPolicy,
        mode: CompactionMode,
        pace: &Pace,
    ) -> Result<Compacted, StorageError> {
        let snapshot = self.users.snapshot();
        let now = Utc::now().timestamp_millis();
        let run = |file: &Arc<FileEntry>| Run {
            rows: file.rows,
            bytes: file.bytes,
            age: Duration::from_millis(u64::try_from(now.saturating_sub(file.modified_at_ms)).unwrap_or(0)),
            is_masked: false,
        };
        // A merged file is new; without the largest of them a full compaction would leave one for each step.
        let largest = snapshot.files.iter().map(|file| file.rows).max();
        let is_asked_for = |file: &&Arc<FileEntry>| {
            mode.includes(file.modified_at_ms.saturating_mul(1_000)) || Some(file.rows) == largest
        };
        let candidates: Vec<_> = snapshot.files.iter().filter(is_asked_for).cloned().collect();
        let choice = policy::choose(policy, mode, &candidates.iter().map(run).collect::<Vec<_>>());
        let Some(choice) = choice else { return Ok(Compacted::Nothing) };
        let sources: Vec<_> = choice.runs.iter().filter_map(|place| candidates.get(*place).cloned()).collect();
        let mut files = Vec::new();
        let merged = self.merge_users(&sources, pace.clone(), &mut files).await;
        let commit = self.stored(merged, &files).await?;
        let unfinished = self.flushing.lock().await;
        let merge = Merge { commit, sources };
        let committed = self.users.commit(merge.commit.clone()).await;
        let compacted = self.committed(merge, committed.map_err(StorageError::from), drop).await;
        drop(unfinished);
        compacted
    }

    async fn merge_users(
        &self,
        sources: &[Arc<FileEntry>],
        mut pace: Pace,
        files: &mut Vec<Path>,
    ) -> Result<TableCommit, StorageError> {
        let mut parts: Vec<Bytes> = Vec::with_capacity(sources.len());
        for source in sources {
            let location = Path::from(format!("{}/{}", self.users_root, source.path));
            parts.push(read_users(self.store.as_ref(), &location, source).await?);
        }
        let (bytes, rows) = run_blocking(move || {
            let mut batches = Vec::with_capacity(parts.len());
            for part in parts {
                batches.push(ParquetRecordBatchReaderBuilder::try_new(part)?.build()?);
            }
            let batches = batches.into_iter().flatten().map(|batch| batch.map_err(StorageError::from));
            concat(users_schema(), Some(users_properties()), batches, &mut pace)
        })
        .await?;
        // A user that is missing would be given another number at the next start.
        if rows != sources.iter().map(|source| source.rows).sum::<u64>() {
            let path = sources.first().map_or_else(String::new, |source| source.path.clone());
            return Err(StorageError::CorruptSegment { path, what: "row count differs from the table's".to_owned() });
        }
        let path = format!("{}.parquet", uuid::Uuid::now_v7());
        let location = Path::from(format!("{}/{path}", self.users_root));
        let (length, crc32c) = (bytes.len() as u64, crc32c::crc32c(&bytes));
        files.push(location.clone());
        self.store.put(&location, bytes.into()).await?;
        let add = AddFile {
            path,
            partition_values: Vec::new(),
            bytes: length,
            rows,
            tags: BTreeMap::from([(CHECKSUM_TAG.to_owned(), checksum_tag(crc32c))]),
            stats: Vec::new(),
        };
        Ok(TableCommit {
            operation: Operation::Compact,
            at: Utc::now(),
            adds: vec![add],
            removes: sources.iter().map(|source| source.path.clone()).collect(),
            schema: None,
            properties: Vec::new(),
            transaction: None,
            positions: Vec::new(),
        })
    }

    /// A merged file once it is in the store; what is left of a failure is deleted.
    async fn stored(
        &self,
        merged: Result<TableCommit, StorageError>,
        files: &[Path],
    ) -> Result<TableCommit, StorageError> {
        match merged.and_then(|commit| Ok(failpoint::hit("compact::after_write").map(|()| commit)?)) {
            Ok(commit) => Ok(commit),
            Err(error) => {
                self.discard(files).await;
                Err(error)
            }
        }
    }

    /// What became of a merge, from what became of its commit.
    async fn committed<T>(
        &self,
        merge: Merge,
        committed: Result<T, StorageError>,
        swap: impl FnOnce(T),
    ) -> Result<Compacted, StorageError> {
        match committed {
            Ok(listed) => {
                swap(listed);
                Ok(Compacted::Merged {
                    files: merge.sources.len(),
                    rows: merge.sources.iter().map(|source| source.rows).sum(),
                    bytes_read: merge.sources.iter().map(|source| source.bytes).sum(),
                    bytes_written: merge.commit.adds.iter().map(|add| add.bytes).sum(),
                })
            }
            Err(StorageError::Table(TableError::FileMissing { .. })) => Ok(Compacted::Overtaken),
            Err(error) => {
                if may_have_landed(&error) {
                    self.state.lock().undecided.extend(merge.commit.adds.into_iter().map(|add| add.path));
                }
                Err(error)
            }
        }
    }
}
