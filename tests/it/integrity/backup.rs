//! `footfall backup`: what comes back when the data directory is gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use super::{answers, events, fill, flip, url};
use crate::harness::{Server, ServerOptions};

#[tokio::test]
async fn a_restored_backup_answers_alike_with_the_source_gone() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("kept").await;
    let target = server.scratch("backup");
    let target = target.to_str().expect("UTF-8");
    fill(&server, &project, 2_000).await;
    let first = answers(&project).await;
    let made = server.cli(&["backup", "create", target, "--json"]).await.succeeded().json();
    assert_eq!(made["backup"]["number"], 1);
    project.import(&events(2_000..2_500)).await;
    let second = answers(&project).await;
    assert_ne!(first, second);
    let again = server.cli(&["backup", "create", target, "--json"]).await.succeeded().json();
    let (old, new) =
        (made["backup"]["bytes"].as_u64().expect("bytes"), again["backup"]["new_bytes"].as_u64().expect("bytes"));
    assert!(new < old, "only what is new is copied: {new} after {old}");
    server.cli(&["backup", "verify", target]).await.succeeded();
    server.kill().await;

    for (at, truth) in [("1", &first), ("2", &second)] {
        std::fs::remove_dir_all(server.data_dir()).expect("the source is gone");
        let to = server.data_dir();
        let restore = ["backup", "restore", target, "--to", to.to_str().expect("UTF-8"), "--at", at];
        let restored = server.cli(&restore).await.succeeded();
        assert!(restored.stdout.contains("bytes") && restored.stdout.contains(" s"), "{restored:?}");
        // The same credentials open it.
        server.start_again().await;
        assert_eq!(answers(&project).await, *truth, "backup {at}");
        let updates = project.sql("SELECT count(*) FROM rejected_events").await;
        assert_eq!(updates.int(), 5);
        project.import(&events(5_000..5_010)).await;
        server.restart().await;
        assert_eq!(project.sql("SELECT count(*) FROM events WHERE n >= 5000").await.int(), 10);
        server.cli(&["verify", "--deep"]).await.succeeded();
        let occupied = server.cli(&restore).await;
        assert!(occupied.code == Some(1) && occupied.stderr.contains("not empty"), "{occupied:?}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_under_load_holds_what_was_acknowledged_before_and_nothing_half() {
    const BATCH: usize = 200;
    let mut server = Server::start(ServerOptions::flushing_every(700)).await;
    let project = server.create_project("busy").await;
    let target = server.scratch("backup");
    let target = target.to_str().expect("UTF-8");
    let (done, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = tokio::spawn({
        let (project, done, acknowledged) = (project.clone(), done.clone(), acknowledged.clone());
        async move {
            for batch in 0.. {
                if done.load(Ordering::Acquire) {
                    return;
                }
                project.import(&events(batch * BATCH..(batch + 1) * BATCH)).await;
                acknowledged.store((batch + 1) * BATCH, Ordering::Release);
            }
        }
    });
    let mut floors = Vec::new();
    for _ in 0..3 {
        while acknowledged.load(Ordering::Acquire) <= floors.last().copied().unwrap_or(0) + BATCH {
            tokio::task::yield_now().await;
        }
        floors.push(acknowledged.load(Ordering::Acquire));
        server.cli(&["backup", "create", target]).await.succeeded();
    }
    done.store(true, Ordering::Release);
    load.await.expect("the load ends");
    server.kill().await;
    for (nth, floor) in floors.into_iter().enumerate() {
        std::fs::remove_dir_all(server.data_dir()).expect("the source is gone");
        let (to, at) = (server.data_dir(), (nth + 1).to_string());
        server.cli(&["backup", "restore", target, "--to", to.to_str().expect("UTF-8"), "--at", &at]).await.succeeded();
        server.start_again().await;
        let rows = project.sql("SELECT n, user_id FROM events").await.rows;
        let numbers: BTreeSet<i64> = rows.iter().map(|row| row[0].as_i64().expect("a number")).collect();
        assert_eq!(numbers.len(), rows.len(), "each once");
        assert!((0..floor as i64).all(|n| numbers.contains(&n)), "what was acknowledged before is there");
        // Batches are stored whole or not at all, in order.
        assert_eq!(numbers.last().map(|last| *last + 1), Some(numbers.len() as i64));
        assert_eq!(numbers.len() % BATCH, 0);
        assert!(rows.iter().all(|row| row[1] != json!(null)), "everybody is known");
        server.cli(&["verify"]).await.succeeded();
        server.stop().await;
    }
}

#[tokio::test]
async fn backups_of_a_stopped_directory_go_to_any_store_and_damage_in_them_is_found() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("stopped").await;
    project.import(&events(0..500)).await;
    let truth = answers(&project).await;
    // What only the log has is backed up too.
    server.kill().await;
    let target = url(&server.scratch("backup"));
    server.cli(&["backup", "create", &target]).await.succeeded();
    let listed = server.cli(&["backup", "list", &target, "--json"]).await.succeeded().json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));

    let store = url(&server.scratch("another/store"));
    server.cli(&["backup", "restore", &target, "--to", &store]).await.succeeded();
    std::fs::remove_dir_all(server.data_dir()).expect("the source is gone");
    server.set_env("FOOTFALL_STORE", Some(&store));
    server.start_again().await;
    assert_eq!(answers(&project).await, truth);
    server.stop().await;

    let copies = server.scratch("backup").join("objects");
    let victim = crate::harness::parquet_files(&copies).pop().expect("a copy");
    flip(&victim, 100);
    let found = server.cli(&["backup", "verify", &target]).await;
    let name = victim.file_name().and_then(|name| name.to_str()).expect("UTF-8");
    assert!(found.code == Some(1) && found.stdout.contains(name), "{found:?}");
    let refused = server.cli(&["backup", "restore", &target, "--to", &url(&server.scratch("third"))]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains(name), "{refused:?}");
    assert_eq!(server.cli(&["backup", "verify", "/nowhere"]).await.code, Some(1));
    assert_eq!(server.cli(&["backup", "restore", &target, "--to", "x", "--at", "soon"]).await.code, Some(2));
}
