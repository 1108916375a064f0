//! Identifiers as types, so that a shard is never passed where a project is meant.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A tenant. Assigned once, never reused; printed as the `project_id` of the Mixpanel API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProjectId(pub u32);

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A disjoint set of a project's users; all events of a user lie in one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(pub u16);

/// A user's internal number: shard in the high 32 bits, dense ordinal within the shard in the low 32.
///
/// Shards are therefore contiguous ranges of `Uid`, which is what lets a scan declare range partitioning honestly.
/// Ordinal 0 of every shard is reserved for events without a user (an empty `distinct_id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub u64);

impl Uid {
    /// The uid of `ordinal` within `shard`.
    pub const fn new(shard: Shard, ordinal: u32) -> Self {
        Self((shard.0 as u64) << 32 | ordinal as u64)
    }

    /// The reserved uid for events of `shard` that belong to no user.
    pub const fn nobody(shard: Shard) -> Self {
        Self::new(shard, 0)
    }

    /// The shard that holds all of this user's events.
    pub const fn shard(self) -> Shard {
        Shard((self.0 >> 32) as u16)
    }

    /// The dense number of the user within its shard; 0 means no user.
    pub const fn ordinal(self) -> u32 {
        self.0 as u32
    }
}
