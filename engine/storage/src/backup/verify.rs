//! Reading backups back, every byte.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use serde::Serialize;

use super::manifest::{Entry, Manifest, Selection, numbers};
use super::{Copied, IN_FLIGHT, read_copy};
use crate::error::StorageError;
use crate::verify::StoreDamage;

/// What a check came to.
#[derive(Debug, Default, Serialize)]
pub struct VerifiedBackups {
    pub backups: u64,
    pub objects: u64,
    pub bytes: u64,
    pub damages: Vec<StoreDamage>,
}

/// Reads every object of the selected backup, or of all.
pub async fn verify(
    target: &Arc<dyn ObjectStore>,
    selection: Option<Selection>,
    progress: &mut (dyn FnMut(Copied) + Send),
) -> Result<VerifiedBackups, StorageError> {
    let mut verified = VerifiedBackups::default();
    let mut manifests = Vec::new();
    match selection {
        Some(selection) => manifests.push(Manifest::find(target, selection).await?),
        None => {
            for number in numbers(target).await? {
                match Manifest::load(target, number).await {
                    Ok(manifest) => manifests.push(manifest),
                    Err(StorageError::CorruptSegment { path, what }) => {
                        verified.damages.push(StoreDamage { path, what });
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
    verified.backups = manifests.len() as u64;
    if verified.backups == 0 && verified.damages.is_empty() {
        return Err(StorageError::NoBackup);
    }
    // Most objects are in most backups.
    let objects = manifests.into_iter().flat_map(|manifest| manifest.objects);
    let objects: BTreeMap<String, Entry> =
        objects.filter(|entry| entry.text.is_none()).map(|entry| (entry.location().to_string(), entry)).collect();
    let total = objects.values().map(|entry| entry.bytes).sum();
    let mut checks = stream::iter(objects.into_values()).map(|entry| check(target, entry)).buffer_unordered(IN_FLIGHT);
    while let Some((bytes, damage)) = checks.try_next().await? {
        verified.objects += 1;
        verified.bytes += bytes;
        verified.damages.extend(damage);
        progress(Copied { done: verified.bytes, total });
    }
    verified.damages.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(verified)
}

async fn check(target: &Arc<dyn ObjectStore>, entry: Entry) -> Result<(u64, Option<StoreDamage>), StorageError> {
    let path = entry.location();
    let damage = |what: &str| StoreDamage { path: path.to_string(), what: what.to_owned() };
    match read_copy(target, &entry).await {
        Ok(Some(_)) => Ok((entry.bytes, None)),
        Ok(None) => Ok((0, Some(damage("missing")))),
        Err(StorageError::CorruptSegment { what, .. }) => Ok((entry.bytes, Some(damage(&what)))),
        Err(error) => Err(error),
    }
}
