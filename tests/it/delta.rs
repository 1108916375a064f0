//! The data are the owner's: other engines open the table without Footfall, and count the same.

use serde_json::{Value, json};

use crate::generate::random_events;
use crate::harness::{Project, Reply, Server, ServerOptions, python, seed};
use crate::oracle::RawEvent;

/// What Footfall answers, in the form that `tests/py/delta_counts.py` prints.
async fn counts(project: &Project) -> Value {
    let table =
        project.sql("SELECT event, count(*), count(DISTINCT user_id) FROM events GROUP BY event ORDER BY event").await;
    Value::from(table.rows.into_iter().map(Value::from).collect::<Vec<_>>())
}

async fn check_outside(server: &Server, project: &Project) {
    let table = server.data_dir().join("store").join(project.id.to_string()).join("events");
    assert!(table.join("_delta_log").is_dir(), "the project's table is at {}", table.display());
    let want = counts(project).await;
    let Some(printed) = python("delta_counts.py", &[table.to_str().expect("UTF-8")]).await else { return };
    let seen: Value = serde_json::from_str(&printed).expect("JSON");
    for engine in ["pyarrow", "duckdb"] {
        assert_eq!(seen[engine], want, "{engine} counts as Footfall does");
    }
}

#[tokio::test]
async fn deltalake_pyarrow_and_duckdb_open_the_table_and_count_the_same() {
    let events = random_events(seed(31), 5_000);
    let sent = events.iter().map(RawEvent::to_json).collect::<Vec<_>>();
    let mut server = Server::start(ServerOptions::flushing_every(1_500)).await;
    let project = server.create_project("open").await;
    project.import(&sent[..3_000]).await;
    server.restart().await;
    check_outside(&server, &project).await;
    // Late days and resent copies touch days that have files already.
    project.import(&sent[2_000..]).await;
    let replaced = events[10].clone().with("plan", "replaced").to_json();
    project.import(&[replaced]).await;
    server.restart().await;
    assert_eq!(project.sql("SELECT count(*) FROM events").await.rows, [[json!(5_000)]]);
    check_outside(&server, &project).await;
    server.stop().await;
}

/// A table's rows by other engines; `None` without the tools.
async fn rows_outside(server: &Server, project: &Project, table: &str, columns: &[&str]) -> Option<Vec<Value>> {
    let path = server.data_dir().join("store").join(project.id.to_string()).join(table);
    let mut args = vec![path.to_str().expect("UTF-8")];
    args.extend(columns);
    let printed = python("journal_rows.py", &args).await?;
    let seen: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(seen["pyarrow"], seen["duckdb"], "{table}: the engines agree");
    Some(seen["pyarrow"].as_array().expect("rows").clone())
}

#[tokio::test]
async fn losers_and_profile_updates_are_tables_that_other_engines_open() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("journals").await;
    let event = RawEvent::new("Paid", "ann", 1_704_196_800_000, "a").with("plan", "pro");
    for version in [1, 1, 2] {
        project.import(&[event.clone().with("version", version).to_json()]).await;
    }
    let engage = async |distinct_id: &str, name: &str| {
        let update = json!([{"$token": project.token, "$distinct_id": distinct_id, "$set": {"name": name}}]);
        let request = project.anonymous(reqwest::Method::POST, "/engage").json(&update);
        assert_eq!(Reply::of(request).await.ok().text(), "1");
    };
    engage("bob", "Bob").await;
    server.kill().await;
    server.start_again().await;
    engage("ann", "Ann").await;
    server.restart().await;
    engage("bob", "Robert").await;
    server.restart().await;
    let columns = ["rejected_at", "reason", "event", "distinct_id", "user_id", "insert_id", "source", "properties"];
    if let Some(rows) = rows_outside(&server, &project, "rejected_events", &columns).await {
        let versions = rows.iter().map(|row| {
            let properties: Value = serde_json::from_str(row[6].as_str().expect("text")).expect("JSON");
            (row[0].clone(), row[5].clone(), properties["version"].clone())
        });
        let expect =
            [(json!("duplicate"), json!("/import"), json!(1)), (json!("superseded"), json!("/import"), json!(1))];
        assert_eq!(versions.collect::<Vec<_>>(), expect);
    }
    let columns = ["received_at", "kind", "distinct_id", "group_key", "source", "record"];
    if let Some(rows) = rows_outside(&server, &project, "profile_updates", &columns).await {
        let seen = rows.iter().map(|row| {
            let record: Value = serde_json::from_str(row[4].as_str().expect("text")).expect("JSON");
            (row[0].clone(), row[1].clone(), row[2].clone(), row[3].clone(), record["$set"]["name"].clone())
        });
        let update = |id: &str, name: &str| (json!("person"), json!(id), Value::Null, json!("/engage"), json!(name));
        let expect = [update("bob", "Bob"), update("ann", "Ann"), update("bob", "Robert")];
        assert_eq!(seen.collect::<Vec<_>>(), expect, "in the order in which they were acknowledged, once each");
    }
    server.stop().await;
}
