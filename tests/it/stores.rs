//! Tables in a bucket: by one setting, with the same answers as in a folder, and a plain word when it cannot be.

mod backup;
mod journey;
mod start;

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Chaos, Fault, GcsServer, S3Server, Server, ServerOptions, python};
use journey::journey;

#[tokio::test]
async fn folder_and_buckets_give_the_same_answers() {
    let folder = journey(ServerOptions::never_flushing()).await;
    let gcs = GcsServer::start().await;
    // A prefix that has to be escaped on its way.
    let options = ServerOptions::never_flushing().on_gcs(&gcs, "of%20a%20team/%C3%BCber%25");
    assert_eq!(journey(options).await, folder, "gs://");
    let outside = gcs.names("").into_iter().filter(|name| !name.starts_with("of a team/über%/")).collect::<Vec<_>>();
    assert!(outside.is_empty(), "nothing is written outside of the prefix: {outside:?}");
    let Some(s3) = S3Server::start("tables").await else { return };
    assert_eq!(journey(ServerOptions::never_flushing().on_s3(&s3, "a/b")).await, folder, "s3://");
}

#[tokio::test]
async fn deltalake_and_pyarrow_read_the_tables_of_a_bucket() {
    let Some(store) = S3Server::start("lake").await else { return };
    let mut server = Server::start(ServerOptions::never_flushing().on_s3(&store, "")).await;
    let project = server.create_project("lake").await;
    project.import(&journey::events().iter().map(crate::oracle::RawEvent::to_json).collect::<Vec<_>>()).await;
    server.restart().await;
    let counted = project.sql("SELECT event, count(*) FROM events GROUP BY event ORDER BY event").await;
    let counted = counted.rows.into_iter().map(Value::from).collect::<Vec<_>>();
    let table = format!("s3://lake/{}/events", project.id);
    let environment = store.environment().map(|(name, value)| format!("{name}={value}"));
    let mut args = vec![table.as_str()];
    args.extend(environment.iter().map(String::as_str));
    let Some(printed) = python("s3_counts.py", &args).await else { return };
    assert_eq!(serde_json::from_str::<Value>(&printed).expect("JSON"), Value::from(counted));
}

#[tokio::test]
async fn projects_are_found_and_numbered_in_order_though_listings_are_behind() {
    let store = GcsServer::start().await;
    let mut server = Server::prepare(ServerOptions::never_flushing().on_gcs(&store, "p"));
    let mut behind = Chaos::new(0, 1.0, &[Fault::Behind]);
    behind.behind = Duration::from_secs(3_600);
    store.misbehaves(behind);
    let create = async |name: &str| server.cli(&["project", "create", name, "--json"]).await;
    let mut created = Vec::new();
    for (id, name) in (1_i64..).zip(["a", "b", "c"]) {
        let project = create(name).await.succeeded().json();
        assert_eq!(project["project_id"], id);
        created.push(project);
    }
    let again = create("b").await;
    assert!(again.code == Some(1) && again.stderr.contains("a project of this name exists"), "{again:?}");
    server.cli(&["project", "rotate-token", "3", "--json"]).await.succeeded();
    server.start_again().await;
    created.push(server.cli(&["project", "create", "d", "--json"]).await.succeeded().json());
    for project in created {
        assert_eq!(server.project(&project).sql("SELECT count(*) FROM events").await.int(), 0);
    }
}

#[tokio::test]
async fn a_data_directory_remembers_its_bucket_so_that_nobody_writes_beside_it() {
    let store = GcsServer::start().await;
    let mut server = Server::start(ServerOptions::never_flushing().on_gcs(&store, "noted")).await;
    // From here on nothing says where the tables are.
    server.set_env("FOOTFALL_STORE", None);
    let project = server.create_project("noted").await;
    project.import(&journey::events()[..20].iter().map(crate::oracle::RawEvent::to_json).collect::<Vec<_>>()).await;
    server.kill().await;
    let count = "SELECT count(*) FROM events";
    let told = server.cli(&["sql", "--project", "noted", "--format", "json", count]).await.succeeded().json();
    assert_eq!(told["rows"][0][0], 20);
    server.start_again().await;
    assert_eq!(project.sql(count).await.int(), 20);
    server.stop().await;
    server.cli(&["verify", "--deep"]).await.succeeded();
    assert!(!server.data_dir().join("store").exists(), "no second place for tables");
}
