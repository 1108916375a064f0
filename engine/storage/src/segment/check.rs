//! Everything that a segment's file promises, checked against its bytes with a plain Parquet reader.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Int64Type};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::open::{Opened, open};
use super::{EventIndex, KeyFilter, OpenSegment, Segment, day_of};
use crate::StorageError;
use crate::columns::Builtin;
use crate::recent::SegmentKeys;

/// What is wrong with the bytes of a file that a table lists; one line each, nothing if it is sound. `deep`: decodes
/// every column. `stats` are the table's, from which readers prune.
pub(crate) fn check(segment: &Segment, stats: Option<&str>, file: &Bytes, deep: bool) -> Vec<String> {
    let mut damages = Vec::new();
    if file.len() as u64 != segment.bytes {
        damages.push(format!("{} bytes, the table says {}", file.len(), segment.bytes));
    }
    if crc32c::crc32c(file) != segment.crc32c {
        damages.push("checksum of the file does not match".to_owned());
    }
    if !damages.is_empty() || deep {
        match open_whole(segment, file) {
            Ok(open) => {
                check_parts(&open, file, &mut damages);
                if damages.is_empty() && deep {
                    check_rows(segment, stats, &open, file, &mut damages).unwrap_or_else(|error| {
                        damages.push(format!("cannot be decoded: {}", crate::chain(&error)));
                    });
                }
            }
            Err(error) => damages.push(match error {
                StorageError::CorruptSegment { what, .. } => what,
                error => crate::chain(&error),
            }),
        }
    }
    damages
}

