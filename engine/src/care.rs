//! What looks after a store as a whole, with or without an engine on it: checks, backups, a look into one file.

pub use footfall_storage::backup::{BackupSummary, Copied, Created, Restored, Selection, VerifiedBackups};
pub use footfall_storage::segment::{ColumnReport, FileReport, GroupReport};
pub use footfall_storage::{Checked, Depth, Orphan, StoreDamage, Verification, VerifiedProject};
use std::sync::Arc;

use bytes::Bytes;
use chrono::Utc;
use footfall_storage::{backup, check_store, probe_store, reach_store, verify_store};
use object_store::ObjectStore;
use url::Url;

use crate::Error;

type Store = Arc<dyn ObjectStore>;

/// Finds out whether a bucket can be written to; the error says what to do.
pub async fn probe(store: &Store, url: &Url) -> Result<(), Error> {
    Ok(probe_store(&**store, Some(url)).await?)
}

/// Finds out whether a bucket can be read; the error says what to do.
pub async fn reach(store: &Store, url: &Url) -> Result<(), Error> {
    Ok(reach_store(&**store, Some(url)).await?)
}

/// Describes a Parquet file of ours.
pub fn inspect(path: &str, file: &Bytes) -> Result<FileReport, Error> {
    Ok(footfall_storage::segment::inspect(path, file)?)
}

/// Reads and checks everything in a store.
pub async fn verify(
    store: &Store,
    depth: Depth,
    progress: &mut (dyn FnMut(Checked<'_>) + Send),
) -> Result<Verification, Error> {
    check_store(store).await?;
    Ok(verify_store(store, depth, progress).await?)
}

/// Makes a backup of what is in the tables.
pub async fn back_up(
    source: &Store,
    target: &Store,
    progress: &mut (dyn FnMut(Copied) + Send),
) -> Result<Created, Error> {
    check_store(source).await?;
    Ok(backup::create(source, target, Utc::now(), progress).await?)
}

/// All backups of a target, oldest first.
pub async fn backups(target: &Store) -> Result<Vec<BackupSummary>, Error> {
    Ok(backup::list(target).await?)
}

/// Reads every object of the selected backup, or of all.
pub async fn verify_backups(
    target: &Store,
    selection: Option<Selection>,
    progress: &mut (dyn FnMut(Copied) + Send),
) -> Result<VerifiedBackups, Error> {
    Ok(backup::verify(target, selection, progress).await?)
}

/// Makes an empty store what a backup says.
pub async fn restore(
    from: &Store,
    to: &Store,
    selection: Selection,
    progress: &mut (dyn FnMut(Copied) + Send),
) -> Result<Restored, Error> {
    Ok(backup::restore(from, to, selection, progress).await?)
}
