//! The log alone makes everything anew: a log kept whole, put into an empty data directory, gives the same answers to
//! the byte, arrival times and generated ids included.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{DAY_MS, Project, Reply, Server, ServerOptions, now_ms, parquet_files, today_utc};
use crate::oracle::RawEvent;

const FIRST_MS: i64 = 1_704_067_200_000;

/// `version` changes the properties of the same keys.
fn batch(from: usize, rows: usize, version: i64) -> Vec<Value> {
    let event = |n: usize| {
        let time = FIRST_MS + (n as i64 % 4) * DAY_MS + n as i64 * 1_000;
        let event = RawEvent::new(["Viewed", "Paid", "Left"][n % 3], &format!("u{}", n % 37), time, &format!("i{n}"));
        event.with("n", n).with("version", version).with("city", ["Köln", "Oslo", "Łódź"][n % 3]).to_json()
    };
    (from..from + rows).map(event).collect()
}

/// Everything that a client can ask, to the byte.
async fn answers(project: &Project) -> Vec<(String, Vec<u8>)> {
    let statements = [
        "SELECT event, count(*) AS events, count(DISTINCT user_id) AS users FROM events GROUP BY event ORDER BY event",
        "SELECT * FROM events ORDER BY received_at",
        "SELECT city, version, min(time), max(received_at), sum(n) FROM events GROUP BY city, version ORDER BY 1, 2",
        "SELECT * FROM rejected_events ORDER BY rejected_at, received_at",
    ];
    let mut answers = Vec::new();
    for statement in statements {
        answers.push((statement.to_owned(), project.sql_reply(statement).await.body));
    }
    let query =
        [("event", "Paid"), ("from_date", "2024-01-01"), ("to_date", "2024-01-07"), ("on", "properties[\"city\"]")];
    answers.push(("segmentation".into(), project.segmentation_reply(&query).await.ok().body));
    answers.push(("export of history".into(), project.export_reply("2024-01-01", "2024-01-07", &[]).await.ok().body));
    let today = today_utc().to_string();
    answers.push(("export of today".into(), project.export_reply("2024-02-01", &today, &[]).await.ok().body));
    answers
}

fn copy_log(from: &Path, to: &Path) -> usize {
    fs::create_dir_all(to).expect("a folder");
    let mut segments = 0;
    for file in fs::read_dir(from).expect("a log").filter_map(Result::ok) {
        fs::copy(file.path(), to.join(file.file_name())).expect("a file is copied");
        segments += usize::from(file.path().extension().is_some_and(|extension| extension == "log"));
    }
    segments
}

#[tokio::test]
async fn a_log_kept_whole_makes_everything_anew_to_the_byte() {
    let options = ServerOptions::flushing_every(300).env("FOOTFALL_KEEP_LOG", "true");
    let mut first = Server::start(options).await;
    let created =
        first.cli(&["project", "create", "one", "--timezone", "Europe/Berlin", "--json"]).await.succeeded().json();
    let other = first.cli(&["project", "create", "two", "--json"]).await.succeeded().json();
    let project = first.project(&created);
    project.import(&batch(0, 400, 1)).await;
    project.import(&batch(100, 50, 1)).await;
    project.import(&batch(120, 60, 2)).await;
    first.restart().await;
    assert!(!parquet_files(&first.data_dir().join("store")).is_empty(), "the clean stop has flushed");
    project.import(&batch(390, 50, 3)).await;
    // Without insert ids: the generated ones have to come back too.
    let now = now_ms();
    let bare = |n: i64| json!({"event": "Clicked", "properties": {"time": now - n, "distinct_id": "", "n": n}});
    project.track(&[bare(1), bare(2), bare(2)]).await.ok();
    first.project(&other).import(&batch(0, 10, 1)).await;
    let rotated = first.cli(&["project", "rotate-token", "one", "--json"]).await.succeeded().json();
    first.kill().await;
    first.start_again().await;
    project.import(&batch(0, 20, 4)).await;
    let (expected, expected_other) = (answers(&project).await, answers(&first.project(&other)).await);
    first.stop().await;

    let mut second = Server::prepare(ServerOptions::never_flushing());
    let segments = copy_log(&first.data_dir().join("log"), &second.data_dir().join("log"));
    assert!(segments >= 3, "each start began a segment, and none was deleted");
    let dump = second.cli(&["log", "dump", "--format", "json"]).await.succeeded();
    let lsns: Vec<u64> = dump
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["lsn"].as_u64().expect("an lsn"))
        .collect();
    assert_eq!(lsns, (1..=lsns.len() as u64).collect::<Vec<_>>(), "the log is whole");

    second.start_again().await;
    let (anew, anew_other) = (second.project(&created), second.project(&other));
    for ((question, expected), (_, answer)) in expected.iter().zip(answers(&anew).await) {
        let (expected, answer) = (String::from_utf8_lossy(expected), String::from_utf8_lossy(&answer));
        assert_eq!(expected, answer, "{question}");
    }
    assert_eq!(answers(&anew_other).await, expected_other);
    // The rotated token is the one that counts.
    let track = async |token: &Value| {
        let event = json!([{"event": "Late", "properties": {"token": token, "distinct_id": "u1", "time": now}}]);
        Reply::of(second.request(reqwest::Method::POST, "/track").json(&event)).await.ok();
    };
    track(&created["token"]).await;
    assert_eq!(anew.sql("SELECT count(*) FROM events WHERE event = 'Late'").await.int(), 0);
    track(&rotated["token"]).await;
    assert_eq!(anew.sql("SELECT count(*) FROM events WHERE event = 'Late'").await.int(), 1);
    let before = answers(&anew).await;
    second.restart().await;
    assert_eq!(answers(&anew).await, before, "flushed in the new place");
}
