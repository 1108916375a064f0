//! Who has which `uid`: the dense numbering of a project's users within their shards.

use std::sync::Arc;

use footfall_model::{Shard, Uid};
use xxhash_rust::xxh3::xxh3_64;

use crate::split_map::SplitMap;

/// Distinct ids and their uids. Grows only; the numbering is recorded in the log with the events that caused it and in
/// the project's `users` table.
pub(crate) struct UserDirectory {
    shards: u16,
    uids: SplitMap<Arc<str>, Uid>,
    /// Next free ordinal of each shard; 0 is reserved for "no user".
    next: Vec<u32>,
    /// Users that the `users` table does not have yet, in the order they came.
    unsaved: Vec<(Uid, Arc<str>)>,
}

/// The shard that all events of an id belong to.
pub(crate) fn shard_of(distinct_id: &str, shards: u16) -> Shard {
    Shard((xxh3_64(distinct_id.as_bytes()) % u64::from(shards.max(1))) as u16)
}

impl UserDirectory {
    pub fn new(shards: u16) -> Self {
        Self { shards, uids: SplitMap::default(), next: vec![1; shards as usize], unsaved: Vec::new() }
    }

    /// The user's number, given out at first sight. An empty id is nobody.
    pub fn uid(&mut self, distinct_id: &str) -> Uid {
        if let Some(uid) = self.uids.get(distinct_id) {
            return *uid;
        }
        let shard = shard_of(distinct_id, self.shards);
        if distinct_id.is_empty() {
            return Uid::nobody(shard);
        }
        let ordinal = self.next.get(shard.0 as usize).copied().unwrap_or(1);
        let uid = Uid::new(shard, ordinal);
        let known = self.learn(distinct_id, uid);
        self.unsaved.push((uid, known));
        uid
    }

    /// Takes over a numbering made earlier: from the table, or (with `unsaved`) from the log.
    pub fn restore(&mut self, distinct_id: &str, uid: Uid, saved: Saved) {
        if distinct_id.is_empty() || self.uids.get(distinct_id).is_some() {
            return;
        }
        let known = self.learn(distinct_id, uid);
        if saved == Saved::No {
            self.unsaved.push((uid, known));
        }
    }

    fn learn(&mut self, distinct_id: &str, uid: Uid) -> Arc<str> {
        let known: Arc<str> = distinct_id.into();
        self.uids.insert(known.clone(), uid);
        if let Some(next) = self.next.get_mut(uid.shard().0 as usize) {
            *next = (*next).max(uid.ordinal() + 1);
        }
        known
    }

    /// Users to save; they stay unsaved until [`Self::forget_saved`].
    pub fn unsaved(&self) -> &[(Uid, Arc<str>)] {
        &self.unsaved
    }

    /// The first `count` unsaved users are in the table now.
    pub fn forget_saved(&mut self, count: usize) {
        self.unsaved.drain(..count.min(self.unsaved.len()));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saved {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_per_shard_and_survive_a_restore() {
        let mut users = UserDirectory::new(4);
        let first: Vec<Uid> = (0..100).map(|i| users.uid(&format!("u{i}"))).collect();
        assert_eq!(users.uid("u7"), first[7]);
        assert_eq!(users.uid("").ordinal(), 0);
        for shard in 0..4 {
            let mut ordinals: Vec<u32> =
                first.iter().filter(|u| u.shard() == Shard(shard)).map(|u| u.ordinal()).collect();
            ordinals.sort_unstable();
            assert_eq!(ordinals, (1..=ordinals.len() as u32).collect::<Vec<_>>());
        }
        let mut again = UserDirectory::new(4);
        for (i, uid) in first.iter().enumerate() {
            again.restore(&format!("u{i}"), *uid, Saved::Yes);
        }
        assert!(again.unsaved().is_empty());
        assert_eq!(again.uid("u3"), first[3]);
        assert!(!first.contains(&again.uid("new")));
    }
}
