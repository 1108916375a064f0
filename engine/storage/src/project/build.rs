//! Which rows of a flush go into which new segment, and that segment's file and table entry.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use footfall_model::{Shard, Uid};

use super::flush::Cut;
use crate::columns::{Builtin, Layout, union};
use crate::compaction::Pace;
use crate::compaction::rewrite::Rewrite;
use crate::error::StorageError;
use crate::live::LiveChunk;
use crate::recent::SegmentKeys;
use crate::segment::{CHECKSUM_TAG, EncodedSegment, Segment, checksum_tag, day_of, encode, sort};
use crate::table::{AddFile, ColumnStats};

/// What one new segment is made of: rows of live chunks, and what is left of segments that it replaces. Only row
/// numbers are held until the segment is built, so that a flush needs memory for one segment at a time.
#[derive(Default)]
pub(super) struct Plan {
    pub live: Vec<(Arc<LiveChunk>, UInt32Array)>,
    pub replaces: Vec<Arc<Segment>>,
}

/// Which rows go into which new segment, by day and shard.
pub(super) fn plans(cut: &Cut) -> BTreeMap<(i32, Shard), Plan> {
    let mut plans: BTreeMap<(i32, Shard), Plan> = BTreeMap::new();
    for chunk in &cut.chunks {
        for (place, rows) in rows_by_place(chunk, &cut.masks.live) {
            plans.entry(place).or_default().live.push((chunk.clone(), rows));
        }
    }
    // Mostly there is none: a million names need not be looked up to find that.
    let masked = (!cut.masks.segments.is_empty()).then(|| cut.segments.iter()).into_iter().flatten();
    for segment in masked.filter(|s| cut.masks.segments.contains_key(&s.path)) {
        plans.entry((segment.day, segment.shard)).or_default().replaces.push(segment.clone());
    }
    plans
}

/// A chunk's rows that have not been replaced, by day and shard.
fn rows_by_place(chunk: &LiveChunk, masked: &roaring::RoaringTreemap) -> BTreeMap<(i32, Shard), UInt32Array> {
    let mut places: BTreeMap<(i32, Shard), Vec<u32>> = BTreeMap::new();
    let times = chunk.batch.column_by_name(Builtin::Time.name());
    let uids = chunk.batch.column_by_name(Builtin::Uid.name());
    let (Some(times), Some(uids)) = (times, uids) else { return BTreeMap::new() };
    let times = times.as_primitive::<TimestampMillisecondType>();
    let uids = uids.as_primitive::<Int64Type>();
    for (row, (time, uid)) in times.values().iter().zip(uids.values()).enumerate() {
        if !masked.contains(chunk.first + row as u64) {
            places.entry((day_of(*time), Uid(*uid as u64).shard())).or_default().push(row as u32);
        }
    }
    places.into_iter().map(|(place, rows)| (place, rows.into())).collect()
}

/// One sorted, encoded file of live rows and of what is left of segments; `None` if they hold no row.
pub(super) fn build(
    live: &[(Arc<LiveChunk>, UInt32Array)],
    mut rewrite: Rewrite,
    layout: &Layout,
) -> Result<Option<(SegmentKeys, EncodedSegment)>, StorageError> {
    let parts =
        live.iter().map(|(chunk, rows)| take_record_batch(&chunk.batch, rows)).collect::<Result<Vec<_>, _>>()?;
    let rows = union(&parts, layout)?.filter(|rows| rows.num_rows() > 0);
    if !rewrite.is_empty() {
        if let Some(rows) = &rows {
            rewrite.add_rows(rows)?;
        }
        let rewritten = rewrite.run(layout, &mut Pace::unbounded())?;
        return Ok(rewritten.map(|rewritten| (rewritten.keys, rewritten.file)));
    }
    let Some(rows) = rows else { return Ok(None) };
    let sorted = sort(&rows)?;
    let keys = SegmentKeys::of_rows(&sorted)?;
    let encoded = encode(&sorted, keys.hashes())?;
    Ok(Some((keys, encoded)))
}

pub(super) fn new_segment(day: i32, shard: Shard, encoded: &EncodedSegment) -> Segment {
    let name = uuid::Uuid::now_v7();
    Segment {
        path: format!("day={}/shard={}/{name}.parquet", date(day), shard.0),
        day,
        shard,
        rows: encoded.rows,
        bytes: encoded.bytes.len() as u64,
        crc32c: encoded.crc32c,
        tail: encoded.tail,
        received: encoded.received.clone(),
    }
}

/// Tag of a table entry: length and checksum of the file's end, `BYTES:CRC32C`.
pub(super) const TAIL_TAG: &str = "footfall.tail";
/// Tag of a table entry: arrival of the file's first and last rows, `MIN..MAX` in microseconds since the epoch.
pub(super) const RECEIVED_TAG: &str = "footfall.received";

pub(super) fn add_file(segment: &Segment, encoded: &EncodedSegment) -> AddFile {
    AddFile {
        path: segment.path.clone(),
        partition_values: vec![
            ("day".to_owned(), date(segment.day)),
            ("shard".to_owned(), segment.shard.0.to_string()),
        ],
        bytes: segment.bytes,
        rows: segment.rows,
        tags: tags(segment),
        stats: vec![ColumnStats::timestamp_millis(Builtin::Time.name(), encoded.time_min, encoded.time_max, 0)],
    }
}

fn tags(segment: &Segment) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::from([
        (CHECKSUM_TAG.to_owned(), checksum_tag(segment.crc32c)),
        (RECEIVED_TAG.to_owned(), format!("{}..{}", segment.received.start(), segment.received.end())),
    ]);
    tags.extend(segment.tail.map(|tail| (TAIL_TAG.to_owned(), tail.to_tag())));
    tags
}

/// `YYYY-MM-DD` of a day number.
pub(crate) fn date(day: i32) -> String {
    let epoch = chrono::NaiveDate::default();
    let date = epoch.checked_add_signed(chrono::TimeDelta::days(i64::from(day)));
    date.unwrap_or(epoch).format("%Y-%m-%d").to_string()
}
