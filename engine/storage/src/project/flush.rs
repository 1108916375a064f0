//! Live rows become segments: freeze, sort, write, commit, swap.
//!
//! ```text
//! rotate keys at position P and record L ▸ wait until both are durable ▸ seal
//!   ▸ rows below P, by day and shard, without masked rows
//!   ▸ a segment with masked rows is rewritten together with its successors   (copy on write)
//!   ▸ put files ▸ commit users ▸ commit journals, swap each
//!   ▸ commit events { adds, removes, schema, txn(log, L), imports, last arrival } ▸ swap under the lock
//! ```
//!
//! A crash before a commit leaves orphan files and the log, which still holds every row; a crash after it leaves a
//! transaction that says how far the log is in this table. Either way each row is there once (P1, P3, P5).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::Utc;
use footfall_model::Uid;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::append::settled;
use super::segments::NewSegments;
use super::tables::{IMPORT_APP_ID, RECEIVED_APP_ID, WITHOUT_COLUMNS, table_schema, user_batch};
use super::{Masks, ProjectStore, SegmentSet, State, Unfinished, run_blocking};
use crate::columns::{Catalog, ColumnBudget, Layout, TableColumns};
use crate::error::StorageError;
use crate::failpoint;
use crate::journal::{Journal, JournalRow, ProfileEntry, RejectedEvent};
use crate::live::{LiveChunk, seal};
use crate::log::Lsn;
use crate::segment::{CHECKSUM_TAG, Segment, checksum_tag};
use crate::table::{AddFile, Operation, TableCommit, TableError, Transaction};

/// What a flush has taken on.
pub(super) struct Cut {
    position: u64,
    lsn: Lsn,
    /// Rows of journals up to this arrival.
    received_at: i64,
    pub chunks: Vec<Arc<LiveChunk>>,
    pub masks: Masks,
    pub segments: Arc<SegmentSet>,
    catalog: Arc<Catalog>,
    /// Unsaved users at the cut; all users of the rows below it are among them or saved.
    users: Vec<(Uid, Arc<str>)>,
    rejected: Vec<RejectedEvent>,
    profiles: Vec<ProfileEntry>,
    imports: Vec<(String, u64)>,
    /// What the tables' transactions for this log were when the live rows began.
    flushed: Flushed,
}

#[derive(Clone, Copy)]
struct Flushed {
    events: Option<Lsn>,
    rejected: Option<Lsn>,
    profiles: Option<Lsn>,
}

/// Files that are in the store and wait for the commits that list them, in the order of P5. A commit that is done is
/// taken out.
pub(super) struct Written {
    /// Live rows below this position are in the files.
    position: u64,
    lsn: Lsn,
    received_at: i64,
    users: Option<(TableCommit, usize)>,
    rejected: Option<TableCommit>,
    profiles: Option<TableCommit>,
    events: TableCommit,
    added: Vec<Arc<Segment>>,
    removed: Vec<Arc<Segment>>,
    imports: Vec<(String, u64)>,
}

impl ProjectStore {
    /// Writes every row that is visible now to tables. Answers of queries do not change. Does nothing when there are
    /// no live rows.
    pub async fn flush(self: &Arc<Self>) -> Result<(), StorageError> {
        let mut unfinished = self.flushing.lock().await;
        self.finish_compaction(&mut unfinished).await?;
        if let Some(write) = unfinished.flush.take() {
            self.finish(write, &mut unfinished).await?;
        }
        let Some(cut) = self.cut().await? else { return Ok(()) };
        let mut files = Vec::new();
        match self.write(cut, &mut files).await {
            Ok(write) => self.finish(write, &mut unfinished).await,
            Err(error) => {
                // Nothing refers to the files written so far; the rows stay live and the next flush takes them again.
                self.state.lock().unflushed.abandon_flush();
                self.discard(&files).await;
                Err(error)
            }
        }
    }

