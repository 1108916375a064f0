//! What can go wrong, sorted by what the caller should do about it.

use std::ops::Range;

use datafusion::error::DataFusionError;
use footfall_query::QueryError;
use footfall_storage::log::{LogError, Stall};
use footfall_storage::table::TableError;
use footfall_storage::{StorageError, chain};

/// What the caller should do: the server maps each kind to a status once per protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong; sending it again changes nothing.
    Invalid,
    /// No such project, table or report.
    NotFound,
    /// The request contradicts what is stored.
    Conflict,
    /// Try again later: overloaded, disk full, store unreachable.
    Unavailable,
    /// Stored data does not match its checksum or its invariants.
    Corrupt,
    /// A defect of ours.
    Internal,
}

/// An error as a client may see it: no paths, no secrets, no other project's names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub kind: ErrorKind,
    /// Stable word for programs: `parse`, `type`, `sql`, `unavailable`, …
    pub code: &'static str,
    pub message: String,
    /// The request's field at fault, where one is.
    pub field: Option<&'static str>,
    /// Byte offsets into the expression at fault.
    pub span: Option<Range<usize>>,
}

impl Error {
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into(), field: None, span: None }
    }

    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, code, message)
    }

    pub fn with_field(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    pub fn with_span(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        Self::from(&error)
    }
}

impl From<&StorageError> for Error {
    fn from(error: &StorageError) -> Self {
        if let Some(stall) = stall(error) {
            return stalled(stall);
        }
        match error {
            StorageError::Backpressure { .. } => Self::new(
                ErrorKind::Unavailable,
                "backpressure",
                "more events than can be stored at once; please retry",
            ),
            StorageError::Log(LogError::Full) => {
                Self::new(ErrorKind::Unavailable, "backpressure", "the log is behind; please retry")
            }
            StorageError::CorruptSegment { .. }
            | StorageError::CorruptRecord { .. }
            | StorageError::Table(TableError::Corrupt { .. })
            | StorageError::Log(LogError::Corrupt { .. }) => {
                tracing::error!(error = %chain(error), "stored data is corrupt");
                Self::new(ErrorKind::Corrupt, "corrupt", chain(error))
            }
            StorageError::NewerFormat { .. } | StorageError::RestoreUnfinished | StorageError::NotEmpty { .. } => {
                Self::new(ErrorKind::Conflict, "format", error.to_string())
            }
            StorageError::NoBackup => Self::new(ErrorKind::NotFound, "backup", error.to_string()),
            StorageError::TooLarge { .. } => Self::invalid(
                "too_large",
                "the request, with the events that it replaces, is too large; please send fewer at a time",
            ),
            StorageError::SequenceTooLarge { .. } => {
                Self::invalid("invalid", "sequence, must be below 2^63").with_field("sequence")
            }
            StorageError::StoreUnusable { .. } => {
                Self::new(ErrorKind::Unavailable, "store", error.to_string()).with_field("store")
            }
            StorageError::StoreAddress { .. } => {
                Self::new(ErrorKind::Invalid, "store", error.to_string()).with_field("store")
            }
            _ => {
                tracing::error!(error = %chain(error), "storage failed");
                Self::new(ErrorKind::Unavailable, "storage", "a temporary failure occurred")
            }
        }
    }
}

/// The log's reason to refuse, if it is one that passes.
fn stall(error: &StorageError) -> Option<&Stall> {
    let error = match error {
        StorageError::Log(error) => error,
        StorageError::LogGroup(error) => error,
        _ => return None,
    };
    match error {
        LogError::Stalled { source } => Some(source),
        _ => None,
    }
}

/// Queries go on and the log looks by itself when it can; it has told the operator's log why.
pub(crate) fn stalled(stall: &Stall) -> Error {
    let (code, message) = match stall {
        Stall::DiskFull { .. } | Stall::LowSpace { .. } => {
            ("log_full", "the disk is full; nothing is stored until there is room")
        }
        Stall::OverBudget { .. } => {
            ("log_full", "the log is full; nothing is stored until some of it is in the tables")
        }
        Stall::ReadOnly { .. } => ("read_only", "the disk is read-only; nothing is stored"),
        Stall::Write { .. } => ("log_failed", "the disk does not take what is written; nothing is stored"),
    };
    Error::new(ErrorKind::Unavailable, code, message)
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Parse { field, message, span } => {
                Self::invalid("parse", message).with_field(field).with_span(span)
            }
            QueryError::Type { field, message, span } => {
                Self::invalid("type", message).with_field(field).with_span(span)
            }
            QueryError::Statement { message } => Self::invalid("sql", message).with_field("query"),
            QueryError::Spec { field, message } => Self::invalid("invalid", message).with_field(field),
            QueryError::Storage(error) => error.into(),
            QueryError::Cancelled => Self::new(ErrorKind::Unavailable, "cancelled", "the query was cancelled"),
            QueryError::Execution(error) => execution(&error),
        }
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        execution(&error)
    }
}

/// A query that failed while it ran: its own fault (a cast, an overflow), ours, or the machine's.
fn execution(error: &DataFusionError) -> Error {
    match error.find_root() {
        // Such as a damaged segment: no answer rather than a wrong one.
        root @ DataFusionError::External(source) => {
            source.downcast_ref::<StorageError>().map_or_else(|| failed(root), Error::from)
        }
        DataFusionError::ResourcesExhausted(_) => {
            Error::new(ErrorKind::Unavailable, "resources", "the query needs more memory than it may have")
        }
        root @ (DataFusionError::ArrowError(..)
        | DataFusionError::Execution(_)
        | DataFusionError::Plan(_)
        | DataFusionError::NotImplemented(_)) => Error::invalid("sql", root.strip_backtrace()).with_field("query"),
        root => failed(root),
    }
}

fn failed(error: &dyn std::error::Error) -> Error {
    tracing::error!(error = %chain(error), "query failed");
    Error::new(ErrorKind::Internal, "internal", "the query failed")
}
