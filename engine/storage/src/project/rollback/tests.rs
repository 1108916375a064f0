//! Requests at a log whose writes fail at random, flushes among them, against the log itself: what a query sees is what
//! a reader of the log's records would expect, and the log has what was acknowledged and nothing else.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;

use footfall_model::{Event, ProjectId, StoredEvent, Value};
use object_store::memory::InMemory;
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::columns::RowReader;
use crate::kept::{KeptBudget, KeptLimits};
use crate::keys::event_key;
use crate::log::{Entry, Faults, Log, LogOptions};
use crate::project::record::{EVENTS_RECORD, EventsRecord};
use crate::segment::SegmentCaches;
use crate::{
    Arrival, ImportBatch, IngestSummary, KeyCache, ProjectOptions, ProjectStore, Recovered, Shared, StorageError,
};

/// Requests that meet in the log's queue, what happens to the writes then, and a flush that starts among them.
#[derive(Debug, Clone)]
struct Round {
    /// By key and version: few of both, so that requests repeat and replace each other's rows.
    requests: Vec<Vec<(u8, u8)>>,
    /// Records of another project before each request.
    neighbours: usize,
    failing_writes: usize,
    /// After so many requests.
    flush: Option<usize>,
}

fn round() -> impl Strategy<Value = Round> {
    let request = prop::collection::vec((0..12_u8, 0..2_u8), 0..6);
    let requests = prop::collection::vec(request, 1..6);
    let failing_writes = prop_oneof![2 => Just(0_usize), 3 => 1..3_usize];
    (requests, 0..3_usize, failing_writes, prop::option::weighted(0.4, 0..4_usize))
        .prop_map(|(requests, neighbours, failing_writes, flush)| Round { requests, neighbours, failing_writes, flush })
}

fn event(name: &str, key: u8, time: i64, properties: (&str, i64)) -> Event {
    Event {
        name: name.into(),
        distinct_id: format!("u{}", key % 5),
        time,
        insert_id: format!("i{key}"),
        insert_id_generated: name == "Marker",
        properties: vec![(properties.0.into(), Value::Int(properties.1))],
    }
}

/// The request's rows, and one of its own, which no other request repeats.
fn events(request: &[(u8, u8)], id: i64) -> Vec<Event> {
    let marker = event("Marker", id as u8, id, ("request", id));
    let row = |(key, version): &(u8, u8)| event("Row", *key, i64::from(*key), ("version", i64::from(*version)));
    request.iter().map(row).chain([marker]).collect()
}

struct Fixture {
    dir: TempDir,
    objects: Arc<InMemory>,
    faults: Faults,
    log: Arc<Log>,
    store: Arc<ProjectStore>,
}

const PROJECT: ProjectId = ProjectId(1);
const NEIGHBOUR: ProjectId = ProjectId(2);

/// The project's own.
fn records(dir: &Path) -> Vec<Recovered> {
    let mut records = Vec::new();
    let collect = |record: crate::log::Record<'_>| {
        if record.project != PROJECT.0 {
            return Ok(());
        }
        records.push(Recovered { lsn: record.lsn, kind: record.kind, payload: record.payload.to_vec().into() });
        Ok::<_, Infallible>(())
    };
    drop(Log::open(LogOptions::new(dir), collect).unwrap());
    records
}

impl Fixture {
    async fn open(dir: TempDir, objects: Arc<InMemory>) -> Self {
        let recovered = records(dir.path());
        let options = LogOptions { segment_bytes: 4 << 10, ..LogOptions::new(dir.path()) };
        let faults = options.faults.clone();
        let (log, recovery) = Log::open(options, |_| Ok::<_, Infallible>(())).unwrap();
        let log = Arc::new(log);
        let shared = Shared {
            log: log.clone(),
            log_id: recovery.node,
            log_start: recovery.next_lsn,
            store: objects.clone(),
            segments: SegmentCaches::new(1 << 20),
            keys: KeyCache::new(1 << 20),
            kept: KeptBudget::new(0),
            nice: tokio::runtime::Handle::current(),
        };
        let kept = KeptLimits { rows_max: 0, bytes_max: 0 };
        let options = ProjectOptions {
            shards: 2,
            seal_rows: 8,
            live_rows_max: 1 << 20,
            live_bytes_max: usize::MAX,
            columns_max: 2,
            kept,
        };
        let store = ProjectStore::open(PROJECT, options, &shared, recovered).await.unwrap();
        let flushed = store.state.lock().unflushed.flushed();
        assert!(flushed < Some(recovery.next_lsn), "the table names a record that the log will give to another");
        Self { dir, objects, faults, log, store }
    }

