//! Filters as a client writes them, beside what they mean, written naively.

use serde_json::{Value, json};

use crate::oracle::RawEvent;

pub struct Wanted {
    pub query: Vec<(&'static str, &'static str)>,
    pub keeps: fn(&RawEvent) -> bool,
}

/// An event that every filter wants.
pub fn wanted_by_all(insert_id: &str) -> RawEvent {
    RawEvent::new("Buy", "user-3", 1_719_792_000_000, insert_id)
        .with("country", "DE")
        .with("tags", json!(["red"]))
        .with("nest", json!({"a": {"k": 1}}))
        .with("n", 1_000_000)
}

pub fn filters() -> Vec<Wanted> {
    vec![
        Wanted { query: vec![], keeps: |_| true },
        Wanted { query: vec![("event", "Buy")], keeps: |e| e.event == "Buy" },
        Wanted { query: vec![("event", r#"["Öffnen","Buy"]"#)], keeps: |e| e.event == "Buy" || e.event == "Öffnen" },
        Wanted { query: vec![("user", "user-3")], keeps: |e| e.distinct_id == "user-3" },
        Wanted {
            query: vec![("distinct_id", "user-3"), ("event", "Buy")],
            keeps: |e| e.distinct_id == "user-3" && e.event == "Buy",
        },
        Wanted { query: vec![("where", r#"properties["country"] == "DE""#)], keeps: |e| is(e, "country", "DE") },
        Wanted {
            query: vec![("where", r#""red" in properties["tags"]"#)],
            keeps: |e| e.properties.get("tags").and_then(Value::as_array).is_some_and(|t| t.contains(&json!("red"))),
        },
        Wanted {
            query: vec![("where", r#"not defined(properties["plan"])"#)],
            keeps: |e| e.properties.get("plan").is_none_or(Value::is_null),
        },
        Wanted {
            query: vec![("event", "Buy"), ("where", r#"properties["nest"]["a"]["k"] == 1"#)],
            keeps: |e| e.event == "Buy" && e.properties.get("nest").is_some_and(|nest| nest["a"]["k"] == 1),
        },
        Wanted {
            query: vec![("where", r#"properties["n"] >= 250 and properties["$event_name"] != "View""#)],
            keeps: |e| e.properties["n"].as_i64().is_some_and(|n| n >= 250) && e.event != "View",
        },
        Wanted {
            query: vec![("where", r#"properties["time"] >= 1719792000 and properties["$distinct_id"] == "user-3""#)],
            keeps: |e| e.time_ms.div_euclid(1_000) >= 1_719_792_000 && e.distinct_id == "user-3",
        },
    ]
}

fn is(event: &RawEvent, property: &str, text: &str) -> bool {
    event.properties.get(property).is_some_and(|value| value == text)
}
