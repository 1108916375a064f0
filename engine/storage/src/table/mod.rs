//! A Delta Lake table used as the commit log of a project: which files make up the table, and since when.
//!
//! The one idea: a version is an object `_delta_log/{version}.json` that can be created only once. Whoever creates it
//! has committed; everything else here is about being sure whether that was us. Rows, Parquet and deletion of files
//! are other modules' business. Of deltalake-core we use the protocol's vocabulary (actions, schemas, metadata). The
//! replay is ours: deltalake-core reads the whole table again for each commit (at 100,000 files 280 ms of CPU, here 8
//! with its share of a checkpoint), has no list of transactions, and panics on what it does not expect.
//!
//! Invariants:
//! - T1: adds, removes, schema and transaction of a commit share one version; a version never changes.
//! - T2: a commit (its transaction, or without one its file names) lands at most once, however often it is tried; a
//!   transaction only moves up, and only from where the writer believes it to be.
//! - T3: a conflict is only ever reported from the end of the log.
//! - T4: an error of the store proves nothing. A version is ours if the object there carries our commit's id, not ours
//!   if it carries another, and as long as there is none we try the same version again: two versions are never in
//!   flight for one commit.
//! - T5: the schema only grows; names are unique without regard to case; new columns are nullable.
//! - T6: what we wrote is verified when read, by CRC-32C. A commit in doubt is an error, a checkpoint is passed over.
//! - T7: all files have statistics for the same columns, those named at creation.
//! - T8: commits are never deleted; a checkpoint is only a faster way to the same state. Old checkpoints may go, the
//!   announced one may not.

mod audit;
mod checkpoint;
mod commit;
mod entry;
mod error;
mod labels;
mod log;
mod plan;
mod replay;
mod schema;
mod snapshot;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use chrono::Utc;
use deltalake_core::DeltaTableError;
use deltalake_core::kernel::{Action, MetadataExt as _, new_metadata};
use object_store::ObjectStore;
use parking_lot::RwLock;
use tokio::sync::Mutex;
use uuid::Uuid;

pub use self::audit::{TableAudit, audit, pin};
pub use self::commit::{AddFile, ColumnStats, CommitOutcome, Operation, TableCommit, Transaction};
pub use self::error::TableError;
pub use self::labels::Labels;
pub use self::snapshot::{FileEntry, TableSnapshot, Tombstone};

use self::entry::LogEntry;
use self::log::Log;
use self::plan::Plan;
use self::replay::{Replay, STATS_COLUMNS_KEY};

/// Failed attempts at one version before the caller hears of it; the store's client retries on its own below this.
const FAILURES_MAX: u32 = 5;
const BACKOFF_FIRST: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 50 });
/// Lost races before giving up. Every lost race is another writer's success, so this is never reached in practice.
const RACES_MAX: u32 = 1_000;

/// What a table is created with.
#[derive(Clone, Debug)]
pub struct TableDefinition {
    pub name: String,
    pub schema: SchemaRef,
    pub partition_columns: Vec<String>,
    /// Columns every file has bounds for, and no others (T7); plain names, without commas. Readers are told through the
    /// table property `delta.dataSkippingStatsColumns`; without it deltalake for Python takes a column that lacks
    /// bounds for one that matches nothing.
    pub stats_columns: Vec<String>,
}

/// A table in an object store. Cheap to read from many tasks; commits of one process queue up.
#[derive(Debug)]
pub struct Table {
    log: Log,
    head: Mutex<Replay>,
    published: RwLock<Arc<TableSnapshot>>,
}

impl Table {
    /// Opens the table at `root` within `store`, creating it if there is none. Several processes may race here.
    ///
    /// A table that exists keeps its schema: columns of the definition that it lacks come with the next commit.
    pub async fn open_or_create(
        store: Arc<dyn ObjectStore>,
        root: &str,
        definition: TableDefinition,
    ) -> Result<Self, TableError> {
        let log = Log::new(store, root);
        let mut failures = 0;
        loop {
            if let Some(head) = checkpoint::open(&log).await? {
                definition.check(&head)?;
                let published = RwLock::new(Arc::new(head.snapshot()));
                return Ok(Self { log, head: Mutex::new(head), published });
            }
            // Whether we or someone else created it, or the store only says that we did not: the log knows (T4).
            if let Err(source) = log.create(0, definition.first_commit()?).await {
                failures += 1;
                if failures >= FAILURES_MAX {
                    return Err(TableError::CommitUnknown { version: 0, source });
                }
                back_off(failures).await;
            }
        }
    }

    /// The newest version this process knows of.
    pub fn snapshot(&self) -> Arc<TableSnapshot> {
        Arc::clone(&self.published.read())
    }

    /// Reads what other processes committed.
    pub async fn refresh(&self) -> Result<Arc<TableSnapshot>, TableError> {
        let mut head = self.head.lock().await;
        self.catch_up(&mut head).await?;
        Ok(self.snapshot())
    }

