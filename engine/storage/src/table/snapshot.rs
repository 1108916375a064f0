//! One version of a table, immutable and cheap to share.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};

use super::labels::Labels;

/// The table as of one version. Files are shared between versions, so holding an old snapshot costs little.
#[derive(Clone, Debug)]
pub struct TableSnapshot {
    pub version: u64,
    /// Columns in table order with their metadata; timestamps are always `Timestamp(Microsecond, "UTC")`.
    pub schema: SchemaRef,
    pub partition_columns: Vec<String>,
    /// The table's properties, Delta's own and others.
    pub properties: Arc<BTreeMap<String, String>>,
    /// The live files, ordered by path.
    pub files: Vec<Arc<FileEntry>>,
    /// Removed files that the log still remembers, ordered by path: what a garbage collector may delete.
    pub tombstones: Vec<Arc<Tombstone>>,
    /// The last committed version of every application.
    pub transactions: BTreeMap<String, i64>,
}

/// A live file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Relative to the table's root, decoded.
    pub path: String,
    /// A partition value that is null is absent.
    pub partition_values: Labels,
    pub bytes: u64,
    pub rows: u64,
    pub tags: Labels,
    /// The Delta statistics as written: JSON with `numRecords`, `minValues`, `maxValues`, `nullCount`.
    pub stats: Option<String>,
    /// Milliseconds since the epoch.
    pub modified_at_ms: i64,
}

/// A file that was live once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    pub path: String,
    /// The committing writer's clock.
    pub removed_at: DateTime<Utc>,
    pub partition_values: Labels,
    pub bytes: u64,
}

impl TableSnapshot {
    /// The last committed version of `app_id`: what [`Transaction::from`](super::Transaction::from) expects.
    pub fn transaction(&self, app_id: &str) -> Option<i64> {
        self.transactions.get(app_id).copied()
    }

    /// The live file at `path`.
    pub fn file(&self, path: &str) -> Option<&Arc<FileEntry>> {
        self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok().and_then(|at| self.files.get(at))
    }
}
