//! The wire of `/engage` and `/groups` (`mixpanel-http-api.md` §3, §6): every form that clients send, what is answered,
//! and that what was answered with success is kept for good: over a kill, and in the table that other engines read. What
//! the operations do is not asked here.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Checks, Project, Reply, Server, ServerOptions, gzip, python};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// Everything in the log's files, which hold their records as JSON text.
fn log_text(server: &Server) -> String {
    let files = std::fs::read_dir(server.data_dir().join("log")).expect("there is a log");
    let read = |path| String::from_utf8_lossy(&std::fs::read(path).expect("a log file is read")).into_owned();
    files.map(|file| read(file.expect("a log file").path())).collect()
}

fn person(project: &Project, marker: &str) -> Value {
    json!({"$token": project.token, "$distinct_id": marker, "$set": {"plan": "~~~>>>>???"}})
}

fn group(project: &Project, marker: &str) -> Value {
    json!({"$token": project.token, "$group_key": "company", "$group_id": marker, "$set": {"tier": "~~~>>>>???"}})
}

fn post(project: &Project, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    project.anonymous(Method::POST, path).header("content-type", content_type).body(body)
}

/// Forms that hold two records.
const DOUBLE: [&str; 5] = ["form-array", "json-array", "no-type", "lines", "gzip-json"];

/// One request for each way of writing a record.
fn every_form(project: &Project, path: &str, record: impl Fn(&str) -> Value) -> Vec<(&'static str, RequestBuilder)> {
    let encoded = |marker: &str| STANDARD.encode(record(marker).to_string());
    let percent = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let array = |marker: &str| Value::Array(vec![record(marker), record(&format!("{marker}-two"))]).to_string();
    let raw = encoded("raw-base64");
    assert!(raw.contains('+') || raw.contains('/'), "the alphabets differ: {raw}");
    let zipped = |content_type: &str, body: &str| {
        post(project, path, content_type, gzip(body.as_bytes())).header("content-encoding", "gzip")
    };
    vec![
        ("get", project.anonymous(Method::GET, &format!("{path}?ip=0&data={}", percent(&encoded("get"))))),
        ("get-slash", project.anonymous(Method::GET, &format!("{path}/?data={}", percent(&encoded("get-slash"))))),
        ("get-json", project.anonymous(Method::GET, path).query(&[("data", record("get-json").to_string())])),
        ("raw-base64", post(project, path, FORM, format!("data={raw}"))),
        ("base64", post(project, path, FORM, format!("data={}", percent(&encoded("base64"))))),
        ("urlsafe", {
            let text = URL_SAFE.encode(record("urlsafe").to_string());
            post(project, path, FORM, format!("data={}", text.trim_end_matches('=')))
        }),
        ("form-json", post(project, path, FORM, format!("data={}", percent(&record("form-json").to_string())))),
        ("form-array", post(project, path, FORM, format!("data={}&ip=0", percent(&array("form-array"))))),
        ("beacon", post(project, path, "text/plain;charset=UTF-8", format!("data={}", encoded("beacon")))),
        ("json", post(project, path, "application/json; charset=utf8", record("json").to_string())),
        ("json-array", post(project, path, JSON, array("json-array"))),
        ("no-type", project.anonymous(Method::POST, path).body(array("no-type"))),
        ("lines", {
            let lines = format!("{}\r\n\n{}\n", record("lines"), record("lines-two"));
            post(project, path, "application/x-ndjson", lines)
        }),
        ("empty-encoding", {
            post(project, path, JSON, record("empty-encoding").to_string()).header("content-encoding", "")
        }),
        ("gzip-json", zipped(JSON, &array("gzip-json"))),
        ("gzip-form", zipped(FORM, &format!("data={}", percent(&encoded("gzip-form"))))),
        ("authorized", {
            let request = post(project, path, JSON, record("authorized").to_string());
            request.header("authorization", "Basic bm9ib2R5Om5vdGhpbmc=")
        }),
    ]
}

/// What the table holds: kind, ids, record.
async fn table(server: &Server, project: &Project) -> Option<Vec<Value>> {
    let path = server.data_dir().join(format!("store/{}/profile_updates", project.id));
    let columns = ["kind", "distinct_id", "group_key", "group_id", "record", "source"];
    let args = std::iter::once(path.to_str().expect("a path of ours")).chain(columns).collect::<Vec<_>>();
    let mut rows: Vec<Value> = serde_json::from_str(&python("delta_rows.py", &args).await?).expect("JSON");
    rows.sort_by_key(Value::to_string);
    Some(rows)
}

