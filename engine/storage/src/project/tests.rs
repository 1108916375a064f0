//! Any history of requests, flushes, compactions, collections of dead files, faults of the store and crashes, against lists
//! that are kept by hand: events, the copies that lost, changes of profiles, and how far an import has got. P1, P2, P5, P6,
//! P8 and P9 at every step.

mod compaction;
mod model;
mod neighbours;
mod store;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use footfall_model::{Event, ProfileTarget, ProfileUpdate, ProjectId, StoredEvent, Value};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::columns::RowReader;
use crate::compaction::{CompactionMode, CompactionPolicy, Grace, Pace};
use crate::journal::{JournalRow, JournalView, RejectReason, RejectedEvent, Wanted};
use crate::kept::{KeptBudget, KeptLimits};
use crate::log::{Log, LogOptions};
use crate::segment::SegmentCaches;
use crate::{
    Arrival, Compacted, ImportBatch, KeyCache, ProjectOptions, ProjectStore, Recovered, Shared, Snapshot, StorageError,
};
use model::Model;
use store::{Fault, FlakyStore};

#[derive(Clone, Debug)]
enum Step {
    /// Keys and versions; few of both, so that requests repeat and replace each other's events. `part`: as the next part
    /// of the import, or as the last one again. `flushing`: while a flush runs.
    Append {
        events: Vec<(u8, u8)>,
        source: u8,
        part: Option<Part>,
        flushing: bool,
    },
    Profiles {
        updates: Vec<u8>,
        part: Option<Part>,
    },
    /// `away_after`: the store takes so many writes and no more, until the step is over. `crash`: before that.
    Flush {
        away_after: Option<usize>,
        crash: bool,
    },
    /// What happens to the next writes of the store.
    Faults(Vec<Fault>),
    /// A merge, if there is something to merge: alone, or while a request is stored and a flush runs. The store may go away
    /// amid it, and the process after that.
    Compact {
        beside: Vec<(u8, u8)>,
        flushing: bool,
        away_after: Option<usize>,
        crash: bool,
    },
    /// Dead files are deleted.
    Collect,
    /// From here on a query reads.
    Look,
    /// `kill -9`, and a start. `trimmed`: the log has let go of what every table has, before.
    Crash {
        trimmed: bool,
    },
    /// The clock is set back.
    ClockBack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Next,
    Again,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let part = || prop::option::weighted(0.3, prop_oneof![Just(Part::Next), Just(Part::Again)]);
    let events = prop::collection::vec((0..14_u8, 0..3_u8), 0..7);
    let append = (events, 0..3_u8, part(), prop::bool::weighted(0.2))
        .prop_map(|(events, source, part, flushing)| Step::Append { events, source, part, flushing });
    let profiles =
        (prop::collection::vec(0..4_u8, 0..4), part()).prop_map(|(updates, part)| Step::Profiles { updates, part });
    // A flush writes up to four segments, users, journals, and their commits.
    let flush = (prop::option::weighted(0.6, 1..16_usize), prop::bool::weighted(0.5))
        .prop_map(|(away_after, crash)| Step::Flush { away_after, crash });
    let beside = prop_oneof![1 => Just(Vec::new()), 1 => prop::collection::vec((0..14_u8, 0..3_u8), 0..5)];
    let compact = (beside, any::<bool>(), prop::option::weighted(0.3, 1..8_usize), prop::bool::weighted(0.2))
        .prop_map(|(beside, flushing, away_after, crash)| Step::Compact { beside, flushing, away_after, crash });
    let step = prop_oneof![
        10 => append,
        3 => profiles,
        6 => flush,
        6 => compact,
        3 => Just(Step::Collect),
        2 => Just(Step::Look),
        3 => prop::collection::vec(store::fault(), 1..9).prop_map(Step::Faults),
        2 => any::<bool>().prop_map(|trimmed| Step::Crash { trimmed }),
        1 => Just(Step::ClockBack),
    ];
    prop::collection::vec(step, 1..40)
}

fn event((key, version): (u8, u8)) -> Event {
    Event {
        name: ["Play", "Stop"][usize::from(key % 2)].into(),
        distinct_id: if key % 7 == 0 { String::new() } else { format!("u{}", key % 5) },
        // Two days, and near the boundary between them.
        time: 86_400_000 + i64::from(key / 4) * 1_000 - 1_000,
        insert_id: format!("i{key}"),
        // One key in seven is generated: never a duplicate.
        insert_id_generated: key == 13,
        properties: properties(key, version),
    }
}

