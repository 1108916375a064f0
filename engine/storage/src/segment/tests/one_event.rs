//! Seed-claim 53: a property that one event type uses adds nothing to the others.

use std::sync::Arc;

use footfall_model::{Event, Shard, StoredEvent, Uid, Value};
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::super::*;
use crate::columns::{Catalog, ColumnBudget, to_batch};
use crate::recent::SegmentKeys;

const OTHERS: usize = 40_000;

/// `own` rows of an event with a property, among many of other events.
fn encoded(others: usize, own: usize) -> EncodedSegment {
    let row = |i: usize| StoredEvent {
        event: Event {
            name: match i {
                i if i < own => "Own".into(),
                i => format!("Other {}", i % 3),
            },
            distinct_id: format!("u{}", i % 100),
            time: 1_700_000_000_000 + i as i64,
            insert_id: format!("i{i}"),
            insert_id_generated: false,
            properties: if i < own { vec![("p".into(), Value::Text(format!("value {i}")))] } else { Vec::new() },
        },
        uid: Uid::new(Shard(0), (i % 100) as u32),
        received_at: i as i64,
    };
    let rows: Vec<_> = (0..others + own).map(row).collect();
    let (batch, _) = to_batch(rows.iter(), &mut Arc::new(Catalog::default()), &ColumnBudget::of_live_rows(9)).unwrap();
    let sorted = sort(&batch).unwrap();
    encode(&sorted, SegmentKeys::of_rows(&sorted).unwrap().hashes()).unwrap()
}

/// Bytes of the chunks of `p`.
fn chunks(encoded: &EncodedSegment) -> Option<i64> {
    let file = SerializedFileReader::new(encoded.bytes.clone()).unwrap();
    let chunks = file.metadata().row_groups().iter().flat_map(|group| group.columns());
    let of_p = chunks.filter(|chunk| chunk.column_path().string() == "p").map(|chunk| chunk.compressed_size());
    of_p.reduce(|a, b| a + b)
}

#[test]
fn a_property_of_one_event_adds_nothing_to_the_rows_of_others() {
    assert_eq!(chunks(&encoded(OTHERS, 0)), None, "no column where it does not occur");
    let (alone, among) = (chunks(&encoded(0, 500)).unwrap(), chunks(&encoded(OTHERS, 500)).unwrap());
    // A page of nulls is a header and a run length for thousands of rows.
    let added = among - alone;
    assert!(added * 50 < OTHERS as i64, "{added} bytes for {OTHERS} rows that have none, {alone} for the 500 that do");
}