    /// Deletes files that no commit lists: on a full disk the next flush needs their space.
    pub(super) async fn discard(&self, files: &[Path]) {
        for file in files {
            match self.store.delete(file).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => tracing::warn!(%error, "a file that no commit lists stays behind for a while"),
            }
        }
    }

    /// Commits what was written and swaps. When the outcome of a commit is unknown, what is left is kept, and the next
    /// flush repeats the very same commits first: they land once either way.
    async fn finish(&self, mut write: Written, unfinished: &mut Unfinished) -> Result<(), StorageError> {
        match self.commit(&mut write).await {
            Ok(()) => {
                self.swap(&write);
                Ok(())
            }
            Err(error) => {
                if may_have_landed(&error) {
                    unfinished.flush = Some(write);
                } else {
                    // It certainly did not land: the rows stay live and the next flush takes them again.
                    self.state.lock().unflushed.abandon_flush();
                }
                Err(error)
            }
        }
    }

    /// The commits of a flush in the order of P5, but for those that are done.
    async fn commit(&self, write: &mut Written) -> Result<(), StorageError> {
        if let Some((commit, count)) = &write.users {
            self.users.commit(commit.clone()).await?;
            self.state.lock().users.forget_saved(*count);
            write.users = None;
        }
        if let Some(commit) = &write.rejected {
            let files = self.rejected.commit(commit).await?;
            self.state.lock().rejected.flushed(files, write.received_at, write.lsn);
            write.rejected = None;
        }
        if let Some(commit) = &write.profiles {
            let files = self.profiles.commit(commit).await?;
            self.state.lock().profiles.flushed(files, write.received_at, write.lsn);
            write.profiles = None;
        }
        let outcome = self.events.commit(write.events.clone()).await?;
        // Another owner of this log's name would have committed other files: its rows are not ours to swap in.
        let listed = write.added.iter().all(|segment| outcome.snapshot().file(&segment.path).is_some());
        if listed { Ok(()) } else { Err(StorageError::Fenced) }
    }

    /// Fixes what this flush writes, and waits until it is durable and sealed.
    async fn cut(self: &Arc<Self>) -> Result<Option<Cut>, StorageError> {
        let received_at = {
            let mut state = self.state.lock();
            let position = state.live.next_position();
            // From here on nobody may replace a row below the cut (see `fate`).
            if !state.unflushed.begin_flush(position) {
                return Ok(None);
            }
            state.keys.begin_flush();
            state.last_received_at
        };
        // Records reach the disk within one group commit, or fail with it and take the cut back to where they began.
        let (position, lsn) = loop {
            match self.state.lock().durable_cut() {
                Durability::Pending => {}
                Durability::Reached { position, lsn } => break (position, lsn),
                Durability::Failed => return Ok(None),
            }
            if let Err(error) = self.everything_queued().await {
                self.state.lock().unflushed.abandon_flush();
                return Err(error);
            }
        };
        let store = self.clone();
        let catalog = match run_blocking(move || store.seal_below(position)).await {
            Ok(catalog) => catalog,
            Err(error) => {
                self.state.lock().unflushed.abandon_flush();
                return Err(error);
            }
        };
        let state = self.state.lock();
        Ok(Some(Cut {
            position,
            lsn,
            received_at,
            chunks: state.live.sealed_below(position),
            masks: state.masks.clone(),
            segments: state.segments.clone(),
            catalog,
            users: state.users.unsaved().to_vec(),
            rejected: state.rejected.up_to(received_at),
            profiles: state.profiles.up_to(received_at),
            imports: state.imports.unsaved().map(|(import, sequence)| (import.to_owned(), sequence)).collect(),
            flushed: Flushed {
                events: state.unflushed.flushed(),
                rejected: state.rejected.flushed_lsn(),
                profiles: state.profiles.flushed_lsn(),
            },
        }))
    }

    async fn everything_queued(self: &Arc<Self>) -> Result<(), StorageError> {
        settled(self.wait_for_all(self.reserve(0).await?)?).await
    }

    /// Seals what is visible below a position; answers the catalog that knows all its columns.
    fn seal_below(&self, position: u64) -> Result<Arc<Catalog>, StorageError> {
        let mut catalog = self.catalog.lock();
        let blocks = self.state.lock().live.tail_below(position);
        if !blocks.is_empty() {
            let chunk = seal(&blocks, &mut catalog, &self.live_budget())?;
            self.state.lock().live.install(chunk);
        }
        Ok(catalog.clone())
    }

    /// Puts the new files; what is left to do are commits. `files` is what may be in the store when this fails.
    async fn write(self: &Arc<Self>, cut: Cut, files: &mut Vec<Path>) -> Result<Written, StorageError> {
        let layout = self.layout(&cut.catalog);
        let NewSegments { added, adds, removed } = self.write_segments(&cut, &layout, files).await?;
        let mut positions = vec![(RECEIVED_APP_ID.to_owned(), cut.received_at)];
        positions.extend(cut.imports.iter().filter_map(|(import, sequence)| {
            // `append` refused numbers that a table cannot hold.
            Some((format!("{IMPORT_APP_ID}{import}"), i64::try_from(*sequence).ok()?))
        }));
        Ok(Written {
            position: cut.position,
            lsn: cut.lsn,
            received_at: cut.received_at,
            users: self.write_users(&cut.users, cut.lsn, files).await?,
            rejected: self.write_journal(&self.rejected, cut.rejected, (cut.flushed.rejected, cut.lsn), files).await?,
            profiles: self.write_journal(&self.profiles, cut.profiles, (cut.flushed.profiles, cut.lsn), files).await?,
            events: TableCommit {
                operation: Operation::Append,
                at: Utc::now(),
                adds,
                removes: removed.iter().map(|segment| segment.path.clone()).collect(),
                schema: Some(table_schema(&layout.table.added_schema(&layout.catalog))),
                properties: vec![(WITHOUT_COLUMNS.to_owned(), cut.catalog.without_columns(&layout.table))],
                transaction: Some(self.transaction(cut.flushed.events, cut.lsn)),
                positions,
            },
            added,
            removed,
            imports: cut.imports,
        })
    }

    /// How rows become segments that join the events table as it is now. The commit that adds them has to carry the
    /// schema and the list of [`WITHOUT_COLUMNS`] that come of it.
    pub(super) fn layout(&self, catalog: &Arc<Catalog>) -> Layout {
        let columns_max = self.options.columns_max;
        Layout {
            catalog: catalog.clone(),
            budget: ColumnBudget::of_segment(columns_max),
            table: Arc::new(TableColumns::of(&self.events.snapshot().schema, columns_max)),
        }
    }

    /// `from` is what the rows rest on, not what the table says now: a commit of the process before that arrives late
    /// must stop us, for it has the same rows.
    fn transaction(&self, from: Option<Lsn>, to: Lsn) -> Transaction {
        let position = |lsn: Lsn| i64::try_from(lsn.0).unwrap_or(i64::MAX);
        Transaction { app_id: self.log_app_id.clone(), from: from.map(position), to: position(to) }
    }

    async fn write_journal<R: JournalRow>(
        &self,
        journal: &Journal,
        rows: Vec<R>,
        (from, to): (Option<Lsn>, Lsn),
        files: &mut Vec<Path>,
    ) -> Result<Option<TableCommit>, StorageError> {
        if rows.is_empty() {
            return Ok(None);
        }
        let commit = journal.write(rows, Utc::now(), self.transaction(from, to), files).await?;
        failpoint::hit("flush::after_put")?;
        Ok(Some(commit))
    }

    /// Puts a file of the `users` table. To add a user twice with the same number, as after a crash, does no harm:
    /// readers of the table take them as one.
    async fn write_users(
        &self,
        users: &[(Uid, Arc<str>)],
        lsn: Lsn,
        files: &mut Vec<Path>,
    ) -> Result<Option<(TableCommit, usize)>, StorageError> {
        if users.is_empty() {
            return Ok(None);
        }
        let (bytes, rows) = user_batch(users)?;
        let path = format!("{}.parquet", uuid::Uuid::now_v7());
        let (length, crc32c) = (bytes.len() as u64, crc32c::crc32c(&bytes));
        let location = Path::from(format!("{}/{path}", self.users_root));
        files.push(location.clone());
        self.store.put(&location, Bytes::from(bytes).into()).await?;
        let add = AddFile {
            path,
            partition_values: Vec::new(),
            bytes: length,
            rows,
            tags: BTreeMap::from([(CHECKSUM_TAG.to_owned(), checksum_tag(crc32c))]),
            stats: Vec::new(),
        };
        let from = self.users.snapshot().transaction(&self.log_app_id);
        let transaction = Transaction { from, ..self.transaction(None, lsn) };
        let commit = TableCommit {
            operation: Operation::Append,
            at: Utc::now(),
            adds: vec![add],
            removes: Vec::new(),
            schema: None,
            properties: Vec::new(),
            transaction: Some(transaction),
            positions: Vec::new(),
        };
        Ok(Some((commit, users.len())))
    }

    /// From here on queries read the segments instead of the live rows, in one step (P1).
    fn swap(&self, write: &Written) {
        let _ = failpoint::hit("flush::swap");
        let changed = self.changed_segments(&write.added, &write.removed);
        let mut state = self.state.lock();
        state.install(changed);
        state.live.drop_below(write.position);
        state.sources.forget_below(write.position);
        let forgotten = state.keys.end_flush();
        state.imports.saved(&write.imports);
        let mut live = (*state.masks.live).clone();
        live.remove_range(..write.position);
        state.masks.live = Arc::new(live);
        let segments = Arc::make_mut(&mut state.masks.segments);
        for removed in &write.removed {
            segments.remove(&removed.path);
        }
        state.unflushed.end_flush(write.lsn);
        drop(state);
        drop(forgotten);
    }
}

/// How far the records are that a flush has taken on.
enum Durability {
    Pending,
    Reached {
        position: u64,
        lsn: Lsn,
    },
    /// The log has taken none of them.
    Failed,
}

impl State {
    fn durable_cut(&mut self) -> Durability {
        let (Some(position), Some(lsn)) = (self.unflushed.cut_position(), self.unflushed.cut_lsn()) else {
            self.unflushed.abandon_flush();
            return Durability::Failed;
        };
        match self.pending.front() {
            Some(pending) if pending.lsn <= lsn => Durability::Pending,
            _ => Durability::Reached { position, lsn },
        }
    }
}

/// Whether a commit that failed may turn up in the table nevertheless.
pub(super) fn may_have_landed(error: &StorageError) -> bool {
    use TableError::{CommitUnknown, Contended, Store};
    matches!(error, StorageError::Table(CommitUnknown { .. } | Store { .. } | Contended { .. }))
}