    /// The version of the checkpoint that a reader of the table begins with, `None` if there is none.
    pub async fn newest_checkpoint(&self) -> Result<Option<u64>, TableError> {
        checkpoint::announced(&self.log).await
    }

    /// Makes the change visible in one atomic step, exactly once.
    ///
    /// Dropping the future is safe: the commit may or may not have landed, and the next call finds out.
    pub async fn commit(&self, commit: TableCommit) -> Result<CommitOutcome, TableError> {
        let mut head = self.head.lock().await;
        let outcome = self.commit_at_end(&mut head, &commit).await?;
        let due = checkpoint::take_due(&mut head, commit.at);
        drop(head); // other commits need not wait for the checkpoint
        if let Some(state) = due {
            checkpoint::write(&self.log, state).await;
        }
        Ok(outcome)
    }

    async fn commit_at_end(&self, head: &mut Replay, commit: &TableCommit) -> Result<CommitOutcome, TableError> {
        let id = Uuid::new_v4().to_string();
        let (mut failures, mut races) = (0, 0);
        loop {
            let actions = match plan::plan(head, commit) {
                Ok(Plan::Write(actions)) => actions,
                Ok(Plan::Done) => return Ok(CommitOutcome::AlreadyCommitted(self.snapshot())),
                Err(_) if self.catch_up(head).await? => continue, // T3
                Err(conflict) => return Err(conflict),
            };
            let version = head.version + 1;
            let bytes = entry::encode(commit.operation.name(), &id, commit.at, &actions)?;
            let Err(source) = self.log.create(version, bytes.clone()).await else {
                // The state moves by the bytes in the log, so that it cannot drift from what other readers see.
                head.extend(vec![LogEntry::decode(version, &bytes)?])?;
                self.publish(head);
                return Ok(CommitOutcome::Committed(self.snapshot()));
            };
            match self.log.read(version).await {
                Ok(Some(entry)) => {
                    let ours = entry.commit_id.as_ref() == Some(&id);
                    head.extend(vec![entry])?;
                    self.publish(head);
                    if ours {
                        return Ok(CommitOutcome::Committed(self.snapshot()));
                    }
                    races += 1;
                    if races >= RACES_MAX {
                        return Err(TableError::Contended { attempts: races });
                    }
                    self.catch_up(head).await?;
                }
                Ok(None) | Err(TableError::Store { .. }) => {
                    failures += 1;
                    if failures >= FAILURES_MAX {
                        return Err(TableError::CommitUnknown { version, source });
                    }
                    back_off(failures).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Moves to the end of the log; says whether it was elsewhere.
    async fn catch_up(&self, head: &mut Replay) -> Result<bool, TableError> {
        let before = head.version;
        while let Some(entry) = self.log.read(head.version + 1).await? {
            head.extend(vec![entry])?;
        }
        self.publish(head);
        Ok(head.version > before)
    }

    fn publish(&self, head: &Replay) {
        if self.published.read().version != head.version {
            let snapshot = Arc::new(head.snapshot());
            *self.published.write() = snapshot;
        }
    }
}

impl TableDefinition {
    /// The bytes of version 0.
    fn first_commit(&self) -> Result<Bytes, TableError> {
        let schema = schema::to_delta(&self.schema)?;
        for column in self.partition_columns.iter().chain(&self.stats_columns) {
            if self.schema.column_with_name(column).is_none() {
                return Err(TableError::SchemaConflict { column: column.clone(), reason: "not in the schema" });
            }
        }
        let mut properties = vec![
            // T8: a reader with rights to write must not tidy up commits we count on.
            ("delta.enableExpiredLogCleanup", "false".to_owned()),
            ("delta.dataSkippingNumIndexedCols", "0".to_owned()),
        ];
        if !self.stats_columns.is_empty() {
            properties.push((STATS_COLUMNS_KEY, self.stats_columns.join(",")));
        }
        let metadata = new_metadata(&schema, &self.partition_columns, properties)
            .and_then(|metadata| metadata.with_name(self.name.clone()))
            .map_err(DeltaTableError::from)?;
        let actions = [Action::Protocol(entry::protocol()?), Action::Metadata(metadata)];
        entry::encode("CREATE TABLE", &Uuid::new_v4().to_string(), Utc::now(), &actions)
    }

    /// Whether a table that exists can be what the caller has in mind.
    fn check(&self, head: &Replay) -> Result<(), TableError> {
        let found = head.metadata.partition_columns();
        if found != self.partition_columns {
            let expected = self.partition_columns.clone();
            return Err(TableError::PartitioningMismatch { expected, found: found.to_vec() });
        }
        let current = head.schema.fields();
        let shared: Vec<_> =
            self.schema.fields().iter().filter(|f| current.find(f.name()).is_some()).cloned().collect();
        schema::grow(&head.schema, &Schema::new(shared)).map(|_| ())
    }
}

async fn back_off(failures: u32) {
    tokio::time::sleep(BACKOFF_FIRST * 2u32.saturating_pow(failures.min(8) - 1)).await;
}
