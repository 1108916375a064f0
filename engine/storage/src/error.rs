//! What storage can fail with.

use std::sync::Arc;

use object_store::path::Path;
use parquet::errors::ParquetError;

use crate::failpoint::Injected;
use crate::log::{LogError, Lsn};
use crate::table::TableError;

#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("log append failed")]
    Log(#[from] LogError),

    /// The log answered a waiting request with an error; many requests share one cause.
    #[error("log group failed")]
    LogGroup(#[source] Arc<LogError>),

    #[error("a table cannot be read or written")]
    Table(#[from] TableError),

    #[error("object store request failed")]
    Store(#[from] object_store::Error),

    /// A table has what the log does not: the log's end is lost.
    #[error("log ends before what the table holds, flushed={flushed}, next={next}")]
    LogBehind { flushed: Lsn, next: Lsn },

    /// Only in builds with failpoints.
    #[error("a failure was asked for")]
    Injected(#[from] Injected),

    #[error("parquet file could not be read or written")]
    Parquet(#[source] ParquetError),

    #[error("the table's list of properties without columns is damaged")]
    CorruptProperties(#[source] serde_json::Error),

    #[error("columns could not be built")]
    Arrow(#[from] arrow::error::ArrowError),

    #[error("segment is corrupt: {what}, path={path}")]
    CorruptSegment { path: String, what: String },

    /// Written by a later version; it is left as it is.
    #[error("written by a newer version of footfall: {what} has format {found}, this program knows up to {known}")]
    NewerFormat { what: String, found: u32, known: u32 },

    /// Half of a store is worse than none.
    #[error("a backup is being restored into this store and is not whole yet; run the same restore again to finish it")]
    RestoreUnfinished,

    #[error("there is no such backup")]
    NoBackup,

    /// Nothing is restored over what is there.
    #[error("the place to restore to is not empty: {what}")]
    NotEmpty { what: String },

    #[error("log record is corrupt: {what}, lsn={lsn}")]
    CorruptRecord { lsn: u64, what: String },

    /// The request, with the copies that it replaces, does not fit one log record. Fewer at a time do.
    #[error("request is too large, bytes={bytes}")]
    TooLarge { bytes: usize },

    /// The number of an import's part does not fit a table.
    #[error("number of an import's part is too large, sequence={sequence}")]
    SequenceTooLarge { sequence: u64 },

    /// More live rows than memory is set aside for; the flush has not caught up.
    #[error("live rows are at their limit, rows={rows}")]
    Backpressure { rows: usize },

    /// The table says that this log's rows were flushed by someone else: two processes own one log.
    #[error("another process flushes this log")]
    Fenced,

    #[error("store address is not usable: {reason}")]
    StoreAddress { reason: String },

    /// A bucket that was tried out and found wanting.
    #[error("store {store} {what}; {fix}")]
    StoreUnusable { store: String, what: &'static str, fix: String },

    /// The process is shutting down, or the task was lost.
    #[error("storage is closed")]
    Closed,
}

impl StorageError {
    pub(crate) fn corrupt(path: &str, what: &str) -> Self {
        Self::CorruptSegment { path: path.to_owned(), what: what.to_owned() }
    }

    /// The same damage, told with the place in the store.
    pub(crate) fn located(self, location: &Path) -> Self {
        match self {
            Self::CorruptSegment { what, .. } => Self::CorruptSegment { path: location.to_string(), what },
            other => other,
        }
    }
}

/// What our own readers failed with comes back through Parquet's as a foreign error.
impl From<ParquetError> for StorageError {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(error) => match error.downcast::<Self>() {
                Ok(own) => *own,
                Err(foreign) => Self::Parquet(ParquetError::External(foreign)),
            },
            error => Self::Parquet(error),
        }
    }
}

/// An error with its causes, for logs and for the operator of a damaged store. Each is said once: some texts of libraries
/// hold those of their causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}
