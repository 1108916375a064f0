//! A hash map in many small tables, for what grows large under a lock that everybody wants.
//!
//! A table that is full is copied into one of twice its size at once: a tenth of a second for a million entries, in which
//! nobody is answered. Here each of [`PARTS`] tables grows by itself, and they grow at different times, since chance fills
//! them unevenly; the longest halt is that much shorter.

use std::hash::{BuildHasher as _, Hash};

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, Equivalent, HashTable};

/// Tables of a map. An empty one takes 32 bytes.
const PARTS: usize = 256;

/// A map from `K` to `V` whose growth is spread over time.
pub(crate) struct SplitMap<K, V> {
    hasher: DefaultHashBuilder,
    /// As many as [`PARTS`], or none before the first entry.
    parts: Vec<HashTable<(K, V)>>,
    len: usize,
}

impl<K, V> Default for SplitMap<K, V> {
    fn default() -> Self {
        Self { hasher: DefaultHashBuilder::default(), parts: Vec::new(), len: 0 }
    }
}

/// The table of a hash: by bits that a table does not look at before it has 2^40 entries.
fn part_of(hash: u64) -> usize {
    (hash >> 40) as usize % PARTS
}

impl<K: Hash + Eq, V> SplitMap<K, V> {
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn get<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q) -> Option<&V> {
        let hash = self.hasher.hash_one(key);
        let found = self.parts.get(part_of(hash))?.find(hash, |(known, _)| key.equivalent(known))?;
        Some(&found.1)
    }

    pub fn get_mut<Q: Hash + Equivalent<K> + ?Sized>(&mut self, key: &Q) -> Option<&mut V> {
        let hash = self.hasher.hash_one(key);
        let found = self.parts.get_mut(part_of(hash))?.find_mut(hash, |(known, _)| key.equivalent(known))?;
        Some(&mut found.1)
    }

    /// The value that the key had before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.parts.is_empty() {
            self.parts.resize_with(PARTS, HashTable::new);
        }
        let hash = self.hasher.hash_one(&key);
        let hash_of = |(key, _): &(K, V)| self.hasher.hash_one(key);
        match self.parts.get_mut(part_of(hash))?.entry(hash, |(known, _)| *known == key, hash_of) {
            Entry::Occupied(mut there) => Some(std::mem::replace(&mut there.get_mut().1, value)),
            Entry::Vacant(place) => {
                place.insert((key, value));
                self.len += 1;
                None
            }
        }
    }

    pub fn remove<Q: Hash + Equivalent<K> + ?Sized>(&mut self, key: &Q) -> Option<V> {
        let hash = self.hasher.hash_one(key);
        let there = self.parts.get_mut(part_of(hash))?.find_entry(hash, |(known, _)| key.equivalent(known)).ok()?;
        self.len -= 1;
        Some(there.remove().0.1)
    }
}

impl<K, V> IntoIterator for SplitMap<K, V> {
    type Item = (K, V);
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<HashTable<(K, V)>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.parts.into_iter().flatten()
    }
}

impl<K: Hash + Eq, V> Extend<(K, V)> for SplitMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is done to both, it answers as the standard library's map.
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0..3_u8, 0..40_u16, 0..1000_u32), 0..200)) {
            let (mut split, mut plain) = (SplitMap::default(), HashMap::new());
            for (what, key, value) in steps {
                match what {
                    0 => prop_assert_eq!(split.insert(key, value), plain.insert(key, value)),
                    1 => prop_assert_eq!(split.remove(&key), plain.remove(&key)),
                    _ => prop_assert_eq!(split.get_mut(&key).map(|v| { *v += 1; *v }), plain.get_mut(&key).map(|v| { *v += 1; *v })),
                }
                prop_assert_eq!(split.get(&key), plain.get(&key));
                prop_assert_eq!(split.is_empty(), plain.is_empty());
            }
            let mut entries: Vec<_> = split.into_iter().collect();
            let mut expected: Vec<_> = plain.into_iter().collect();
            entries.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(entries, expected);
        }
    }

    /// What it is for: no table holds more than a small part, and they are not full all at once.
    #[test]
    fn entries_are_spread_and_tables_grow_at_different_times() {
        let mut split = SplitMap::default();
        let mut grown_at = Vec::new();
        let mut capacities = vec![0; PARTS];
        for key in 0..500_000_u64 {
            let user = format!("user-{key}");
            let part = part_of(split.hasher.hash_one(&user));
            split.insert(user, ());
            let capacity = split.parts[part].capacity();
            if capacity > 1_000 && capacity != capacities[part] {
                grown_at.push(key);
            }
            capacities[part] = capacity;
        }
        let largest = split.parts.iter().map(HashTable::len).max().unwrap();
        assert!(largest < 2 * 500_000 / PARTS, "{largest} of 500,000 entries are in one of {PARTS} tables");
        // As many as a request may bring: few tables grow within it.
        let within = grown_at.windows(PARTS / 4).map(|few| few[few.len() - 1] - few[0]).min().unwrap();
        assert!(within > 2_000, "a quarter of the tables grew within {within} entries");
    }
}
