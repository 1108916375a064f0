//! The server dies under load, again and again, and nothing acknowledged is lost, doubled, torn or aged.
//!
//! `ledger` is the truth: what the clients sent and heard. `load` is the clients. `plan` says how each cycle ends:
//! `kill -9` at a random instant and amid a hand-over, SIGTERM in the middle of everything, and at each step of the write
//! path an exit, an error or a stall; and which of the following starts are killed as well. `audit` asks the server after
//! each start, at times again once everything is in segments, and all the time while the load runs.
//!
//! `FOOTFALL_KILL_CYCLES` sets how many cycles there are (60); 1,000 is the long form. Every 60 cycles begin with an empty
//! data directory and the next seed, so a failure is run again by the seed that it prints.

mod audit;
mod bad_store;
mod failing_flush;
mod first_start;
mod full_store;
mod ledger;
mod load;
mod plan;
mod profiles;
mod races;
mod slow_start;
mod store_away;

use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use audit::{audit, audit_arrivals, watch};
use load::{Load, Mix};
pub use plan::has_failpoints;
use plan::{Cycle, Ending, Outcome, plan};
use tokio::task::JoinSet;

use crate::harness::{Server, ServerOptions, Start, now_ms, seed};

const CYCLES: u64 = 60;
const PROJECTS: usize = 3;
/// 30 of 100 batches are the same again, 10 are changed copies.
const MIX: Mix = Mix { again: 40, changed: 25 };
/// So few that every load is flushed several times.
const FLUSH_ROWS: usize = 2_000;
/// A failpoint has to be met within this time: some are on paths that a timer of a second starts.
const MET_WITHIN: Duration = Duration::from_secs(60);
/// A start that takes this long hangs at its failpoint.
const STALLED_AFTER: Duration = Duration::from_secs(15);
const SIGABRT: i32 = 6;

fn options() -> ServerOptions {
    let options = ServerOptions::flushing_every(FLUSH_ROWS).env("FOOTFALL_FLUSH_AGE", 1).env("FOOTFALL_SHARDS", 2);
    // Every run is merged with the others as soon as it is there, and dead files are deleted at once.
    let options = options.env("FOOTFALL_COMPACTION_QUIET", 0).env("FOOTFALL_COMPACTION_KEEP_DEAD", 0);
    options.env("FOOTFALL_COMPACTION_COLLECT_EVERY", 1)
}

/// Starts the server anew if the cycle wants a failpoint. False if the start met it and did not survive that.
async fn start_with_failpoint(server: &mut Server, cycle: &Cycle) -> bool {
    let Ending::Failpoint { setting, .. } = &cycle.ending else { return true };
    server.kill().await;
    server.set_env("FAILPOINTS", Some(setting));
    server.spawn();
    match server.start_ends(STALLED_AFTER).await {
        Start::Ready => return true,
        Start::Stuck => server.kill().await,
        // At the failpoint, or in good order because of the error there.
        Start::Ended(status) => {
            assert!(status.signal() == Some(SIGABRT) || status.code() == Some(1), "{cycle:?}: {status}");
        }
    }
    false
}

/// Lets the load run until the process is gone. How often a watcher saw the whole ledger hold meanwhile.
async fn run_and_end(server: &mut Server, load: &Arc<Load>, cycle: &Cycle) -> usize {
    let stop = Arc::new(AtomicBool::new(false));
    let clients = load.start(cycle.number, &stop);
    let mut watcher = JoinSet::new();
    let (watched, watcher_stop) = (load.clone(), stop.clone());
    watcher.spawn(async move { watch(&watched, &watcher_stop).await });
    // Not waits for anything: the instant of the end is the test's random input.
    match &cycle.ending {
        Ending::Kill { after } | Ending::Failpoint { outcome: Outcome::Lives, after, .. } => {
            tokio::time::sleep(*after).await;
            server.kill().await;
        }
        Ending::Stop { after } => {
            tokio::time::sleep(*after).await;
            server.stop().await;
        }
        Ending::HandOver { after, killed_after } => {
            tokio::time::sleep(*after).await;
            server.signal("USR2").await;
            tokio::time::sleep(*killed_after).await;
            server.kill().await;
        }
        Ending::Failpoint { outcome: Outcome::Dies, .. } => {
            let signal = server.died(MET_WITHIN).await;
            assert_eq!(signal, Some(SIGABRT), "{cycle:?}: the process ends at the failpoint");
        }
    }
    stop.store(true, Ordering::Release);
    clients.join_all().await;
    watcher.join_all().await.into_iter().sum()
}

