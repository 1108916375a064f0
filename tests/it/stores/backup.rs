//! Backups of a bucket: what comes back, and where, when the bucket is gone.

use serde_json::Value;

use super::journey::{add_plans, answers, events};
use crate::harness::{BUCKET, GcsServer, Project, S3Server, Server, ServerOptions};
use crate::oracle::RawEvent;

const BACKUPS: &str = "footfall.test_backups";
const RESTORED: &str = "footfall.test_restored";

async fn import(project: &Project, events: &[RawEvent]) {
    project.import(&events.iter().map(RawEvent::to_json).collect::<Vec<_>>()).await;
}

/// Backs up, and verifies every byte; what was said.
async fn back_up(server: &Server, target: &str) -> Value {
    let made = server.cli(&["backup", "create", target, "--json"]).await.succeeded().json();
    assert!(made["seconds"].is_number() && made["backup"]["bytes"].as_u64() > Some(0), "time and bytes: {made}");
    server.cli(&["backup", "verify", target]).await.succeeded();
    made
}

/// Restores with nothing else left, and compares all answers.
async fn check_restored(server: &mut Server, project: &Project, restore: (&str, &str, Option<&str>), truth: &Value) {
    let (from, to, at) = restore;
    let mut args = vec!["backup", "restore", from, "--to", to];
    args.extend(at.iter().flat_map(|at| ["--at", *at]));
    let restored = server.cli(&args).await.succeeded();
    assert!(restored.stdout.contains(" bytes, ") && restored.stdout.contains("/s in "), "time and bytes: {restored:?}");
    println!("{from} to {to}: {}", restored.stdout.trim());
    server.set_env("FOOTFALL_STORE", to.contains("://").then_some(to));
    server.start_again().await;
    // The same credentials open it.
    assert_eq!(answers(project).await, *truth, "{from} at {at:?} to {to}");
    server.cli(&["verify", "--deep"]).await.succeeded();
    server.stop().await;
    server.forget_data();
}

#[tokio::test]
async fn a_bucket_that_is_gone_comes_back_in_a_folder_and_in_other_buckets() {
    let gcs = GcsServer::start().await;
    gcs.adds_bucket(BACKUPS);
    let s3 = S3Server::start("copies").await;
    let amazon = s3.iter().flat_map(S3Server::environment);
    let options = ServerOptions::never_flushing().on_gcs(&gcs, "live").envs(amazon).env("FOOTFALL_SHARDS", 2);
    let mut server = Server::start(options).await;
    let project = server.create_project("kept").await;
    let events = events();
    import(&project, &events[..900]).await;
    add_plans(&project).await;
    let first = answers(&project).await;
    let (google, folder) = (format!("gs://{BACKUPS}/of%20a%20team"), server.scratch("backups"));
    let folder = folder.to_str().expect("UTF-8");
    let made = back_up(&server, &google).await;
    let time = made["backup"]["created_at"].as_str().expect("a time").to_owned();
    back_up(&server, folder).await;
    import(&project, &events[900..]).await;
    let second = answers(&project).await;
    assert_ne!(first, second);
    let again = back_up(&server, &google).await;
    let bytes = |made: &Value, what: &str| made["backup"][what].as_u64().expect("a number");
    assert!(bytes(&again, "new_bytes") < bytes(&made, "bytes"), "only what is new is copied: {again} after {made}");
    if s3.is_some() {
        back_up(&server, "s3://copies/of-a-team").await;
    }
    server.kill().await;
    gcs.loses_bucket(BUCKET);
    server.forget_data();

    let data_dir = server.data_dir();
    let data_dir = data_dir.to_str().expect("UTF-8");
    let restored = format!("gs://{RESTORED}/live");
    gcs.adds_bucket(RESTORED);
    check_restored(&mut server, &project, (&google, data_dir, Some("1")), &first).await;
    check_restored(&mut server, &project, (&google, &restored, None), &second).await;
    if s3.is_some() {
        check_restored(&mut server, &project, ("s3://copies/of-a-team", data_dir, None), &second).await;
        check_restored(&mut server, &project, (&google, "s3://copies/live", Some(&time)), &first).await;
    }
    check_restored(&mut server, &project, (folder, data_dir, None), &first).await;
    let occupied = server.cli(&["backup", "restore", &google, "--to", &restored]).await;
    assert!(occupied.code == Some(1) && occupied.stderr.contains("not empty"), "{occupied:?}");
}

#[tokio::test]
async fn a_place_that_cannot_hold_a_backup_is_named_with_the_fix() {
    let gcs = GcsServer::start().await;
    let options = ServerOptions::never_flushing().on_gcs(&gcs, "live").env("FOOTFALL_STORE_PATIENCE", 1);
    let server = Server::start(options).await;
    let refused = async |args: &[&str], code: i32, words: &[&str]| {
        let output = server.cli(args).await;
        let named = words.iter().all(|word| output.stderr.contains(word));
        assert!(output.code == Some(code) && named, "{words:?}: {output:?}");
    };
    let missing = ["gs://no-such-bucket/x has no such bucket", "create the bucket"];
    refused(&["backup", "create", "gs://no-such-bucket/x"], 1, &missing).await;
    refused(&["backup", "verify", "gs://no-such-bucket/x"], 1, &missing).await;
    refused(&["backup", "restore", "gs://no-such-bucket/x", "--to", "y"], 1, &missing).await;
    let empty = format!("gs://{BUCKET}/empty");
    refused(&["backup", "restore", &empty, "--to", "y"], 1, &["there is no such backup"]).await;
    let within = format!("gs://{BUCKET}/live/backups");
    refused(&["backup", "create", &within], 2, &["is within the store that is backed up"]).await;
    refused(&["backup", "create", "http://host/x"], 2, &["not one of file, gs, s3"]).await;
    gcs.forbids_writes(true);
    let beside = format!("gs://{BUCKET}/backups");
    refused(&["backup", "create", &beside], 1, &["may not be written", "roles/storage.objectAdmin"]).await;
}
