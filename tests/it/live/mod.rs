//! What has just arrived: the live view (`GET /v1/live`) and the recent events (`GET /v1/events/recent`).

mod canary;
mod recent;
mod stream;
mod wanted;

use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value, json};

use crate::harness::{LiveStream, Project};
use crate::oracle::RawEvent;

fn live_request(project: &Project, query: &[(&str, &str)]) -> RequestBuilder {
    project.request(Method::GET, "/v1/live").query(query)
}

async fn live(project: &Project, query: &[(&str, &str)]) -> LiveStream {
    LiveStream::open(live_request(project, query)).await
}

async fn recent(project: &Project, query: &[(&str, &str)]) -> Vec<Value> {
    let reply = project.get("/v1/events/recent", query).await.ok().json();
    reply["events"].as_array().unwrap_or_else(|| panic!("no list in {reply}")).clone()
}

/// What an event shows that its sender decided; the rest is checked here.
fn as_sent(shown: &Value) -> Value {
    let mut properties = shown["properties"].as_object().cloned().unwrap_or_default();
    for added in ["$import", "$mp_api_endpoint"] {
        assert!(properties.remove(added).is_some(), "{added} is missing in {shown}");
    }
    let distinct_id = shown["distinct_id"].as_str().expect("a text");
    let user = if distinct_id.is_empty() { Value::Null } else { json!(distinct_id) };
    assert_eq!(shown["user_id"], user);
    assert!(shown["received_at"].as_i64().is_some_and(|at| at > 1_700_000_000_000_000), "microseconds: {shown}");
    json!({"event": shown["event"], "distinct_id": distinct_id, "time": shown["time"],
        "insert_id": shown["insert_id"], "properties": properties})
}

/// The same of an event that was sent.
fn sent(event: &RawEvent) -> Value {
    let properties: Map<String, Value> = event.properties.clone();
    json!({"event": event.event, "distinct_id": event.distinct_id, "time": event.time_ms,
        "insert_id": event.insert_id, "properties": properties})
}

fn received_at(shown: &Value) -> i64 {
    shown["received_at"].as_i64().expect("an integer")
}

fn assert_rising(shown: &[Value]) {
    let times: Vec<i64> = shown.iter().map(received_at).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "received_at rises with every event: {times:?}");
}
