use std::time::Instant;

use bytes::Bytes;
use footfall_model::{Shard, StoredEvent, Uid};
use object_store::memory::InMemory;
use object_store::path::Path;

use super::*;
use crate::columns::{Catalog, ColumnBudget, to_batch};
use crate::keys::event_key;
use crate::segment::{EncodedSegment, SegmentCaches, encode, sort};

const DAY: i64 = 19_700;

/// The `n`th event.
fn event(n: u64) -> Event {
    Event {
        name: ["Play", "Stop", "Seek"][(n % 3) as usize].into(),
        distinct_id: format!("u{}", n % 97),
        time: DAY * 86_400_000 + (n * 7_919 % 86_400) as i64 * 1_000,
        insert_id: format!("{:032x}", u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
        insert_id_generated: false,
        properties: vec![("n".into(), Value::Int(n as i64))],
    }
}

fn encoded(events: impl Iterator<Item = Event>) -> (EncodedSegment, usize) {
    let stored = |(row, event)| StoredEvent { event, uid: Uid::new(Shard(0), 1), received_at: row as i64 };
    let rows: Vec<StoredEvent> = events.enumerate().map(stored).collect();
    let budget = ColumnBudget::of_live_rows(2);
    let (batch, _) = to_batch(rows.iter(), &mut Arc::new(Catalog::default()), &budget).unwrap();
    let sorted = sort(&batch).unwrap();
    let keys = SegmentKeys::of_rows(&sorted).unwrap();
    let without = encode(&sorted, &[]).unwrap().bytes.len();
    (encode(&sorted, keys.hashes()).unwrap(), without)
}

/// A segment in a store that nobody has read from yet.
struct Stored {
    segment: Segment,
    files: SegmentFiles,
    caches: Arc<SegmentCaches>,
    keys: Arc<KeyCache>,
}

async fn store(encoded: &EncodedSegment, bytes: Bytes) -> Stored {
    let caches = SegmentCaches::new(64 << 20);
    let segment = Segment {
        path: format!("day=2023-12-09/shard=0/{}.parquet", uuid::Uuid::now_v7()),
        day: DAY as i32,
        shard: Shard(0),
        rows: encoded.rows,
        bytes: bytes.len() as u64,
        crc32c: crc32c::crc32c(&bytes),
        // A file that a test has changed is as one of which no sums are known.
        tail: encoded.tail.filter(|_| bytes == encoded.bytes),
        received: encoded.received.clone(),
    };
    let files = SegmentFiles::new(Arc::new(InMemory::new()), Path::from("1/events"), caches.clone());
    files.put(&segment, bytes).await.unwrap();
    Stored { segment, files, caches, keys: KeyCache::new(64 << 20) }
}

impl Stored {
    async fn find(&self, event: &Event) -> Option<Found> {
        let hash = event_key(event).unwrap() as u64;
        self.keys.find(&self.files, &self.segment, hash, event).await.unwrap()
    }

    fn has_read_keys(&self) -> bool {
        self.keys.keys.get(self.segment.path.as_str()).is_some()
    }
}

/// The file as a version without filters would have written it.
fn without_filter(encoded: &EncodedSegment) -> Bytes {
    let key = b"footfall.key_filter";
    let mut bytes = encoded.bytes.to_vec();
    let at = bytes.windows(key.len()).position(|window| window == key).expect("the footer names the filter");
    bytes[at] = b'F';
    bytes.into()
}

#[tokio::test]
async fn every_row_is_found_and_no_stranger_with_and_without_a_filter() {
    let (encoded, _) = encoded((0..3_000).map(event));
    for bytes in [encoded.bytes.clone(), without_filter(&encoded)] {
        let stored = store(&encoded, bytes).await;
        for n in (0..3_000).step_by(17) {
            let found = stored.find(&event(n)).await.expect("a row");
            assert_eq!((found.received_at, found.changed_from), (n as i64, None));
            let changed = Event { properties: vec![], ..event(n) };
            assert_eq!(stored.find(&changed).await.unwrap().changed_from, Some(event(n).properties));
            for near in [
                Event { name: "Pause".into(), ..event(n) },
                Event { distinct_id: "u".into(), ..event(n) },
                Event { time: event(n).time + 1, ..event(n) },
                Event { insert_id: "i".into(), ..event(n) },
            ] {
                assert_eq!(stored.find(&near).await, None, "{near:?}");
            }
        }
    }
}

#[tokio::test]
async fn strangers_do_not_make_a_segment_s_keys_be_read() {
    let (encoded, _) = encoded((0..20_000).map(event));
    let stored = store(&encoded, encoded.bytes.clone()).await;
    // Of other times of day: what passes the filter ends at the times.
    for n in 20_000..40_000 {
        let stranger = Event { time: event(n).time + 500, ..event(n) };
        assert_eq!(stored.find(&stranger).await, None);
    }
    assert!(!stored.has_read_keys());
    let (read, whole) = (stored.caches.fetched_bytes(), encoded.bytes.len() as u64);
    assert!(read < whole / 3, "{read} of {whole} bytes were read for 20000 strangers");
    assert!(stored.find(&event(7)).await.is_some() && stored.has_read_keys(), "a row of it does");
}

#[tokio::test]
async fn a_damaged_filter_is_refused() {
    let (encoded, _) = encoded((0..500).map(event));
    let footer = encoded.bytes.len() - 8;
    let length = u32::from_le_bytes(encoded.bytes[footer..footer + 4].try_into().unwrap()) as usize;
    let text = String::from_utf8_lossy(&encoded.bytes[footer - length..]).into_owned();
    let place = &text[text.find("{\"offset\":").expect("its place")..];
    let offset: usize = place["{\"offset\":".len()..].split(',').next().unwrap().parse().unwrap();
    let mut bytes = encoded.bytes.to_vec();
    bytes[offset + 30] ^= 1;
    let stored = store(&encoded, bytes.into()).await;
    let found = stored.keys.find(&stored.files, &stored.segment, 7, &event(7)).await;
    assert!(matches!(found, Err(StorageError::CorruptSegment { .. })), "{found:?}");
}

/// What a filter costs and saves: `cargo test --release -p footfall-storage -- --ignored --nocapture filter_figures`.
#[tokio::test]
#[ignore = "prints figures and asserts nothing"]
async fn filter_figures() {
    println!("rows     bytes/event  filter  build  first look  stranger  false hit  row found");
    for rows in [1_000_u64, 10_000, 100_000, 500_000] {
        let (encoded, without) = encoded((0..rows).map(event));
        let mut hashes: Vec<u64> = (0..rows).map(|n| event_key(&event(n)).unwrap() as u64).collect();
        hashes.sort_unstable();
        let start = Instant::now();
        assert!(KeyFilter::encode(&hashes).is_some());
        let build = start.elapsed() / rows as u32;
        let stored = store(&encoded, encoded.bytes.clone()).await;
        let strangers: Vec<Event> =
            (rows..rows + 20_000).map(|n| Event { time: event(n).time + 500, ..event(n) }).collect();
        let start = Instant::now();
        assert_eq!(stored.find(&strangers[0]).await, None);
        let mut timed = vec![start.elapsed()];
        let filter = stored.keys.filters.get(stored.segment.path.as_str()).flatten().expect("just read");
        let passes = |stranger: &&Event| filter.may_hold(event_key(stranger).unwrap() as u64);
        let (false_hits, strangers): (Vec<&Event>, Vec<&Event>) = strangers.iter().partition(passes);
        for events in [strangers, false_hits] {
            let start = Instant::now();
            for event in &events {
                assert_eq!(stored.find(event).await, None);
            }
            timed.push(start.elapsed() / events.len().max(1) as u32);
        }
        let start = Instant::now();
        assert!(stored.find(&event(1)).await.is_some());
        let found = start.elapsed();
        let per_event = |bytes: usize| bytes as f64 / rows as f64;
        let (whole, filter) = (per_event(encoded.bytes.len()), per_event(encoded.bytes.len() - without));
        println!(
            "{rows:<8} {whole:>11.2} {filter:>7.2} {build:>6.0?} {:>11.0?} {:>9.0?} {:>10.0?} {found:>10.0?}",
            timed[0], timed[1], timed[2]
        );
    }
}