    /// What a crash leaves: the files as they are, nothing of the memory.
    async fn reopen(self) -> Self {
        let Self { dir, objects, log, store, .. } = self;
        drop((log, store));
        Self::open(dir, objects).await
    }

    /// By arrival: whose row it is, and its version or request.
    async fn visible(&self) -> BTreeMap<i64, StoredEvent> {
        let snapshot = self.store.snapshot().unwrap();
        let mut rows = BTreeMap::new();
        let mut see = |row: StoredEvent| {
            let twice = rows.insert(row.received_at, row);
            assert_eq!(twice, None, "a row is seen twice");
        };
        for chunk in &snapshot.live {
            let reader = RowReader::try_new(&chunk.batch).unwrap();
            for row in (0..chunk.rows()).filter(|row| !snapshot.is_live_row_masked(chunk.first + *row as u64)) {
                see(reader.stored_event(row));
            }
        }
        for segment in snapshot.segments.iter() {
            let reader = RowReader::try_new(&snapshot.files.read_all(segment).await.unwrap()).unwrap();
            let masked = snapshot.masked_rows(segment);
            for row in (0..segment.rows as u32).filter(|row| masked.is_none_or(|masked| !masked.contains(*row))) {
                see(reader.stored_event(row as usize));
            }
        }
        rows
    }

