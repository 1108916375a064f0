//! A rewrite keeps every row that is not left out, in order, in a file that reads like any other; and says where each has
//! gone.

mod encodings;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::Schema;
use footfall_model::{Event, Shard, StoredEvent, Uid, Value};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::rewrite::{Rewrite, Rewritten, Source};
use super::{GONE, Pace};
use crate::columns::{Catalog, ColumnBudget, Layout, RowReader, TableColumns, to_batch};
use crate::error::StorageError;
use crate::recent::SegmentKeys;
use crate::segment::{EncodedSegment, EventIndex, Segment, encode, sort};

/// Event, user, time, and a property or none of one of three types.
type Row = (u8, u8, u8, u8);

fn stored(row: &Row, received_at: i64) -> StoredEvent {
    let (name, user, time, property) = *row;
    let value = match property % 4 {
        0 => Some(Value::Int(received_at)),
        1 => Some(Value::Text(format!("text {received_at}"))),
        2 => Some(Value::Float(0.5)),
        _ => None,
    };
    let names = ["Buy", "Play", "Ähre", ""];
    let event = Event {
        name: names[usize::from(name) % names.len()].into(),
        distinct_id: format!("u{}", user % 6),
        time: i64::from(time % 9),
        insert_id: format!("i{received_at}"),
        insert_id_generated: false,
        properties: value.map(|value| (format!("p{}", property % 5), value)).into_iter().collect(),
    };
    StoredEvent { event, uid: Uid::new(Shard(1), u32::from(user % 6) + 1), received_at }
}

fn batch(rows: &[StoredEvent], catalog: &mut Arc<Catalog>) -> RecordBatch {
    to_batch(rows.iter(), catalog, &ColumnBudget::of_live_rows(3)).unwrap().0
}

/// Fewer columns than there are properties, so that they move in and out of `rest`.
fn layout(catalog: &Arc<Catalog>) -> Layout {
    let table = Arc::new(TableColumns::of(&Schema::empty(), 2));
    Layout { catalog: catalog.clone(), budget: ColumnBudget::of_segment(2), table }
}

fn segment(name: &str, file: &EncodedSegment) -> Arc<Segment> {
    Arc::new(Segment {
        path: name.to_owned(),
        day: 0,
        shard: Shard(1),
        rows: file.rows,
        bytes: file.bytes.len() as u64,
        crc32c: file.crc32c,
        tail: file.tail,
        received: file.received.clone(),
    })
}

fn source(name: &str, rows: &RecordBatch, without: RoaringBitmap) -> Source {
    let sorted = sort(rows).unwrap();
    let keys = SegmentKeys::of_rows(&sorted).unwrap();
    let file = encode(&sorted, keys.hashes()).unwrap();
    Source { segment: segment(name, &file), file: file.bytes.clone(), without }
}

fn read(file: &bytes::Bytes) -> (RecordBatch, EventIndex) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap();
    let footer = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
    let entry = footer.iter().find(|entry| entry.key == EventIndex::FOOTER_KEY).unwrap();
    let index = EventIndex::from_json(entry.value.as_deref().unwrap()).unwrap();
    let schema = reader.schema().clone();
    let batches = reader.build().unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    (concat_batches(&schema, &batches).unwrap(), index)
}

fn events(rows: &RecordBatch) -> Vec<StoredEvent> {
    let reader = RowReader::try_new(rows).unwrap();
    (0..rows.num_rows()).map(|row| reader.stored_event(row)).collect()
}

