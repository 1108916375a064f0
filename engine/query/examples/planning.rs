//! How long planning takes over a project of a million segments, once its table is loaded.
//!
//!     cargo run --release -p footfall-query --example planning -- [SEGMENTS] [FOLDER]
//!
//! Writes a Delta log of so many added files (a checkpoint, and commits after it) through the store's own commits, unless
//! FOLDER has one already; opens it as a server does; and plans questions, each on a fresh context. The files themselves
//! are not there: nothing that is planned here is run.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, Field, Schema};
use chrono::{NaiveDate, TimeDelta, Utc};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use footfall_model::ProjectId;
use footfall_query::catalog::Shape;
use footfall_query::session::Sessions;
use footfall_query::sql::properties_in;
use footfall_storage::log::{Log, LogOptions, Record};
use footfall_storage::segment::SegmentCaches;
use footfall_storage::table::{AddFile, ColumnStats, Operation, Table, TableCommit, TableDefinition};
use footfall_storage::{
    KeptBudget, KeptLimits, KeyCache, ProjectOptions, ProjectStore, Shared, StorePolicy, open_store,
};
use object_store::ObjectStore;

const SHARDS: usize = 64;
const RUNS: usize = 4;
/// A hundred commits are followed by a checkpoint.
const COMMITS: usize = 104;
const TIMES: usize = 5;
const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(2015, 1, 1).expect("it is in the calendar");

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let segments: usize = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let made = tempfile::tempdir()?;
    let folder = arguments.next().map_or_else(|| made.path().to_owned(), Into::into);
    std::fs::create_dir_all(&folder)?;
    let store = open_store(&folder.join("store"), None, &StorePolicy::default())?;

    // The first opening makes an empty table.
    let is_new = open(&folder, &store).await?.snapshot()?.segments.is_empty();
    if is_new {
        let began = Instant::now();
        commit_all(&store, segments).await?;
        println!("{segments} files committed in {:.1} s", began.elapsed().as_secs_f64());
    }
    let began = Instant::now();
    let project = open(&folder, &store).await?;
    println!("opened in {:.1} s, {} MiB resident", began.elapsed().as_secs_f64(), resident_mib());

    let began = Instant::now();
    let snapshot = Arc::new(project.snapshot()?);
    println!("snapshot of {} segments in {:.2} ms", snapshot.segments.len(), ms(began.elapsed()));
    let sessions = Sessions::new(RuntimeEnvBuilder::new().build_arc()?, 2);
    let days = segments.div_ceil(SHARDS * RUNS);
    let day = |number: usize| FIRST_DAY + TimeDelta::days(number as i64);
    let within =
        |from, to| format!("time >= TIMESTAMP '{}T00:00:00Z' AND time < TIMESTAMP '{}T00:00:00Z'", day(from), day(to));
    let dau = "SELECT date_trunc('day', time) AS d, count(DISTINCT user_id) FROM events WHERE";
    let segmentation = "SELECT day, count(1) FROM events WHERE event = 'Play' AND";
    for (question, shape, query) in [
        ("SQL, one day", Shape::Sql, format!("{dau} {} GROUP BY 1", within(days / 2, days / 2 + 1))),
        ("SQL, a month", Shape::Sql, format!("{dau} {} GROUP BY 1", within(days / 2, days / 2 + 30))),
        ("SQL, everything", Shape::Sql, format!("{dau} {} GROUP BY 1", within(0, days))),
        ("SQL, one user", Shape::Sql, "SELECT count(*) FROM events WHERE distinct_id = 'ann'".to_owned()),
        ("report, one day", Shape::Stored, format!("{segmentation} {} GROUP BY 1", within(days / 2, days / 2 + 1))),
        ("report, everything", Shape::Stored, format!("{segmentation} {} GROUP BY 1", within(0, days))),
    ] {
        let mut best = Duration::MAX;
        for _ in 0..TIMES {
            let began = Instant::now();
            let context = sessions.context(&snapshot, shape, properties_in(&query))?;
            let plan = context.sql(&query).await?.create_physical_plan().await?;
            best = best.min(began.elapsed());
            drop(plan);
        }
        println!("{question}: planned in {:.2} ms", ms(best));
    }
    Ok(())
}

async fn open(folder: &Path, store: &Arc<dyn ObjectStore>) -> Outcome<Arc<ProjectStore>> {
    let nothing = |_: Record<'_>| -> Result<(), std::convert::Infallible> { Ok(()) };
    let (log, recovery) = Log::open(LogOptions::new(folder.join("log")), nothing)?;
    let shared = Shared {
        log: Arc::new(log),
        log_id: recovery.node,
        log_start: recovery.next_lsn,
        store: store.clone(),
        segments: SegmentCaches::new(64 << 20),
        keys: KeyCache::new(1 << 20),
        kept: KeptBudget::new(0),
        nice: tokio::runtime::Handle::current(),
    };
    let options = ProjectOptions {
        shards: SHARDS as u16,
        seal_rows: 4_096,
        live_rows_max: 1_000_000,
        live_bytes_max: usize::MAX,
        columns_max: 256,
        kept: KeptLimits { rows_max: 0, bytes_max: 0 },
    };
    Ok(ProjectStore::open(ProjectId(1), options, &shared, Vec::new()).await?)
}

/// Files of all shards, day after day, a few runs each.
async fn commit_all(store: &Arc<dyn ObjectStore>, segments: usize) -> Outcome<()> {
    let definition = TableDefinition {
        name: "events".to_owned(),
        schema: Arc::new(Schema::new(vec![
            Field::new("day", DataType::Date32, true),
            Field::new("shard", DataType::Int32, true),
        ])),
        partition_columns: vec!["day".to_owned(), "shard".to_owned()],
        stats_columns: Vec::new(),
    };
    let table = Table::open_or_create(store.clone(), "1/events", definition).await?;
    let all: Vec<usize> = (0..segments).collect();
    for some in all.chunks(segments.div_ceil(COMMITS)) {
        let commit = TableCommit {
            operation: Operation::Append,
            at: Utc::now(),
            adds: some.iter().map(|number| added(*number)).collect(),
            removes: Vec::new(),
            schema: None,
            properties: Vec::new(),
            transaction: None,
            positions: Vec::new(),
        };
        table.commit(commit).await?;
    }
    Ok(())
}

/// An entry as a flush writes it.
fn added(number: usize) -> AddFile {
    let (day, shard) = (number / (SHARDS * RUNS), number / RUNS % SHARDS);
    let date = FIRST_DAY + TimeDelta::days(day as i64);
    let start = date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
    let received = start * 1000;
    AddFile {
        path: format!("day={date}/shard={shard}/019a2206-0000-7000-8000-{number:012x}.parquet"),
        partition_values: vec![("day".to_owned(), date.to_string()), ("shard".to_owned(), shard.to_string())],
        bytes: 250_000,
        rows: 10_000,
        tags: [
            ("footfall.crc32c", format!("{:08x}", number as u32)),
            ("footfall.received", format!("{received}..{}", received + 86_400_000_000)),
            ("footfall.tail", format!("8000:{:08x}", number as u32)),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into(),
        stats: vec![ColumnStats::timestamp_millis("time", start, start + 86_399_999, 0)],
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Of this process; 0 where the system does not say.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}
