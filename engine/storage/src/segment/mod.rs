//! One immutable Parquet file: the events of one project, shard and UTC day.
//!
//! Rows are ordered by (event, uid, time, received_at). A reader that names events reads only their row ranges, which
//! the footer lists ([`EventIndex`]), and finds each user's rows of one event together and in time order.
//!
//! Invariants:
//! - S1: all rows of a segment have the shard and the UTC day that its path says.
//! - S2: rows are in order, and the event index covers them without gaps.
//! - S3: a path is never written twice.
//! - S4: what is read of a file is checked against its sum before anything is made of it ([`sums`]).
//! - S5: what its `rest` column holds is told by a block that the footer names (`footfall.rest`), so that the column is read
//!   only for those properties; none of them has a column in the same file (B1 of `columns`).

mod caches;
mod check;
mod disk;
mod encoding;
mod file;
mod filter;
mod index;
mod inspect;
mod open;
mod order;
mod reader;
mod replica;
mod statistics;
mod sums;
mod write;

pub use caches::{CacheFigures, CacheOptions, SegmentCaches};
pub(crate) use check::check;
pub(crate) use encoding::Effort;
pub use file::SegmentFiles;
pub(crate) use filter::FilterPlace;
pub use filter::KeyFilter;
pub use index::EventIndex;
pub use inspect::{ColumnReport, EventRows, FileReport, FilterReport, GroupReport, inspect};
pub use open::OpenSegment;
pub(crate) use order::segment_order;
pub use replica::Replica;
pub use statistics::ColumnStatistics;
pub use sums::Tail;
pub(crate) use write::SegmentWriter;
pub use write::{EncodedSegment, encode, sort};

use std::ops::RangeInclusive;

use footfall_model::Shard;
use parquet::file::metadata::KeyValue;

use crate::StorageError;

/// The version of the files' form that is written, and the newest that is read.
pub const FORMAT: u32 = 1;
/// Key of the version in the Parquet footer; files written before it was noted are of version 1.
pub(crate) const FORMAT_KEY: &str = "footfall.format";
/// Columns by which a segment's rows ascend (S2).
const SORT_ORDER: [&str; 4] = ["event", "uid", "time", "received_at"];
/// Tag of a table entry: the file's checksum, as [`checksum_tag`] writes it.
pub(crate) const CHECKSUM_TAG: &str = "footfall.crc32c";

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
    /// Files written before this was noted have none: their footers are not checked before they are read.
    pub tail: Option<Tail>,
    /// When its first and last rows arrived, in microseconds since the epoch.
    pub received: RangeInclusive<i64>,
}

/// A checksum as [`CHECKSUM_TAG`] has it.
pub(crate) fn checksum_tag(crc32c: u32) -> String {
    format!("{crc32c:08x}")
}

/// The footer's entry that tells the form.
pub(crate) fn format_entry() -> KeyValue {
    KeyValue::new(FORMAT_KEY.to_owned(), FORMAT.to_string())
}

/// The version that a footer names. Fails if it is newer than what this program knows: nothing is guessed of it.
pub(crate) fn file_format(path: &str, entries: Option<&Vec<KeyValue>>) -> Result<Option<u32>, StorageError> {
    let Some(text) = open::value(entries, FORMAT_KEY) else { return Ok(None) };
    let format: u32 = text.parse().map_err(|_| StorageError::corrupt(path, "format malformed"))?;
    if format > FORMAT {
        return Err(StorageError::NewerFormat { what: path.to_owned(), found: format, known: FORMAT });
    }
    Ok(Some(format))
}

/// The UTC day of a time in milliseconds.
pub fn day_of(time_ms: i64) -> i32 {
    time_ms.div_euclid(86_400_000) as i32
}

#[cfg(test)]
mod tests;