/// Runs of rows, which of them are left out, and rows that are put in.
fn check(runs: Vec<Vec<(Row, bool)>>, new: Vec<Row>, batch_rows: usize) {
    let mut catalog = Arc::default();
    let mut received_at = 0;
    let mut take = |row: &Row| {
        received_at += 1;
        stored(row, received_at)
    };
    let (mut rewrite, mut expected, mut before) = (Rewrite::default(), Vec::new(), Vec::new());
    for (number, run) in runs.iter().enumerate() {
        let rows: Vec<StoredEvent> = run.iter().map(|(row, _)| take(row)).collect();
        let sorted = events(&sort(&batch(&rows, &mut catalog)).unwrap());
        let gone: Vec<i64> =
            rows.iter().zip(run).filter(|(_, (_, gone))| *gone).map(|(row, _)| row.received_at).collect();
        let without = sorted.iter().zip(0..).filter(|(row, _)| gone.contains(&row.received_at)).map(|(_, at)| at);
        rewrite.add_segment(source(&format!("run {number}"), &batch(&rows, &mut catalog), without.collect()));
        expected.extend(sorted.iter().filter(|row| !gone.contains(&row.received_at)).cloned());
        before.push((sorted, gone));
    }
    let new: Vec<StoredEvent> = new.iter().map(take).collect();
    if !new.is_empty() {
        rewrite.add_rows(&batch(&new, &mut catalog)).unwrap();
    }
    expected.extend(new);
    let rewritten = rewrite.run_in(&layout(&catalog), &mut Pace::unbounded(), batch_rows).unwrap();
    let Some(Rewritten { file, keys, places }) = rewritten else {
        assert!(expected.is_empty(), "no file although rows are left");
        return;
    };
    let (rows, index) = read(&file.bytes);
    let seen = events(&rows);
    let order = |row: &StoredEvent| (row.event.name.clone(), row.uid, row.event.time, row.received_at);
    expected.sort_by_key(order);
    assert_eq!(seen, expected);
    assert_eq!((file.rows, index.total()), (seen.len() as u64, seen.len() as u64));
    for (name, range) in index.iter() {
        assert!(seen[range].iter().all(|row| row.event.name == name), "the index names the rows of {name:?}");
    }
    let times = seen.iter().map(|row| row.event.time);
    assert_eq!((Some(file.time_min), Some(file.time_max)), (times.clone().min(), times.max()));
    let received = seen.iter().map(|row| row.received_at);
    assert_eq!((Some(*file.received.start()), Some(*file.received.end())), (received.clone().min(), received.max()));
    assert_eq!(file.crc32c, crc32c::crc32c(&file.bytes));
    assert_eq!(keys.hashes(), SegmentKeys::of_rows(&rows).unwrap().hashes());
    assert_eq!(places.len(), before.len());
    for ((sorted, gone), places) in before.iter().zip(&places) {
        assert_eq!(places.len(), sorted.len());
        for (row, place) in sorted.iter().zip(places) {
            match gone.contains(&row.received_at) {
                true => assert_eq!(*place, GONE),
                false => assert_eq!(&seen[*place as usize], row),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_row_is_there_once_in_order(
        runs in prop::collection::vec(
            prop::collection::vec((any::<Row>(), prop::bool::weighted(0.2)), 1..60), 0..7),
        new in prop::collection::vec(any::<Row>(), 0..20),
        batch_rows in 1..40_usize,
    ) {
        check(runs, new, batch_rows);
    }
}

#[test]
fn a_damaged_or_misplaced_source_gives_no_file() {
    let mut catalog = Arc::default();
    let rows: Vec<StoredEvent> = (1..50).map(|n| stored(&(n, n, n, n), i64::from(n))).collect();
    let rows = batch(&rows, &mut catalog);
    let run = |source: Source| {
        let mut rewrite = Rewrite::default();
        rewrite.add_segment(source);
        rewrite.run(&layout(&catalog), &mut Pace::unbounded()).map(drop)
    };
    assert!(run(source("sound", &rows, RoaringBitmap::new())).is_ok());
    for at in [4, 100, 700] {
        let mut damaged = source("damaged", &rows, RoaringBitmap::new());
        let mut bytes = damaged.file.to_vec();
        bytes[at] ^= 4;
        damaged.file = bytes.into();
        let error = run(damaged).unwrap_err();
        assert!(matches!(&error, StorageError::CorruptSegment { path, .. } if path == "damaged"), "{error}");
    }
    // Rows that nobody has sorted: the next reader would not find them by the index.
    let file = encode(&rows, SegmentKeys::of_rows(&rows).unwrap().hashes()).unwrap();
    let unsorted =
        Source { segment: segment("unsorted", &file), file: file.bytes.clone(), without: RoaringBitmap::new() };
    assert!(run(unsorted).is_err());
}

#[test]
fn work_ends_when_it_is_told_to() {
    let mut catalog = Arc::default();
    let rows: Vec<StoredEvent> = (1..50).map(|n| stored(&(n, n, n, n), i64::from(n))).collect();
    let mut rewrite = Rewrite::default();
    rewrite.add_segment(source("run", &batch(&rows, &mut catalog), RoaringBitmap::new()));
    let mut pace = Pace::new(50, Arc::new(AtomicBool::new(true)));
    assert!(matches!(rewrite.run(&layout(&catalog), &mut pace).map(drop), Err(StorageError::Closed)));
}
