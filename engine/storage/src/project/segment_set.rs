//! Which segments there are, by day and shard.
//!
//! A table of years has a million of them; a flush changes a few days, and a query names a few. So days are shared between
//! versions: a new version costs a pointer for each day and the segments of the days that change. Segments of days that a
//! query does not name are never looked at.

use std::collections::{BTreeMap, HashSet};
use std::ops::{Range, RangeInclusive};
use std::sync::{Arc, Weak};

use footfall_model::Shard;

use crate::segment::Segment;

/// Segments of a table in the order a scan wants them.
#[derive(Clone, Debug, Default)]
pub struct SegmentSet {
    /// No day without segments.
    days: BTreeMap<i32, Arc<Day>>,
    len: usize,
}

/// Runs of each shard, the oldest first; none empty.
type Day = BTreeMap<Shard, Vec<Arc<Segment>>>;

/// Segments after a flush or a compaction, and those that are no more among them.
pub(super) struct Changed {
    pub segments: Arc<SegmentSet>,
    pub retired: Vec<Weak<Segment>>,
}

impl SegmentSet {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Days that have segments, ascending.
    pub fn days(&self) -> impl Iterator<Item = i32> {
        self.days.keys().copied()
    }

    /// The runs of one shard and day.
    pub fn runs(&self, day: i32, shard: Shard) -> &[Arc<Segment>] {
        self.days.get(&day).and_then(|of_day| of_day.get(&shard)).map_or(&[], Vec::as_slice)
    }

    /// All segments, by day, then shard, then age.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.days.values().flat_map(|of_day| of_day.values()).flatten()
    }

    /// The segments of some days, in the same order.
    pub fn of_days(&self, days: RangeInclusive<i32>) -> impl Iterator<Item = &Arc<Segment>> {
        self.of(days).flat_map(|(_, of_day)| of_day.values()).flatten()
    }

    /// Day, shard and runs, of some days and shards; by day, then shard.
    pub fn places(
        &self,
        days: RangeInclusive<i32>,
        shards: Range<u16>,
    ) -> impl Iterator<Item = (i32, Shard, &[Arc<Segment>])> {
        let shards = Shard(shards.start)..Shard(shards.end.max(shards.start));
        self.of(days).flat_map(move |(day, of_day)| {
            of_day.range(shards.clone()).map(move |(shard, runs)| (*day, *shard, runs.as_slice()))
        })
    }

    /// Runs of all shards and days.
    pub(super) fn all_runs(&self) -> impl Iterator<Item = &Vec<Arc<Segment>>> {
        self.days.values().flat_map(|of_day| of_day.values())
    }

    fn of(&self, days: RangeInclusive<i32>) -> impl Iterator<Item = (&i32, &Arc<Day>)> {
        // A range of the map must not be empty backwards.
        let none = days.is_empty();
        let days = if none { 0..=0 } else { days };
        self.days.range(days).filter(move |_| !none)
    }

    pub(super) fn insert(&mut self, segment: Arc<Segment>) {
        let of_day = Arc::make_mut(self.days.entry(segment.day).or_default());
        of_day.entry(segment.shard).or_default().push(segment);
        self.len += 1;
    }

    pub(super) fn contains(&self, segment: &Segment) -> bool {
        self.runs(segment.day, segment.shard).iter().any(|run| run.path == segment.path)
    }

    pub(super) fn with_changes(&self, added: &[Arc<Segment>], removed: &[Arc<Segment>]) -> Changed {
        let mut next = self.clone();
        let mut retired = Vec::with_capacity(removed.len());
        let paths: HashSet<&str> = removed.iter().map(|segment| segment.path.as_str()).collect();
        let places: HashSet<(i32, Shard)> = removed.iter().map(|segment| (segment.day, segment.shard)).collect();
        for (day, shard) in places {
            next.take(day, shard, &paths, &mut retired);
        }
        added.iter().for_each(|segment| next.insert(segment.clone()));
        Changed { segments: Arc::new(next), retired }
    }

    /// Takes the segments with these paths out of a shard and day.
    fn take(&mut self, day: i32, shard: Shard, paths: &HashSet<&str>, retired: &mut Vec<Weak<Segment>>) {
        let Some(of_day) = self.days.get_mut(&day).map(Arc::make_mut) else { return };
        let Some(runs) = of_day.get_mut(&shard) else { return };
        let before = runs.len();
        runs.retain(|run| {
            let stays = !paths.contains(run.path.as_str());
            if !stays {
                retired.push(Arc::downgrade(run));
            }
            stays
        });
        self.len -= before - runs.len();
        if runs.is_empty() {
            of_day.remove(&shard);
        }
        if of_day.is_empty() {
            self.days.remove(&day);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn segment(number: usize, day: i32, shard: u16) -> Arc<Segment> {
        Arc::new(Segment {
            path: format!("{number:04}"),
            day,
            shard: Shard(shard),
            rows: 1,
            bytes: 1,
            crc32c: 0,
            tail: None,
            received: 0..=0,
        })
    }

    fn paths<'a>(segments: impl IntoIterator<Item = &'a Arc<Segment>>) -> Vec<String> {
        segments.into_iter().map(|segment| segment.path.clone()).collect()
    }

    proptest! {
        #[test]
        fn it_is_the_plain_list_of_what_was_added_and_not_removed(
            added in prop::collection::vec((-3..4i32, 0..4u16), 0..40),
            removed in prop::collection::btree_set(0..40usize, 0..20),
            days in (-4..5i32, -4..5i32),
            shards in (0..5u16, 0..5u16),
        ) {
            let all: Vec<_> = added.iter().enumerate().map(|(n, (day, shard))| segment(n, *day, *shard)).collect();
            let (first, last) = all.split_at(all.len() / 2);
            let mut before = SegmentSet::default();
            first.iter().for_each(|segment| before.insert(segment.clone()));
            let before_paths = paths(before.iter());
            let gone: Vec<_> = removed.iter().filter_map(|n| first.get(*n).cloned()).collect();
            let Changed { segments: after, retired } = before.with_changes(last, &gone);

            prop_assert_eq!(paths(before.iter()), before_paths, "a version stays as it is");
            let retired: BTreeSet<_> = retired.iter().filter_map(Weak::upgrade).map(|s| s.path.clone()).collect();
            prop_assert_eq!(&retired, &paths(&gone).into_iter().collect::<BTreeSet<_>>());
            let mut plain: Vec<_> = all.iter().filter(|s| !retired.contains(&s.path)).cloned().collect();
            plain.sort_by_key(|s| (s.day, s.shard));
            prop_assert_eq!(paths(after.iter()), paths(&plain));
            prop_assert_eq!((after.len(), after.is_empty()), (plain.len(), plain.is_empty()));
            let mut days_left: Vec<_> = plain.iter().map(|s| s.day).collect();
            days_left.dedup();
            prop_assert_eq!(after.days().collect::<Vec<_>>(), days_left);

            let (days, shards) = (days.0..=days.1, shards.0..shards.1);
            plain.retain(|s| days.contains(&s.day));
            prop_assert_eq!(paths(after.of_days(days.clone())), paths(&plain));
            plain.retain(|s| shards.contains(&s.shard.0));
            let mut places = Vec::new();
            for (day, shard, runs) in after.places(days, shards) {
                prop_assert_eq!(paths(runs), paths(after.runs(day, shard)));
                prop_assert!(!runs.is_empty());
                places.extend(runs.iter().cloned());
            }
            prop_assert_eq!(paths(&places), paths(&plain));
        }
    }
}