/// Two that every event has, and others of changing types that only some have.
fn properties(key: u8, version: u8) -> Vec<(String, Value)> {
    let mut properties = vec![("v".into(), Value::Int(version.into())), ("t".into(), Value::Text("x\"y".into()))];
    let more = [
        ("a b", Value::Float(1e16)),
        ("v2", Value::Null),
        ("é\"", Value::Bool(version == 1)),
        ("v2", Value::List(vec![Value::Text("x".into()), Value::Text("\\".into())])),
        ("rest", Value::Map(vec![("k".into(), Value::Float(2.0)), ("j".into(), Value::List(vec![]))])),
        ("a b", Value::Int(i64::MAX)),
    ];
    let (name, value) = more[usize::from(key % 6)].clone();
    properties.push((name.into(), value));
    properties
}

fn update(kind: u8) -> ProfileUpdate {
    let target = match kind {
        0 | 1 => ProfileTarget::Person { distinct_id: format!("u{kind}") },
        _ => ProfileTarget::Group { key: "company".into(), id: format!("g{kind}") },
    };
    ProfileUpdate { target, record: Value::Map(vec![("$set".into(), Value::Map(vec![("n".into(), Value::Int(1))]))]) }
}

struct Fixture {
    dir: TempDir,
    objects: Arc<FlakyStore>,
    log: Arc<Log>,
    store: Arc<ProjectStore>,
    /// What a query reads that has begun, and what it has to see.
    query: Option<(Snapshot, Vec<StoredEvent>)>,
}

/// Everything that had arrived, whatever it costs.
const FULL: CompactionMode = CompactionMode::Full { arrived_by: i64::MAX };

fn policy() -> CompactionPolicy {
    CompactionPolicy { quiet: Duration::ZERO, bytes_max: 1 << 20, rows_max: 1 << 20 }
}

