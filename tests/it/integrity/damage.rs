//! Bits that flip in files.

use std::path::{Path, PathBuf};

use super::{answers, copy, events, fill, flip, segments, url};
use crate::harness::{Server, ServerOptions, parquet_files, run_cli};

#[tokio::test]
async fn a_damaged_segment_is_named_and_refused_and_healed_from_a_backup() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("damaged").await;
    project.import(&events(0..3_000)).await;
    let truth = answers(&project).await;
    let target = server.scratch("backup");
    server.cli(&["backup", "create", target.to_str().expect("UTF-8")]).await.succeeded();
    server.stop().await;
    let victim = segments(&server.data_dir()).pop().expect("a segment");
    // Behind the four bytes of magic comes the first column.
    flip(&victim, 8);
    let name = victim.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();

    server.start_again().await;
    let reply = project.sql_reply("SELECT count(DISTINCT user_id) FROM events").await;
    let message = reply.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(reply.status >= 500 && reply.json()["error"]["code"] == "corrupt", "{}", reply.text());
    assert!(message.contains(&name) && message.contains("column uid"), "{message}");
    let found = server.cli(&["verify"]).await;
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.stdout.contains(&name) && found.stdout.contains("column uid"), "{found:?}");
    server.stop().await;

    server.set_env("FOOTFALL_HEAL_FROM", Some(&url(&target)));
    server.start_again().await;
    project.sql("SELECT count(DISTINCT user_id) FROM events").await;
    assert_eq!(answers(&project).await, truth);
    server.cli(&["verify", "--deep"]).await.succeeded();
    server.stop().await;
}

/// A data directory with a file of every kind, and nobody on it.
async fn stopped() -> Server {
    let mut server = Server::start(ServerOptions::never_flushing().env("FOOTFALL_SHARDS", 1)).await;
    let project = server.create_project("checked").await;
    fill(&server, &project, 600).await;
    server.restart().await;
    project.import(&events(600..700)).await;
    project.import(&events(700..800)).await;
    // What is not flushed stays in the log.
    server.kill().await;
    server
}

#[tokio::test]
async fn verify_names_the_damage_in_a_file_of_any_kind() {
    let server = stopped().await;
    let sound = server.cli(&["verify", "--deep", "--json"]).await.succeeded().json();
    assert_eq!(sound["sound"], true, "{sound}");
    assert!(sound["files"].as_u64() >= Some(6) && sound["log_records"].as_u64() >= Some(1), "{sound}");
    assert!(sound["events_counted"].as_u64() >= Some(600), "{sound}");

    let data_dir = server.data_dir();
    let store = data_dir.join("store");
    let mut victims: Vec<PathBuf> = parquet_files(&store.join("1"));
    victims.sort();
    victims.dedup_by_key(|path| {
        path.strip_prefix(&store).ok().and_then(|p| p.components().nth(1).map(|c| c.as_os_str().to_owned()))
    });
    assert_eq!(victims.len(), 4, "events, users and two journals: {victims:?}");
    victims.push(store.join("1/events/_delta_log/00000000000000000001.json"));
    let log = std::fs::read_dir(data_dir.join("log")).expect("a log").map(|file| file.expect("a file").path());
    victims.push(log.filter(|path| path.metadata().is_ok_and(|m| m.len() > 100)).max().expect("a segment of the log"));
    for victim in victims {
        let copied = copy(&data_dir);
        let path = copied.path().join(victim.strip_prefix(&data_dir).expect("within"));
        // Of the log, a record that others follow: damage at its end is what a crash leaves.
        let is_log = path.parent().is_some_and(|folder| folder.ends_with("log"));
        let byte = if is_log { 100 } else { path.metadata().expect("a file").len() as usize / 2 };
        flip(&path, byte);
        expect_damage(copied.path(), &path).await;
    }
}

#[tokio::test]
async fn verify_reports_what_is_missing_and_what_belongs_to_nobody() {
    let server = stopped().await;
    let data_dir = server.data_dir();
    let copied = copy(&data_dir);
    let gone = segments(copied.path()).pop().expect("a segment");
    std::fs::remove_file(&gone).expect("deleted");
    expect_damage(copied.path(), &gone).await;

    let orphan = segments(&data_dir).pop().expect("a segment").with_file_name("orphan.parquet");
    std::fs::write(&orphan, "x").expect("written");
    let found = server.cli(&["verify"]).await.succeeded();
    assert!(found.stdout.contains("orphan.parquet"), "{found:?}");
    assert!(orphan.is_file(), "a check changes nothing");
}

async fn expect_damage(data_dir: &Path, path: &Path) {
    let found = run_cli(data_dir, &[], &["verify", "--json"]).await;
    assert_eq!(found.code, Some(1), "{}: {found:?}", path.display());
    let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
    let damages = found.json()["damages"].to_string();
    assert!(damages.contains(name), "{}: {damages}", path.display());
}
