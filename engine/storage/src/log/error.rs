//! What can go wrong with the log, one variant per situation a caller may want to tell apart.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The files contradict each other or their checksums. Nothing was changed; a person decides.
    #[error("log is corrupt: {what}, file={}, offset={offset}", file.display())]
    Corrupt { file: PathBuf, offset: u64, what: &'static str },

    /// Written by a newer version of this program. Nothing was changed.
    #[error("log format is newer than this program, file={}, version={version}", file.display())]
    Version { file: PathBuf, version: u32 },

    /// The file system refused while opening or releasing; try again.
    #[error("cannot {action} log file, file={}", file.display())]
    Io { action: &'static str, file: PathBuf, source: io::Error },

    /// A log is only copied to where there is nothing.
    #[error("directory is not empty, dir={}", dir.display())]
    NotEmpty { dir: PathBuf },

    #[error("there is no log, dir={}", dir.display())]
    Empty { dir: PathBuf },

    /// A counter in the last segment header has no successor. Only forged files get there.
    #[error("log counters are exhausted, dir={}", dir.display())]
    Exhausted { dir: PathBuf },

    /// The caller's own replay function refused a record.
    #[error("log replay was refused, lsn={lsn}")]
    Replay { lsn: u64, source: Box<dyn std::error::Error + Send + Sync> },

    /// The queue is full: the disk is slower than the callers. Try again later.
    #[error("log queue is full")]
    Full,

    #[error("log payload is too large, bytes={bytes}, max={max}")]
    TooLarge { bytes: usize, max: usize },

    /// The disk takes no more at present (L10). The log looks for itself when it can go on; try again later.
    #[error("log has stalled")]
    Stalled { source: Arc<Stall> },

    /// A defect stopped the log. It has to be opened again.
    #[error("log is unavailable")]
    Unavailable { source: Arc<PoisonCause> },

    #[error("log is closed")]
    Closed,
}

/// Why the log takes no entries at present.
#[derive(Debug, thiserror::Error)]
pub enum Stall {
    /// The disk or a quota is full.
    #[error("no space left for the log, file={}", file.display())]
    DiskFull { file: PathBuf, source: io::Error },

    #[error("the file system of the log is read-only, file={}", file.display())]
    ReadOnly { file: PathBuf, source: io::Error },

    #[error("cannot write log file, file={}", file.display())]
    Write { file: PathBuf, source: io::Error },

    /// There is space, but it is kept for flushing what the log holds.
    #[error("little space is left beside the log, bytes={free_bytes}, min={min_bytes}")]
    LowSpace { free_bytes: u64, min_bytes: u64 },

    /// The log holds all that it may until some of it is released.
    #[error("the log has reached its size limit, bytes={bytes}, max={max_bytes}")]
    OverBudget { bytes: u64, max_bytes: u64 },
}

impl Stall {
    /// What it means that `file` could not be written.
    pub(super) fn of_write(file: PathBuf, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { file, source },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { file, source },
            _ => Self::Write { file, source },
        }
    }

    /// Whether flushing and releasing what the log holds makes room.
    pub fn wants_room(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::LowSpace { .. } | Self::OverBudget { .. })
    }
}

/// Why a log stopped for good.
#[derive(Debug, thiserror::Error)]
pub enum PoisonCause {
    #[error("a durability callback panicked, lsn={lsn}")]
    CallbackPanicked { lsn: u64 },
}
