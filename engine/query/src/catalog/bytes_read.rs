//! What a query asks of the store: little more than the columns it names, of the days it names.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use footfall_model::{Event, Value};
use futures::TryStreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

use crate::compile::Clock;
use crate::fixture::Fixture;
use crate::report::segmentation::{self, Count, SegmentationSpec, Unit};
use crate::sql::{properties_in, run};

const DAY: i64 = 86_400_000;
const FIRST_DAY: i64 = 19_700;

/// A store in memory that counts the bytes it is asked for.
#[derive(Debug, Default)]
struct CountingStore {
    objects: InMemory,
    read: AtomicU64,
}

impl fmt::Display for CountingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CountingStore")
    }
}

#[async_trait::async_trait]
impl ObjectStore for CountingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.objects.put_opts(location, payload, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let found = self.objects.get_opts(location, options).await?;
        self.read.fetch_add(found.range.end - found.range.start, Ordering::Relaxed);
        Ok(found)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(locations)
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        unreachable!("files are written whole");
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unreachable!("nothing is copied");
    }
}

fn event(n: i64) -> Event {
    let noise = |salt: u64| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(salt).wrapping_mul(0xff51_afd7);
    Event {
        name: ["Pause", "Play", "Stop"][(n % 3) as usize].to_owned(),
        distinct_id: format!("u{}", n % 997),
        time: (FIRST_DAY + n % 3) * DAY + (noise(1) % 86_400_000) as i64,
        insert_id: format!("{:016x}", noise(2)),
        insert_id_generated: false,
        properties: vec![
            ("price".to_owned(), Value::Float(noise(3) as f64 / 7.0)),
            ("amount".to_owned(), Value::Int((noise(4) >> 20) as i64)),
            ("note".to_owned(), Value::Text(format!("{:032x}", noise(5)))),
        ],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_reads_the_columns_and_days_that_it_names_and_hardly_more() {
    let store = Arc::new(CountingStore::default());
    let fixture = Fixture::over(store.clone()).await;
    for chunk in 0..6 {
        fixture.append((chunk * 10_000..(chunk + 1) * 10_000).map(event).collect()).await;
    }
    fixture.store.flush().await.unwrap();
    let snapshot = fixture.store.snapshot().unwrap();
    let (from, to) = ((FIRST_DAY + 1) * DAY / 1000, (FIRST_DAY + 2) * DAY / 1000);
    let in_range = format!("time >= to_timestamp({from}) AND time < to_timestamp({to})");
    let whole: u64 = snapshot.segments.iter().map(|segment| segment.bytes).sum();
    let queries: [(String, &[&str]); 3] = [
        (format!("SELECT count(price), sum(price) FROM events WHERE {in_range}"), &["price", "time"]),
        (format!("SELECT count(amount) FROM events WHERE event = 'Play' AND {in_range}"), &["amount", "time"]),
        (format!("SELECT count(DISTINCT note) FROM events WHERE {in_range}"), &["note", "time"]),
    ];
    for (query, columns) in queries {
        // A process that has read nothing yet.
        let fixture = Fixture::over(store.clone()).await;
        let before = store.read.load(Ordering::Relaxed);
        let rows = fixture.number(&query).await;
        let read = store.read.load(Ordering::Relaxed) - before;
        let expected = (0..60_000).map(event).filter(|e| e.time.div_euclid(DAY) == FIRST_DAY + 1);
        let expected = expected.filter(|e| !query.contains("'Play'") || e.name == "Play").count() as i64;
        assert_eq!(rows, expected, "{query}");

        let mut named = 0;
        for segment in snapshot.segments.iter().filter(|segment| i64::from(segment.day) == FIRST_DAY + 1) {
            let open = snapshot.files.open(segment).await.unwrap();
            let chunks = open.chunks.iter().filter(|chunk| columns.contains(&open.column_of(chunk)));
            named += chunks.map(|chunk| chunk.range.end - chunk.range.start).sum::<u64>();
        }
        assert!(read * 10 <= named * 12, "{query}: {read} bytes read for {named} of columns");
        assert!(read >= named && named * 4 < whole, "{query}: {read} of {named} of {whole}");
        // And nothing when it is asked again.
        let before = store.read.load(Ordering::Relaxed);
        assert_eq!(fixture.number(&query).await, expected);
        assert_eq!(store.read.load(Ordering::Relaxed), before, "{query}");
    }
}

/// By the `where` and `on` of a route, and by SQL: the property is read once, however often it is named.
#[tokio::test(flavor = "multi_thread")]
async fn ten_mentions_of_a_property_ask_for_no_more_bytes_than_one() {
    let store = Arc::new(CountingStore::default());
    let fixture = Fixture::over(store.clone()).await;
    fixture.append((0..20_000).map(event).collect()).await;
    fixture.store.flush().await.unwrap();
    let clock = Clock { now: 1_700_000_000, timezone: chrono_tz::Tz::UTC };
    let ten = |one: &dyn Fn(usize) -> String, op: &str| (0..10).map(one).collect::<Vec<_>>().join(op);
    let price = |n: usize| format!("properties[\"price\"] != {n}");
    let amount = |_: usize| "properties[\"amount\"]".to_owned();
    let mut read = Vec::new();
    for (filter, on) in [(price(1), amount(0)), (ten(&price, " and "), ten(&amount, " + "))] {
        // Processes that have read nothing yet.
        let fixture = Fixture::over(store.clone()).await;
        let before = store.read.load(Ordering::Relaxed);
        let spec = SegmentationSpec {
            event: "Play".to_owned(),
            from: day(FIRST_DAY),
            to: day(FIRST_DAY + 2),
            unit: Unit::Day,
            count: Count::General,
            on: Some(format!("floor(({on}) / 1e18)")),
            filter: Some(filter.clone()),
            limit: 1000,
        };
        let snapshot = Arc::new(fixture.store.snapshot().unwrap());
        let report = segmentation::run(&fixture.sessions, &snapshot, &spec, &clock).await.unwrap();
        assert!(!report.segments.is_empty());
        let by_route = store.read.load(Ordering::Relaxed) - before;

        let fixture = Fixture::over(store.clone()).await;
        let before = store.read.load(Ordering::Relaxed);
        let snapshot = Arc::new(fixture.store.snapshot().unwrap());
        let sql = format!("SELECT max(expr('{on}')) AS v FROM events WHERE expr('{filter}')");
        let context = fixture.sessions.sql_context(&snapshot, properties_in(&sql), &clock).unwrap();
        let rows: Vec<_> = run(&context, &sql, &[]).await.unwrap().try_collect().await.unwrap();
        assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
        read.push((by_route, store.read.load(Ordering::Relaxed) - before));
    }
    assert_eq!(read[0], read[1], "bytes asked for by the route and by SQL");
}

fn day(number: i64) -> chrono::NaiveDate {
    chrono::NaiveDate::default() + chrono::Days::new(number as u64)
}
