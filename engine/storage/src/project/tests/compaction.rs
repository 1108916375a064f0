//! What a compaction must not do, each on its own.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::*;

/// Events of one day and shard, each with its own key.
fn late(from: i64, count: i64) -> Vec<Event> {
    let event = |n: i64| Event {
        name: ["Play", "Stop"][n.rem_euclid(2) as usize].into(),
        distinct_id: "u1".into(),
        time: 1_000 + n % 5,
        insert_id: format!("late-{n}"),
        insert_id_generated: false,
        properties: vec![("v".into(), Value::Int(n % 3))],
    };
    (from..from + count).map(event).collect()
}

async fn fixture() -> Fixture {
    Fixture::open(TempDir::new().unwrap(), FlakyStore::new(Arc::new(InMemory::new()))).await
}

async fn store(fixture: &Fixture, model: &mut Model, events: Vec<Event>, now: i64) {
    let arrival = Arrival::from_source("/import");
    let summary = fixture.store.append(events.clone(), arrival.clone(), now).await.unwrap();
    assert_eq!(summary, model.append(&events, &arrival, now));
}

/// Every data file with its bytes.
async fn files(fixture: &Fixture) -> BTreeMap<Path, bytes::Bytes> {
    let objects: Vec<_> = fixture.objects.list(None).try_collect().await.unwrap();
    let mut files = BTreeMap::new();
    for object in objects.into_iter().filter(|object| object.location.as_ref().ends_with(".parquet")) {
        let bytes = fixture.objects.get(&object.location).await.unwrap().bytes().await.unwrap();
        files.insert(object.location, bytes);
    }
    files
}

#[tokio::test]
async fn the_incident_of_2016_late_data_compacts_a_day_again_and_again_and_overwrites_nothing() {
    let (mut fixture, mut model) = (fixture().await, Model::default());
    let mut seen: BTreeMap<Path, bytes::Bytes> = BTreeMap::new();
    for round in 0..5 {
        // Half of them were sent before: in the round before with the same properties, and once with others.
        let mut events = late(round * 30 - 15, 45);
        if let Some(changed) = events.get_mut(3) {
            changed.properties = vec![("v".into(), Value::Int(100 + round))];
        }
        for half in events.chunks(20) {
            store(&fixture, &mut model, half.to_vec(), 1_000_000 + round * 1_000).await;
            fixture.store.flush().await.unwrap();
        }
        fixture.check(&model, "before").await;
        assert!(fixture.compact_all().await > 0);
        fixture.check(&model, "after").await;
        for (path, bytes) in files(&fixture).await {
            // What was written under a name stays what it is.
            assert_eq!(seen.entry(path).or_insert_with(|| bytes.clone()), &bytes);
        }
        if round == 2 {
            fixture = fixture.crash(true).await;
        }
    }
    fixture.collect().await;
    fixture.check(&model, "dead files deleted").await;
    let events = files(&fixture).await.into_keys().filter(|path| path.as_ref().contains("/events/")).count();
    assert_eq!(events, 1, "one run is left of the day");
}

#[tokio::test]
async fn copies_that_change_while_a_compaction_runs_are_masked_in_the_new_file() {
    let (fixture, mut model) = (fixture().await, Model::default());
    for part in 0..4 {
        store(&fixture, &mut model, late(part * 10, 10), 1_000 + part * 100).await;
        fixture.store.flush().await.unwrap();
    }
    // Replaced before the compaction, and not flushed: those runs are left alone.
    let mut changed = late(0, 2);
    changed.iter_mut().for_each(|event| event.properties = vec![("v".into(), Value::Int(7))]);
    store(&fixture, &mut model, changed, 5_000).await;
    // Replaced between the choice of the runs and the swap: some visible by then, some on their way to the disk.
    let merged = fixture.store.merge(&policy(), FULL, &Pace::unbounded()).await.unwrap().unwrap();
    let mut changed = late(10, 20);
    changed.iter_mut().for_each(|event| event.properties = vec![("v".into(), Value::Int(8))]);
    let on_their_way = changed.split_off(12);
    store(&fixture, &mut model, changed, 6_000).await;
    let landing = fixture.store.clone();
    let (compacted, ()) = tokio::join!(landing.land(merged), store(&fixture, &mut model, on_their_way, 7_000));
    let compacted = compacted.unwrap();
    assert!(matches!(compacted, Compacted::Merged { files: 3, rows: 30, .. }), "{compacted:?}: a masked run waits");
    fixture.check(&model, "masks moved along").await;
    let masked: u64 = fixture.store.state.lock().masks.segments.values().map(|rows| rows.len()).sum();
    assert_eq!(masked, 22);
    fixture.store.flush().await.unwrap();
    fixture.check(&model, "the flush wrote them").await;
    assert!(fixture.store.state.lock().masks.segments.is_empty());
    let fixture = fixture.crash(true).await;
    fixture.check(&model, "from tables alone").await;
}

#[tokio::test]
async fn a_compaction_of_which_nobody_knows_whether_it_landed_is_finished_by_the_next_flush() {
    for landed in [false, true] {
        let (fixture, mut model) = (fixture().await, Model::default());
        for part in 0..3 {
            store(&fixture, &mut model, late(part * 10, 10), 1_000 + part * 100).await;
            fixture.store.flush().await.unwrap();
        }
        // The file, then the attempts at the commit.
        let last = if landed { Fault::Late } else { Fault::LostRequest };
        fixture.objects.script([vec![Fault::None], vec![Fault::LostRequest; 4], vec![last]].concat());
        let outcome = fixture.store.compact(policy(), FULL, Pace::unbounded()).await;
        assert!(matches!(outcome, Err(StorageError::Table(_))), "{outcome:?}");
        fixture.check(&model, "nobody knows").await;
        fixture.collect().await;
        fixture.check(&model, "nothing is dead as long as nobody knows").await;
        fixture.objects.deliver_late().await;
        fixture.objects.forget_faults();
        let mut changed = late(0, 1);
        changed.iter_mut().for_each(|event| event.properties = vec![("v".into(), Value::Int(9))]);
        store(&fixture, &mut model, changed, 5_000).await;
        fixture.store.flush().await.unwrap();
        fixture.check(&model, "known and flushed").await;
        assert!(fixture.store.flushing.lock().await.is_empty());
        fixture.collect().await;
        let fixture = fixture.crash(true).await;
        fixture.check(&model, "from tables alone").await;
        assert_eq!(fixture.store.segment_count(), 1);
    }
}
