//! Objects of a bucket: Google's, from the tests' own server, which fails three calls of ten; and Amazon's, from moto.

use serde_json::json;

use super::data::{assert_same, expected, held, lines, records};
use super::{import, run_import};
use crate::harness::{BUCKET, Chaos, Fault, GcsServer, S3Server, Server, ServerOptions, gzip, seed};
use crate::oracle::RawEvent;

/// The objects of a history, by their paths.
fn objects(records: &[RawEvent]) -> [(&'static str, Vec<u8>); 5] {
    [
        ("2024/a.ndjson", lines(&records[..1_000]).into_bytes()),
        ("2024/b/c.ndjson.gz", gzip(lines(&records[1_000..2_000]).as_bytes())),
        ("2024/d.json", lines(&records[2_000..]).into_bytes()),
        ("2024/_SUCCESS", Vec::new()),
        ("2025/other.ndjson", b"no events\n".to_vec()),
    ]
}

/// Imports below `root` come out as they should, with the objects there. Answers how to tell that one has changed.
async fn check(server: &Server, root: &str, records: &[RawEvent]) {
    let prefix = format!("{root}/2024");
    let project = server.create_project("prefix").await;
    let summary = import(server, &project, &[&prefix]).await;
    assert_eq!((&summary["files"], &summary["records"]), (&json!(3), &json!(3_000)), "{summary}");
    assert_same("a prefix", &held(&project).await, &expected(records));
    assert_eq!(import(server, &project, &[&prefix]).await["state"], "finished_before");
    let missing = run_import(server, &project, &[&format!("{root}/2023")]).await;
    assert!(missing.code == Some(1) && missing.stderr.contains("holds no files"), "{missing:?}");

    let project = server.create_project("object").await;
    import(server, &project, &[&format!("{root}/2024/a.ndjson")]).await;
    assert_same("one object", &held(&project).await, &expected(&records[..1_000]));
}

/// One object has changed since it was imported into the second project of [`check`].
async fn check_changed(server: &Server, root: &str) {
    let object = format!("{root}/2024/a.ndjson");
    let refused = server.cli(&["import", "--project", "object", "--json", &object]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("has changed"), "{refused:?}");
}

#[tokio::test]
async fn objects_of_s3_are_a_source() {
    let Some(store) = S3Server::start("history").await else { return };
    let server = Server::start(ServerOptions::never_flushing().envs(store.environment())).await;
    let records = records(seed(46), 3_000, 12);
    for (path, content) in objects(&records) {
        store.put(path, content).await;
    }
    check(&server, "s3://history", &records).await;
    store.put("2024/a.ndjson", lines(&records[..2_000]).into_bytes()).await;
    check_changed(&server, "s3://history").await;
}

#[tokio::test]
async fn objects_of_google_cloud_storage_are_a_source_though_reading_them_breaks_off() {
    let store = GcsServer::start().await;
    let options = ServerOptions::never_flushing().envs(store.environment()).env("FOOTFALL_STORE_TIMEOUT", 1);
    let server = Server::start(options).await;
    let records = records(seed(47), 3_000, 12);
    for (path, content) in objects(&records) {
        store.put(path, content);
    }
    // Other people's files are under no checksum of ours.
    let faults: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| *fault != Fault::Flipped).collect();
    store.misbehaves(Chaos::new(seed(48), 0.3, &faults));
    check(&server, &format!("gs://{BUCKET}"), &records).await;
    store.put("2024/a.ndjson", lines(&records[..2_000]).into_bytes());
    check_changed(&server, &format!("gs://{BUCKET}")).await;
    assert!(!store.faults_met().is_empty(), "there were faults");
}
