//! What happens at the same time: equal keys in several requests, changed copies of rows that a flush is writing, clients
//! that go away with their request half done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::audit::{audit, audit_arrivals};
use super::load::{Load, Mix};
use crate::harness::{DAY_MS, Project, Reply, Server, ServerOptions, eventually, now_ms, parquet_files, seed};
use crate::oracle::RawEvent;

const SENDERS: i64 = 12;
const BATCH: i64 = 40;

/// A batch of one version; every event of it has a day of its own among three.
fn batch(name: &str, version: i64, from_ms: i64) -> Vec<Value> {
    let event = |n: i64| {
        let event = RawEvent::new("Raced", &format!("u{n}"), from_ms + n % 3 * DAY_MS, &format!("{name}-{n}"));
        event.with("batch", name).with("version", version).to_json()
    };
    (0..BATCH).map(event).collect()
}

/// Sends all of them at once and returns when each was acknowledged.
async fn send_together(project: &Project, batches: Vec<Vec<Value>>) {
    let mut sending = JoinSet::new();
    for events in batches {
        let request = project.import_request(&events);
        sending.spawn(async move { Reply::of(request).await });
    }
    for reply in sending.join_all().await {
        assert_eq!(
            (reply.status, reply.json()["num_records_imported"].clone()),
            (200, json!(BATCH)),
            "{}",
            reply.text()
        );
    }
}

