//! Deleting the files that nobody needs any more (P9), in the order that [`dead`](crate::compaction::dead) asks for.

use std::collections::HashSet;
use std::sync::Weak;

use chrono::Utc;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::{ProjectStore, State};
use crate::compaction::dead::{Grace, Listing};
use crate::error::StorageError;
use crate::failpoint;
use crate::table::Table;

/// What one collection has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Files that a commit had removed, and checkpoints that newer ones stand for.
    pub removed: usize,
    /// Files that were never committed.
    pub orphaned: usize,
    pub bytes: u64,
    /// Files that could not be deleted; the next collection finds them again.
    pub failed: usize,
}

impl ProjectStore {
    /// Deletes the dead files of all tables of the project.
    pub async fn collect(&self, grace: Grace) -> Result<Collected, StorageError> {
        // No compaction has a file on its way to a commit.
        let _one_at_a_time = self.compacting.lock().await;
        let mut listings = Vec::new();
        for (table, root) in self.tables() {
            listings.push((table, Listing::of(&self.store, root, &table.snapshot()).await?));
        }
        // Nor does a flush: whatever was put before it was listed above is committed by now, or never will be.
        let unfinished = self.flushing.lock().await;
        if !unfinished.is_empty() {
            return Ok(Collected::default());
        }
        let mut newest = Vec::new();
        for (table, listing) in listings {
            newest.push((table.refresh().await?, table.newest_checkpoint().await?, listing));
        }
        let in_use = self.state.lock().files_in_use();
        drop(unfinished);
        let now = Utc::now();
        let mut collected = Collected::default();
        for (snapshot, checkpoint, listing) in newest {
            let checkpoints = checkpoint.map(|newest| listing.old_checkpoints(newest, grace, now));
            let dead = listing.dead(&snapshot, &in_use, grace, now);
            for file in checkpoints.into_iter().flatten().chain(dead) {
                let deleted = match failpoint::hit("gc::delete") {
                    Ok(()) => self.store.delete(&file.location).await,
                    Err(injected) => Err(injected.into()),
                };
                match deleted {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => {
                        *(if file.was_live { &mut collected.removed } else { &mut collected.orphaned }) += 1;
                        collected.bytes += file.bytes;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a dead file cannot be deleted");
                        collected.failed += 1;
                    }
                }
            }
        }
        Ok(collected)
    }

    /// All tables with their places in the store.
    fn tables(&self) -> [(&Table, &Path); 4] {
        let users = (&self.users, &self.users_root);
        [(&self.events, self.files.root()), users, self.rejected.place(), self.profiles.place()]
    }
}

impl State {
    /// Paths within their tables of all files that this process reads or may yet read.
    fn files_in_use(&self) -> HashSet<String> {
        let retired = self.retired.iter().filter_map(Weak::upgrade).map(|segment| segment.path.clone());
        let listed = self.segments.iter().map(|segment| segment.path.clone());
        let journals = self.rejected.files_in_use().chain(self.profiles.files_in_use());
        retired.chain(listed).chain(journals).chain(self.undecided.iter().cloned()).collect()
    }
}