#[tokio::test]
async fn every_wire_form_is_read_and_survives_a_kill() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("profiles").await;
    let mut checks = Checks::default();
    let mut want = Vec::new();
    type Make = fn(&Project, &str) -> Value;
    for (path, make) in [("/engage", person as Make), ("/groups", group as Make)] {
        let record = |marker: &str| make(&project, &format!("{path}:{marker}:"));
        let mut sent = Vec::new();
        for (name, request) in every_form(&project, path, record) {
            let reply = Reply::of(request).await;
            checks.equal(format!("{path} {name}"), (reply.status, reply.text()), (200, "1".to_owned()));
            checks.equal(format!("{path} {name}: type"), reply.header("content-type"), "text/plain");
            sent.push(format!("{path}:{name}:"));
            sent.extend(DOUBLE.contains(&name).then(|| format!("{path}:{name}-two:")));
        }
        let many: Vec<_> = (0..2_000).map(|n| record(&format!("many-{n}"))).collect();
        let reply = Reply::of(post(&project, &format!("{path}?verbose=1"), JSON, Value::Array(many).to_string())).await;
        let body = r#"{"code":200,"error":null,"num_good_events":2000,"status":1}"#;
        checks.equal(format!("{path} 2000"), (reply.status, reply.text()), (200, body.to_owned()));
        sent.extend((0..2_000).map(|n| format!("{path}:many-{n}:")));
        want.extend(sent.into_iter().map(|id| match path {
            "/engage" => json!(["person", id, null, null, r#"{"$set":{"plan":"~~~>>>>???"}}"#, path]),
            _ => json!(["group", null, "company", id, r#"{"$set":{"tier":"~~~>>>>???"}}"#, path]),
        }));
    }
    server.kill().await;
    let log = log_text(&server);
    checks.holds("no update is stored with its token", !log.contains("$token"), "there is a $token in the log");
    checks.holds("nor is what was answered only in memory", log.contains("/groups:many-1999:"), "it is not in the log");
    server.start_again().await;
    // A clean stop leaves everything in tables.
    server.stop().await;
    let Some(rows) = table(&server, &project).await else { return checks.finish() };
    want.sort_by_key(Value::to_string);
    checks.equal("as many updates as were acknowledged", rows.len(), want.len());
    let differing = rows.iter().zip(&want).find(|(found, want)| found != want);
    checks.holds("each once, and unharmed", differing.is_none(), format!("{differing:?}"));
    checks.finish();
}

#[tokio::test]
async fn what_is_refused_is_named_and_the_rest_is_kept() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("refused").await;
    let mut checks = Checks::default();
    let token = &project.token;
    let cases = [
        ("/engage", json!({"$distinct_id": "u", "$set": {}}), "token, missing or empty"),
        ("/engage", json!({"$token": token, "$set": {}}), "$distinct_id, missing or empty"),
        ("/engage", json!({"$token": token, "$distinct_id": "", "$set": {}}), "$distinct_id, missing or empty"),
        ("/engage", json!({"$token": token, "$distinct_id": "refused"}), "no operation found"),
        ("/engage", json!({"$token": token, "$distinct_id": "refused", "$set": 1}), "$set, must be an object"),
        (
            "/engage",
            json!({"$token": token, "$distinct_id": "refused", "$add": {"n": "1"}}),
            "$add.n, must be a number",
        ),
        (
            "/engage",
            json!({"$token": token, "$distinct_id": "refused", "$unset": 1}),
            "$unset, must be a list of names",
        ),
        ("/groups", json!({"$token": token, "$group_id": "refused", "$set": {}}), "$group_key, missing or empty"),
        ("/groups", json!({"$token": token, "$group_key": "company", "$set": {}}), "$group_id, missing or empty"),
        ("/groups", json!({"$token": token, "$distinct_id": "refused", "$set": {}}), "$group_key, missing or empty"),
    ];
    for (path, record, reason) in &cases {
        let reply = Reply::of(post(&project, path, JSON, record.to_string())).await;
        checks.equal(format!("{path} {record}"), (reply.status, reply.text()), (200, "0".to_owned()));
        let reply = Reply::of(post(&project, &format!("{path}?verbose=1"), JSON, record.to_string())).await;
        checks.equal(format!("{path} {record}"), reply.json(), json!({"error": reason, "status": 0}));
    }
    for path in ["/engage", "/groups"] {
        for (body, reason) in [
            ("data=%%%", "data, invalid json"),
            ("", "data, missing or empty"),
            ("data=W10=", "data, missing or empty"),
            ("[7]", "data, invalid json"),
        ] {
            let reply = Reply::of(post(&project, &format!("{path}?verbose=1"), FORM, body)).await;
            checks.equal(format!("{path} {body:?}"), reply.json(), json!({"error": reason, "status": 0}));
        }
    }

    let bad = json!({"$token": token, "$distinct_id": "refused"});
    let unknown = json!({"$token": "0123456789abcdef0123456789abcdef", "$distinct_id": "unknown", "$set": {}});
    let mixed = json!([bad, person(&project, "kept"), 7, unknown]).to_string();
    let reply = Reply::of(post(&project, "/engage", JSON, mixed.clone())).await;
    checks.equal("one valid record is success", (reply.status, reply.text()), (200, "1".to_owned()));
    let reply = Reply::of(post(&project, "/engage?verbose=1", JSON, mixed)).await;
    checks.equal("an unknown token counts as good", reply.json()["num_good_events"].clone(), json!(2));
    let reply = Reply::of(post(&project, "/engage?verbose=1", JSON, unknown.to_string())).await;
    let body = r#"{"code":200,"error":null,"num_good_events":1,"status":1}"#;
    checks.equal("an unknown token alone is success", (reply.status, reply.text()), (200, body.to_owned()));

    let many: Vec<_> = (0..2_001).map(|_| person(&project, "too many")).collect();
    for path in ["/engage", "/groups", "/engage?strict=1"] {
        let reply = Reply::of(post(&project, path, JSON, Value::Array(many.clone()).to_string())).await;
        let body = json!({"code": 413, "error": "too many records", "status": "Request Entity Too Large"});
        checks.equal(format!("{path} 2001"), (reply.status, reply.json()), (413, body));
    }
    server.kill().await;
    let log = log_text(&server);
    checks.equal("the kept one is stored each time", log.matches("\"kept\"").count(), 2);
    for marker in ["\"refused\"", "\"unknown\"", "\"too many\""] {
        checks.holds(format!("{marker} is not stored"), !log.contains(marker), "it is in the log");
    }
    checks.finish();
}

#[tokio::test]
async fn strict_mode_reports_each_record_with_status_200() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("strict").await;
    let mut checks = Checks::default();
    let token = &project.token;
    let send = async |path: &str, body: String| {
        let reply = Reply::of(post(&project, path, JSON, body)).await;
        (reply.status, reply.json())
    };
    let good = json!({"code": 200, "error": null, "num_good_events": 2, "status": 1});
    let two = json!([person(&project, "a"), person(&project, "b")]).to_string();
    checks.equal("all good", send("/engage?strict=1", two).await, (200, good));

    let nobody = json!({"$token": token, "$distinct_id": "", "$set": {}});
    let deep = json!({"$token": token, "$distinct_id": 17, "$set": {"d": [[[[1]]]]}});
    let mixed = json!([person(&project, "a"), nobody, deep]).to_string();
    let report = json!({
        "code": 400, "error": "some data points in the request failed validation", "num_good_events": 1, "status": 0,
        "failed_records": [
            {"index": 1, "distinct_id": "", "field": "$distinct_id", "message": "'$distinct_id' must not be missing or blank"},
            {"index": 2, "distinct_id": "17", "field": "$set.d", "message": "'$set.d' is invalid: must not be nested deeper than 3 levels"},
        ],
    });
    checks.equal("two of three", send("/engage?strict=1&verbose=1", mixed).await, (200, report));

    let keyless = json!({"$token": token, "$group_id": 17, "$set": {}}).to_string();
    let report = json!({
        "code": 400, "error": "some data points in the request failed validation", "num_good_events": 0, "status": 0,
        "failed_records": [
            {"index": 0, "group_id": "17", "field": "$group_key", "message": "'$group_key' must not be missing or blank"},
        ],
    });
    checks.equal("a group", send("/groups?strict=1", keyless).await, (200, report));
    let nothing = json!({
        "code": 400, "error": "data, invalid json", "num_good_events": 0, "status": 0, "failed_records": [],
    });
    checks.equal("no JSON", send("/engage?strict=1", "[{".to_owned()).await, (200, nothing));
    checks.finish();
}

#[tokio::test]
async fn special_replies_are_those_of_track() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("special").await;
    let mut checks = Checks::default();
    for (path, record) in [("/engage", person(&project, "u")), ("/groups", group(&project, "g"))] {
        let data = utf8_percent_encode(&record.to_string(), NON_ALPHANUMERIC).to_string();
        let get = |more: &str| Reply::of(project.anonymous(Method::GET, &format!("{path}?data={data}&{more}")));
        let image = get("img=1&callback=f&verbose=1").await;
        checks.equal(format!("{path} img"), image.header("content-type"), "image/gif");
        checks.holds(format!("{path} img"), image.body.starts_with(b"GIF89a"), image.text());
        let script = get("callback=mixpanel._jsc%5B7%5D&verbose=1").await;
        let body = r#"mixpanel._jsc[7]({"error":null,"status":1});"#;
        checks.equal(format!("{path} callback"), (script.status, script.text()), (200, body.to_owned()));
        let redirect = get("redirect=https%3A%2F%2Fexample.com%2Fx&img=1").await;
        checks.equal(
            format!("{path} redirect"),
            (redirect.status, redirect.header("location")),
            (302, "https://example.com/x"),
        );
        let plain = get("redirect=javascript%3Aalert(1)&callback=a%3Bb").await;
        checks.equal(format!("{path} neither"), (plain.status, plain.text()), (200, "1".to_owned()));
        let head = Reply::of(project.anonymous(Method::HEAD, &format!("{path}?data={data}"))).await;
        checks.equal(format!("{path} HEAD"), (head.status, head.body.len()), (200, 0));
    }
    checks.finish();
}
