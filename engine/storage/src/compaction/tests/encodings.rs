//! How a column is written follows from values all over the files, wherever they come in the order.

use parquet::basic::Encoding;
use parquet::file::metadata::ColumnChunkMetaData;

use super::*;
use crate::compaction::rewrite::stretches;

const ROWS: u64 = 20_000;
/// Those of the last event alone have properties.
const WITH_PROPERTIES: u64 = 2_000;

fn noise(n: u64) -> u64 {
    (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

fn row(n: u64) -> StoredEvent {
    let properties = [
        ("city", Value::Text(["Köln", "Rome", "Oslo"][(n % 3) as usize].to_owned())),
        ("page", Value::Text(format!("https://shop.example/catalog/item-{:06}", n))),
        ("token", Value::Text(format!("{:016x}", noise(n)))),
        ("measured", Value::Float(1.0 + (noise(n) >> 12) as f64 / (1_u64 << 52) as f64)),
        ("step", Value::Int(n as i64 * 1_000)),
    ];
    let has_properties = n < WITH_PROPERTIES;
    let event = Event {
        name: if has_properties { "Zoom" } else { "Add" }.to_owned(),
        distinct_id: "u".to_owned(),
        time: n as i64,
        insert_id: format!("{:016x}", noise(n + ROWS)),
        insert_id_generated: false,
        properties: properties
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .filter(|_| has_properties)
            .collect(),
    };
    StoredEvent { event, uid: Uid::new(Shard(1), 1), received_at: n as i64 }
}

#[test]
fn values_decide_wherever_they_are() {
    let mut catalog = Arc::default();
    let table = Arc::new(TableColumns::of(&Schema::empty(), 16));
    let mut rewrite = Rewrite::default();
    for part in 0..2 {
        let rows: Vec<_> = (0..ROWS).filter(|n| n % 2 == part).map(row).collect();
        rewrite.add_segment(source(&part.to_string(), &batch_of(&rows, &mut catalog), RoaringBitmap::new()));
    }
    let layout = Layout { catalog, budget: ColumnBudget::of_segment(16), table };
    let file = rewrite.run(&layout, &mut Pace::unbounded()).unwrap().unwrap().file;
    assert_eq!(events(&read(&file.bytes).0).len() as u64, ROWS);
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.bytes).unwrap();
    let chunks = reader.metadata().row_group(0).columns();
    let written = |name: &str| {
        let chunk = chunks.iter().find(|chunk| chunk.column_path().string() == name).unwrap();
        (chunk.dictionary_page_offset().is_some(), encodings(chunk))
    };
    assert!(written("city").0, "{:?}", written("city"));
    for (name, encoding) in [
        ("insert_id", Encoding::DELTA_LENGTH_BYTE_ARRAY),
        ("page", Encoding::DELTA_BYTE_ARRAY),
        ("token", Encoding::DELTA_LENGTH_BYTE_ARRAY),
        ("measured", Encoding::BYTE_STREAM_SPLIT),
        ("step", Encoding::DELTA_BINARY_PACKED),
    ] {
        let (has_dictionary, encodings) = written(name);
        assert!(!has_dictionary && encodings.contains(&encoding), "{name}: {encodings:?}");
    }
}

fn batch_of(rows: &[StoredEvent], catalog: &mut Arc<Catalog>) -> RecordBatch {
    to_batch(rows.iter(), catalog, &ColumnBudget::of_live_rows(16)).unwrap().0
}

fn encodings(chunk: &ColumnChunkMetaData) -> Vec<Encoding> {
    chunk.encodings().collect()
}

proptest! {
    #[test]
    fn stretches_are_ascending_apart_and_about_as_many_rows_as_wanted(rows in 0..30_000_u64, wanted in 0..9_000_u64) {
        let stretches = stretches(rows, wanted);
        prop_assert!(stretches.windows(2).all(|pair| pair[0].end <= pair[1].start), "{:?}", stretches);
        prop_assert!(stretches.iter().all(|stretch| !stretch.is_empty() && stretch.end <= rows as usize));
        let looked_at = stretches.iter().map(|stretch| stretch.len() as u64).sum::<u64>();
        prop_assert!(looked_at <= wanted.max(1) + 64, "{} of {}", looked_at, wanted);
        prop_assert!(looked_at * 2 >= wanted.min(rows), "{} of {}", looked_at, wanted);
    }
}
