//! The data are the owner's: other engines open the table without Footfall, and count the same.

use serde_json::{Value, json};

use crate::generate::random_events;
use crate::harness::{Project, Server, ServerOptions, python, seed};
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