/// For each batch, by name: rows, distinct insert ids, lowest and highest version.
async fn seen(project: &Project) -> Vec<Vec<Value>> {
    let query = "SELECT batch, count(*), count(DISTINCT insert_id), min(version), max(version) \
                 FROM events WHERE event = 'Raced' GROUP BY batch ORDER BY batch";
    project.sql(query).await.rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_keys_in_requests_at_the_same_time_count_once_and_one_request_wins_whole() {
    const ROUNDS: i64 = 8;
    let mut server = Server::start(ServerOptions::flushing_every(150)).await;
    let project = server.create_project("together").await;
    let from = 1_704_067_200_000;
    for round in 0..ROUNDS {
        let same = format!("same-{round}");
        send_together(&project, (0..SENDERS).map(|_| batch(&same, 0, from)).collect()).await;
        let race = format!("race-{round}");
        send_together(&project, (0..SENDERS).map(|version| batch(&race, version, from)).collect()).await;
        // Rows of earlier rounds, most of them in segments by now.
        let earlier = format!("race-{}", round / 2);
        let versions = (0..SENDERS).map(|version| 100 + round * SENDERS + version);
        send_together(&project, versions.map(|version| batch(&earlier, version, from)).collect()).await;
    }
    let live = seen(&project).await;
    assert_eq!(live.len() as i64, 2 * ROUNDS);
    for row in &live {
        assert_eq!((&row[1], &row[2]), (&json!(BATCH), &json!(BATCH)), "each event once: {row:?}");
        assert_eq!(row[3], row[4], "the latest request has replaced the others whole: {row:?}");
        let name = row[0].as_str().expect("a name");
        let raced_again = name.strip_prefix("race-").is_some_and(|n| n.parse().is_ok_and(|n: i64| n < ROUNDS / 2));
        assert_eq!(row[4].as_i64() >= Some(100), raced_again, "a later request wins over every earlier one: {row:?}");
    }
    server.restart().await;
    assert_eq!(seen(&project).await, live, "flushed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_copies_race_with_flushes_and_the_latest_acknowledged_one_is_seen() {
    const ACKNOWLEDGED: usize = 500;
    const FLUSHES: usize = 6;
    let seed = seed(11);
    let options = ServerOptions::flushing_every(600).env("FOOTFALL_SHARDS", 2);
    let mut server = Server::start(options).await;
    let project = server.create_project("hot").await;
    let load = Load::new(vec![project], Mix { again: 92, changed: 70 }, seed, now_ms());
    let stop = Arc::new(AtomicBool::new(false));
    let clients = load.start(0, &stop);
    let mut files = BTreeSet::new();
    while load.ledger(0).acknowledgements() < ACKNOWLEDGED || files.len() < FLUSHES {
        audit(&load, "under load").await;
        files.extend(parquet_files(&server.data_dir()));
    }
    stop.store(true, Ordering::Release);
    clients.join_all().await;
    audit(&load, "after the load").await;
    assert_eq!(load.put_off.load(Ordering::Relaxed), 0, "a flush is no reason to turn clients away");
    server.restart().await;
    audit(&load, "flushed").await;
    audit_arrivals(&load, "flushed").await;
}

/// How far a client gets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Departure {
    InTheHeaders,
    InTheBody,
    AfterTheBody,
    /// The server had decided by then.
    InTheReply,
}

/// Sends a `/track` request and goes away; with a reset rather than a farewell if `rude`.
async fn send_and_leave(address: &str, events: &[Value], departure: Departure, rude: bool) {
    let body = serde_json::to_vec(events).expect("events are JSON");
    let head = format!(
        "POST /track HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    if rude {
        stream.set_zero_linger().expect("a socket option");
    }
    let (head, body): (&[u8], &[u8]) = match departure {
        Departure::InTheHeaders => (&head.as_bytes()[..head.len() / 2], &[]),
        Departure::InTheBody => (head.as_bytes(), &body[..body.len() / 2]),
        Departure::AfterTheBody | Departure::InTheReply => (head.as_bytes(), &body),
    };
    stream.write_all(head).await.expect("the server reads");
    stream.write_all(body).await.expect("the server reads");
    if departure == Departure::InTheReply {
        stream.read_exact(&mut [0]).await.expect("the server answers");
    }
}

/// What `/metrics` says of all events.
async fn figure(server: &Server, name: &str) -> i64 {
    let text = Reply::of(server.request(reqwest::Method::GET, "/metrics")).await.ok().text();
    let metric = format!("footfall_ingest_records_{name}{{kind=\"event\"}} ");
    let value =
        text.lines().find_map(|line| line.strip_prefix(&metric)).unwrap_or_else(|| panic!("no {metric}: {text}"));
    value.parse().unwrap_or_else(|_| panic!("not a number: {metric}{value}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_leaves_a_whole_batch_or_none_and_holds_nobody_up() {
    const CLIENTS: usize = 120;
    let mut rng = ChaCha8Rng::seed_from_u64(seed(12));
    let mut server = Server::start(ServerOptions::flushing_every(300)).await;
    let project = server.create_project("leaving").await;
    let from = now_ms() - 3 * DAY_MS;
    let departures = [Departure::InTheHeaders, Departure::InTheBody, Departure::AfterTheBody, Departure::InTheReply];
    let mut leaving = JoinSet::new();
    for client in 0..CLIENTS {
        let departure = departures[client % departures.len()];
        let events = batch(&format!("c{client}"), 0, from);
        let events = events.iter().map(|event| project.with_token(event)).collect::<Vec<_>>();
        let (address, rude) = (server.address(), rng.random());
        // Spread a little, so that they meet each other's groups and flushes.
        let pause = Duration::from_micros(rng.random_range(0..50_000));
        leaving.spawn(async move {
            tokio::time::sleep(pause).await;
            send_and_leave(&address, &events, departure, rude).await;
        });
    }
    leaving.join_all().await;
    let reply = project.track(&batch("stays", 0, from)).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "1"), "others are served");
    // Whoever goes away while its events are being stored has stored them, and the books say so.
    eventually("the books agree with the table", async || {
        let (in_flight, stored) = (figure(&server, "in_flight").await, figure(&server, "stored_total").await);
        in_flight == 0 && stored == project.sql("SELECT count(*) FROM events").await.int()
    })
    .await;
    // A clean stop finishes what is on its way.
    server.restart().await;
    let rows = seen(&project).await;
    let whole = rows.iter().all(|row| row[1] == json!(BATCH) && row[2] == json!(BATCH));
    assert!(whole, "batches are whole: {rows:?}");
    let stored = rows.iter().filter_map(|row| row[0].as_str().map(str::to_owned)).collect::<BTreeSet<_>>();
    for client in 0..CLIENTS {
        let departure = departures[client % departures.len()];
        let is_stored = stored.contains(&format!("c{client}"));
        match departure {
            Departure::InTheHeaders | Departure::InTheBody => {
                assert!(!is_stored, "{departure:?}: nothing was sent whole")
            }
            Departure::InTheReply => assert!(is_stored, "{departure:?}: it was acknowledged"),
            Departure::AfterTheBody => {}
        }
    }
    for client in 0..CLIENTS {
        let reply = project.track(&batch(&format!("c{client}"), 0, from)).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "1"));
    }
    let rows = seen(&project).await;
    let once = rows.iter().all(|row| row[1] == json!(BATCH) && row[2] == json!(BATCH));
    assert!(once && rows.len() == CLIENTS + 1, "sent again, each counts once: {rows:?}");
}
