//! One immutable Parquet file: the events of one project, shard and UTC day.
//!
//! Rows are ordered by (event, uid, time, received_at). A reader that names events reads only their row ranges, which
//! the footer lists ([`EventIndex`]), and finds each user's rows of one event together and in time order.
//!
//! Invariants:
//! - S1: all rows of a segment have the shard and the UTC day that its path says.
//! - S2: rows are in order, and the event index covers them without gaps.
//! - S3: a path is never written twice.
//! - S4: what its `rest` column holds is told by a block that the footer names (`footfall.rest`), so that the column is read only for those
//!   properties; none of them has a column in the same file (B1 of `columns`).

mod file;
mod filter;
mod index;
mod order;
#[cfg(test)]
mod tests;
mod write;

pub use file::{OpenSegment, SegmentCaches, SegmentFiles};
pub(crate) use filter::FilterPlace;
pub use filter::KeyFilter;
pub use index::EventIndex;
pub(crate) use order::segment_order;
pub(crate) use write::SegmentWriter;
pub use write::{EncodedSegment, encode, sort};

use std::ops::RangeInclusive;

use footfall_model::Shard;

/// A segment as the table lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Object name relative to the table's root; unique for ever (S3).
    pub path: String,
    /// Days since the Unix epoch, UTC.
    pub day: i32,
    pub shard: Shard,
    pub rows: u64,
    pub bytes: u64,
    /// Of the whole file, written when it was created.
    pub crc32c: u32,
    /// When its first and last rows arrived, in microseconds since the epoch.
    pub received: RangeInclusive<i64>,
}

/// The UTC day of a time in milliseconds.
pub fn day_of(time_ms: i64) -> i32 {
    time_ms.div_euclid(86_400_000) as i32
}
