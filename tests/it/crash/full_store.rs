//! The disk of the tables is full, the log's is not: events are taken and answered, over kills and stops, until there is
//! room and they are flushed. (A full disk of the log is the log's own test.)

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::MIX;
use super::audit::{audit, audit_arrivals};
use super::load::Load;
use crate::harness::{Server, ServerOptions, SmallDisk, eventually, now_ms, parquet_files, seed};

const DISK_KIB: u32 = 16 << 10;

/// Lets the load run until this many more copies were acknowledged; every look in between is right.
async fn run(load: &Arc<Load>, cycle: u64, acknowledged: usize, claim: &str) {
    let stop = Arc::new(AtomicBool::new(false));
    let target = load.ledger(0).acknowledgements() + acknowledged;
    let clients = load.start(cycle, &stop);
    while load.ledger(0).acknowledgements() < target {
        audit(load, claim).await;
    }
    stop.store(true, Ordering::Release);
    clients.join_all().await;
    audit(load, claim).await;
}

async fn wait_for_new_files(disk: &SmallDisk) {
    let before = parquet_files(disk.path()).len();
    eventually("rows are flushed", async || parquet_files(disk.path()).len() > before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_the_tables_loses_nothing_and_turns_nobody_away() {
    let folder = tempfile::TempDir::with_prefix("footfall-full-").expect("a temporary directory");
    let Some(disk) = SmallDisk::mount(folder.path().join("disk"), DISK_KIB) else { return };
    let store = format!("file://{}", disk.path().display());
    let options = ServerOptions::flushing_every(1_000).env("FOOTFALL_STORE", store).env("FOOTFALL_SHARDS", 2);
    let mut server = Server::start(options.env("FOOTFALL_FLUSH_AGE", 1)).await;
    let project = server.create_project("full").await;
    let load = Load::new(vec![project], MIX, seed(15), now_ms());
    run(&load, 0, 150, "there is room").await;
    wait_for_new_files(&disk).await;

    disk.fill();
    run(&load, 1, 200, "the disk is full").await;
    server.kill().await;
    server.start_again().await;
    audit(&load, "killed and started on a full disk").await;
    run(&load, 2, 200, "the disk is still full").await;
    // It cannot flush, and says so by its exit code; what it has is in the log.
    assert_eq!(server.terminate().await, Some(1));
    server.start_again().await;
    audit(&load, "stopped and started on a full disk").await;
    assert_eq!(load.put_off.load(Ordering::Relaxed), 0, "the log had room all the time");

    disk.make_room();
    wait_for_new_files(&disk).await;
    run(&load, 3, 100, "there is room again").await;
    server.restart().await;
    audit(&load, "flushed").await;
    audit_arrivals(&load, "flushed").await;
}
