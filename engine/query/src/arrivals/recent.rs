//! The last events of a project or of one user, newest arrival first.
//!
//! ```text
//! tail ─▶ sealed live rows ─▶ segments by their last arrival, a few at a time
//!   row by row, backwards      times of arrival of the last matches, then those rows
//! ```
//!
//! All three are one moment of the project, and what is looked at row by row is exactly what arrived at or after one
//! instant, so the parts join without a hole or a double. It stops as soon as the list is full.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, lit};
use datafusion::scalar::ScalarValue;
use footfall_eval::Clock;
use footfall_model::StoredEvent;
use footfall_storage::columns::{Builtin, RowReader};
use footfall_storage::segment::Segment;
use footfall_storage::{ArrivedRows, LiveChunk, Newest, Snapshot};

use super::filter::{ArrivalFilter, ArrivalFilterSpec};
use crate::catalog::Shape;
use crate::compile::compile_where;
use crate::error::QueryError;
use crate::resolver::{EventResolver, builtin, whole_row};
use crate::session::Sessions;

/// Live rows that are looked at one by one before the rest is left to a query. Rows that are not in Arrow yet, some
/// thousands at most, are looked at in any case.
const WALK_ROWS_MAX: usize = 50_000;
/// Segments asked at first; each further step asks more by this factor.
const SEGMENTS_AT_FIRST: usize = 64;
const SEGMENTS_FACTOR: usize = 4;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecentSpec {
    pub filter: ArrivalFilterSpec,
    /// Only what arrived before this `received_at`: the next page after an event's own.
    pub before: Option<i64>,
    pub limit: usize,
}

/// The last events, newest arrival first; of an event that was sent again with other properties only the last copy.
pub async fn recent(
    sessions: &Sessions,
    newest: Newest,
    spec: RecentSpec,
    clock: &Clock,
) -> Result<Vec<StoredEvent>, QueryError> {
    recent_after_walk(sessions, newest, spec, clock, WALK_ROWS_MAX).await
}

pub(super) async fn recent_after_walk(
    sessions: &Sessions,
    newest: Newest,
    spec: RecentSpec,
    clock: &Clock,
    walk_rows_max: usize,
) -> Result<Vec<StoredEvent>, QueryError> {
    let filter = ArrivalFilter::new(spec.filter.clone(), clock)?;
    let Walk { mut found, below, live_left } = walk(&newest, &filter, &spec, clock, walk_rows_max);
    let missing = spec.limit.saturating_sub(found.len());
    if missing > 0 {
        let live = newest.rest.live.get(..live_left).unwrap_or_default();
        let older = Older { sessions, snapshot: &newest.rest, live, filter: &filter, clock };
        found.extend(older.find(below, missing).await?);
    }
    Ok(found)
}

/// How far the look at live rows came.
struct Walk {
    found: Vec<StoredEvent>,
    /// Everything that arrived since then has been looked at.
    below: i64,
    /// How many live chunks, the oldest ones, have not.
    live_left: usize,
}

/// Looks at live rows from the newest on, until the list is full or the rest is better left to a query.
fn walk(newest: &Newest, filter: &ArrivalFilter, spec: &RecentSpec, clock: &Clock, rows_max: usize) -> Walk {
    let chunks = &newest.rest.live;
    let before = spec.before.unwrap_or(i64::MAX);
    let mut walk = Walk { found: Vec::new(), below: before, live_left: chunks.len() };
    let mut looked = 0;
    let newest_first = newest.tail.iter().rev().cloned().chain(chunks.iter().rev().map(ArrivedRows::from));
    for (number, part) in newest_first.enumerate() {
        let is_sealed = number >= newest.tail.len();
        if is_sealed && looked >= rows_max {
            break;
        }
        walk.live_left -= usize::from(is_sealed);
        let came_before = part.iter().next().is_some_and(|(_, row)| row.received_at() < before);
        for (position, row) in part.iter().rev().take_while(|_| came_before) {
            if walk.found.len() == spec.limit {
                return walk;
            }
            let received_at = row.received_at();
            if received_at >= before {
                continue;
            }
            walk.below = received_at;
            looked += 1;
            if !newest.rest.is_live_row_masked(position) && filter.keeps(&row, clock) {
                walk.found.push(row.to_stored());
            }
        }
    }
    walk
}

/// What the walk has not looked at.
struct Older<'a> {
    sessions: &'a Sessions,
    snapshot: &'a Snapshot,
    live: &'a [Arc<LiveChunk>],
    filter: &'a ArrivalFilter,
    clock: &'a Clock,
}

