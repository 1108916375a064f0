//! Journals: tables to which rows are only ever added, in the order in which things happened.
//!
//! A journal's rows are part of the log records that cause them. Until a flush they are live; a flush writes all live
//! rows up to its cut as one Parquet file and commits it with the log position that it reaches. One idea, two journals:
//! the copies that lost against another ([`RejectedEvent`]) and the changes of profiles ([`ProfileEntry`]).
//!
//! ```text
//! log record ─▶ live rows (visible) ─▶ file ─▶ commit { add, txn(log, lsn) } ─▶ live rows forgotten
//! ```
//!
//! Invariants:
//! - J1: the order column is in microseconds and strictly increases with every row of a project's journal.
//! - J2: files hold disjoint, ascending ranges of it, each named by the file's table entry; live rows come after them all.
//!   So only neighbours are merged.
//! - J3: a row is in a listed file or live, never in both: files and live rows change in one step, under one lock.
//! - J4: the table's transaction for this log names the last log position whose rows are in files.

mod columns;
mod file;
mod profiles;
mod rejected;
mod rows;
mod view;

pub use profiles::ProfileEntry;
pub use rejected::{RejectReason, RejectedEvent};
pub(crate) use rows::JournalRows;
pub use view::{JournalView, Wanted};

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};
use footfall_model::ProjectId;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::compaction::policy::{self, Run};
use crate::compaction::{CompactionMode, CompactionPolicy, Pace};
use crate::error::StorageError;
use crate::log::Lsn;
use crate::table::{FileEntry, Operation, Table, TableCommit, TableDefinition, Transaction};
use file::JournalFile;

/// A row of a journal: plain data on one side, Arrow columns on the other.
pub trait JournalRow: Clone + Send + Sync + Sized + 'static {
    /// The table's folder and name.
    const TABLE: &'static str;
    /// The timestamp column that J1 is about.
    const ORDER: &'static str;

    fn schema() -> SchemaRef;

    /// The value of the order column.
    fn order(&self) -> i64;

    /// Memory that it takes, about.
    fn bytes(&self) -> usize;

    /// Rows as columns, in the order given.
    fn to_batch<'a>(rows: impl Iterator<Item = &'a Self>) -> Result<RecordBatch, ArrowError>;

    /// All rows of a batch that [`Self::to_batch`] made. Fails if a column is missing or has another type.
    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ArrowError>;
}

/// The table of one journal and where its files are.
pub(crate) struct Journal {
    table: Table,
    store: Arc<dyn ObjectStore>,
    root: Path,
}

impl Journal {
    /// Opens the journal of `R`, creating its table if there is none.
    pub async fn open<R: JournalRow>(store: Arc<dyn ObjectStore>, project: ProjectId) -> Result<Self, StorageError> {
        let root = format!("{project}/{}", R::TABLE);
        let definition = TableDefinition {
            name: format!("footfall project {project} {}", R::TABLE),
            schema: R::schema(),
            partition_columns: Vec::new(),
            stats_columns: vec![R::ORDER.to_owned()],
        };
        let table = Table::open_or_create(store.clone(), &root, definition).await?;
        Ok(Self { table, store, root: Path::from(root) })
    }

    /// The table and where it is in the store.
    pub fn place(&self) -> (&Table, &Path) {
        (&self.table, &self.root)
    }

    /// The listed files as of now, with no live rows.
    pub fn rows<R: JournalRow>(&self, app_id: &str) -> Result<JournalRows<R>, StorageError> {
        Ok(JournalRows::new(self.files()?, self.flushed(app_id), self.store.clone(), self.root.clone()))
    }

    /// How far `app_id`'s log is in files (J4).
    pub fn flushed(&self, app_id: &str) -> Option<Lsn> {
        self.table.snapshot().transaction(app_id).map(|lsn| Lsn(lsn.max(0) as u64))
    }

