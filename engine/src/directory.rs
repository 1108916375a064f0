//! A data directory belongs to one process at a time.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::{Error, ErrorKind};

/// Between two tries. The kernel offers to wait for a lock, but not for a bounded time.
const TRY_EVERY: Duration = Duration::from_millis(5);

/// The data directory, held until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

impl DataDirectory {
    /// Creates the directory if it is missing and takes it. If another process has it, waits up to `patience` for that
    /// one to end.
    pub async fn take(path: &Path, patience: Duration) -> Result<Self, Error> {
        // Before anything is changed in it.
        footfall_storage::check_directory(path)?;
        std::fs::create_dir_all(path).map_err(|e| unavailable("created", &e))?;
        let file = File::options().create(true).truncate(false).write(true).open(path.join("LOCK"));
        let file = file.map_err(|e| unavailable("locked", &e))?;
        // None: for ever.
        let deadline = Instant::now().checked_add(patience);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { path: path.to_owned(), _lock: file }),
                Err(TryLockError::WouldBlock) if deadline.is_none_or(|deadline| Instant::now() < deadline) => {
                    tokio::time::sleep(TRY_EVERY).await;
                }
                Err(TryLockError::WouldBlock) => {
                    let message = "the data directory is in use by another process";
                    return Err(Error::new(ErrorKind::Conflict, "locked", message));
                }
                Err(TryLockError::Error(e)) => return Err(unavailable("locked", &e)),
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn unavailable(what: &str, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "data_dir", format!("data directory cannot be {what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_has_one_holder_and_the_next_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let first = DataDirectory::take(&path, Duration::ZERO).await.unwrap();
        assert_eq!(DataDirectory::take(&path, Duration::ZERO).await.unwrap_err().code, "locked");
        assert_eq!(DataDirectory::take(&path, TRY_EVERY * 3).await.unwrap_err().code, "locked");
        let next = DataDirectory::take(&path, Duration::from_secs(60));
        let (next, ()) = tokio::join!(next, async { drop(first) });
        assert_eq!(next.unwrap().path(), path);
    }
}
