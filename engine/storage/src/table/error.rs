//! What can go wrong with a table, one variant per situation a caller may have to tell apart.

use arrow::error::ArrowError;
use deltalake_core::DeltaTableError;

/// Errors of a [`Table`](super::Table).
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The object store failed while reading; nothing was written. Retry later.
    #[error("object store failed, path={path}")]
    Store { path: String, source: object_store::Error },

    /// The store failed and the log could not tell whether the commit was applied; it may still turn up.
    /// Call `commit` again with the same transaction, or the same file names: it lands once either way.
    #[error("commit outcome unknown, version={version}")]
    CommitUnknown { version: u64, source: object_store::Error },

    /// Other writers took every version we tried to commit. Retry later.
    #[error("commit lost every race, attempts={attempts}")]
    Contended { attempts: u32 },

    /// Someone else moved this transaction: another writer owns what the commit is about. Do not retry.
    #[error("transaction moved by another writer, app_id={app_id} expected={expected:?} found={found:?}")]
    TransactionConflict { app_id: String, expected: Option<i64>, found: Option<i64> },

    /// A file to be removed is not in the table (any more): the commit rests on an outdated snapshot.
    #[error("file to remove is not in the table, path={path}")]
    FileMissing { path: String },

    /// A file to be added is already in the table.
    #[error("file to add is already in the table, path={path}")]
    FileExists { path: String },

    /// The commit contradicts itself or the table's partitioning: a bug in the caller.
    #[error("invalid commit: {reason}, path={path}")]
    InvalidCommit { reason: &'static str, path: String },

    /// A column would change its type, become required, or change the meaning its metadata records.
    #[error("schema change is not additive: {reason}, column={column}")]
    SchemaConflict { column: String, reason: &'static str },

    /// The table exists with other partition columns than the definition names.
    #[error("table is partitioned by {found:?}, expected={expected:?}")]
    PartitioningMismatch { expected: Vec<String>, found: Vec<String> },

    /// A type that Delta cannot express, or a schema string that does not parse.
    #[error("schema cannot be converted")]
    SchemaConversion { source: ArrowError },

    /// A newer or foreign engine turned on a feature that we would silently ignore.
    #[error("table uses an unsupported feature: {feature}, version={version}")]
    Unsupported { version: u64, feature: String },

    /// The log is damaged. Never retried, never guessed around.
    #[error("table log is corrupt: {reason}, version={version}")]
    Corrupt { version: u64, reason: String },

    /// deltalake-core refused what we gave it.
    #[error("delta protocol error")]
    Delta(#[from] DeltaTableError),
}
