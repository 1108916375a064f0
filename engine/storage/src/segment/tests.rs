//! Whatever happens to a file's bytes, a read answers what was written or says what is damaged (S4).

mod one_event;

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use footfall_model::{Event, Shard, StoredEvent, Uid, Value};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::StorageError;
use crate::census::Census;
use crate::columns::{Catalog, ColumnBudget, RestIndex, to_batch};
use crate::recent::SegmentKeys;

fn row(n: u64) -> StoredEvent {
    let event = Event {
        name: ["Pause", "Play", "Stop"][(n % 3) as usize].into(),
        distinct_id: format!("user-{}", n % 41),
        time: 19_700 * 86_400_000 + (n * 7_919 % 86_400) as i64 * 1_000,
        insert_id: format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        insert_id_generated: false,
        properties: vec![
            ("n".into(), Value::Int(n as i64)),
            ("price".into(), Value::Float(n as f64 / 7.0)),
            ("city".into(), Value::Text(["Berlin", "Rome"][(n % 2) as usize].into())),
        ],
    };
    StoredEvent { event, uid: Uid::new(Shard(0), 1 + (n % 41) as u32), received_at: n as i64 }
}

struct Fixture {
    sorted: RecordBatch,
    hashes: Vec<u64>,
    encoded: EncodedSegment,
    segment: Segment,
}

impl Fixture {
    fn new(rows: u64) -> Self {
        let rows: Vec<StoredEvent> = (0..rows).map(row).collect();
        let sorted =
            sort(&to_batch(rows.iter(), &mut Arc::new(Catalog::default()), &ColumnBudget::of_live_rows(2)).unwrap().0)
                .unwrap();
        let hashes = SegmentKeys::of_rows(&sorted).unwrap().hashes().to_vec();
        let encoded = encode(&sorted, &hashes).unwrap();
        let segment = Segment {
            path: "day=2023-12-09/shard=0/0192.parquet".to_owned(),
            day: 19_700,
            shard: Shard(0),
            rows: encoded.rows,
            bytes: encoded.bytes.len() as u64,
            crc32c: encoded.crc32c,
            tail: encoded.tail,
            received: encoded.received.clone(),
        };
        Self { sorted, hashes, encoded, segment }
    }

    fn location(&self) -> Path {
        Path::from(format!("1/events/{}", self.segment.path))
    }

    /// A store that has `bytes` in place of the segment, seen by a process that has read nothing yet.
    async fn stored(&self, bytes: Bytes, replica: Option<Replica>) -> (Arc<dyn ObjectStore>, SegmentFiles) {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        store.put(&self.location(), bytes.into()).await.unwrap();
        let options = CacheOptions { memory_bytes: 8 << 20, replica, ..CacheOptions::default() };
        let caches = SegmentCaches::open(&options).unwrap();
        (store.clone(), SegmentFiles::new(store, Path::from("1/events"), caches))
    }

    /// Everything that can be asked of a segment.
    async fn answers(&self, files: &SegmentFiles) -> Result<Answers, StorageError> {
        let open = files.open(&self.segment).await?;
        let rows = open.index.rows("Play").map_or(0..0, |rows| rows);
        let part = files.read(&self.segment, &open, &["n", "time"], Some(&[rows]), 1_000)?;
        let filter = files.read_filter(&self.segment).await?;
        Ok(Answers {
            all: files.read_all(&self.segment).await?,
            part: part.try_collect().await?,
            census: files.read_census(&self.segment).await?,
            rest: files.rest(&self.segment, &open).await?,
            held: filter.map(|filter| self.hashes.iter().filter(|hash| filter.may_hold(**hash)).count()),
        })
    }

    fn flipped(&self, bit: usize) -> Bytes {
        let mut bytes = self.encoded.bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes.into()
    }
}

#[derive(Debug, PartialEq)]
struct Answers {
    all: RecordBatch,
    part: Vec<RecordBatch>,
    census: Option<Census>,
    rest: Arc<RestIndex>,
    held: Option<usize>,
}

fn damage(error: StorageError) -> String {
    match error {
        StorageError::CorruptSegment { path, what } => format!("{path}: {what}"),
        other => panic!("damage was taken for something else: {other}"),
    }
}

