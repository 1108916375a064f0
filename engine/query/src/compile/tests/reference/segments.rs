//! The segments of an `on` (§9).

use chrono_tz::Tz;

use super::{Datum, cast, dates};

pub fn segment_keys(value: &Datum, zone: Tz) -> Vec<String> {
    let Datum::List(items) = value else { return vec![key(value, zone)] };
    let mut keys: Vec<String> = Vec::new();
    for item in items {
        let key = key(item, zone);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    if keys.is_empty() { vec!["undefined".to_owned()] } else { keys }
}

fn key(value: &Datum, zone: Tz) -> String {
    match value {
        Datum::Undefined => "undefined".to_owned(),
        Datum::Text(text) => text.clone(),
        Datum::Datetime(at) => dates::text(*at, zone),
        other => json(other, zone),
    }
}

/// Compact, keys sorted. JSON has no undefined, which is null in it, and no datetime, which is its text.
fn json(value: &Datum, zone: Tz) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    match value {
        Datum::Undefined | Datum::Null => "null".to_owned(),
        Datum::Bool(value) => value.to_string(),
        Datum::Number(x) => cast::decimal(*x),
        Datum::Text(text) => quoted(text),
        Datum::Datetime(at) => quoted(&dates::text(*at, zone)),
        Datum::List(items) => {
            format!("[{}]", items.iter().map(|item| json(item, zone)).collect::<Vec<_>>().join(","))
        }
        Datum::Map(members) => {
            let member = |(key, value): (&String, &Datum)| format!("{}:{}", quoted(key), json(value, zone));
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
        }
    }
}