impl Older<'_> {
    /// The last `limit` matches that arrived before `below`.
    async fn find(&self, below: i64, limit: usize) -> Result<Vec<StoredEvent>, QueryError> {
        let mut segments = self.segments(below);
        // Live rows arrived after every row of a segment.
        let live = || self.live.to_vec();
        let mut times = self.last_arrivals(self.snapshot.narrowed([], live()), below, limit).await?;
        let mut step = SEGMENTS_AT_FIRST;
        let mut asked = Vec::new();
        while let Some(next) = segments.last() {
            if times.len() == limit && times.first().is_some_and(|oldest| oldest > next.received.end()) {
                break;
            }
            let some = segments.split_off(segments.len().saturating_sub(step));
            times.extend(self.last_arrivals(self.snapshot.narrowed(some.clone(), Vec::new()), below, limit).await?);
            while times.len() > limit {
                times.pop_first();
            }
            asked.extend(some);
            step *= SEGMENTS_FACTOR;
        }
        let Some(oldest) = times.first() else { return Ok(Vec::new()) };
        self.rows(self.snapshot.narrowed(asked, live()), *oldest, below).await
    }

    /// Segments that may hold a match, the one with the latest arrival last.
    fn segments(&self, below: i64) -> Vec<Arc<Segment>> {
        let shards = self.filter.distinct_id().map(|id| self.snapshot.shard_of(id).0);
        let shards = shards.map_or(0..self.snapshot.shards, |shard| shard..shard.saturating_add(1));
        let places = self.snapshot.segments.places(i32::MIN..=i32::MAX, shards);
        let segments = places.flat_map(|(_, _, runs)| runs).filter(|segment| *segment.received.start() < below);
        let mut segments: Vec<_> = segments.cloned().collect();
        segments.sort_by_key(|s| *s.received.end());
        segments
    }

    /// When the last matches of a part arrived.
    async fn last_arrivals(&self, part: Snapshot, below: i64, limit: usize) -> Result<BTreeSet<i64>, QueryError> {
        let mut times = BTreeSet::new();
        if part.live.is_empty() && part.segments.is_empty() {
            return Ok(times);
        }
        let matches = self.matching(part, received_at().lt(micros(below))).await?;
        let newest = matches.sort(vec![received_at().sort(false, false)])?.limit(0, Some(limit))?;
        for batch in newest.select(vec![received_at()])?.collect().await? {
            times.extend(batch.column(0).as_primitive::<TimestampMicrosecondType>().values());
        }
        Ok(times)
    }

    /// The matches of a part that arrived in a range, newest first.
    async fn rows(&self, part: Snapshot, from: i64, below: i64) -> Result<Vec<StoredEvent>, QueryError> {
        let range = received_at().gt_eq(micros(from)).and(received_at().lt(micros(below)));
        let rows =
            self.matching(part, range).await?.select(whole_row())?.sort(vec![received_at().sort(false, false)])?;
        let mut found = Vec::new();
        for batch in rows.collect().await? {
            let reader = RowReader::try_new(&batch).map_err(DataFusionError::from)?;
            found.extend((0..batch.num_rows()).map(|row| reader.stored_event(row)));
        }
        Ok(found)
    }

    async fn matching(&self, part: Snapshot, arrived: Expr) -> Result<datafusion::dataframe::DataFrame, QueryError> {
        let mut filter = arrived;
        if let Some(events) = self.filter.events() {
            filter =
                filter.and(builtin(Builtin::Event).in_list(events.iter().map(|e| lit(e.as_str())).collect(), false));
        }
        if let Some(id) = self.filter.distinct_id() {
            filter = filter.and(builtin(Builtin::DistinctId).eq(lit(id)));
        }
        let resolver = EventResolver::new(part.catalog.clone());
        if let Some(condition) = self.filter.condition() {
            let compiled =
                compile_where(condition, &resolver, self.clock).map_err(|e| QueryError::compile("where", e))?;
            filter = filter.and(compiled.predicate);
        }
        let context = self.sessions.context(&Arc::new(part), Shape::Stored, resolver.properties())?;
        Ok(context.table("events").await?.filter(filter)?)
    }
}

fn received_at() -> Expr {
    builtin(Builtin::ReceivedAt)
}

fn micros(at: i64) -> Expr {
    Expr::Literal(ScalarValue::TimestampMicrosecond(Some(at), Some("UTC".into())), None)
}
