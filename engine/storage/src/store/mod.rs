//! Which object store a configuration means: a local folder, or a bucket of Google's or Amazon's kind.
//!
//! A local folder is a [`DurableLocal`](crate::DurableLocal). A bucket is reached through its provider's client and a
//! [`BucketStore`], which is everything we count on and the clients do not give. Credentials come from the environment
//! by each provider's standard chain.

mod address;
mod bucket;
mod probe;
mod profile;
mod providers;
mod reach;
mod reading;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::prefix::PrefixStore;
use url::Url;

use crate::durable::DurableLocal;
use crate::error::StorageError;
use address::Address;
use bucket::BucketStore;
pub(crate) use probe::OBJECT as PROBED;

/// How buckets are asked. Plain settings; a local folder has no use for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorePolicy {
    /// What one request may take from connecting to the last byte; `None` is what the provider's client thinks right.
    pub request_timeout: Option<Duration>,
    /// How long a request that fails is tried again. A bucket that has failed everything for so long is away: it is asked
    /// once a second, and whoever needs it meanwhile is told at once.
    pub patience: Duration,
}

impl Default for StorePolicy {
    fn default() -> Self {
        Self { request_timeout: None, patience: Duration::from_secs(15) }
    }
}

/// Opens `store`, or the folder `store` within the data directory. Reaches for nothing yet: see [`probe_store`].
pub fn open_store(
    data_dir: &Path,
    store: Option<&Url>,
    policy: &StorePolicy,
) -> Result<Arc<dyn ObjectStore>, StorageError> {
    match address(data_dir, store)? {
        Address::Folder(folder) => local(&folder),
        Address::Bucket { provider, bucket, prefix } => {
            let client = providers::client(provider, &bucket, policy)?;
            let opened = Arc::new(BucketStore::new(client, policy.patience));
            Ok(if prefix.is_root() { opened } else { Arc::new(PrefixStore::new(opened, prefix)) })
        }
    }
}

/// Finds out whether a bucket can be reached, written, read and listed, and keeps what was created; the error says what
/// to do. Of a local folder nothing is asked: a full disk is no reason not to start.
pub async fn probe_store(store: &dyn ObjectStore, url: Option<&Url>) -> Result<(), StorageError> {
    match url {
        Some(url) if url.scheme() != "file" => probe::probe(store, url).await,
        _ => Ok(()),
    }
}

/// As [`probe_store`], for who only reads: nothing is written.
pub async fn reach_store(store: &dyn ObjectStore, url: Option<&Url>) -> Result<(), StorageError> {
    match url {
        Some(url) if url.scheme() != "file" => probe::reach(store, url).await,
        _ => Ok(()),
    }
}

/// Deletes what a crash left half-written in a local store. For the process that owns the data directory, before it
/// writes anything; object stores leave nothing of the kind.
pub fn remove_leftovers(data_dir: &Path, store: Option<&Url>) -> Result<(), StorageError> {
    let Address::Folder(folder) = address(data_dir, store)? else { return Ok(()) };
    let removed = DurableLocal::new(&folder)?.remove_staged()?;
    if removed > 0 {
        tracing::info!(removed, "half-written files of a crash deleted");
    }
    Ok(())
}

fn address(data_dir: &Path, store: Option<&Url>) -> Result<Address, StorageError> {
    match store {
        None => Ok(Address::Folder(data_dir.join("store"))),
        Some(url) => Address::parse(url),
    }
}

fn local(folder: &PathBuf) -> Result<Arc<dyn ObjectStore>, StorageError> {
    let reason = |e: std::io::Error| StorageError::StoreAddress { reason: format!("{}: {e}", folder.display()) };
    std::fs::create_dir_all(folder).map_err(reason)?;
    Ok(Arc::new(DurableLocal::new(folder)?))
}
