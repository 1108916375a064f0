//! Which files of a table nobody needs any more, and never a file that somebody does.
//!
//! A file is dead when no commit will ever list it again and nobody reads it. What makes that certain is an order:
//!
//! 1. **list** what is in the store;
//! 2. **then** wait until nothing that was on its way to a commit when it was listed is so any more;
//! 3. **then** read the table's newest version.
//!
//! A listed file that the version does not name was either removed by a commit, or belongs to a flush or a compaction that
//! has failed for good. The other way round, a file that is committed between the two is listed and not yet known: that
//! is how live files were deleted elsewhere, in May 2026, by a cleanup that held a newer listing against an older
//! snapshot. [`Listing`] has to be made first, so that it cannot be confused.
//!
//! - D1: what the newest version lists is never dead, nor what an open snapshot of this process uses.
//! - D2: a removed file is kept for a grace after its removal, for readers in other processes.
//! - D3: a file that was never committed is kept for a grace after it was written, for the commits of a process that has
//!   just died.
//! - D4: only names that this module's writers give are considered.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use uuid::Uuid;

use crate::error::StorageError;
use crate::table::TableSnapshot;

/// Of the hyphenated form, the only one that we write.
const UUID_LENGTH: usize = 36;

/// How long dead files are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace {
    /// After a commit removed them (D2).
    pub removed: Duration,
    /// After they were written and never committed (D3).
    pub orphaned: Duration,
}

/// Data files of one table as the store listed them, but for those that were live already then; and its checkpoints.
pub(crate) struct Listing {
    files: Vec<(String, ObjectMeta)>,
    checkpoints: Vec<(u64, ObjectMeta)>,
}

/// A file to delete.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DeadFile {
    pub location: Path,
    pub bytes: u64,
    pub was_live: bool,
}

impl DeadFile {
    fn of(object: ObjectMeta, was_live: bool) -> Self {
        Self { location: object.location, bytes: object.size, was_live }
    }
}

impl Listing {
    /// Lists the table at `root`. `known` is any version of it: what it lists is left out at once, to spare memory.
    pub async fn of(store: &Arc<dyn ObjectStore>, root: &Path, known: &TableSnapshot) -> Result<Self, StorageError> {
        let mut listing = Self { files: Vec::new(), checkpoints: Vec::new() };
        let mut objects = store.list(Some(root));
        while let Some(object) = objects.try_next().await? {
            let Some(path) = relative(root, &object.location) else { continue };
            if let Some(version) = checkpoint_version(&path) {
                listing.checkpoints.push((version, object));
            } else if is_ours(&path) && known.file(&path).is_none() {
                listing.files.push((path, object));
            }
        }
        Ok(listing)
    }

    /// Checkpoints that nobody opens the table by any more: `newest` is the one that is announced. The two before it are
    /// kept as well.
    pub fn old_checkpoints(&self, newest: u64, grace: Grace, now: DateTime<Utc>) -> Vec<DeadFile> {
        let mut versions: Vec<u64> = self.checkpoints.iter().map(|(version, _)| *version).collect();
        versions.retain(|version| *version < newest);
        versions.sort_unstable_by(|a, b| b.cmp(a));
        let kept = versions.get(1).copied().unwrap_or(0);
        let old = self
            .checkpoints
            .iter()
            .filter(|(version, object)| *version < kept && is_over(object.last_modified, grace.removed, now));
        old.map(|(_, object)| DeadFile::of(object.clone(), true)).collect()
    }

    /// The dead ones among them. `newest` was read after this was listed and after all writers of that time were done;
    /// `in_use` are the files of open snapshots.
    pub fn dead(
        self,
        newest: &TableSnapshot,
        in_use: &HashSet<String>,
        grace: Grace,
        now: DateTime<Utc>,
    ) -> Vec<DeadFile> {
        let removed: HashMap<&str, DateTime<Utc>> =
            newest.tombstones.iter().map(|gone| (gone.path.as_str(), gone.removed_at)).collect();
        let mut dead = Vec::new();
        for (path, object) in self.files {
            if newest.file(&path).is_some() || in_use.contains(&path) {
                continue;
            }
            let removed_at = removed.get(path.as_str()).copied();
            let (since, kept) = match removed_at {
                Some(at) => (at, grace.removed),
                None => (object.last_modified, grace.orphaned),
            };
            if is_over(since, kept, now) {
                dead.push(DeadFile::of(object, removed_at.is_some()));
            }
        }
        dead
    }
}

/// Whether a time is longer ago than `kept`. A time ahead of the clock is not.
fn is_over(since: DateTime<Utc>, kept: Duration, now: DateTime<Utc>) -> bool {
    TimeDelta::from_std(kept).is_ok_and(|kept| now.signed_duration_since(since) >= kept)
}

fn relative(root: &Path, location: &Path) -> Option<String> {
    let parts: Vec<_> = location.prefix_match(root)?.collect();
    Some(parts.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("/"))
}

/// The version of `_delta_log/{version}.checkpoint.parquet`.
fn checkpoint_version(path: &str) -> Option<u64> {
    const DIGITS: usize = 20;
    let digits = path.strip_prefix("_delta_log/")?.strip_suffix(".checkpoint.parquet")?;
    (digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// `{uuid}.parquet`, alone or in the folders of its partition (D4).
fn is_ours(path: &str) -> bool {
    let mut parts: Vec<&str> = path.split('/').collect();
    let Some(name) = parts.pop() else { return false };
    let is_named =
        name.strip_suffix(".parquet").is_some_and(|id| id.len() == UUID_LENGTH && Uuid::try_parse(id).is_ok());
    let is_placed = match parts.as_slice() {
        [] => true,
        [day, shard] => day.starts_with("day=") && shard.starts_with("shard="),
        _ => false,
    };
    is_named && is_placed
}

#[cfg(test)]
mod tests;
