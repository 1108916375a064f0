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

    /// The log stopped acknowledging (L10). It has to be opened again.
    #[error("log is unavailable")]
    Unavailable { source: Arc<PoisonCause> },

    #[error("log is closed")]
    Closed,
}

/// Why a log stopped acknowledging.
#[derive(Debug, thiserror::Error)]
pub enum PoisonCause {
    #[error("cannot write log file, file={}", file.display())]
    Write { file: PathBuf, source: io::Error },

    #[error("a durability callback panicked, lsn={lsn}")]
    CallbackPanicked { lsn: u64 },
}
