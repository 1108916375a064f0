//! What a scan's bounds leave of a snapshot, found without a look at the rest.
//!
//! A table of years has a million segments. Planning asks days and shards, never segments; these are enumerated when a lane
//! runs, a shard at a time.

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use footfall_model::Shard;
use footfall_storage::Snapshot;
use footfall_storage::segment::Segment;

use super::prune::Bounds;
use super::stream::Part;

/// The days, shards and segments of a snapshot that can hold rows within bounds.
pub struct Wanted {
    pub snapshot: Arc<Snapshot>,
    pub bounds: Arc<Bounds>,
    days: RangeInclusive<i32>,
    /// Those of the users that the bounds name; `None` is all.
    shards: Option<BTreeSet<Shard>>,
}

impl Wanted {
    pub fn new(snapshot: Arc<Snapshot>, bounds: Bounds) -> Self {
        let shards = bounds.distinct_ids.as_ref();
        let shards = shards.map(|ids| ids.iter().map(|id| snapshot.shard_of(id)).collect());
        Self { days: bounds.days(), shards, snapshot, bounds: Arc::new(bounds) }
    }

    /// The shards among some, ascending.
    pub fn shards(&self, among: Range<u16>) -> Vec<Shard> {
        among.map(Shard).filter(|shard| self.may_hold(*shard)).collect()
    }

    /// What is to be read of a shard: day by day its segments, then its live rows.
    pub fn parts(&self, shard: Shard) -> Vec<Part> {
        let segments = self.segments(shard).map(|segment| Part::Segment(segment.clone()));
        let live = self.snapshot.live.iter().filter(|chunk| chunk.shard_rows(shard).is_some());
        segments.chain(live.map(|chunk| Part::Live(chunk.clone(), shard))).collect()
    }

    /// Whether each shard and day has one run at most.
    pub fn is_one_run_each(&self) -> bool {
        let is_one = |runs: &[Arc<Segment>]| runs.len() < 2 || self.of(runs).nth(1).is_none();
        let mut places = self.snapshot.segments.places(self.days.clone(), 0..self.snapshot.shards);
        self.snapshot.live.is_empty() && places.all(|(_, shard, runs)| !self.may_hold(shard) || is_one(runs))
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.shards(0..self.snapshot.shards).into_iter().map(|shard| self.segments(shard).count()).sum()
    }

    fn may_hold(&self, shard: Shard) -> bool {
        self.shards.as_ref().is_none_or(|shards| shards.contains(&shard))
    }

    fn segments(&self, shard: Shard) -> impl Iterator<Item = &Arc<Segment>> {
        let places = self.snapshot.segments.places(self.days.clone(), shard.0..shard.0.saturating_add(1));
        places.flat_map(|(_, _, runs)| self.of(runs))
    }

    fn of<'a>(&'a self, runs: &'a [Arc<Segment>]) -> impl Iterator<Item = &'a Arc<Segment>> {
        runs.iter().filter(|segment| self.bounds.may_hold_received(&segment.received))
    }
}