/// Rows of each event in a file's bytes, counted one by one.
pub(super) fn count_events(file: Bytes) -> Result<BTreeMap<String, u64>, StorageError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let event = builder.schema().index_of(Builtin::Event.name()).ok();
    let mask = ProjectionMask::roots(builder.parquet_schema(), event);
    let mut counts = BTreeMap::new();
    for batch in builder.with_projection(mask).build()? {
        let batch = batch?;
        let names = batch.column_by_name(Builtin::Event.name()).and_then(|column| column.as_string_opt::<i32>());
        for name in names.into_iter().flatten() {
            *counts.entry(name.unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    Ok(counts)
}

fn open_whole(segment: &Segment, file: &Bytes) -> Result<Box<OpenSegment>, StorageError> {
    if let Some(tail) = segment.tail {
        let bytes = tail.range(segment).and_then(|range| file.get(range.start as usize..range.end as usize));
        if bytes.is_none_or(|bytes| crc32c::crc32c(bytes) != tail.crc32c) {
            return Err(StorageError::corrupt(&segment.path, "checksum of the footer does not match"));
        }
    }
    match open(segment, file)? {
        Opened::Open(open) => Ok(open),
        Opened::Short(_) => Err(StorageError::corrupt(&segment.path, "file shorter than it was")),
    }
}

fn check_parts(open: &OpenSegment, file: &Bytes, damages: &mut Vec<String>) {
    let holds = |start: u64, end: u64, crc32c: u32| {
        let bytes = usize::try_from(start).ok().zip(usize::try_from(end).ok()).and_then(|(s, e)| file.get(s..e));
        bytes.is_some_and(|bytes| crc32c::crc32c(bytes) == crc32c)
    };
    for chunk in open.chunks.iter() {
        if chunk.crc32c.is_some_and(|crc32c| !holds(chunk.range.start, chunk.range.end, crc32c)) {
            let (column, group) = (open.column_of(chunk), chunk.group);
            damages.push(format!("checksum of column {column} does not match, row group {group}"));
        }
    }
    for (what, place) in [("key filter", &open.filter), ("census", &open.census), ("index of rest", &open.rest)] {
        if let Some(place) = place
            && !holds(place.offset, place.offset.saturating_add(place.bytes), place.crc32c)
        {
            damages.push(format!("checksum of the {what} does not match"));
        }
    }
}

/// The promises of the rows: S1, S2, the event index, the filter, the arrivals.
fn check_rows(
    segment: &Segment,
    stats: Option<&str>,
    open: &OpenSegment,
    file: &Bytes,
    damages: &mut Vec<String>,
) -> Result<(), StorageError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone())?.with_batch_size(1 << 16).build()?;
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>()?;
    let Some(schema) = batches.first().map(RecordBatch::schema) else {
        damages.push("no rows".to_owned());
        return Ok(());
    };
    let builtin = Builtin::ALL.iter().filter_map(|builtin| schema.index_of(builtin.name()).ok()).collect::<Vec<_>>();
    let narrow = batches.iter().map(|batch| batch.project(&builtin)).collect::<Result<Vec<_>, _>>()?;
    let rows = concat_batches(&narrow.first().map_or(schema, RecordBatch::schema), &narrow)?;
    let numbers = |builtin: Builtin| -> Result<Vec<i64>, StorageError> {
        let missing = || StorageError::corrupt(&segment.path, &format!("column {} missing", builtin.name()));
        let column = cast(rows.column_by_name(builtin.name()).ok_or_else(missing)?, &DataType::Int64)?;
        Ok(column.as_primitive::<Int64Type>().values().to_vec())
    };
    let names = rows.column_by_name(Builtin::Event.name()).and_then(|column| column.as_string_opt::<i32>());
    let Some(names) = names else {
        damages.push("column event missing".to_owned());
        return Ok(());
    };
    let (uids, times, received) = (numbers(Builtin::Uid)?, numbers(Builtin::Time)?, numbers(Builtin::ReceivedAt)?);
    let key = |row: usize| Some((names.value(row), uids.get(row)?, times.get(row)?, received.get(row)?));
    if let Some(row) = (1..rows.num_rows()).find(|row| key(row - 1) > key(*row)) {
        damages.push(format!("rows are not in order, row {row}"));
    }
    if EventIndex::of_sorted(names as &dyn Array) != open.index {
        damages.push("the event index does not fit the rows".to_owned());
    }
    if let Some(row) = times.iter().position(|time| day_of(*time) != segment.day) {
        damages.push(format!("a row of another day, row {row}"));
    }
    if !stats.is_none_or(|stats| covers(stats, &times)) {
        damages.push("times outside of the table's statistics".to_owned());
    }
    if let Some(row) = uids.iter().position(|uid| (*uid as u64 >> 32) != u64::from(segment.shard.0)) {
        damages.push(format!("a row of another shard, row {row}"));
    }
    if let Some(row) = received.iter().position(|at| !segment.received.contains(at)) {
        damages.push(format!("a row that arrived when the table says none did, row {row}"));
    }
    check_filter(open, file, &rows, damages)
}

/// Whether a file's statistics bound its times.
fn covers(stats: &str, times: &[i64]) -> bool {
    let bound = |kind: &str| {
        let stats: serde_json::Value = serde_json::from_str(stats).ok()?;
        let text = stats.get(kind)?.get(Builtin::Time.name())?.as_str()?;
        Some(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis())
    };
    let (min, max) = (bound("minValues"), bound("maxValues"));
    times.iter().all(|time| min.is_some_and(|min| min <= *time) && max.is_some_and(|max| *time <= max))
}

fn check_filter(
    open: &OpenSegment,
    file: &Bytes,
    rows: &RecordBatch,
    damages: &mut Vec<String>,
) -> Result<(), StorageError> {
    let Some(place) = &open.filter else { return Ok(()) };
    // In range: its sum holds.
    let bytes = file.slice(place.offset as usize..(place.offset + place.bytes) as usize);
    let keys = SegmentKeys::of_rows(rows)?;
    match KeyFilter::decode(bytes) {
        None => damages.push("the key filter is malformed".to_owned()),
        Some(filter) => {
            let lost = keys.hashes().iter().filter(|hash| !filter.may_hold(**hash)).count();
            if lost > 0 {
                damages.push(format!("the key filter lacks {lost} keys"));
            }
        }
    }
    Ok(())
}
