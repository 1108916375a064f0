//! Recent events at every seam between rows looked at one by one, live rows that a query reads, and segments.

use footfall_eval::Clock;
use footfall_model::{Event, StoredEvent, Value};
use proptest::prelude::*;

use super::recent::recent_after_walk;
use super::{ArrivalFilterSpec, RecentSpec};
use crate::fixture::Fixture;

/// What happens to the project before it is asked.
#[derive(Clone, Debug)]
enum Step {
    /// Events with these keys; a key that was there replaces.
    Append(Vec<u8>),
    Flush,
    /// Somebody takes a snapshot, which turns the newest rows into Arrow.
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(0u8..120, 1..25).prop_map(Step::Append),
        1 => Just(Step::Flush),
        1 => Just(Step::Look),
    ]
}

fn event(key: u8, version: i64) -> Event {
    Event {
        name: if key % 3 == 0 { "A" } else { "B" }.to_owned(),
        distinct_id: format!("u{}", key % 7),
        time: 1_700_000_000_000 + i64::from(key % 4) * 86_400_000,
        insert_id: format!("k{key}"),
        insert_id_generated: false,
        properties: vec![("key".to_owned(), Value::Int(key.into())), ("version".to_owned(), Value::Int(version))],
    }
}

fn versions(events: &[StoredEvent]) -> Vec<i64> {
    let version = |event: &StoredEvent| match event.event.properties.iter().find(|(name, _)| name == "version") {
        Some((_, Value::Int(version))) => *version,
        _ => -1,
    };
    events.iter().map(version).collect()
}

async fn check(steps: &[Step], walk_rows_max: usize, limit: usize, filter: usize) {
    let fixture = Fixture::new().await;
    // (key, version) in order of arrival; only the last version of a key.
    let mut arrived: Vec<(u8, i64)> = Vec::new();
    let mut next = 0;
    for step in steps {
        match step {
            Step::Append(keys) => {
                let mut keys = keys.clone();
                keys.sort_unstable();
                keys.dedup();
                let batch: Vec<_> = keys.into_iter().zip(next..).collect();
                next += batch.len() as i64;
                fixture.append(batch.iter().map(|(key, version)| event(*key, *version)).collect()).await;
                arrived.retain(|(key, _)| !batch.iter().any(|(again, _)| again == key));
                arrived.extend(batch);
            }
            Step::Flush => fixture.store.flush().await.unwrap(),
            Step::Look => drop(fixture.store.snapshot().unwrap()),
        }
    }
    let (spec, keeps): (ArrivalFilterSpec, fn(u8) -> bool) = match filter {
        0 => (ArrivalFilterSpec::default(), |_| true),
        1 => (ArrivalFilterSpec { events: Some(vec!["A".into()]), ..Default::default() }, |key| key % 3 == 0),
        2 => (ArrivalFilterSpec { distinct_id: Some("u3".into()), ..Default::default() }, |key| key % 7 == 3),
        _ => {
            let filter = Some(r#"properties["key"] < 40"#.into());
            (ArrivalFilterSpec { filter, ..Default::default() }, |key| key < 40)
        }
    };
    let clock = Clock { now: 0, timezone: chrono_tz::UTC };
    let ask = async |before: Option<i64>| {
        let spec = RecentSpec { filter: spec.clone(), before, limit };
        recent_after_walk(&fixture.sessions, fixture.store.newest(), spec, &clock, walk_rows_max).await.unwrap()
    };
    let want: Vec<i64> = arrived.iter().rev().filter(|(key, _)| keeps(*key)).map(|(_, version)| *version).collect();
    let (mut pages, mut before) = (Vec::new(), None);
    loop {
        let page = ask(before).await;
        assert!(page.len() <= limit);
        let Some(last) = page.last() else { break };
        before = Some(last.received_at);
        assert_eq!(page.len(), limit.min(want.len() - pages.len()), "a page is full while there is more");
        pages.extend(versions(&page));
    }
    assert_eq!(pages, want, "walk_rows_max={walk_rows_max}, limit={limit}, filter={filter}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn pages_of_recent_events_are_all_surviving_events_once(
        steps in prop::collection::vec(step(), 1..14),
        walk_rows_max in prop_oneof![Just(0usize), 1usize..60, Just(usize::MAX)],
        limit in prop_oneof![1usize..9, Just(40usize), Just(1_000)],
        filter in 0usize..4,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(check(&steps, walk_rows_max, limit, filter));
    }
}
