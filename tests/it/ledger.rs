//! Seed row 12: at every scrape, what was received is what was stored, refused, dropped or resent, and what is on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::Rng;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::harness::{Figures, Project, Reply, Server, ServerOptions, now_ms};

const ROUNDS: usize = 60;
const SENDERS: usize = 4;

/// received, and the sum of everything that became of it, of one kind.
fn sums(figures: &Figures, kind: &str) -> (u64, u64) {
    let label = format!("kind=\"{kind}\"");
    let of = |metric: &str| figures.sum(&format!("footfall_ingest_records_{metric}"), &[label.as_str()]);
    let ends = ["stored_total", "duplicate_total", "rejected_total", "dropped_total", "in_flight"];
    (of("received_total"), ends.into_iter().map(of).sum())
}

/// What one sender expects the books to hold of it.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
struct Expected {
    stored: u64,
    duplicate: u64,
    rejected: u64,
    dropped: u64,
}

/// Sends rounds of records of every fate, and gives up on some of its requests before they are answered.
async fn send(project: Project, sender: usize) -> Expected {
    let mut expected = Expected::default();
    for round in 0..ROUNDS {
        let time = now_ms() - 1000;
        let event = |n: usize| {
            json!({"event": "E", "properties": {"time": time, "distinct_id": "u", "token": project.token,
                "$insert_id": format!("s{sender}-{round}-{n}")}})
        };
        let mut events: Vec<Value> = (0..5).map(event).collect();
        events.push(event(0));
        events.push(json!({"event": "", "properties": {"token": project.token}}));
        events.push(json!({"event": "I", "properties": {"token": project.token, "$ignore": true}}));
        events.push(json!({"event": "U", "properties": {"token": "0123456789abcdef0123456789abcdef"}}));
        let reply = Reply::of(project.anonymous(Method::POST, "/track").json(&events)).await.ok();
        assert_eq!(reply.text(), "1");
        expected.stored += 5;
        expected.duplicate += 1;
        expected.rejected += 1;
        expected.dropped += 2;
        // Gone before the answer: some of these are never read, some are stored, none may stay in flight.
        let given_up = project.import_request(&(100..300).map(event).collect::<Vec<_>>());
        let patience = Duration::from_micros(rand::rng().random_range(0..20_000));
        drop(timeout(patience, given_up.send()).await);
    }
    expected
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_received_is_accounted_for_at_every_scrape() {
    let mut server = Server::start(ServerOptions::flushing_every(2_000)).await;
    let project = server.create_project("books").await;
    // Whoever is asked for once is known from then on.
    project.get("/v1/quality", &[]).await.ok();
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        senders.spawn(send(project.clone(), sender));
    }
    let done = Arc::new(AtomicBool::new(false));
    let profiles = {
        let (project, done) = (project.clone(), done.clone());
        tokio::spawn(async move {
            let mut sent = 0;
            while !done.load(Ordering::Relaxed) {
                let good = json!({"$token": project.token, "$distinct_id": "u", "$set": {"n": sent}});
                let bad = json!({"$token": project.token, "$distinct_id": "u"});
                Reply::of(project.anonymous(Method::POST, "/engage").json(&[good, bad])).await.ok();
                sent += 1;
            }
            sent
        })
    };
    let mut expected = Expected::default();
    let mut scrapes = 0;
    loop {
        let figures = Figures::scrape(&server).await;
        for kind in ["event", "people", "group"] {
            let (received, ended) = sums(&figures, kind);
            assert_eq!(received, ended, "{kind}, scrape {scrapes}: {figures:?}");
        }
        scrapes += 1;
        while let Some(ended) = senders.try_join_next() {
            let Expected { stored, duplicate, rejected, dropped } = ended.expect("the sender is served");
            expected.stored += stored;
            expected.duplicate += duplicate;
            expected.rejected += rejected;
            expected.dropped += dropped;
        }
        if senders.is_empty() {
            break;
        }
    }
    done.store(true, Ordering::Relaxed);
    let updates: u64 = profiles.await.expect("the sender is served");
    assert!(scrapes > 10, "only {scrapes} scrapes met the load");

    let figures = idle(&server).await;
    let count = |metric: &str, labels: &[&str]| figures.sum(&format!("footfall_ingest_records_{metric}"), labels);
    let event = "kind=\"event\"";
    assert_eq!(count("rejected_total", &[event, "reason=\"event_missing\""]), expected.rejected);
    assert_eq!(count("dropped_total", &[event, "reason=\"ignored\""]) * 2, expected.dropped);
    assert_eq!(count("dropped_total", &[event, "reason=\"unknown_token\""]) * 2, expected.dropped);
    assert_eq!(count("duplicate_total", &[event]), expected.duplicate);
    let stored = project.sql("SELECT count(*) FROM events").await.int();
    assert_eq!(count("stored_total", &[event]), stored as u64, "the books and the table agree");
    assert!(stored as u64 >= expected.stored);
    assert_eq!(count("stored_total", &["kind=\"people\""]), updates);
    assert_eq!(count("rejected_total", &["kind=\"people\"", "reason=\"no_operation\""]), updates);

    let requests = |route: &str, token: &str| {
        figures.sum("footfall_ingest_requests_total", &[&format!("route=\"{route}\""), &format!("token=\"{token}\"")])
    };
    assert_eq!(requests("/track", "known"), (ROUNDS * SENDERS) as u64);
    assert_eq!(requests("/engage", "known"), updates);
    let label = format!("project=\"{}\"", project.id);
    assert!(figures.sum("footfall_ingest_project_records_total", &[&label]) >= expected.stored + updates);
    server.stop().await;
}

/// The figures once nothing is on its way any more, which happens whatever became of the clients.
async fn idle(server: &Server) -> Figures {
    let settled = async {
        loop {
            let figures = Figures::scrape(server).await;
            let waiting = figures.sum("footfall_ingest_bodies_bytes", &[]);
            if figures.sum("footfall_ingest_records_in_flight", &[]) == 0 && waiting == 0 {
                return figures;
            }
        }
    };
    timeout(Duration::from_secs(60), settled).await.expect("records of clients that went away do not stay in flight")
}