#[tokio::test]
async fn no_flipped_bit_goes_unnoticed_and_a_copy_heals_each() {
    let flips: usize = std::env::var("FOOTFALL_SEGMENT_FLIPS").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let fixture = Fixture::new(9_000);
    let whole = fixture.encoded.bytes.clone();
    let (_, files) = fixture.stored(whole.clone(), None).await;
    let truth = fixture.answers(&files).await.unwrap();
    assert_eq!((&truth.all, truth.held), (&fixture.sorted, Some(9_000)));
    let backup: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    backup.put(&Path::from(format!("objects/{}", fixture.location())), whole.clone().into()).await.unwrap();

    let seed = 0x5eed;
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..flips {
        let bit = random.random_range(0..whole.len() * 8);
        let (_, files) = fixture.stored(fixture.flipped(bit), None).await;
        match fixture.answers(&files).await {
            // Nobody reads the magic at the beginning.
            Ok(answers) => assert!(answers == truth && bit < 32, "bit {bit} went unnoticed"),
            Err(error) => assert!(damage(error).starts_with(fixture.location().as_ref()), "bit {bit}"),
        }
        let (store, files) = fixture.stored(fixture.flipped(bit), Some(Replica::new(backup.clone()))).await;
        assert!(fixture.answers(&files).await.unwrap() == truth, "bit {bit} with a copy");
        let after = store.get(&fixture.location()).await.unwrap().bytes().await.unwrap();
        assert!(after == whole || bit < 32, "bit {bit} is still there");
    }
    println!("{flips} bits flipped in a segment, seed {seed:#x}: each was noticed, and healed where there was a copy");
}

#[tokio::test]
async fn damage_names_the_file_and_the_column() {
    let fixture = Fixture::new(2_000);
    let (_, files) = fixture.stored(fixture.encoded.bytes.clone(), None).await;
    let open = files.open(&fixture.segment).await.unwrap();
    for chunk in open.chunks.iter() {
        let middle = (chunk.range.start + chunk.range.end) / 2;
        let (_, files) = fixture.stored(fixture.flipped(middle as usize * 8), None).await;
        let found = damage(fixture.answers(&files).await.unwrap_err());
        let column = open.column_of(chunk);
        assert_eq!(found, format!("{}: checksum mismatch, column {column}", fixture.location()));
        // The others are still there.
        let others = open.metadata.schema().fields().iter().map(|field| field.name().as_str());
        let others: Vec<&str> = others.filter(|name| *name != column).collect();
        let open = files.open(&fixture.segment).await.unwrap();
        let read = files.read(&fixture.segment, &open, &others, None, 2_000).unwrap();
        assert_eq!(read.try_collect::<Vec<_>>().await.unwrap()[0].num_columns(), others.len());
    }
}

#[tokio::test]
async fn a_file_that_is_short_or_gone_is_damaged_too_and_healed() {
    let fixture = Fixture::new(2_000);
    let whole = fixture.encoded.bytes.clone();
    let replica: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    replica.put(&fixture.location(), whole.clone().into()).await.unwrap();
    for length in [0, 1, 100, whole.len() / 2, whole.len() - 1] {
        let (_, files) = fixture.stored(whole.slice(..length), None).await;
        damage(fixture.answers(&files).await.unwrap_err());
        let (_, files) = fixture.stored(whole.slice(..length), Some(Replica::new(replica.clone()))).await;
        assert_eq!(fixture.answers(&files).await.unwrap().all, fixture.sorted, "length {length}");
    }
    let (store, files) = fixture.stored(whole.clone(), None).await;
    store.delete(&fixture.location()).await.unwrap();
    assert!(damage(fixture.answers(&files).await.unwrap_err()).ends_with("file missing"));
    let (store, files) = fixture.stored(whole.clone(), Some(Replica::new(replica))).await;
    store.delete(&fixture.location()).await.unwrap();
    assert_eq!(fixture.answers(&files).await.unwrap().all, fixture.sorted);
    assert_eq!(store.head(&fixture.location()).await.unwrap().size, fixture.segment.bytes);
}

#[tokio::test]
async fn a_damaged_copy_heals_nothing() {
    let fixture = Fixture::new(2_000);
    let replica: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    replica.put(&fixture.location(), fixture.flipped(90_000).into()).await.unwrap();
    let (_, files) = fixture.stored(fixture.flipped(80_000), Some(Replica::new(replica))).await;
    damage(fixture.answers(&files).await.unwrap_err());
}

