//! The store is away: events are taken as long as the log has room, then refused with a time to come back, and all of it
//! is written out when the store is there again, with nobody's help. What is live is answered all the time.
//!
//! Row 11 of the claims: for a minute without the place where everything goes, no request fails, the backlog grows on the
//! disk, and the count is exact afterwards. Here the log's budget is small, so that seconds do.
//!
//! `FOOTFALL_STORE_AWAY` sets for how many seconds the store is away (3) before the log fills; 600 is the long form.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;

use super::audit::audit;
use super::load::{Load, Mix};
use crate::harness::{BUCKET, GcsServer, Reply, Server, ServerOptions, Start, eventually, now_ms, seed};
use crate::oracle::RawEvent;

const SECONDS: u64 = 3;
/// MiB that the log may hold in the short form.
const BUDGET: u64 = 6;
/// No resends: to tell one from a changed copy takes the row, which may be in the store alone.
const FRESH: Mix = Mix { again: 0, changed: 0 };

fn log_bytes(data_dir: &Path) -> u64 {
    let files = std::fs::read_dir(data_dir.join("log")).expect("a log").filter_map(Result::ok);
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

async fn readyz(server: &Server) -> (u16, Vec<String>) {
    let reply = Reply::of(server.request(Method::GET, "/readyz")).await;
    let body = reply.json();
    let told = ["reasons", "warnings"].iter().filter_map(|list| body[*list].as_array()).flatten();
    (reply.status, told.filter_map(|reason| reason["code"].as_str().map(str::to_owned)).collect())
}

fn codes(codes: &[&str]) -> Vec<String> {
    codes.iter().map(|code| (*code).to_owned()).collect()
}

/// Lets clients send until `enough`; what is live is right all the while.
async fn run_until(load: &Arc<Load>, cycle: u64, mut enough: impl AsyncFnMut() -> bool) {
    let stop = Arc::new(AtomicBool::new(false));
    let clients = load.start(cycle, &stop);
    while !enough().await {
        audit(load, "live").await;
    }
    stop.store(true, Ordering::Release);
    clients.join_all().await;
    audit(load, "live").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_costs_nothing_while_the_log_has_room_and_is_caught_up_with_afterwards() {
    let seconds = std::env::var("FOOTFALL_STORE_AWAY").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let budget = BUDGET * (seconds / SECONDS).max(1);
    let store = GcsServer::start().await;
    let options = ServerOptions::flushing_every(1_000).env("FOOTFALL_FLUSH_AGE", 1).env("FOOTFALL_SHARDS", 2);
    let options = options.on_gcs(&store, "away").env("FOOTFALL_STORE_PATIENCE", 1).env("FOOTFALL_LOG_BUDGET", budget);
    let mut server = Server::start(options).await;
    let flushed = Load::new(vec![server.create_project("flushed").await], FRESH, seed(61), now_ms());
    let live = Load::new(vec![server.create_project("live").await], FRESH, seed(62), now_ms());
    let before = store.names("away").len();
    run_until(&flushed, 0, async || flushed.ledger(0).acknowledgements() > 100).await;
    eventually("rows are flushed", async || store.names("away").len() > before + 3).await;
    assert_eq!(readyz(&server).await, (200, vec![]));

    store.goes_away();
    let (gone, backlog) = (Instant::now(), log_bytes(&server.data_dir()));
    let away = Duration::from_secs(seconds);
    let half_full = || log_bytes(&server.data_dir()) > budget << 19;
    run_until(&live, 1, async || gone.elapsed() > away || half_full()).await;
    // How long the store is away is what the test is about; fast machines have filled half of the log before.
    tokio::time::sleep(away.saturating_sub(gone.elapsed())).await;
    audit(&live, "away").await;
    assert_eq!(live.put_off.load(Ordering::Relaxed), 0, "nobody is turned away while the log has room");
    assert!(log_bytes(&server.data_dir()) > backlog, "the backlog is on the disk");
    eventually("it tells", async || readyz(&server).await == (200, codes(&["flush_failing", "store_away"]))).await;

    run_until(&live, 2, async || live.put_off.load(Ordering::Relaxed) > 20).await;
    eventually("it tells more", async || {
        readyz(&server).await == (503, codes(&["log_full", "flush_failing", "store_away"]))
    })
    .await;
    let event = RawEvent::new("Late", "ann", 1_704_067_200_000, "late").to_json();
    let refused = Reply::of(flushed.projects[0].import_request(&[event])).await;
    assert_eq!((refused.status, refused.header("retry-after").is_empty()), (503, false), "{}", refused.text());
    audit(&live, "the log is full").await;

    let restart = server.cli(&["restart"]).await;
    assert!(restart.code == Some(1) && restart.stderr.contains("the store does not answer"), "{restart:?}");
    store.comes_back();
    // Without a request that could have helped.
    eventually("the log is written out", async || log_bytes(&server.data_dir()) < 2 << 20).await;
    eventually("it is well again", async || readyz(&server).await == (200, vec![])).await;
    let acknowledged = live.ledger(0).acknowledgements();
    run_until(&live, 3, async || live.ledger(0).acknowledgements() > acknowledged + 50).await;
    for load in [&live, &flushed] {
        load.settle().await;
        audit(load, "the store is back").await;
    }

    store.goes_away();
    server.kill().await;
    server.spawn();
    let Start::Ended(status) = server.start_ends(Duration::from_secs(60)).await else {
        panic!("a start without tables")
    };
    assert_eq!(status.code(), Some(1));
    let named = format!("error: store gs://{BUCKET}/away ");
    assert!(server.log().contains(&named), "the store is named: {}", server.log());
    store.comes_back();
    server.start_again().await;
    for load in [&live, &flushed] {
        audit(load, "killed without a store").await;
    }
    server.restart().await;
    for load in [&live, &flushed] {
        audit(load, "flushed").await;
    }
    let (acknowledged, put_off) = (live.ledger(0).acknowledged_events(), live.put_off.load(Ordering::Relaxed));
    println!("away for {seconds} s and until the log was full: {acknowledged} events, {put_off} requests put off");
}
