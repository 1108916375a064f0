//! A data set that another program made: `make-mp-data` writes it, `footfall import` loads it, DuckDB checks it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Project, Server, ServerOptions, node, now_ms, python};

/// The generator aims at this many and scatters around it.
const EVENTS_AIMED: &str = "112000";
const EVENTS_MIN: i64 = 100_000;

/// Our form of each question of `tests/py/shop_counts.py`.
const QUESTIONS: [(&str, &str); 6] = [
    ("by event and day", "SELECT event, CAST(CAST(time AS DATE) AS VARCHAR), count(*) FROM events GROUP BY 1, 2"),
    ("users by day", "SELECT CAST(CAST(time AS DATE) AS VARCHAR), count(DISTINCT user_id) FROM events GROUP BY 1"),
    ("by text", r#"SELECT "currentTheme", count(*) FROM events GROUP BY 1"#),
    ("by number", r#"SELECT "itemId", count(*) FROM events GROUP BY 1"#),
    ("by boolean", r#"SELECT "isFeaturedItem", count(*) FROM events GROUP BY 1"#),
    ("sum", "SELECT CAST(sum(amount) AS BIGINT), count(amount) FROM events WHERE event = 'checkout'"),
];

fn sorted(rows: &[Vec<Value>]) -> Vec<String> {
    let mut lines = rows.iter().map(|row| Value::from(row.clone()).to_string()).collect::<Vec<_>>();
    lines.sort_unstable();
    lines
}

async fn assert_equal(state: &str, project: &Project, duckdb: &BTreeMap<String, Vec<Vec<Value>>>) {
    for (name, question) in QUESTIONS {
        let (got, want) = (sorted(&project.sql(question).await.rows), sorted(&duckdb[name]));
        assert!(!want.is_empty());
        let missing = want.iter().filter(|row| !got.contains(row)).take(5).collect::<Vec<_>>();
        let surplus = got.iter().filter(|row| !want.contains(row)).take(5).collect::<Vec<_>>();
        assert_eq!(got, want, "{state}: {name}: only DuckDB has {missing:?}, only Footfall has {surplus:?}");
    }
}

#[tokio::test]
async fn imported_shop_data_counts_as_duckdb_counts_the_file() {
    let mut server = Server::start(ServerOptions::flushing_every(20_000)).await;
    let project = server.create_project("shop").await;
    let folder = server.scratch("made");
    std::fs::create_dir_all(folder.join("data")).expect("a folder");
    let made = node("make_data.js", &[folder.to_str().expect("UTF-8"), EVENTS_AIMED]).await;
    let Some(file) = made.as_ref().and_then(|printed| printed.lines().last()) else { return };

    let imported_at = now_ms().to_string();
    let import = ["import", "--project", "shop", "--format", "ndjson", file];
    server.cli(&import).await.succeeded();
    let Some(printed) = python("shop_counts.py", &[file, &imported_at]).await else { return };
    let duckdb: BTreeMap<String, Vec<Vec<Value>>> = serde_json::from_str(&printed).expect("tables");
    let total = project.sql("SELECT count(*) FROM events").await.int();
    assert!(total >= EVENTS_MIN, "the data set is large: {total}");
    assert_equal("imported", &project, &duckdb).await;

    // Read anew: every event is recognised by its insert id.
    server.cli(&[&import[..], &["--restart"]].concat()).await.succeeded();
    assert_equal("imported twice", &project, &duckdb).await;
    server.restart().await;
    assert_equal("flushed", &project, &duckdb).await;
}
