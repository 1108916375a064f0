//! `/v1/sql` and `footfall sql`: the forms of an answer, parameters, built-in columns, and that nothing can be written.

use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Checks, Project, Reply, Server, ServerOptions, python};
use crate::oracle::RawEvent;

const NOON: i64 = 1_704_196_800_000;

async fn filled(server: &Server) -> Project {
    let project = server.create_project("sql").await;
    let event = |n: i64| RawEvent::new("Paid", &format!("u{}", n % 3), NOON + n, &format!("s-{n}"));
    let events = [
        event(0).with("plan", "pro").with("price", 9.5).with("seats", 3).with("tags", json!(["a", "b"])),
        event(1).with("plan", "com,ma \"quoted\"\nline").with("price", 10).with("flag", true),
        event(2).with("price", "expensive").with("user_id", "shadow").with("Order ID", 77),
    ];
    project.import(&events.iter().map(RawEvent::to_json).collect::<Vec<_>>()).await;
    project
}

async fn accepting(project: &Project, query: &str, accept: &str) -> Reply {
    Reply::of(project.sql_request(query, &[]).header("accept", accept)).await
}

const ROWS: &str =
    "SELECT insert_id, plan, seats, flag, tags, CAST(time AS BIGINT) AS at FROM events ORDER BY insert_id";

#[tokio::test]
async fn answers_come_as_json_csv_lines_and_arrow() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = filled(&server).await;
    for state in ["live", "flushed"] {
        let mut checks = Checks::default();
        let table = project.sql(ROWS).await;
        checks.equal("column names", table.columns.join(" "), "insert_id plan seats flag tags at".into());
        let rows = vec![
            vec![json!("s-0"), json!("pro"), json!(3), json!(null), json!(["a", "b"]), json!(NOON)],
            vec![
                json!("s-1"),
                json!("com,ma \"quoted\"\nline"),
                json!(null),
                json!(true),
                json!(null),
                json!(NOON + 1),
            ],
            vec![json!("s-2"), json!(null), json!(null), json!(null), json!(null), json!(NOON + 2)],
        ];
        checks.equal(format!("{state}: JSON rows"), table.rows, rows.clone());

        let lines = accepting(&project, ROWS, "application/x-ndjson").await.ok();
        checks.holds("NDJSON type", lines.header("content-type").starts_with("application/x-ndjson"), "another");
        let parsed =
            lines.text().lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")).collect::<Vec<_>>();
        let seats = parsed.iter().map(|row| row.get("seats").cloned().unwrap_or_default()).collect::<Vec<_>>();
        checks.equal(format!("{state}: NDJSON"), seats, vec![json!(3), json!(null), json!(null)]);

        let csv = accepting(&project, "SELECT insert_id, plan FROM events ORDER BY 1", "text/csv").await.ok();
        checks.holds("CSV type", csv.header("content-type").starts_with("text/csv"), csv.header("content-type"));
        let text = csv.text().replace("\r\n", "\n");
        let want = "insert_id,plan\ns-0,pro\ns-1,\"com,ma \"\"quoted\"\"\nline\"\ns-2,\n";
        checks.equal(format!("{state}: CSV"), text, want.to_owned());

        let arrow = accepting(&project, ROWS, "application/vnd.apache.arrow.stream").await.ok();
        let file = server.scratch("answer.arrows");
        std::fs::write(&file, &arrow.body).expect("written");
        if let Some(printed) = python("arrow_rows.py", &[file.to_str().expect("UTF-8")]).await {
            let read: Value = serde_json::from_str(&printed).expect("JSON");
            checks.equal(format!("{state}: Arrow, by pyarrow"), read, json!(rows));
        }
        checks.finish();
        server.restart().await;
    }
}

#[tokio::test]
async fn empty_answers_keep_their_columns() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = filled(&server).await;
    let query = "SELECT event, time FROM events WHERE event = 'None'";
    let table = project.sql(query).await;
    assert_eq!((table.columns.join(" "), table.rows.len()), ("event time".into(), 0));
    assert_eq!(accepting(&project, query, "text/csv").await.ok().text().trim_end(), "event,time");
    assert_eq!(accepting(&project, query, "application/x-ndjson").await.ok().body, b"");
}

