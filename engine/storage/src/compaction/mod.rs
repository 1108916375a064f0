//! Small runs of a shard and day to few large ones: what to merge, and how rows are rewritten.
//!
//! A flush adds a run to each shard and day that it touches. Every run costs a query a file to open and a merge to do, so
//! in the background runs are merged: by tiers, so that each row is rewritten a bounded number of times, and to one run
//! when a day has become quiet. Here are the parts that know nothing of a project: [`policy`] chooses (pure), [`rewrite`]
//! makes the new file ([`concat`] that of a journal), [`dead`] says which files nobody needs any more. When a rewritten file takes the place of its
//! sources, and that no reader sees the change, is in `project/compact.rs`.

pub(crate) mod concat;
pub(crate) mod dead;
mod merge;
mod pace;
pub(crate) mod policy;
pub(crate) mod rewrite;

pub use dead::Grace;
pub use pace::Pace;
pub use policy::{CompactionMode, CompactionPolicy};

/// The place of a row that was left out.
pub(crate) const GONE: u32 = u32::MAX;

#[cfg(test)]
mod tests;
