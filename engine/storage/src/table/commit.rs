//! What a caller may ask of the log in one atomic step, and what the answer can be.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;

use super::snapshot::TableSnapshot;

/// One atomic change of a table: all of it becomes visible in one version, or nothing does.
#[derive(Clone, Debug)]
pub struct TableCommit {
    pub operation: Operation,
    /// The caller's clock; stored as modification, deletion and commit time.
    pub at: DateTime<Utc>,
    pub adds: Vec<AddFile>,
    /// Paths as in [`FileEntry::path`](super::FileEntry::path). Each must be in the table when the commit lands.
    pub removes: Vec<String>,
    /// Columns the table must have from this version on. Columns it has already are checked, missing ones are
    /// appended in this order; columns absent here stay. Concurrent growth by other writers is merged.
    pub schema: Option<SchemaRef>,
    /// Table properties that have these values from this version on. An empty value, or the empty list `[]`, is not
    /// written where the table has none.
    pub properties: Vec<(String, String)>,
    /// Compare-and-set that makes the commit land exactly once. Without it the file names play that part.
    pub transaction: Option<Transaction>,
    /// Versions of further applications, set in the same atomic step and not compared with what they were: things that
    /// only the owner of `transaction` moves.
    pub positions: Vec<(String, i64)>,
}

/// Why the files change. Readers that follow the log as a stream skip files of a commit that changes no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// New rows.
    Append,
    /// The same rows in other files.
    Compact,
    /// Rows were taken out or rewritten.
    Erase,
}

impl Operation {
    /// Delta's word for it, for those who read a table's history.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Append => "WRITE",
            Self::Compact => "OPTIMIZE",
            Self::Erase => "DELETE",
        }
    }
}

/// Moves `app_id` from one version to a higher one, in the same atomic step as the files.
///
/// Two writers that believe they own the same `app_id` cannot both succeed, which is what fences a zombie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub app_id: String,
    /// The version the caller's work started from, `None` if this `app_id` never committed. Take it from the snapshot
    /// that the work rests on: one read just before the commit would let an outdated writer through.
    pub from: Option<i64>,
    pub to: i64,
}

/// A Parquet file that is already durable in the store and now becomes part of the table.
#[derive(Clone, Debug)]
pub struct AddFile {
    /// Relative to the table's root, e.g. `day=2026-11-21/shard=3/0192….parquet`. Never reused.
    pub path: String,
    /// Exactly the table's partition columns; `day` as `YYYY-MM-DD`, integers in decimal.
    pub partition_values: Vec<(String, String)>,
    pub bytes: u64,
    pub rows: u64,
    pub tags: BTreeMap<String, String>,
    pub stats: Vec<ColumnStats>,
}

/// Bounds of one column within a file, from which readers prune.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnStats {
    pub column: String,
    /// Not above the smallest value.
    pub min: Value,
    /// Not below the largest value.
    pub max: Value,
    pub nulls: u64,
}

/// How a commit ended. Either way the work is in the table; only after `Committed` is it in *these* files for sure.
#[derive(Clone, Debug)]
pub enum CommitOutcome {
    /// Our files are in the table, exactly once.
    Committed(Arc<TableSnapshot>),
    /// The transaction had reached `to` before (or, without a transaction, the files were in). Nothing was written;
    /// files of this attempt that the snapshot does not name are orphans.
    AlreadyCommitted(Arc<TableSnapshot>),
}

impl CommitOutcome {
    pub fn snapshot(&self) -> &Arc<TableSnapshot> {
        match self {
            Self::Committed(snapshot) | Self::AlreadyCommitted(snapshot) => snapshot,
        }
    }
}

impl ColumnStats {
    /// Bounds of a timestamp column, in milliseconds since the epoch (the resolution Delta statistics have).
    /// A time that no calendar can write gives no bounds rather than wrong ones.
    pub fn timestamp_millis(column: impl Into<String>, min: i64, max: i64, nulls: u64) -> Self {
        let text = |ms| match DateTime::<Utc>::from_timestamp_millis(ms) {
            Some(time) => Value::from(time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => Value::Null,
        };
        Self { column: column.into(), min: text(min), max: text(max), nulls }
    }
}