#[tokio::test]
async fn parameters_are_values_and_never_text_of_the_query() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = filled(&server).await;
    let run =
        async |query: &str, params: &[Value]| Table::of(&Reply::of(project.sql_request(query, params)).await.ok());
    let by_price = "SELECT insert_id FROM events WHERE TRY_CAST(price AS DOUBLE) > $1 AND event = $2 ORDER BY 1";
    assert_eq!(run(by_price, &[json!(9.7), json!("Paid")]).await, [[json!("s-1")]]);
    let evil = json!("' OR 1 = 1 --");
    assert_eq!(run("SELECT count(*) FROM events WHERE event = $1", &[evil]).await, [[json!(0)]]);
    let missing = Reply::of(project.sql_request("SELECT * FROM events WHERE event = $1", &[])).await;
    assert_eq!(missing.status, 400, "{}", missing.text());
}

struct Table;

impl Table {
    fn of(reply: &Reply) -> Vec<Vec<Value>> {
        crate::harness::Table::from_json(&reply.json()).rows
    }
}

#[tokio::test]
async fn a_property_of_two_types_and_a_shadowed_name_stay_reachable() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = filled(&server).await;
    for state in ["live", "flushed"] {
        let table =
            project.sql("SELECT user_id, \"properties.user_id\", \"Order ID\" FROM events ORDER BY insert_id").await;
        let want = [
            vec![json!("u0"), json!(null), json!(null)],
            vec![json!("u1"), json!(null), json!(null)],
            vec![json!("u2"), json!("shadow"), json!(77)],
        ];
        assert_eq!(table.rows, want, "{state}: built-in columns win, the property is quoted");
        let sum = project.sql("SELECT sum(TRY_CAST(price AS DOUBLE)), count(price) FROM events").await;
        assert_eq!(
            sum.rows[0][0].as_f64(),
            Some(19.5),
            "{state}: the numbers of a name that also carries text: {sum:?}"
        );
        server.restart().await;
    }
}

/// Nothing but reading: no definition, no change, no file, no setting.
#[tokio::test]
async fn statements_that_write_or_leave_the_project_are_refused() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = filled(&server).await;
    server.restart().await;
    let outside = server.scratch("outside.csv");
    std::fs::write(&outside, "secret\nzq-of-another-file\n").expect("written");
    let segment = crate::harness::parquet_files(&server.data_dir()).remove(0);
    let copy_target = server.scratch("copied.parquet");
    let quoted = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let (outside, segment, copy) = (quoted(&outside), quoted(&segment), quoted(&copy_target));
    let mut checks = Checks::default();
    for statement in [
        "CREATE TABLE t AS SELECT 1 AS a".to_owned(),
        "CREATE VIEW v AS SELECT * FROM events".into(),
        "CREATE OR REPLACE VIEW events AS SELECT 1".into(),
        format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{outside}'"),
        "CREATE SCHEMA s".into(),
        "CREATE DATABASE d".into(),
        "CREATE FUNCTION f(BIGINT) RETURNS BIGINT RETURN $1".into(),
        "DROP TABLE events".into(),
        "ALTER TABLE events RENAME TO gone".into(),
        "INSERT INTO events (event) VALUES ('X')".into(),
        "UPDATE events SET event = 'X'".into(),
        "DELETE FROM events".into(),
        "TRUNCATE TABLE events".into(),
        format!("COPY events TO '{copy}'"),
        format!("COPY (SELECT 1) TO '{copy}' STORED AS PARQUET"),
        format!("EXPLAIN ANALYZE COPY (SELECT 1) TO '{copy}' STORED AS PARQUET"),
        "SET datafusion.execution.target_partitions = 1".into(),
        "BEGIN".into(),
        "PREPARE p AS SELECT 1".into(),
        "SELECT 1; SELECT 2".into(),
        "SELECT 1; DROP TABLE events".into(),
        format!("SELECT * FROM '{outside}'"),
        format!("SELECT * FROM \"{outside}\""),
        format!("SELECT * FROM '{segment}'"),
        format!("SELECT * FROM read_csv('{outside}')"),
        format!("SELECT * FROM read_parquet('{segment}')"),
        format!("WITH t AS (SELECT * FROM '{outside}') SELECT * FROM t"),
        "SELECT FROM WHERE".into(),
        "SELECT no_such_column FROM events".into(),
        "SELECT * FROM no_such_table".into(),
        "".into(),
    ] {
        let reply = project.sql_reply(&statement).await;
        checks.equal(format!("{statement}: status"), reply.status, 400);
        let error = &reply.json()["error"];
        let told = ["code", "message"].iter().all(|key| error[*key].as_str().is_some_and(|text| !text.is_empty()));
        checks.holds(format!("{statement}: code and message"), told, reply.text());
        checks.holds(format!("{statement}: no row"), !reply.text().contains("zq-of-another-file"), reply.text());
    }
    checks.holds("no file was written", !copy_target.exists(), &copy);
    checks.equal("the events are as they were", project.sql("SELECT count(*) FROM events").await.int(), 3);
    let one_set = project.sql("SELECT count(*) FROM (SELECT * FROM events UNION ALL SELECT * FROM events)").await;
    checks.equal("a query over two scans is a query", one_set.int(), 6);
    checks.finish();
}

