//! The log's objects in the store: numbered commits that are created once and never changed.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};

use super::entry::LogEntry;
use super::error::TableError;
use crate::failpoint;
use crate::sound::read_sound;

/// Commits fetched at once while opening; a store answers each in 20–50 ms.
const READS_CONCURRENT_MAX: usize = 32;

/// The `_delta_log` folder of one table.
#[derive(Debug)]
pub(super) struct Log {
    store: Arc<dyn ObjectStore>,
    root: String,
}

impl Log {
    pub fn new(store: Arc<dyn ObjectStore>, root: &str) -> Self {
        Self { store: Arc::new(PrefixStore::new(store, root)), root: root.to_owned() }
    }

    /// The commit `version`, `None` if there is none yet. Damage on the way passes.
    pub async fn read(&self, version: u64) -> Result<Option<LogEntry>, TableError> {
        let path = commit_path(version);
        let decode = |bytes: Bytes| LogEntry::decode(version, &bytes).map_err(|error| self.located(error));
        read_sound(|| self.get(&path), decode).await
    }

    /// All commits from `first` on, in order and without holes. A listing only tells how many reads to begin at once: one
    /// that is behind must not make a table look older than it is.
    pub async fn read_from(&self, first: u64) -> Result<Vec<LogEntry>, TableError> {
        let listed = self.list_from(first).await?.into_iter().max();
        let mut next = listed.map_or(first, |last| last + 1);
        let mut entries: Vec<LogEntry> = stream::iter(first..next)
            .map(|version| async move {
                let missing = || self.located(TableError::Corrupt { version, reason: "missing from the log".into() });
                self.read(version).await?.ok_or_else(missing)
            })
            .buffered(READS_CONCURRENT_MAX)
            .try_collect()
            .await?;
        while let Some(entry) = self.read(next).await? {
            entries.push(entry);
            next += 1;
        }
        Ok(entries)
    }

    /// Damage, told with the table that it is in.
    fn located(&self, error: TableError) -> TableError {
        match error {
            TableError::Corrupt { version, reason } => {
                TableError::Corrupt { version, reason: format!("{reason}, table={}", self.root) }
            }
            other => other,
        }
    }

    /// Creates the commit `version`. An error says nothing about whether it exists now: T4.
    pub async fn create(&self, version: u64, bytes: Bytes) -> Result<(), StoreError> {
        failpoint::hit("commit::before")?;
        self.put(&commit_path(version), bytes, PutMode::Create).await?;
        Ok(failpoint::hit("commit::after_put_lost_reply")?)
    }

    pub async fn get(&self, path: &Path) -> Result<Option<Bytes>, TableError> {
        let read = async { self.store.get(path).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(source) => Err(TableError::Store { path: path.to_string(), source }),
        }
    }

    pub async fn put(&self, path: &Path, bytes: Bytes, mode: PutMode) -> Result<(), StoreError> {
        let options = PutOptions { mode, ..PutOptions::default() };
        self.store.put_opts(path, bytes.into(), options).await.map(|_| ())
    }

    /// The versions that there are, in order.
    pub async fn versions(&self) -> Result<Vec<u64>, TableError> {
        let mut versions = self.list_from(0).await?;
        versions.sort_unstable();
        Ok(versions)
    }

    async fn list_from(&self, first: u64) -> Result<Vec<u64>, TableError> {
        let folder = folder();
        let listing = match first.checked_sub(1) {
            Some(before) => self.store.list_with_offset(Some(&folder), &commit_path(before)),
            None => self.store.list(Some(&folder)),
        };
        listing
            .try_filter_map(async |object| Ok(object.location.filename().and_then(parse_commit)))
            .try_filter(|version| std::future::ready(*version >= first))
            .try_collect()
            .await
            .map_err(|source| TableError::Store { path: folder.to_string(), source })
    }
}

pub(super) fn folder() -> Path {
    Path::from("_delta_log")
}

/// Where a commit is within its table.
pub(super) fn commit_name(version: u64) -> String {
    commit_path(version).to_string()
}

fn commit_path(version: u64) -> Path {
    folder().join(format!("{version:020}.json"))
}

fn parse_commit(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".json")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}
