//! A disk that refuses.

use std::time::Duration;

use super::{send, visible};
use crate::harness::{Project, Reply, Server, ServerOptions, SmallDisk, parquet_files, strace};

const ROWS: usize = 200;
const DISK_KIB: u32 = 32 << 10;

/// Sends batches from `from` on until one is refused; answers the refused one's id.
async fn send_until_refused(project: &Project, from: usize, acknowledged: &mut Vec<usize>) -> usize {
    for id in from..from + 10_000 {
        let reply = send(project, id, ROWS).await;
        if reply.status != 200 {
            expect_refusal(&reply);
            return id;
        }
        acknowledged.push(id);
    }
    panic!("nothing was refused");
}

/// The form that a client of `/import` knows, and when to come back.
fn expect_refusal(reply: &Reply) {
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "{:?}", reply.headers);
    assert_eq!(reply.json()["code"], 503, "{}", reply.text());
}

/// Sends one batch again and again until it is taken: the log goes on by itself.
async fn send_until_taken(project: &Project, id: usize, acknowledged: &mut Vec<usize>) {
    let taken = async {
        loop {
            let reply = send(project, id, ROWS).await;
            if reply.status == 200 {
                return;
            }
            expect_refusal(&reply);
        }
    };
    tokio::time::timeout(Duration::from_secs(60), taken).await.expect("the log goes on once the disk does");
    acknowledged.push(id);
}

async fn on_small_disk(min_free_mib: u32) -> Option<(Server, SmallDisk, Project)> {
    let options = ServerOptions::never_flushing().env("FOOTFALL_LOG_MIN_FREE", min_free_mib);
    // So small a disk would not count as ready.
    let options = options.env("FOOTFALL_DISK_FREE_MIN", 0);
    let mut server = Server::prepare(options);
    let disk = SmallDisk::mount(server.data_dir(), DISK_KIB)?;
    server.start_again().await;
    let project = server.create_project("small").await;
    Some((server, disk, project))
}

#[tokio::test]
async fn a_full_disk_is_answered_with_503_while_queries_go_on_and_forgotten_when_there_is_room() {
    let Some((mut server, disk, project)) = on_small_disk(0).await else { return };
    let mut acknowledged = Vec::new();
    for id in 0..3 {
        send(&project, id, ROWS).await.ok();
        acknowledged.push(id);
    }
    disk.fill();
    let refused = send_until_refused(&project, 3, &mut acknowledged).await;
    assert_eq!(visible(&project, ROWS).await, acknowledged, "queries go on, and what was refused is not in them");
    for _ in 0..20 {
        expect_refusal(&send(&project, refused, ROWS).await);
    }
    let reply = Reply::of(project.request(reqwest::Method::POST, "/import").json(&super::batch(refused, ROWS))).await;
    expect_refusal(&reply);
    assert!(server.log().contains("no space left for the log"), "the operator is told");
    assert!(parquet_files(&server.data_dir().join("store")).is_empty(), "a flush that failed leaves no file");
    disk.make_room();
    send_until_taken(&project, refused, &mut acknowledged).await;
    assert_eq!(visible(&project, ROWS).await, acknowledged);
    send(&project, refused + 1, ROWS).await.ok();
    acknowledged.push(refused + 1);
    server.kill().await;
    server.start_again().await;
    assert_eq!(visible(&project, ROWS).await, acknowledged, "after a crash");
    server.restart().await;
    assert_eq!(visible(&project, ROWS).await, acknowledged, "flushed");
    server.kill().await;
}

#[tokio::test]
async fn before_the_disk_is_full_the_log_keeps_room_to_flush_into() {
    let Some((mut server, disk, project)) = on_small_disk(12).await else { return };
    let mut acknowledged = Vec::new();
    let refused = send_until_refused(&project, 0, &mut acknowledged).await;
    // No room was made by anybody: what the log holds was flushed into the space kept for it, and let go.
    send_until_taken(&project, refused, &mut acknowledged).await;
    assert!(!parquet_files(&server.data_dir().join("store")).is_empty());
    assert_eq!(visible(&project, ROWS).await, acknowledged);
    server.kill().await;
    server.start_again().await;
    assert_eq!(visible(&project, ROWS).await, acknowledged, "after a crash");
    server.kill().await;
    drop(disk);
}