#[tokio::test]
async fn credentials_are_asked_for_and_a_body_must_be_one() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = filled(&server).await;
    let anonymous = project.anonymous(Method::POST, "/v1/sql").json(&json!({"query": "SELECT 1"}));
    let reply = Reply::of(anonymous).await;
    assert_eq!(reply.status, 401);
    assert!(reply.json()["error"]["code"].is_string(), "native errors have a code: {}", reply.text());
    for body in ["", "{", "[]", "{\"query\": 5}", "{\"sql\": \"SELECT 1\"}"] {
        let request = project.request(Method::POST, "/v1/sql").header("content-type", "application/json");
        let reply = Reply::of(request.body(body)).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
    }
}

/// `footfall sql` prints the result and nothing else, while the server runs and when it does not.
#[tokio::test]
async fn the_command_line_prints_the_same_answer_with_and_without_a_server() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = filled(&server).await;
    let query = "SELECT insert_id, seats FROM events ORDER BY insert_id";
    let ask = ["sql", "--project", project.name.as_str(), query, "--format"];
    let running = server.cli(&[&ask[..], &["csv"]].concat()).await.succeeded().stdout;
    assert_eq!(running.replace("\r\n", "\n"), "insert_id,seats\ns-0,3\ns-1,\ns-2,\n");
    let table = server.cli(&[&ask[..], &["table"]].concat()).await.succeeded().stdout;
    assert!(table.contains("insert_id") && table.contains("s-2"), "{table}");
    server.stop().await;
    let stopped = server.cli(&[&ask[..], &["csv"]].concat()).await.succeeded().stdout;
    assert_eq!(stopped, running);
    let json = server.cli(&[&ask[..], &["json"]].concat()).await.succeeded().json();
    assert!(json.to_string().contains("s-1"), "{json}");
    let refused = server.cli(&["sql", "--project", project.name.as_str(), "DROP TABLE events"]).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
    assert!(refused.stderr.contains("DROP") || refused.stderr.contains("read"), "it says why: {refused:?}");
    let usage = server.cli(&["sql", "--no-such-flag"]).await;
    assert_eq!(usage.code, Some(2), "{usage:?}");
}

/// A reader that closes its end early is no failure of ours to report with a panic.
#[tokio::test]
async fn a_closed_pipe_ends_the_command_quietly() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = filled(&server).await;
    let mut child = crate::harness::footfall()
        .args(["sql", "--project", &project.name, "--format", "csv", "--data-dir"])
        .arg(server.data_dir())
        .arg("SELECT a.insert_id FROM events a, events b, events c, events d, events e, events f, events g, events h, events i")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().await.expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!stderr.contains("panicked"), "{stderr}");
}