/// Starts the server, killing the first few starts on their way.
async fn start_at_last(server: &mut Server, cycle: &Cycle) {
    for after in &cycle.killed_starts {
        server.spawn();
        tokio::time::sleep(*after).await;
        server.kill().await;
    }
    server.start_again().await;
}

/// One data directory through `cycles` ends; what happened, in a line.
async fn round(seed: u64, cycles: u64, failpoints: bool) -> String {
    let mut server = Server::start(options()).await;
    let mut projects = Vec::new();
    for n in 0..PROJECTS {
        projects.push(server.create_project(&format!("crash {n}")).await);
    }
    let load = Load::new(projects, MIX, seed, now_ms());
    let mut looked = 0;
    for cycle in plan(seed, cycles, failpoints) {
        if start_with_failpoint(&mut server, &cycle).await {
            looked += run_and_end(&mut server, &load, &cycle).await;
        }
        server.set_env("FAILPOINTS", None);
        start_at_last(&mut server, &cycle).await;
        audit(&load, &format!("after {cycle:?}")).await;
        if cycle.flushed_after {
            server.restart().await;
            audit(&load, &format!("flushed after {cycle:?}")).await;
        }
    }
    load.settle().await;
    for state in ["everything sent again", "everything flushed"] {
        audit(&load, state).await;
        audit_arrivals(&load, state).await;
        server.restart().await;
    }
    summary(&load, cycles, looked)
}

fn summary(load: &Load, cycles: u64, looked: usize) -> String {
    let (mut batches, mut copies, mut acknowledgements) = (0, 0, 0);
    for project in 0..load.projects.len() {
        let ledger = load.ledger(project);
        batches += ledger.batches();
        copies += ledger.copies();
        acknowledgements += ledger.acknowledgements();
    }
    let [resends, changed, put_off] =
        [&load.resends, &load.changed, &load.put_off].map(|count| count.load(Ordering::Relaxed));
    assert!(
        acknowledgements as u64 > 2 * cycles && resends > cycles && changed > cycles / 2,
        "there was a load to kill"
    );
    assert!(looked as u64 > cycles / 4, "the watcher looked while the load ran");
    format!(
        "{cycles} ends: {batches} batches, {copies} copies of them ({resends} resent, {changed} changed), \
         {acknowledgements} acknowledged, {put_off} put off, {looked} looks under load"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_events_survive_every_death_under_load_exactly_once() {
    let first = seed(4);
    let cycles = std::env::var("FOOTFALL_KILL_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(CYCLES);
    let failpoints = has_failpoints().await;
    if !failpoints {
        assert!(std::env::var_os("FOOTFALL_REQUIRE_TOOLS").is_none(), "the binary has no failpoints");
        eprintln!("SKIPPED: the binary is built without the feature footfall-server/failpoints; kills are random only");
    }
    let mut left = cycles;
    for seed in first.. {
        let of_round = left.min(CYCLES);
        let told = tokio::spawn(round(seed, of_round, failpoints)).await;
        let told =
            told.unwrap_or_else(|_| panic!("run it again: FOOTFALL_SEED={seed} FOOTFALL_KILL_CYCLES={of_round}"));
        println!("FOOTFALL_SEED={seed}: {told}");
        left -= of_round;
        if left == 0 {
            break;
        }
    }
}
