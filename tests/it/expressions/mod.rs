//! The expression language through every door: the conformance vectors by `POST /v1/expressions/evaluate` and over ingested
//! events, in SQL, what is told of an expression before it is used, and mistakes on every route that takes one.

mod check;
mod in_sql;
mod ingested;
mod mistakes;

use serde_json::{Map, Value, json};

use crate::harness::{Checks, Server, ServerOptions, repository_root};

const VECTORS: &str = "engine/eval/tests/expression-vectors.jsonl";
const NOW: i64 = 1_700_000_000;

/// The request that asks for one vector.
fn request(vector: &Value) -> Value {
    let mut body = Map::from_iter([("now".into(), json!(NOW)), ("timezone".into(), json!("UTC"))]);
    for (from, to) in [
        ("expr", "expr"),
        ("properties", "properties"),
        ("user", "user"),
        ("behaviors", "behaviors"),
        ("now", "now"),
        ("tz", "timezone"),
    ] {
        if let Some(value) = vector.get(from) {
            body.insert(to.into(), value.clone());
        }
    }
    Value::Object(body)
}

/// Equal, numbers within a relative 1e-9.
fn alike(got: &Value, want: &Value) -> bool {
    match (got, want) {
        (Value::Number(got), Value::Number(want)) => {
            let (got, want) = (got.as_f64().unwrap_or(f64::NAN), want.as_f64().unwrap_or(f64::NAN));
            got == want || (got - want).abs() <= 1e-9 * want.abs()
        }
        (Value::Array(got), Value::Array(want)) => {
            got.len() == want.len() && got.iter().zip(want).all(|(got, want)| alike(got, want))
        }
        (Value::Object(got), Value::Object(want)) => {
            got.len() == want.len() && want.iter().all(|(key, want)| got.get(key).is_some_and(|got| alike(got, want)))
        }
        (got, want) => got == want,
    }
}

#[tokio::test]
async fn all_conformance_vectors_hold_over_http() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("vectors").await;
    let lines = std::fs::read_to_string(repository_root().join(VECTORS)).expect("the vectors are in the repository");
    let mut checks = Checks::default();
    for (number, line) in lines.lines().enumerate() {
        let vector: Value = serde_json::from_str(line).expect("a vector is JSON");
        let reply = project.evaluate(&request(&vector)).await;
        let body = reply.json();
        let claim = format!("vector {}: {} on {}", number + 1, vector["expr"], vector["properties"]);
        if let Some(code) = vector.get("error") {
            let seen = (reply.status, &body["error"]["code"]);
            checks.equal(claim, format!("{seen:?}"), format!("{:?}", (400, code)));
        } else {
            let holds = reply.status == 200 && alike(&body["value"], &vector["expect"]) && body.get("value").is_some();
            checks.holds(format!("{claim} is {}", vector["expect"]), holds, reply.text());
        }
    }
    checks.equal("all 348 vectors were tried", lines.lines().count(), 348);
    checks.finish();
}

#[tokio::test]
async fn errors_say_where_and_credentials_are_needed() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("errors").await;
    let reply = project.evaluate(&json!({"expr": "1 + properties[5]", "properties": {}})).await;
    let error = &reply.json()["error"];
    assert_eq!((reply.status, &error["code"]), (400, &json!("parse")));
    assert!(!error["message"].as_str().unwrap_or_default().is_empty(), "a message for people: {error}");
    let span = error["span"].to_string();
    let ends = span.matches(|c: char| c.is_ascii_digit() || c == ',').collect::<String>();
    assert!(ends.starts_with("15,"), "the span begins at the 5, byte 15: {error}");
    let anonymous = project.anonymous(reqwest::Method::POST, "/v1/expressions/evaluate");
    let reply = crate::harness::Reply::of(anonymous.json(&json!({"expr": "1", "properties": {}}))).await;
    assert_eq!(reply.status, 401);
}
