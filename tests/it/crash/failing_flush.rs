//! One project's flush fails, or panics: the others are flushed, and nothing is lost of the one either.

use std::path::PathBuf;

use serde_json::Value;

use super::plan::has_failpoints;
use crate::harness::{Project, Server, ServerOptions, eventually, parquet_files};
use crate::oracle::RawEvent;

const EVENTS: i64 = 50;

/// Events of 1 January 2024.
fn events(from: i64) -> Vec<Value> {
    let event = |n: i64| RawEvent::new("Due", &format!("u{n}"), 1_704_067_200_000 + n, &format!("due-{n}")).to_json();
    (from..from + EVENTS).map(event).collect()
}

fn table(server: &Server, project: &Project) -> PathBuf {
    server.data_dir().join("store").join(project.id.to_string()).join("events")
}

/// Commits of a project's events table.
fn commits(server: &Server, project: &Project) -> usize {
    let log = std::fs::read_dir(table(server, project).join("_delta_log")).into_iter().flatten();
    log.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().extension().is_some_and(|e| e == "json"))).count()
}

async fn wait_for_commit(server: &Server, project: &Project, after: usize) {
    let what = format!("{} is flushed", project.name);
    eventually(&what, async || commits(server, project) > after).await;
}

async fn count(project: &Project) -> i64 {
    project.sql("SELECT count(*) FROM events").await.int()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_that_cannot_be_flushed_holds_up_no_other() {
    let mut server = Server::start(ServerOptions::never_flushing().env("FOOTFALL_FLUSH_AGE", 1)).await;
    let broken = server.create_project("broken").await;
    let mut others = Vec::new();
    for n in 0..4 {
        others.push(server.create_project(&format!("other {n}")).await);
    }
    // Where its segments' folder would be there is a file.
    let obstacle = table(&server, &broken).join("day=2024-01-01");
    std::fs::create_dir_all(table(&server, &broken)).expect("a folder");
    std::fs::write(&obstacle, "in the way").expect("a file");
    for project in others.iter().chain([&broken]) {
        project.import(&events(0)).await;
    }
    for project in &others {
        wait_for_commit(&server, project, 1).await;
    }
    assert_eq!((count(&broken).await, parquet_files(&table(&server, &broken)).len()), (EVENTS, 0));

    // A stop too writes what it can, and says by its exit code that it was not all.
    let before = others.iter().map(|project| commits(&server, project)).collect::<Vec<_>>();
    for project in others.iter().chain([&broken]) {
        project.import(&events(EVENTS)).await;
    }
    assert_eq!(server.terminate().await, Some(1));
    for (project, before) in others.iter().zip(before) {
        assert!(commits(&server, project) > before, "{} is flushed at the stop", project.name);
    }
    server.start_again().await;
    let before = commits(&server, &broken);
    std::fs::remove_file(&obstacle).expect("the obstacle can be deleted");
    wait_for_commit(&server, &broken, before).await;
    for project in others.iter().chain([&broken]) {
        assert_eq!(count(project).await, 2 * EVENTS, "{}", project.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_that_panics_is_tried_again() {
    if !has_failpoints().await {
        eprintln!("SKIPPED: the binary is built without the feature footfall-server/failpoints");
        return;
    }
    let options = ServerOptions::never_flushing().env("FOOTFALL_FLUSH_AGE", 1);
    let mut server = Server::start(options.env("FAILPOINTS", "flush::after_put=1*panic->off")).await;
    server.set_env("FAILPOINTS", None);
    let project = server.create_project("panics").await;
    project.import(&events(0)).await;
    wait_for_commit(&server, &project, 1).await;
    assert!(server.log().contains("panicked at"), "the first flush did panic");
    assert_eq!(count(&project).await, EVENTS);
    server.forget_log();
    server.restart().await;
    assert_eq!(count(&project).await, EVENTS);
}