    /// Stores rows as a file; answers the commit that will list it. Nobody sees the file before. `files` takes what may be
    /// in the store when this fails.
    pub async fn write<R: JournalRow>(
        &self,
        rows: Vec<R>,
        at: DateTime<Utc>,
        transaction: Transaction,
        files: &mut Vec<Path>,
    ) -> Result<TableCommit, StorageError> {
        let encoded = super::project::run_blocking(move || file::encode(&rows)).await?;
        let location = file::location(&self.root, &encoded.add.path);
        files.push(location.clone());
        self.store.put(&location, encoded.bytes.into()).await?;
        Ok(TableCommit {
            operation: Operation::Append,
            at,
            adds: vec![encoded.add],
            removes: Vec::new(),
            schema: None,
            properties: Vec::new(),
            transaction: Some(transaction),
            positions: Vec::new(),
        })
    }

    /// Neighbouring files that are worth merging, oldest first.
    pub fn to_merge(
        &self,
        policy: &CompactionPolicy,
        mode: CompactionMode,
        now: i64,
    ) -> Result<Option<Vec<Arc<FileEntry>>>, StorageError> {
        let mut files = Vec::new();
        for entry in &self.table.snapshot().files {
            let file = JournalFile::of(entry)?;
            if mode.includes(file.last) {
                files.push((file, entry.clone()));
            }
        }
        files.sort_unstable_by_key(|(file, _)| file.first);
        let run = |(file, entry): &(JournalFile, Arc<FileEntry>)| Run {
            rows: entry.rows,
            bytes: entry.bytes,
            age: Duration::from_micros(u64::try_from(now.saturating_sub(file.last)).unwrap_or(0)),
            is_masked: false,
        };
        let choice = policy::choose_neighbours(policy, mode, &files.iter().map(run).collect::<Vec<_>>());
        let entry = |place: &usize| files.get(*place).map(|(_, entry)| entry.clone());
        Ok(choice.map(|choice| choice.runs.iter().filter_map(entry).collect()))
    }

    /// Stores one file with the rows of neighbours; answers the commit that puts it in their place. `files` takes what may
    /// be in the store when this fails.
    pub async fn merge<R: JournalRow>(
        &self,
        sources: &[Arc<FileEntry>],
        at: DateTime<Utc>,
        mut pace: Pace,
        files: &mut Vec<Path>,
    ) -> Result<TableCommit, StorageError> {
        let mut parts = Vec::with_capacity(sources.len());
        for entry in sources {
            let file = JournalFile::of(entry)?;
            let bytes = file.read(&*self.store, &self.root).await?;
            parts.push((file, bytes));
        }
        let encoded = super::project::run_blocking(move || file::merge::<R>(parts, &mut pace)).await?;
        let location = file::location(&self.root, &encoded.add.path);
        files.push(location.clone());
        self.store.put(&location, encoded.bytes.into()).await?;
        Ok(TableCommit {
            operation: Operation::Compact,
            at,
            adds: vec![encoded.add],
            removes: sources.iter().map(|entry| entry.path.clone()).collect(),
            schema: None,
            properties: Vec::new(),
            transaction: None,
            positions: Vec::new(),
        })
    }

    /// Commits what [`Self::write`] or [`Self::merge`] wrote; repeating it after an error is harmless. Answers all files listed since.
    pub async fn commit(&self, commit: &TableCommit) -> Result<Arc<[JournalFile]>, StorageError> {
        let outcome = self.table.commit(commit.clone()).await?;
        // Another owner of this log's name would have committed another file: our rows are not in it.
        if commit.adds.iter().any(|add| outcome.snapshot().file(&add.path).is_none()) {
            return Err(StorageError::Fenced);
        }
        self.files()
    }

    fn files(&self) -> Result<Arc<[JournalFile]>, StorageError> {
        let mut files =
            self.table.snapshot().files.iter().map(|entry| JournalFile::of(entry)).collect::<Result<Vec<_>, _>>()?;
        files.sort_unstable_by_key(|file| file.first);
        Ok(files.into())
    }
}
