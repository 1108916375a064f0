//! Acknowledged means visible: at once, to every way of asking, and long before any file is written.

use serde_json::json;

use crate::harness::{Server, ServerOptions, now_ms, parquet_files, today_utc};

const EVENTS: i64 = 1_000;

#[tokio::test]
async fn each_of_1000_events_is_seen_by_the_next_query_before_any_parquet_file_exists() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("visible").await;
    let (from, to) =
        ((today_utc() - chrono::Days::new(1)).to_string(), (today_utc() + chrono::Days::new(1)).to_string());
    for n in 1..=EVENTS {
        let event = json!({"event": "Seen", "properties":
            {"distinct_id": format!("u{}", n % 7), "$insert_id": format!("n-{n}"), "time": now_ms(), "n": n}});
        let reply = project.track(&[event]).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "1"));
        let asked = format!("{EVENTS}");
        let only_this = format!(r#"properties["n"] == {n}"#);
        let query =
            [("event", "Seen"), ("from_date", &from), ("to_date", &to), ("limit", &asked), ("where", &only_this)];
        let sql =
            format!("SELECT count(*), count(DISTINCT insert_id), sum(CASE WHEN n = {n} THEN 1 ELSE 0 END) FROM events");
        let (table, report) = tokio::join!(project.sql(&sql), project.segmentation(&query));
        assert_eq!(table.rows, [[json!(n), json!(n), json!(1)]], "SQL after event {n}");
        let buckets = report["data"]["values"]["Seen"].as_object().expect("one segment");
        let total = buckets.values().map(|value| value.as_i64().expect("a count")).sum::<i64>();
        assert_eq!(total, 1, "segmentation after event {n}: {report}");
    }
    let files = parquet_files(&server.data_dir());
    assert!(files.is_empty(), "all of that was answered from live rows, yet there are {files:?}");

    server.restart().await;
    assert!(!parquet_files(&server.data_dir()).is_empty(), "a clean stop writes the live rows to segments");
    assert_eq!(project.sql("SELECT count(*) FROM events").await.int(), EVENTS);
}