#[tokio::test]
async fn a_log_past_its_budget_is_flushed_and_goes_on() {
    let options = ServerOptions::never_flushing().env("FOOTFALL_LOG_BUDGET", 1);
    let server = Server::start(options).await;
    let project = server.create_project("budget").await;
    let mut acknowledged = Vec::new();
    let refused = send_until_refused(&project, 0, &mut acknowledged).await;
    send_until_taken(&project, refused, &mut acknowledged).await;
    assert_eq!(visible(&project, ROWS).await, acknowledged);
}

#[tokio::test]
async fn a_read_only_disk_is_answered_with_503_until_it_takes_writes_again() {
    // Calls of the log's thread: some groups, then refusals, the looks of the log itself among them.
    let Some(wrapper) = strace("pwrite64:error=EROFS:when=7..14") else { return };
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let mut server = Server::start(ServerOptions::never_flushing().under(&wrapper)).await;
    let project = server.create_project("read-only").await;
    let mut acknowledged = Vec::new();
    let refused = send_until_refused(&project, 0, &mut acknowledged).await;
    assert_eq!(visible(&project, ROWS).await, acknowledged, "queries go on");
    assert!(server.log().contains("read-only"), "the operator is told");
    send_until_taken(&project, refused, &mut acknowledged).await;
    server.kill().await;
    server.unwrap();
    server.start_again().await;
    assert_eq!(visible(&project, ROWS).await, acknowledged, "after a crash");
}

#[tokio::test]
async fn whichever_write_finds_no_space_nothing_of_it_is_acknowledged_and_the_log_goes_on() {
    let faults = std::env::var("FOOTFALL_SPACE_FAULTS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    // Every fifth write of the log's thread: at times a group's, at times the log's own look whether there is room again.
    let Some(wrapper) = strace("pwrite64:error=ENOSPC:when=4+5") else { return };
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let mut server = Server::start(ServerOptions::never_flushing().under(&wrapper)).await;
    let project = server.create_project("space").await;
    let (mut acknowledged, mut refused, mut id) = (Vec::new(), 0, 1);
    send_until_taken(&project, 0, &mut acknowledged).await;
    while refused < faults {
        let reply = send(&project, id, ROWS).await;
        if reply.status == 200 {
            acknowledged.push(id);
        } else {
            expect_refusal(&reply);
            refused += 1;
            assert_eq!(visible(&project, ROWS).await, acknowledged, "queries go on, without what was refused");
            send_until_taken(&project, id, &mut acknowledged).await;
        }
        id += 1;
    }
    println!("{refused} writes without space, {} batches acknowledged", acknowledged.len());
    assert_eq!(visible(&project, ROWS).await, acknowledged);
    server.kill().await;
    server.unwrap();
    server.start_again().await;
    assert_eq!(visible(&project, ROWS).await, acknowledged, "after a crash");
}

#[tokio::test]
async fn a_sync_that_fails_ends_the_process_and_the_next_start_has_what_was_acknowledged() {
    for nth in [1, 2, 3, 5, 8] {
        let Some(wrapper) = strace(&format!("fdatasync:error=EIO:when={nth}")) else { return };
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        let mut server = Server::prepare(ServerOptions::never_flushing().under(&wrapper));
        // Before the server: the log's own record of a project is a group, too.
        let created = server.cli(&["project", "create", "sync", "--json"]).await.succeeded().json();
        server.spawn();
        let project = server.project(&created);
        let (mut acknowledged, mut sent) = (Vec::new(), 0);
        let ready = server.start_ends(Duration::from_secs(60)).await;
        if ready == crate::harness::Start::Ready {
            while let Ok(reply) = Reply::try_of(project.import_request(&super::batch(sent, ROWS))).await {
                assert_eq!(reply.status, 200, "no answer but success before the end: {}", reply.text());
                acknowledged.push(sent);
                sent += 1;
            }
            let ended = server.died(Duration::from_secs(10)).await;
            assert_eq!(ended, Some(6), "when={nth}: the process aborts");
        }
        assert!(acknowledged.len() < nth, "when={nth}: nothing is acknowledged after the sync that failed");
        assert!(server.log().contains("cannot sync the log, aborting"));
        server.unwrap();
        server.start_again().await;
        let visible = match acknowledged.is_empty() {
            true => continue,
            false => visible(&project, ROWS).await,
        };
        assert!(visible.starts_with(&acknowledged), "when={nth}: {visible:?} has all of {acknowledged:?}");
        assert!(visible.len() <= acknowledged.len() + 1, "when={nth}: and at most the one whose fate was open");
    }
}