impl Fixture {
    async fn open(dir: TempDir, objects: Arc<FlakyStore>) -> Self {
        let mut recovered = Vec::new();
        let collect = |record: crate::log::Record<'_>| {
            let payload = record.payload.to_vec().into();
            recovered.push(Recovered { lsn: record.lsn, kind: record.kind, payload });
            Ok::<_, Infallible>(())
        };
        let options = LogOptions { segment_bytes: 2 << 10, ..LogOptions::new(dir.path()) };
        let (log, recovery) = Log::open(options, collect).unwrap();
        let log = Arc::new(log);
        let shared = Shared {
            log: log.clone(),
            log_id: recovery.node,
            log_start: recovery.next_lsn,
            store: objects.clone(),
            segments: SegmentCaches::new(1 << 20),
            // Too few bytes for keys to stay: filters and files answer.
            keys: KeyCache::new(300),
            kept: KeptBudget::new(0),
            nice: tokio::runtime::Handle::current(),
        };
        let kept = KeptLimits { rows_max: 0, bytes_max: 0 };
        let options = ProjectOptions {
            shards: 2,
            seal_rows: 6,
            live_rows_max: 1 << 20,
            live_bytes_max: usize::MAX,
            // Fewer than there are, so that columns move in and out of `rest`.
            columns_max: 3,
            kept,
        };
        let store = ProjectStore::open(ProjectId(1), options, &shared, recovered).await.unwrap();
        Self { dir, objects, log, store, query: None }
    }

    /// Dead files go at once, but for those that a late write of a process that is gone may still list.
    async fn collect(&self) {
        let orphaned = if self.objects.has_late() { Duration::from_secs(86_400) } else { Duration::ZERO };
        self.store.collect(Grace { removed: Duration::ZERO, orphaned }).await.unwrap();
    }

    /// Merges until nothing is left to merge; how many merges there were.
    async fn compact_all(&self) -> usize {
        let mut merges = 0;
        while let Compacted::Merged { .. } = self.store.compact(policy(), FULL, Pace::unbounded()).await.unwrap() {
            merges += 1;
        }
        merges
    }

    /// What a crash leaves: the files as they are, nothing of the memory.
    async fn crash(self, trimmed: bool) -> Self {
        if trimmed {
            let needed = self.store.oldest_unflushed();
            let last = self.store.state.lock().unflushed.flushed().unwrap_or_default();
            let up_to = needed.map_or(last, |oldest| crate::log::Lsn(oldest.0 - 1));
            self.log.release(up_to).unwrap();
        }
        let Self { dir, objects, log, store, query } = self;
        // Requests to the store that hang on the wire arrive when nobody waits for them any more.
        objects.forget_faults();
        log.close();
        drop((log, store, query));
        Self::open(dir, objects).await
    }

    /// Everything a query sees, by arrival.
    async fn events(&self) -> Vec<StoredEvent> {
        self.events_of(&self.store.snapshot().unwrap()).await
    }

    async fn events_of(&self, snapshot: &Snapshot) -> Vec<StoredEvent> {
        let mut seen = Vec::new();
        for chunk in &snapshot.live {
            let reader = RowReader::try_new(&chunk.batch).unwrap();
            let rows = (0..chunk.rows()).filter(|row| !snapshot.is_live_row_masked(chunk.first + *row as u64));
            seen.extend(rows.map(|row| reader.stored_event(row)));
        }
        for segment in snapshot.segments.iter() {
            // Caches would answer for a file that is gone.
            self.objects.head(&snapshot.files.location(segment)).await.expect("a file that a snapshot reads is there");
            let reader = RowReader::try_new(&snapshot.files.read_all(segment).await.unwrap()).unwrap();
            let masked = snapshot.masked_rows(segment);
            let rows = (0..segment.rows as u32).filter(|row| masked.is_none_or(|masked| !masked.contains(*row)));
            seen.extend(rows.map(|row| reader.stored_event(row as usize)));
        }
        seen.sort_by_key(|row| row.received_at);
        seen
    }

    async fn check(&self, model: &Model, claim: &str) {
        let events = self.events().await;
        let seen: Vec<_> =
            events.iter().map(|row| (row.received_at, row.event.insert_id.clone(), version(row))).collect();
        assert_eq!(seen, model.events(), "{claim}: events");
        let properties: Vec<_> = events.iter().map(|row| model::sorted(&row.event.properties)).collect();
        assert_eq!(properties, model.properties(), "{claim}: properties");
        if let Some((snapshot, expected)) = &self.query {
            assert_eq!(&self.events_of(snapshot).await, expected, "{claim}: a query that began earlier");
            rows(&snapshot.rejected).await;
        }
        let snapshot = self.store.snapshot().unwrap();
        let rejected = rows(&snapshot.rejected).await;
        assert_eq!(rejected.len(), model.rejected.len(), "{claim}: losers");
        for (mut seen, expected) in rejected.into_iter().zip(&model.rejected) {
            seen.properties = model::sorted(&seen.properties);
            // By which way a copy came is forgotten when it is flushed.
            let forgotten = seen.reason == RejectReason::Superseded && seen.source.is_none();
            let source = if forgotten { None } else { expected.source.clone() };
            assert_eq!(seen, RejectedEvent { source, ..expected.clone() }, "{claim}: a loser");
        }
        assert_eq!(rows(&snapshot.profiles).await, model.profiles, "{claim}: profiles");
        let position = self.store.import_position("history").await.unwrap();
        assert_eq!(position, model.part, "{claim}: import");
    }
}

fn version(row: &StoredEvent) -> i64 {
    let value = row.event.properties.iter().find(|(name, _)| name == "v").map(|(_, value)| value);
    let Some(Value::Int(version)) = value else { panic!("no version in {row:?}") };
    *version
}

/// A journal's rows, after checking that both ways of reading it agree.
async fn rows<R: JournalRow + PartialEq + std::fmt::Debug>(view: &JournalView<R>) -> Vec<R> {
    let batches: Vec<_> = view.batches().try_collect().await.unwrap();
    let rows: Vec<R> = batches.iter().flat_map(|batch| R::from_batch(batch).unwrap()).collect();
    assert!(rows.windows(2).all(|two| two[0].order() < two[1].order()), "J1: {rows:?}");
    for before in [i64::MAX, rows.get(rows.len() / 2).map_or(0, R::order)] {
        let mut newest = Vec::new();
        view.newest_before(before, |row: R| {
            newest.push(row);
            Wanted::More
        })
        .await
        .unwrap();
        newest.reverse();
        let expected: Vec<R> = rows.iter().filter(|row| row.order() < before).cloned().collect();
        assert_eq!(newest, expected, "read backwards");
    }
    rows
}

fn arrival(model: &Model, source: u8, part: Option<Part>) -> Arrival {
    let sequence = match part {
        None => None,
        Some(Part::Next) => Some(model.part.map_or(3, |part| part + 2)),
        Some(Part::Again) => model.part,
    };
    let batch = sequence.map(|sequence| ImportBatch { import: "history".into(), sequence });
    Arrival { batch, ..Arrival::from_source(["", "/track", "/import"][usize::from(source)]) }
}

