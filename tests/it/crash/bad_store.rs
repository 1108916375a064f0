//! The store fails three calls of ten, in every way that a store can, while clients send and the server is killed: what
//! is answered is right, and nothing is lost or doubled.
//!
//! `FOOTFALL_CHAOS_EVENTS` sets how many events are acknowledged meanwhile (20,000); 1,000,000 is the long form.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::MIX;
use super::audit::{audit, audit_arrivals, audit_over_faults};
use super::load::Load;
use crate::harness::{Chaos, Fault, GcsServer, Server, ServerOptions, Start, now_ms, seed};

const EVENTS: u64 = 20_000;
const SHARE: f64 = 0.3;
const PROJECTS: usize = 2;
const STARTED_WITHIN: Duration = Duration::from_secs(120);

fn options(store: &GcsServer) -> ServerOptions {
    let options = ServerOptions::flushing_every(1_500).env("FOOTFALL_FLUSH_AGE", 1).env("FOOTFALL_SHARDS", 2);
    // Shorter than a stall.
    options.on_gcs(store, "chaos").env("FOOTFALL_STORE_TIMEOUT", 1)
}

/// Lets the load run until so many events are acknowledged in all, and looks all the while. How often a question had no
/// answer.
async fn run(load: &Arc<Load>, cycle: u64, events: u64) -> usize {
    let stop = Arc::new(AtomicBool::new(false));
    let clients = load.start(cycle, &stop);
    let acknowledged = || (0..PROJECTS).map(|project| load.ledger(project).acknowledged_events()).sum::<u64>();
    let mut unanswered = 0;
    while acknowledged() < events {
        unanswered += audit_over_faults(load, "under load").await;
    }
    stop.store(true, Ordering::Release);
    clients.join_all().await;
    unanswered
}

/// Starts the server however often that takes: it may give up with an error, but not hang.
async fn start(server: &mut Server) -> usize {
    for failed in 0..20 {
        server.spawn();
        match server.start_ends(STARTED_WITHIN).await {
            Start::Ready => return failed,
            Start::Ended(status) => assert_eq!(status.code(), Some(1), "in good order; {}", server.log()),
            Start::Stuck => panic!("the start hangs: {}", server.log()),
        }
    }
    panic!("no start succeeds: {}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_three_calls_of_ten_loses_nothing_and_no_answer_is_wrong() {
    let events = std::env::var("FOOTFALL_CHAOS_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(EVENTS);
    let seed = seed(51);
    let store = GcsServer::start().await;
    let mut server = Server::start(options(&store)).await;
    let mut projects = Vec::new();
    for n in 0..PROJECTS {
        let project = server.create_project(&format!("chaos {n}")).await;
        // Known to the server before its listings are behind.
        project.sql("SELECT count(*) FROM events").await;
        projects.push(project);
    }
    let load = Load::new(projects, MIX, seed, now_ms());
    let rounds: [&[Fault]; 4] = [
        &Fault::ALL,
        // Creates that are done and answered with an error.
        &[Fault::DoneAndFailed, Fault::DoneAndReset],
        &[Fault::Short, Fault::Curt, Fault::Stalled, Fault::Behind, Fault::Flipped],
        &Fault::ALL,
    ];
    let (mut unanswered, mut failed_starts) = (0, 0);
    for (round, faults) in (1..).zip(rounds) {
        store.misbehaves(Chaos::new(seed ^ round, SHARE, faults));
        unanswered += run(&load, round, events * round / rounds.len() as u64).await;
        server.kill().await;
        failed_starts += start(&mut server).await;
        unanswered += audit_over_faults(&load, &format!("killed and started, {faults:?}")).await;
    }
    store.behaves();
    let met = store.faults_met();
    assert!(Fault::ALL.iter().all(|fault| met.get(fault).is_some_and(|times| *times > 0)), "{met:?}");
    load.settle().await;
    for state in ["everything sent again", "everything flushed"] {
        audit(&load, state).await;
        audit_arrivals(&load, state).await;
        server.restart().await;
    }
    let put_off = load.put_off.load(Ordering::Relaxed);
    println!(
        "faults {met:?}; {put_off} requests put off, {unanswered} questions without an answer, {failed_starts} failed starts"
    );
}