    /// What the log's records amount to, the latest arrival of a key winning; and the requests that are in it.
    fn logged(&self) -> (BTreeMap<i64, StoredEvent>, Vec<i64>) {
        let copy = TempDir::new().unwrap();
        for file in std::fs::read_dir(self.dir.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        let (mut rows, mut newest, mut requests) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for record in records(copy.path()).into_iter().filter(|record| record.kind == EVENTS_RECORD) {
            for row in EventsRecord::decode(&record.payload).unwrap().rows {
                match event_key(&row.event) {
                    Some(key) => drop(newest.insert(key, row.received_at).map(|old| rows.remove(&old))),
                    None => requests.extend(row.event.properties.iter().filter_map(|(_, value)| match value {
                        Value::Int(request) => Some(*request),
                        _ => None,
                    })),
                }
                rows.insert(row.received_at, row);
            }
        }
        requests.sort_unstable();
        (rows, requests)
    }

    /// Until the log takes entries again, whatever it went through.
    async fn wait_until_open(&self) {
        self.faults.fail_writes(0);
        while self.log.stall().is_some() {
            tokio::task::yield_now().await;
        }
    }
}

type Answered = (i64, Result<IngestSummary, StorageError>);

/// Sends the round's requests while the log's thread is held, so that they meet in its queue.
async fn run(fixture: &Fixture, round: &Round, next: &mut i64, import: Option<u64>) -> Vec<Answered> {
    let (go, wait) = mpsc::channel::<()>();
    let (tell, held) = tokio::sync::oneshot::channel();
    fixture
        .log
        .barrier(Box::new(move |_| {
            let _ = tell.send(());
            let _ = wait.recv();
        }))
        .unwrap();
    held.await.unwrap();
    fixture.faults.fail_writes(round.failing_writes);
    let mut requests = JoinSet::new();
    let mut flushes = JoinSet::new();
    for (n, request) in round.requests.iter().enumerate() {
        if round.flush == Some(n) {
            let store = fixture.store.clone();
            flushes.spawn(async move { store.flush().await });
            tokio::task::yield_now().await;
        }
        for _ in 0..round.neighbours {
            let entry = Entry { project: NEIGHBOUR.0, kind: EVENTS_RECORD, payload: Vec::new() };
            // The gate may have closed.
            let _ = fixture.log.append(entry, Box::new(drop));
        }
        *next += 1;
        let (store, id, events) = (fixture.store.clone(), *next, events(request, *next));
        // One request of the round is a part of an import.
        let batch = import.filter(|_| n == 0).map(|sequence| ImportBatch { import: "history".into(), sequence });
        let arrival = Arrival { batch, ..Arrival::default() };
        requests.spawn(async move { (id, store.append(events, arrival, id).await) });
        tokio::task::yield_now().await;
    }
    // Whoever runs beside us has had its turn.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    go.send(()).unwrap();
    let answered = requests.join_all().await;
    fixture.wait_until_open().await;
    // A flush may have met the stall; it is the next one's to write everything.
    flushes.join_all().await;
    answered
}

async fn check(rounds: Vec<Round>) {
    let mut fixture = Fixture::open(TempDir::new().unwrap(), Arc::new(InMemory::new())).await;
    let (mut next, mut acknowledged, mut part) = (0, Vec::new(), 1);
    for round in rounds {
        let of_import = next + 1;
        for (request, outcome) in run(&fixture, &round, &mut next, Some(part)).await {
            match outcome {
                Ok(summary) => {
                    assert!(!summary.repeated, "a part that failed before counts as new");
                    acknowledged.push(request);
                    part += u64::from(request == of_import);
                }
                Err(StorageError::Log(_) | StorageError::LogGroup(_)) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        acknowledged.sort_unstable();
        let (expected, logged) = fixture.logged();
        assert_eq!(logged, acknowledged, "the log has what was acknowledged");
        assert_eq!(fixture.visible().await, expected, "a query sees what the log has");
        if part > 1 {
            let arrival = Arrival {
                batch: Some(ImportBatch { import: "history".into(), sequence: part - 1 }),
                ..Arrival::default()
            };
            let again = fixture.store.append(events(&[], -1), arrival, 0).await.unwrap();
            assert!(again.repeated, "a part that was acknowledged is not applied again");
        }
    }
    let before = fixture.visible().await;
    fixture = fixture.reopen().await;
    assert_eq!(fixture.visible().await, before, "after a crash");
    fixture.store.flush().await.unwrap();
    assert_eq!(fixture.visible().await, before, "flushed");
    assert_eq!(fixture.store.live_rows(), 0, "nothing is left over");
    fixture = fixture.reopen().await;
    assert_eq!(fixture.visible().await, before, "from segments");
}

/// A flush that has made its cut when the rows it waits for fail: what comes at their positions is not the flush's.
#[tokio::test]
async fn a_flush_that_waits_for_rows_that_fail_is_cut_back() {
    let fixture = Fixture::open(TempDir::new().unwrap(), Arc::new(InMemory::new())).await;
    fixture.store.append(events(&[(1, 0)], 1), Arrival::default(), 1).await.unwrap();
    let flush_at = Round { requests: vec![vec![(2, 0)]], neighbours: 0, failing_writes: 1, flush: None };
    let cut = async {
        while fixture.store.state.lock().pending.is_empty() {
            tokio::task::yield_now().await;
        }
        let mut state = fixture.store.state.lock();
        state.keys.begin_flush();
        let end = state.live.next_position();
        assert!(state.unflushed.begin_flush(end) && end == 4);
    };
    let mut next = 1;
    let (answered, ()) = tokio::join!(run(&fixture, &flush_at, &mut next, None), cut);
    assert!(answered[0].1.is_err());
    let state = fixture.store.state.lock();
    assert_eq!((state.unflushed.cut_position(), state.live.next_position()), (Some(2), 2));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p7_what_the_log_could_not_take_leaves_no_trace(rounds in prop::collection::vec(round(), 1..8)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(check(rounds));
    }
}