async fn run(steps: Vec<Step>) {
    let objects = FlakyStore::new(Arc::new(InMemory::new()));
    let mut fixture = Fixture::open(TempDir::new().unwrap(), objects).await;
    let mut model = Model::default();
    let mut now = 1_000_000;
    for step in steps {
        let claim = format!("{step:?}");
        now += 10;
        match step {
            Step::Append { events, source, part, flushing } => {
                let events: Vec<Event> = events.into_iter().map(event).collect();
                let arrival = arrival(&model, source, part);
                let append = fixture.store.append(events.clone(), arrival.clone(), now);
                let (outcome, _) = match flushing {
                    // A flush may fail, the store does what it likes.
                    true => tokio::join!(append, async { drop(fixture.store.flush().await) }),
                    false => (append.await, ()),
                };
                match outcome {
                    Ok(summary) => assert_eq!(summary, model.append(&events, &arrival, now), "{claim}"),
                    // A row would be replaced of which nobody knows whether it is in a segment.
                    Err(StorageError::Backpressure { .. }) => {}
                    Err(other) => panic!("{claim}: {other:?}"),
                }
            }
            Step::Profiles { updates, part } => {
                let updates: Vec<ProfileUpdate> = updates.into_iter().map(update).collect();
                let arrival = arrival(&model, 1, part);
                fixture.store.record_profiles(updates.clone(), arrival.clone(), now).await.unwrap();
                model.record_profiles(&updates, &arrival, now);
            }
            Step::Flush { away_after, crash } => {
                fixture.objects.away_after(away_after.unwrap_or(usize::MAX));
                let _ = fixture.store.flush().await;
                if crash {
                    fixture = fixture.crash(false).await;
                }
                fixture.objects.forget_faults();
            }
            Step::Compact { beside, flushing, away_after, crash } => {
                fixture.objects.away_after(away_after.unwrap_or(usize::MAX));
                let events: Vec<Event> = beside.into_iter().map(event).collect();
                let arrival = Arrival::from_source("/track");
                let store = &fixture.store;
                let append = store.append(events.clone(), arrival.clone(), now);
                let flush = async {
                    if flushing {
                        let _ = store.flush().await;
                    }
                };
                // It may fail, the store does what it likes.
                let compact = async { drop(store.compact(policy(), FULL, Pace::unbounded()).await) };
                let (appended, (), ()) = tokio::join!(append, flush, compact);
                match appended {
                    Ok(summary) => assert_eq!(summary, model.append(&events, &arrival, now), "{claim}"),
                    Err(StorageError::Backpressure { .. }) => {}
                    Err(other) => panic!("{claim}: {other:?}"),
                }
                if crash {
                    fixture = fixture.crash(false).await;
                }
                fixture.objects.forget_faults();
            }
            Step::Collect => fixture.collect().await,
            Step::Look => {
                let snapshot = fixture.store.snapshot().unwrap();
                let events = fixture.events_of(&snapshot).await;
                fixture.query = Some((snapshot, events));
            }
            Step::Faults(faults) => fixture.objects.script(faults),
            Step::Crash { trimmed } => fixture = fixture.crash(trimmed).await,
            Step::ClockBack => now -= 500_000,
        }
        fixture.check(&model, &claim).await;
    }
    // A commit of the process before that arrived late stops flushes until the next start.
    fixture = fixture.crash(true).await;
    fixture.objects.deliver_late().await;
    fixture = fixture.crash(true).await;
    fixture.check(&model, "after the last crash").await;
    fixture.store.flush().await.unwrap();
    assert_eq!((fixture.store.live_rows(), fixture.store.live_bytes()), (0, 0), "nothing is left over");
    assert_eq!(fixture.store.oldest_unflushed(), None, "all is in tables");
    fixture.check(&model, "flushed").await;
    fixture.compact_all().await;
    fixture.check(&model, "compacted").await;
    let runs: Vec<usize> = fixture.store.snapshot().unwrap().segments.all_runs().map(Vec::len).collect();
    assert!(runs.iter().all(|runs| *runs == 1), "one run for each shard and day: {runs:?}");
    fixture.query = None;
    fixture.collect().await;
    fixture.check(&model, "compacted and collected").await;
    fixture = fixture.crash(true).await;
    assert_eq!(fixture.store.live_rows(), 0);
    fixture.check(&model, "from tables alone").await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_leaves_what_lists_would(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
