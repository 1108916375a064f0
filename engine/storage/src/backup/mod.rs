//! Copies of a store in another one: incremental, of one moment, each object under a checksum.
//!
//! ```text
//! {target}/objects/{path in the store}       each file and commit of a table once, whatever number of backups have it
//! {target}/objects/{path}@{hash}             anything else, by what is in it
//! {target}/backups/{number}.ndjson           which objects make up a backup, with their sums
//! ```
//!
//! Tables are made of files and commits that are written once and never changed, so one that the target has needs no second
//! copy, and a backup costs what is new. Of other objects a name may come to mean something else; what is overwritten
//! again and again (`_last_checkpoint`) lies in the manifest itself.
//!
//! Invariants:
//! - B1: a manifest is written after all objects that it names; without it there is no backup.
//! - B2: of each table one version is backed up. Events are fixed first, journals at no later position of the log, users
//!   last: so every event's user is there, and no journal tells of an event that is not (P5).
//! - B3: what is copied is checked: data files against their tables' sums, and everything against the manifest's when it
//!   is verified or restored.
//! - B4: a store under restoration says so until it is whole.

mod create;
mod manifest;
mod restore;
#[cfg(test)]
mod tests;
mod verify;

pub use create::{Created, create};
pub use manifest::{BackupSummary, Selection, list};
pub use restore::{Restored, restore};
pub use verify::{VerifiedBackups, verify};

use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::path::Path;

use crate::error::StorageError;
use crate::sealed::get;
use crate::sound::read_sound;
use crate::store::PROBED;
use manifest::Entry;

/// Folder of the objects; [healing](crate::segment::Replica) looks here too.
pub(crate) const OBJECTS: &str = "objects";
/// Objects copied or read at once.
const IN_FLIGHT: usize = 4;
/// Names the backup that is being restored into a store (B4).
pub const RESTORING: &str = "RESTORING.json";

/// What a store says of itself, and of no other that it is restored to.
const OF_THE_PLACE: [&str; 2] = [RESTORING, PROBED];

/// How far a backup, a restoration or a check has got, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Copied {
    pub done: u64,
    pub total: u64,
}

fn object(path: &str) -> Path {
    // Parsed, not taken apart: names in the store are escaped already.
    Path::parse(format!("{OBJECTS}/{path}")).unwrap_or_else(|_| Path::from(format!("{OBJECTS}/{path}")))
}

fn location(path: &str) -> Path {
    Path::parse(path).unwrap_or_else(|_| Path::from(path))
}

/// The bytes of a copy in `target`, as they were when it was made; `None` if there is none.
async fn read_copy(target: &Arc<dyn ObjectStore>, entry: &Entry) -> Result<Option<Bytes>, StorageError> {
    let path = entry.location();
    let check = |bytes: Bytes| match entry.is(&bytes) {
        true => Ok(bytes),
        false => Err(StorageError::corrupt(path.as_ref(), "checksum mismatch")),
    };
    read_sound(|| get(&**target, &path), check).await
}
