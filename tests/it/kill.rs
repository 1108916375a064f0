//! kill -9 under load, again and again: acknowledged ⊆ visible ⊆ sent, each event once, each batch whole or absent.
//!
//! The oracle is the clients' own ledger of what they sent and what was acknowledged. `FOOTFALL_KILL_CYCLES` sets how
//! often (50). A batch spans several days and users, so "whole" is a claim about all shards and segments together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::harness::{DAY_MS, Project, Reply, Server, ServerOptions, seed};
use crate::oracle::RawEvent;

const CLIENTS: u64 = 4;
const BATCH_SIZE_MAX: usize = 200;
const FLUSH_ROWS: usize = 3_000;
const FIRST_MS: i64 = 1_704_067_200_000;
const LOAD_MS_MAX: u64 = 500;

type BatchId = u64;

/// What the clients know. A batch is in `sent` before its first byte leaves.
#[derive(Default)]
struct Ledger {
    sent: BTreeMap<BatchId, usize>,
    acknowledged: BTreeSet<BatchId>,
    resends: usize,
}

/// A batch is made from its id alone, so a resend is the same to the byte.
fn batch(seed: u64, id: BatchId) -> Vec<Value> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(id));
    let size = rng.random_range(1..=BATCH_SIZE_MAX);
    let event = |n: usize, rng: &mut ChaCha8Rng| {
        let time = FIRST_MS + rng.random_range(0..3 * DAY_MS);
        let user = format!("u{}", rng.random_range(0..500));
        let event = RawEvent::new(["A", "B", "C"][n % 3], &user, time, &format!("b{id}-{n}"));
        event.with("batch", id).with("size", size).to_json()
    };
    (0..size).map(|n| event(n, &mut rng)).collect()
}

/// Sends batches until the connection breaks or `stop` is set.
async fn send_until_killed(
    project: Project,
    seed: u64,
    client: u64,
    cycle: u64,
    ledger: Arc<Mutex<Ledger>>,
    stop: Arc<AtomicBool>,
) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ (cycle << 8 | client));
    let mut next = cycle << 32 | client << 24;
    while !stop.load(Ordering::Acquire) {
        let (id, events) = {
            let mut ledger = ledger.lock().expect("no client panicked");
            let resend = rng.random_bool(0.3) && !ledger.sent.is_empty();
            let id = if resend {
                ledger.resends += 1;
                let place = rng.random_range(0..ledger.sent.len());
                *ledger.sent.keys().nth(place).expect("in range")
            } else {
                next += 1;
                next
            };
            let events = batch(seed, id);
            ledger.sent.insert(id, events.len());
            (id, events)
        };
        match Reply::try_of(project.import_request(&events)).await {
            Ok(reply) if reply.status == 200 => {
                ledger.lock().expect("no client panicked").acknowledged.insert(id);
            }
            Ok(reply) if matches!(reply.status, 429 | 503) => {}
            Ok(reply) => panic!("a valid batch was refused: {} {}", reply.status, reply.text()),
            Err(_) => return,
        }
    }
}

/// Watches while the load runs: at no instant is a part of a batch visible. How often it looked.
async fn watch_for_parts(project: Project, stop: Arc<AtomicBool>) -> usize {
    const PARTS: &str = "SELECT batch, size, count(*) FROM events GROUP BY batch, size HAVING count(*) <> size";
    let mut looked = 0;
    while !stop.load(Ordering::Acquire) {
        let Ok(reply) = Reply::try_of(project.sql_request(PARTS, &[])).await else { break };
        // Before the first event there is no column `batch` to speak of.
        if reply.status != 200 {
            continue;
        }
        let parts = reply.json()["rows"].clone();
        assert_eq!(parts, Value::Array(vec![]), "parts of batches are visible");
        looked += 1;
    }
    looked
}

/// What a query sees: batch → (rows, distinct insert ids), and the size that each row claims for its batch.
async fn visible(project: &Project) -> BTreeMap<BatchId, (usize, usize, usize)> {
    let table =
        project.sql("SELECT batch, size, count(*), count(DISTINCT insert_id) FROM events GROUP BY batch, size").await;
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("not a number: {value}"));
    let row = |row: &Vec<Value>| {
        let [size, rows, distinct] = [&row[1], &row[2], &row[3]].map(|value| number(value) as usize);
        (number(&row[0]), (size, rows, distinct))
    };
    table.rows.iter().map(row).collect()
}

fn check(cycle: u64, ledger: &Ledger, visible: &BTreeMap<BatchId, (usize, usize, usize)>, seen: &BTreeSet<BatchId>) {
    let lost = ledger.acknowledged.iter().filter(|id| !visible.contains_key(id)).take(9).collect::<Vec<_>>();
    assert!(lost.is_empty(), "cycle {cycle}: acknowledged batches are gone: {lost:?}");
    let vanished = seen.iter().filter(|id| !visible.contains_key(id)).take(9).collect::<Vec<_>>();
    assert!(vanished.is_empty(), "cycle {cycle}: batches that a query saw are gone: {vanished:?}");
    for (id, (size, rows, distinct)) in visible {
        let sent = ledger.sent.get(id);
        assert_eq!(sent, Some(size), "cycle {cycle}: batch {id} was sent with this size");
        assert_eq!((rows, distinct), (size, size), "cycle {cycle}: batch {id}, each event once, all or nothing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_events_survive_kill_9_under_load_exactly_once() {
    let seed = seed(4);
    let cycles = std::env::var("FOOTFALL_KILL_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut server = Server::start(ServerOptions::flushing_every(FLUSH_ROWS)).await;
    let project = server.create_project("kill").await;
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut seen = BTreeSet::new();
    let mut looked = 0;
    for cycle in 1..=cycles {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (project, ledger, stop) = (project.clone(), ledger.clone(), stop.clone());
            clients.spawn(send_until_killed(project, seed, client, cycle, ledger, stop));
        }
        let mut watcher = JoinSet::new();
        watcher.spawn(watch_for_parts(project.clone(), stop.clone()));
        // Not a wait for anything: the instant of the kill is the test's random input.
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..LOAD_MS_MAX))).await;
        server.kill().await;
        stop.store(true, Ordering::Release);
        clients.join_all().await;
        looked += watcher.join_all().await.into_iter().sum::<usize>();
        server.start_again().await;
        if ledger.lock().expect("no client panicked").acknowledged.is_empty() {
            continue;
        }
        let visible = visible(&project).await;
        check(cycle, &ledger.lock().expect("no client panicked"), &visible, &seen);
        seen.extend(visible.keys());
    }
    let before = visible(&project).await;
    server.restart().await;
    assert_eq!(visible(&project).await, before, "a clean stop and start change nothing");
    let ledger = ledger.lock().expect("no client panicked");
    let unacknowledged = before.keys().filter(|id| !ledger.acknowledged.contains(id)).count();
    println!(
        "{cycles} kills: {} batches sent ({} resends), {} acknowledged, {} visible ({unacknowledged} of them unacknowledged), {looked} looks for parts",
        ledger.sent.len(),
        ledger.resends,
        ledger.acknowledged.len(),
        before.len(),
    );
    assert!(ledger.acknowledged.len() as u64 > cycles && ledger.resends as u64 > cycles, "there was a load to kill");
    assert!(looked as u64 > cycles / 2, "the watcher looked while the load ran");
}