#[tokio::test]
async fn files_of_versions_without_sums_still_open() {
    let mut fixture = Fixture::new(2_000);
    let key = b"footfall.chunk_crc32c";
    let mut bytes = fixture.encoded.bytes.to_vec();
    let at = bytes.windows(key.len()).position(|window| window == key).expect("the footer lists sums");
    bytes[at] = b'F';
    fixture.segment.tail = None;
    let (_, files) = fixture.stored(bytes.into(), None).await;
    let answers = fixture.answers(&files).await.unwrap();
    assert_eq!((answers.all, answers.held), (fixture.sorted.clone(), Some(2_000)));
    assert_eq!(answers.part[0].num_rows(), 667);
}

#[tokio::test]
async fn what_is_asked_for_at_once_is_fetched_once_and_the_disk_answers_after_a_restart() {
    let fixture = Fixture::new(2_000);
    let (store, _) = fixture.stored(fixture.encoded.bytes.clone(), None).await;
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let disk = Some((dir.path().to_owned(), 8 << 20));
        let caches = SegmentCaches::open(&CacheOptions { memory_bytes: 8 << 20, disk, replica: None }).unwrap();
        (caches.clone(), SegmentFiles::new(store.clone(), Path::from("1/events"), caches))
    };
    let (caches, files) = open();
    let chunks = files.open(&fixture.segment).await.unwrap().chunks.iter().count() as u64;
    futures::future::try_join_all((0..8).map(|_| files.read_all(&fixture.segment))).await.unwrap();
    let figures = caches.figures();
    assert_eq!((figures.misses, figures.disk_hits), (1 + chunks, 0));
    assert_eq!(figures.memory_hits, 8 + 7 * chunks, "of eight readers one fetched");
    assert!(figures.fetched_bytes <= fixture.segment.bytes && figures.disk_bytes > figures.fetched_bytes);

    let (caches, files) = open();
    assert_eq!(files.read_all(&fixture.segment).await.unwrap(), fixture.sorted);
    let figures = caches.figures();
    assert_eq!((figures.misses, figures.disk_hits, figures.fetched_bytes), (0, 1 + chunks, 0));

    for folder in std::fs::read_dir(dir.path()).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let (caches, files) = open();
    assert_eq!(files.read_all(&fixture.segment).await.unwrap(), fixture.sorted);
    let figures = caches.figures();
    assert_eq!((figures.misses, figures.disk_hits, figures.disk_damaged), (1 + chunks, 0, 1 + chunks));
}

#[test]
fn a_check_of_a_file_finds_what_its_rows_belie() {
    let fixture = Fixture::new(2_000);
    let (segment, file) = (&fixture.segment, &fixture.encoded.bytes);
    let time = |ms: i64| chrono::DateTime::from_timestamp_millis(ms).unwrap().to_rfc3339();
    let stats = |min: i64| {
        let max = time(fixture.encoded.time_max);
        format!(r#"{{"minValues":{{"time":"{}"}},"maxValues":{{"time":"{max}"}}}}"#, time(min))
    };
    let sound = stats(fixture.encoded.time_min);
    assert_eq!(check(segment, Some(&sound), file, true), [""; 0]);
    let expect = |segment: &Segment, stats: &str, found: &str| {
        let damages = check(segment, Some(stats), file, true);
        assert!(damages.len() == 1 && damages[0].contains(found), "{found}: {damages:?}");
    };
    expect(segment, &stats(fixture.encoded.time_min + 1), "statistics");
    expect(&Segment { day: segment.day + 1, ..segment.clone() }, &sound, "another day");
    expect(&Segment { shard: Shard(3), ..segment.clone() }, &sound, "another shard");
    expect(&Segment { received: 5..=9, ..segment.clone() }, &sound, "arrived when");
    expect(&Segment { rows: 1_999, ..segment.clone() }, &sound, "row count");
    // A filter of other keys, under right sums.
    let wrong = encode(&fixture.sorted, &[1, 2, 3]).unwrap();
    let bytes = wrong.bytes.len() as u64;
    let listed = Segment { bytes, crc32c: wrong.crc32c, tail: wrong.tail, ..segment.clone() };
    assert!(check(&listed, Some(&sound), &wrong.bytes, true)[0].contains("key filter lacks"));
}
