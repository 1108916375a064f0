//! Which version of everything a folder or a bucket has: `FORMAT.json`, beside the tables and in the data directory.
//!
//! Each structure says its own version too. This file is what is looked at first, before anything is changed: what a
//! newer program has written is refused and left as it is.

use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};

use crate::backup::RESTORING;
use crate::error::StorageError;
use crate::sealed;
use crate::sound::read_sound;

/// The version that is written, and the newest that is read.
const FORMAT: u32 = 1;
const FILE: &str = "FORMAT.json";

#[derive(Serialize, Deserialize)]
struct FormatFile {
    format: u32,
    written_by: String,
}

/// Refuses a store that a newer program has written, or that a restoration has not finished; says the version of one
/// that is new or of the time before the file. For the process that writes to it.
pub async fn enter_store(store: &Arc<dyn ObjectStore>) -> Result<(), StorageError> {
    if check_store(store).await? == Known::Unsaid {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match store.put_opts(&Path::from(FILE), text().into(), options).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
            // What is there can be read without it, also where nothing can be written.
            Err(error) => tracing::warn!(%error, "the version of the store cannot be noted"),
        }
    }
    Ok(())
}

/// Whether a place says its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Said,
    Unsaid,
}

/// As [`enter_store`], for readers: writes nothing.
pub async fn check_store(store: &Arc<dyn ObjectStore>) -> Result<Known, StorageError> {
    if store.head(&Path::from(RESTORING)).await.is_ok() {
        return Err(StorageError::RestoreUnfinished);
    }
    let path = Path::from(FILE);
    let known = read_sound(|| sealed::get(&**store, &path), |bytes| check(FILE, &bytes)).await?;
    Ok(known.unwrap_or(Known::Unsaid))
}

/// Refuses a data directory that a newer program has written.
pub fn check_directory(dir: &FilePath) -> Result<Known, StorageError> {
    let path = dir.join(FILE);
    match std::fs::read(&path) {
        Ok(bytes) => check(&path.display().to_string(), &bytes.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Known::Unsaid),
        Err(error) => Err(StorageError::StoreAddress { reason: format!("{}: {error}", path.display()) }),
    }
}

/// Says the version of a data directory that does not; for the process that holds it.
pub fn enter_directory(dir: &FilePath) -> Result<(), StorageError> {
    if check_directory(dir)? == Known::Unsaid {
        let path = dir.join(FILE);
        let staged = path.with_extension("new");
        let written = std::fs::write(&staged, text()).and_then(|()| std::fs::rename(&staged, &path));
        // It says what is so without it: a disk that is full or read-only is for others to complain of.
        if let Err(error) = written {
            tracing::warn!(%error, path = %path.display(), "the version of the data directory cannot be noted");
        }
    }
    Ok(())
}

fn check(what: &str, bytes: &Bytes) -> Result<Known, StorageError> {
    let file: FormatFile = serde_json::from_slice(bytes).map_err(|_| StorageError::corrupt(what, "malformed"))?;
    match file.format {
        0 => Err(StorageError::corrupt(what, "malformed")),
        found if found > FORMAT => Err(StorageError::NewerFormat { what: what.to_owned(), found, known: FORMAT }),
        _ => Ok(Known::Said),
    }
}

fn text() -> String {
    format!("{{\"format\":{FORMAT},\"written_by\":\"footfall {}\"}}\n", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn a_newer_store_is_refused_and_left_alone() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        enter_store(&store).await.unwrap();
        enter_store(&store).await.unwrap();
        assert_eq!(check_store(&store).await.unwrap(), Known::Said);
        let newer = r#"{"format":2,"written_by":"footfall 9.0.0","more":[]}"#;
        store.put(&Path::from(FILE), newer.into()).await.unwrap();
        let error = enter_store(&store).await.unwrap_err();
        assert!(matches!(error, StorageError::NewerFormat { found: 2, known: FORMAT, .. }), "{error}");
        let after = store.get(&Path::from(FILE)).await.unwrap().bytes().await.unwrap();
        assert_eq!(after, newer.as_bytes());
        for damaged in ["", "{}", r#"{"format":0,"written_by":""}"#] {
            store.put(&Path::from(FILE), damaged.into()).await.unwrap();
            assert!(matches!(enter_store(&store).await, Err(StorageError::CorruptSegment { .. })), "{damaged}");
        }
    }

    #[test]
    fn a_newer_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        enter_directory(dir.path()).unwrap();
        assert_eq!(check_directory(dir.path()).unwrap(), Known::Said);
        std::fs::write(dir.path().join(FILE), r#"{"format":7,"written_by":"footfall 9.0.0"}"#).unwrap();
        assert!(matches!(enter_directory(dir.path()), Err(StorageError::NewerFormat { found: 7, .. })));
    }
}
