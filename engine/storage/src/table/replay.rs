//! The state of a table, folded from its log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use deltalake_core::kernel::{Metadata, Protocol};

use super::entry::LogEntry;
use super::error::TableError;
use super::schema;
use super::snapshot::{FileEntry, TableSnapshot, Tombstone};

/// Table property that names the columns files have statistics for; see [`TableDefinition`](super::TableDefinition).
pub(super) const STATS_COLUMNS_KEY: &str = "delta.dataSkippingStatsColumns";

/// The table at `version`. Changes only by whole commits, and not at all when one of them does not hold.
#[derive(Clone, Debug)]
pub(super) struct Replay {
    pub version: u64,
    pub protocol: Protocol,
    pub metadata: Metadata,
    pub schema: SchemaRef,
    pub stats_columns: BTreeSet<String>,
    pub properties: Arc<BTreeMap<String, String>>,
    pub files: BTreeMap<String, Arc<FileEntry>>,
    pub tombstones: BTreeMap<String, Arc<Tombstone>>,
    pub transactions: BTreeMap<String, i64>,
    /// The version of the newest checkpoint that was written, or at least tried.
    pub checkpoint: u64,
}

impl Replay {
    /// Starts from the commit that created the table, or from a checkpoint.
    pub fn start(mut first: LogEntry) -> Result<Self, TableError> {
        let version = first.version;
        let (Some(metadata), Some(protocol)) = (first.metadata.take(), first.protocol.take()) else {
            return Err(TableError::Corrupt { version, reason: "the log starts without metadata or protocol".into() });
        };
        let mut replay = Self {
            version,
            protocol,
            schema: parse_schema(version, &metadata)?,
            stats_columns: stats_columns(&metadata),
            properties: properties(&metadata),
            metadata,
            files: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            transactions: BTreeMap::new(),
            checkpoint: version,
        };
        replay.apply(first);
        Ok(replay)
    }

    /// Applies commits that directly follow, all of them or none.
    pub fn extend(&mut self, mut entries: Vec<LogEntry>) -> Result<(), TableError> {
        for (expected, entry) in (self.version + 1..).zip(&entries) {
            if entry.version != expected {
                return Err(TableError::Corrupt { version: expected, reason: "missing from the log".into() });
            }
        }
        // Only the last schema matters, and parsing one of thousands of columns is not free.
        let changed = entries.iter_mut().rev().find_map(|entry| Some((entry.version, entry.metadata.take()?)));
        if let Some((version, metadata)) = changed {
            self.schema = parse_schema(version, &metadata)?;
            self.stats_columns = stats_columns(&metadata);
            self.properties = properties(&metadata);
            self.metadata = metadata;
        }
        entries.into_iter().for_each(|entry| self.apply(entry));
        Ok(())
    }

    pub fn snapshot(&self) -> TableSnapshot {
        TableSnapshot {
            version: self.version,
            schema: Arc::clone(&self.schema),
            partition_columns: self.metadata.partition_columns().to_vec(),
            properties: Arc::clone(&self.properties),
            files: self.files.values().cloned().collect(),
            tombstones: self.tombstones.values().cloned().collect(),
            transactions: self.transactions.clone(),
        }
    }

    fn apply(&mut self, entry: LogEntry) {
        for gone in entry.removes {
            self.files.remove(&gone.path);
            self.tombstones.insert(gone.path.clone(), Arc::new(gone));
        }
        for file in entry.adds {
            self.tombstones.remove(&file.path);
            self.files.insert(file.path.clone(), Arc::new(file));
        }
        self.transactions.extend(entry.transactions);
        if let Some(protocol) = entry.protocol {
            self.protocol = protocol;
        }
        self.version = entry.version;
    }
}

fn parse_schema(version: u64, metadata: &Metadata) -> Result<SchemaRef, TableError> {
    let schema = metadata.parse_schema().map_err(|error| TableError::Corrupt { version, reason: error.to_string() })?;
    schema::to_arrow(&schema)
}

fn properties(metadata: &Metadata) -> Arc<BTreeMap<String, String>> {
    Arc::new(metadata.configuration().iter().map(|(key, value)| (key.clone(), value.clone())).collect())
}

fn stats_columns(metadata: &Metadata) -> BTreeSet<String> {
    let names = metadata.configuration().get(STATS_COLUMNS_KEY).map(String::as_str).unwrap_or_default();
    names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
