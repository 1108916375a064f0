//! Changes of profiles under kills: each that was acknowledged is in the table, once, and a client's in their order.
//!
//! They add up (`$add`), so one that came twice would be a wrong sum, and no key tells it from two. The clients here do not
//! send again what got no answer, so that twice can only be the server's doing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Project, Reply, Server, ServerOptions, python, seed};
use crate::oracle::RawEvent;

const CYCLES: u64 = 10;
const CLIENTS: u64 = 3;
const LOAD_MAX: Duration = Duration::from_millis(1500);
const RECORDS_MAX: u64 = 5;

/// Numbers of records, in the order in which one client sent them, and whether each was acknowledged.
type Sent = Vec<(u64, bool)>;

async fn send_until_broken(project: Project, next: Arc<AtomicU64>, mut rng: ChaCha8Rng, stop: Arc<AtomicBool>) -> Sent {
    let mut sent = Vec::new();
    while !stop.load(Ordering::Acquire) {
        let first = next.fetch_add(RECORDS_MAX, Ordering::Relaxed);
        let numbers = (first..first + rng.random_range(1..=RECORDS_MAX)).collect::<Vec<_>>();
        let record = |n: &u64| {
            // Some of a group, which share the order.
            match n % 4 {
                0 => json!({"$token": project.token, "$group_key": "company", "$group_id": "acme", "$set": {"n": n}}),
                _ => json!({"$token": project.token, "$distinct_id": format!("u{}", n % 9), "$add": {"n": n}}),
            }
        };
        let (groups, people): (Vec<u64>, Vec<u64>) = numbers.iter().partition(|n| **n % 4 == 0);
        for (path, numbers) in [("/groups", groups), ("/engage", people)] {
            if numbers.is_empty() {
                continue;
            }
            let records = numbers.iter().map(record).collect::<Vec<_>>();
            let reply = Reply::try_of(project.anonymous(Method::POST, path).json(&records)).await;
            if let Ok(reply) = &reply {
                assert_eq!((reply.status, reply.text().as_str()), (200, "1"), "valid records are taken");
            }
            sent.extend(numbers.iter().map(|n| (*n, reply.is_ok())));
            if reply.is_err() {
                return sent;
            }
        }
        if rng.random_bool(0.3) {
            // Events between them, in the same log and the same flushes.
            let event = RawEvent::new("Beside", "ann", 1_704_067_200_000 + first as i64, &format!("beside-{first}"));
            if Reply::try_of(project.import_request(&[event.to_json()])).await.is_err() {
                return sent;
            }
        }
    }
    sent
}

/// The number in each row of the table, in order of arrival; `None` when the tools are not installed.
async fn stored(server: &Server, project: &Project) -> Option<Vec<u64>> {
    let table = server.data_dir().join("store").join(project.id.to_string()).join("profile_updates");
    let table = table.to_str().expect("a path of text");
    let printed = python("delta_column.py", &[table, "record", "received_at"]).await?;
    let records: Vec<String> = serde_json::from_str(&printed).expect("a list of texts");
    let number = |record: &String| {
        let record: Value = serde_json::from_str(record).unwrap_or_else(|error| panic!("{error}: {record}"));
        let operation = record.get("$set").or_else(|| record.get("$add"));
        operation.and_then(|operation| operation["n"].as_u64()).unwrap_or_else(|| panic!("no number: {record}"))
    };
    Some(records.iter().map(number).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_profile_changes_survive_kills_each_once_and_in_order() {
    let seed = seed(16);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut server = Server::start(ServerOptions::flushing_every(1_000).env("FOOTFALL_FLUSH_AGE", 1)).await;
    let project = server.create_project("profiles").await;
    let next = Arc::new(AtomicU64::new(0));
    let mut sent: Vec<Sent> = Vec::new();
    for cycle in 0..CYCLES {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let rng = ChaCha8Rng::seed_from_u64(seed ^ (cycle << 8 | client));
            clients.spawn(send_until_broken(project.clone(), next.clone(), rng, stop.clone()));
        }
        // Not a wait for anything: the instant of the kill is the test's random input.
        tokio::time::sleep(rng.random_range(Duration::ZERO..LOAD_MAX)).await;
        match cycle % 4 {
            3 => server.stop().await,
            _ => server.kill().await,
        }
        stop.store(true, Ordering::Release);
        sent.extend(clients.join_all().await);
        server.start_again().await;
    }
    server.stop().await;
    let Some(stored) = stored(&server, &project).await else { return };
    let mut places = BTreeMap::new();
    for (place, n) in stored.iter().enumerate() {
        assert_eq!(places.insert(*n, place), None, "record {n} is there twice");
    }
    let all = sent.iter().flatten().map(|(n, acknowledged)| (*n, *acknowledged)).collect::<BTreeMap<_, _>>();
    let lost = all.iter().filter(|(n, acknowledged)| **acknowledged && !places.contains_key(n)).collect::<Vec<_>>();
    assert!(lost.is_empty(), "acknowledged records are gone: {lost:?}");
    let invented = places.keys().filter(|n| !all.contains_key(n)).collect::<Vec<_>>();
    assert!(invented.is_empty(), "nobody sent these: {invented:?}");
    for of_client in &sent {
        let placed = of_client.iter().filter_map(|(n, _)| places.get(n)).collect::<Vec<_>>();
        assert!(placed.is_sorted(), "a client's records are in the order in which it sent them: {of_client:?}");
    }
    println!("{} records sent, {} stored", all.len(), stored.len());
    assert!(stored.len() > 100, "there was a load");
}
