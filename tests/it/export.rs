//! Raw export (`mixpanel-http-api.md` §9; checks Q1–Q8): order, form of a line, filters, compression, errors.

use std::io::Read;

use chrono::Days;
use flate2::read::GzDecoder;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Checks, Project, Reply, Server, ServerOptions, today_utc};
use crate::oracle::RawEvent;

const FIRST: &str = "2024-01-01";
const LAST: &str = "2024-01-03";
const FIRST_MS: i64 = 1_704_067_200_000;

/// 300 events over three days in an order that is not that of their times.
fn events() -> Vec<RawEvent> {
    let event = |n: i64| {
        let time = FIRST_MS + (n * 7_919 % 300) * 864_000;
        RawEvent::new(["A", "B", "C"][n as usize % 3], &format!("u{}", n % 11), time, &format!("e-{n}")).with("n", n)
    };
    (0..300).map(event).collect()
}

async fn filled(server: &Server) -> Project {
    let project = server.create_project("export").await;
    let sent = events().iter().map(RawEvent::to_json).collect::<Vec<_>>();
    for batch in sent.chunks(77) {
        project.import(batch).await;
    }
    project
}

fn times(rows: &[Value]) -> Vec<i64> {
    rows.iter().map(|row| row["properties"]["time"].as_i64().expect("an integer")).collect()
}

