//! Making a store anew from a backup.

use std::sync::Arc;

use futures::future::ready;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::json;

use super::manifest::{BackupSummary, Entry, Manifest, Selection};
use super::{Copied, IN_FLIGHT, OF_THE_PLACE, RESTORING, location, read_copy};
use crate::error::StorageError;
use crate::sealed::get;

/// A store that was made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub backup: BackupSummary,
}

/// Writes a backup's objects to `to`, which must be empty; one that an earlier try of the same backup has left unfinished
/// is finished. Nothing but the backup is needed.
pub async fn restore(
    from: &Arc<dyn ObjectStore>,
    to: &Arc<dyn ObjectStore>,
    selection: Selection,
    progress: &mut (dyn FnMut(Copied) + Send),
) -> Result<Restored, StorageError> {
    let manifest = Manifest::find(from, selection).await?;
    let (marker, name) = (Path::from(RESTORING), json!({"backup": manifest.header.number}).to_string());
    match get(&**to, &marker).await? {
        Some(unfinished) if unfinished == name.as_bytes() => {}
        Some(_) => return Err(StorageError::NotEmpty { what: "another backup is being restored into it".to_owned() }),
        None => {
            let of_the_place = |path: &Path| OF_THE_PLACE.contains(&path.as_ref());
            let mut there = to.list(None).try_filter(|object| ready(!of_the_place(&object.location)));
            if let Some(object) = there.try_next().await? {
                return Err(StorageError::NotEmpty { what: format!("it has {}", object.location) });
            }
            to.put(&marker, name.into()).await?;
        }
    }
    let (mut done, total) = (0, manifest.header.bytes);
    let copies = manifest.objects.iter().map(|entry| copy(from, to, entry));
    let mut copies = stream::iter(copies).buffer_unordered(IN_FLIGHT);
    while let Some(bytes) = copies.try_next().await? {
        done += bytes;
        progress(Copied { done, total });
    }
    to.delete(&marker).await?;
    Ok(Restored { backup: manifest.summary() })
}

async fn copy(from: &Arc<dyn ObjectStore>, to: &Arc<dyn ObjectStore>, entry: &Entry) -> Result<u64, StorageError> {
    let bytes = match &entry.text {
        Some(text) => text.clone().into_bytes().into(),
        None => {
            let missing = || StorageError::corrupt(entry.location().as_ref(), "missing");
            read_copy(from, entry).await?.ok_or_else(missing)?
        }
    };
    to.put(&location(&entry.path), bytes.into()).await?;
    Ok(entry.bytes)
}