async fn check_rows(state: &str, project: &Project, checks: &mut Checks) {
    let rows = project.export(FIRST, LAST, &[("time_in_ms", "true")]).await;
    let mut want = events();
    want.sort_by_key(|event| event.time_ms);
    let digits = rows.iter().all(|row| row["properties"]["time"].to_string().len() == 13);
    checks.holds(format!("{state}: Q4 thirteen digits"), digits, &rows[0]);
    checks.equal(format!("{state}: ascending in time"), times(&rows), want.iter().map(|e| e.time_ms).collect());
    let number = |row: &Value| row["properties"]["n"].as_i64().expect("n");
    checks.equal(
        format!("{state}: each event as sent"),
        rows.iter().map(|row| (row["event"].clone(), row["properties"]["distinct_id"].clone(), number(row))).collect(),
        want.iter()
            .map(|e| (json!(e.event), json!(e.distinct_id), e.properties["n"].as_i64().expect("n")))
            .collect::<Vec<_>>(),
    );
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    checks.equal(format!("{state}: two keys at the top"), keys(&rows[0]), vec!["event".into(), "properties".into()]);
    let properties = &rows[0]["properties"];
    for name in ["$insert_id", "$mp_api_endpoint", "mp_processing_time_ms", "$import"] {
        checks.holds(format!("{state}: {name} is there"), properties.get(name).is_some(), properties);
    }
    for name in ["token", "ip"] {
        checks.holds(format!("{state}: {name} is not"), properties.get(name).is_none(), properties);
    }
    let of = async |more: &[(&str, &str)]| project.export(FIRST, LAST, more).await.len();
    checks.equal(format!("{state}: Q3 list"), of(&[("event", r#"["A"]"#)]).await, 100);
    checks.equal(format!("{state}: Q3 bare"), of(&[("event", "A")]).await, 100);
    checks.equal(format!("{state}: two names"), of(&[("event", r#"["A","C","none"]"#)]).await, 200);
    checks.equal(format!("{state}: one day"), project.export(LAST, LAST, &[]).await.len(), 100);
    checks.equal(format!("{state}: where"), of(&[("where", r#"properties["n"] < 10 and event["n"] != 3"#)]).await, 9);
    checks.equal(format!("{state}: Q7"), of(&[("where", r#"properties["$time"]>=datetime(1704153600)"#)]).await, 200);
    let first = project.export(FIRST, LAST, &[("limit", "5")]).await;
    checks.equal(
        format!("{state}: limit keeps the first"),
        times(&first),
        vec![0, 864, 1_728, 2_592, 3_456].into_iter().map(|s| FIRST_MS / 1_000 + s).collect(),
    );
}

#[tokio::test]
async fn rows_come_in_order_and_as_sent_live_and_flushed() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = filled(&server).await;
    let mut checks = Checks::default();
    check_rows("live", &project, &mut checks).await;
    server.restart().await;
    check_rows("flushed", &project, &mut checks).await;
    checks.finish();
}

#[tokio::test]
async fn bodies_are_gzipped_when_large_and_empty_when_nothing_matches() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = filled(&server).await;
    let ask = |day: &str| {
        let request = project.request(Method::GET, "/api/2.0/export").query(&[("from_date", day), ("to_date", day)]);
        Reply::of(request.header("accept-encoding", "gzip"))
    };
    let plain = project.export_reply(FIRST, FIRST, &[]).await.ok();
    assert_eq!(plain.header("content-encoding"), "");
    assert!(plain.header("content-type").starts_with("text/plain"), "{:?}", plain.headers);
    assert!(plain.body.ends_with(b"}\n") && !plain.body.starts_with(b"\n"), "each line ends in a line feed");
    let zipped = ask(FIRST).await.ok();
    assert_eq!(zipped.header("content-encoding"), "gzip", "Q8");
    let mut unpacked = Vec::new();
    GzDecoder::new(zipped.body.as_slice()).read_to_end(&mut unpacked).expect("a whole gzip stream");
    assert_eq!(unpacked, plain.body, "gzip changes nothing inside");
    assert!(zipped.body.len() * 2 < plain.body.len());
    let empty = project.export_reply("2023-06-01", "2023-06-02", &[]).await.ok();
    assert_eq!(empty.body, b"", "Q1: no rows, no byte");
}

#[tokio::test]
async fn values_come_back_as_they_were_sent() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("values").await;
    let values = json!({
        "separators": "a\u{85}b\u{2028}c\u{2029}d", "controls": "tab\tnew\nline\u{1}", "quotes": "\"'\\/",
        "wide": "日本 😀 é e\u{301}", "empty": "", "null": null, "yes": true, "no": false,
        "zero": 0, "negative": -7, "big": 9_007_199_254_740_991_i64, "real": 0.1, "tiny": 5e-324, "huge": 1.5e300,
        "list": [1, "two", true, null, [3]], "empty list": [], "map": {"b": {"c": 1}, "a": []}, "empty map": {},
        "$odd, name=\"x\" / é": "kept", "Case": 1, "case": 2, "event": "shadow", "user_id": "shadow too", "rest": "r",
        "date": "2024-01-02T03:04:05", "number text": "5",
    });
    let mut event = RawEvent::new("Values", "u", FIRST_MS, "v-1");
    event.properties = values.as_object().expect("an object").clone();
    project.import(&[event.to_json()]).await;
    let mut checks = Checks::default();
    for state in ["live", "flushed"] {
        let reply = project.export_reply(FIRST, FIRST, &[]).await.ok();
        let text = reply.text();
        checks.equal(format!("{state}: one line"), text.matches('\n').count(), 1);
        checks.holds(format!("{state}: Q2 escapes"), text.contains(r"a\u0085b\u2028c\u2029d"), &text);
        let row = &project.export(FIRST, FIRST, &[]).await[0]["properties"];
        for (name, value) in values.as_object().expect("an object") {
            checks.equal(format!("{state}: {name}"), row.get(name).cloned(), Some(value.clone()));
        }
        server.restart().await;
    }
    checks.finish();
}

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("errors").await;
    let today = today_utc();
    let tomorrow = (today + Days::new(1)).to_string();
    let mut checks = Checks::default();
    for (id, from, to, more, words) in [
        ("no such date", "2024-02-30", LAST, ("limit", "1"), "from_date, invalid date"),
        ("Q5", FIRST, tomorrow.as_str(), ("limit", "1"), "to_date cannot be later than today"),
        ("reversed", LAST, FIRST, ("limit", "1"), "to_date cannot be before from_date"),
        ("bad where", FIRST, LAST, ("where", "properties["), "Unable to parse expression: "),
    ] {
        let reply = project.export_reply(from, to, &[more]).await;
        let body = reply.json();
        checks.equal(format!("{id}: status"), reply.status, 400);
        let error = body["error"].as_str().unwrap_or_default();
        checks.holds(format!("{id}: error"), error.contains(words), &body);
        checks.equal(format!("{id}: status key"), body["status"].clone(), json!("error"));
        let request = body["request"].as_str().unwrap_or_default();
        checks.holds(format!("{id}: request"), request.starts_with("/api/2.0/export?"), &body);
    }
    let missing = Reply::of(project.request(Method::GET, "/api/2.0/export").query(&[("to_date", LAST)])).await;
    checks.equal("no from_date: status", missing.status, 400);
    let anonymous = project.anonymous(Method::GET, "/api/2.0/export?from_date=2024-01-01&to_date=2024-01-01");
    let reply = Reply::of(anonymous).await;
    checks.equal("Q6: status", reply.status, 401);
    checks.equal("Q6: error", reply.json()["error"].clone(), json!("Unable to authenticate request"));
    checks.equal("today is allowed", project.export_reply(FIRST, &today.to_string(), &[]).await.status, 200);
    checks.finish();
}
