//! The vectors once more, as `where`, as `on` and in SQL over events that were ingested: live, then flushed.
//!
//! Each vector's record is an event of its own name. Left out here: vectors with profiles or behaviours, which later issues
//! bring. A server cannot be told the present time, so what a vector knows of it (the dates of its record, what it expects)
//! is moved from the vectors' own present to the server's.

use chrono::{DateTime, NaiveDateTime, SecondsFormat, TimeDelta};
use futures::StreamExt;
use serde_json::{Map, Value, json};

use super::{NOW, VECTORS, in_sql};
use crate::harness::{Checks, Project, Server, ServerOptions, now_ms, repository_root};

const DAY: &str = "2023-11-14";
/// At 15:00 UTC.
const TIME_MS: i64 = 1_699_920_000_000 + 3_600_000 * 15;
const AT_ONCE: usize = 4;

pub struct Vector {
    pub number: usize,
    pub expr: String,
    properties: Map<String, Value>,
    pub expect: Result<Value, String>,
    pub timezone: String,
    /// Whether it asks for the present time.
    pub present: bool,
}

impl Vector {
    pub fn event(&self) -> String {
        format!("Vector {}", self.number)
    }

    /// Whether it names a property, so that its outcome depends on the record.
    pub fn reads(&self) -> bool {
        ["properties[", "event["].iter().any(|source| self.expr.contains(source))
    }

    fn read(number: usize, line: &str) -> Option<Self> {
        let vector: Value = serde_json::from_str(line).expect("a vector is JSON");
        let expr = vector["expr"].as_str().expect("a text").to_owned();
        let upper = expr.to_uppercase();
        let present = upper.contains("NOW") || upper.contains("TODAY");
        assert!(vector.get("now").is_none(), "vector {number} has a present of its own, which nothing here moves");
        if vector.get("user").is_some() || vector.get("behaviors").is_some() {
            return None;
        }
        let properties = vector["properties"].as_object().cloned().unwrap_or_default();
        let expect = match vector["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(vector["expect"].clone()),
        };
        let timezone = vector["tz"].as_str().unwrap_or("UTC").to_owned();
        Some(Self { number, expr, properties, expect, timezone, present })
    }

    /// The properties of the event that is sent when the clock shows `now`.
    fn properties_at(&self, now: i64) -> Map<String, Value> {
        let moved = |value: &Value| match value.as_str().and_then(|text| text.parse::<NaiveDateTime>().ok()) {
            Some(time) if self.present => {
                json!((time + TimeDelta::seconds(now - NOW)).format("%Y-%m-%dT%H:%M:%S").to_string())
            }
            _ => value.clone(),
        };
        self.properties.iter().map(|(key, value)| (key.clone(), moved(value))).collect()
    }

    /// What is expected when the clock shows `now`.
    fn expect_at(&self, now: i64) -> Result<Value, String> {
        let expect = self.expect.clone()?;
        if !self.present {
            return Ok(expect);
        }
        let time = expect["$datetime"].as_str().map(|utc| {
            let at = DateTime::parse_from_rfc3339(utc).expect("a time").timestamp();
            let moved = if self.expr == "today()" { now - now.rem_euclid(86_400) } else { at + now - NOW };
            let time = DateTime::from_timestamp(moved, 0).expect("a time");
            json!({"$datetime": time.to_rfc3339_opts(SecondsFormat::Secs, true)})
        });
        let number = expect.as_i64().map(|number| json!(number + now - NOW));
        Ok(time.or(number).unwrap_or(expect))
    }
}

/// The segments that a value counts in (`expression-language.md` §9).
pub fn segments(value: &Value, timezone: &str) -> Vec<String> {
    match value {
        Value::Array(items) if !items.is_empty() => {
            let mut keys: Vec<String> = items.iter().flat_map(|item| scalar(item, timezone)).collect();
            keys.sort();
            keys.dedup();
            keys
        }
        Value::Array(_) => vec!["undefined".to_owned()],
        scalar_or_map => scalar(scalar_or_map, timezone),
    }
}

fn scalar(value: &Value, timezone: &str) -> Vec<String> {
    vec![match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::String(text) => text.clone(),
        Value::Number(n) => match n.as_i64() {
            Some(whole) => whole.to_string(),
            None => {
                let n = n.as_f64().expect("a double");
                if n.fract() == 0.0 { format!("{n:.0}") } else { n.to_string() }
            }
        },
        Value::Object(members) if members.contains_key("$undefined") => "undefined".to_owned(),
        Value::Object(members) => match members.get("$datetime").and_then(Value::as_str) {
            Some(utc) => {
                let zone: chrono_tz::Tz = timezone.parse().expect("a time zone");
                let time = chrono::DateTime::parse_from_rfc3339(utc).expect("a time").with_timezone(&zone);
                time.format("%Y-%m-%dT%H:%M:%S").to_string()
            }
            None => {
                let sorted: std::collections::BTreeMap<_, _> = members.iter().collect();
                serde_json::to_string(&sorted).expect("JSON")
            }
        },
        Value::Array(items) => serde_json::to_string(items).expect("JSON"),
    }]
}

/// What `where` must answer: the events counted, or `None` where the value is no condition.
pub fn kept(value: &Value) -> Option<u64> {
    match value {
        Value::Bool(keeps) => Some(u64::from(*keeps)),
        Value::Object(members) if members.contains_key("$undefined") => Some(0),
        _ => None,
    }
}

/// Answers of a route that takes expressions: segments with a count, and whether it warned.
async fn asked(project: &Project, vector: &Vector, parameter: &str) -> Result<(Vec<(String, u64)>, bool), String> {
    let event = vector.event();
    let query = [("event", event.as_str()), ("from_date", DAY), ("to_date", DAY), (parameter, vector.expr.as_str())];
    let reply = project.segmentation_reply(&query).await;
    let body = reply.json();
    if reply.status != 200 {
        return Err(format!("{} {}", reply.status, body["error"].as_str().unwrap_or_default()));
    }
    let values = body["data"]["values"].as_object().expect("segments");
    let count = |days: &Value| days[DAY].as_u64().unwrap_or_default();
    let mut segments: Vec<(String, u64)> = values.iter().map(|(key, days)| (key.clone(), count(days))).collect();
    segments.sort();
    Ok((segments, body.get("warnings").is_some_and(|warnings| warnings.as_array().is_some_and(|w| !w.is_empty()))))
}

/// What is wrong with the answers about a vector; nothing if they are right.
async fn wrong(project: &Project, vector: &Vector) -> Vec<String> {
    let mut wrong = Vec::new();
    // An empty parameter counts as absent, and so does a blank one.
    if vector.expr.trim().is_empty() {
        return wrong;
    }
    let reads = vector.reads();
    // A plain word is a property of that name as `on`.
    let word = vector.expr.trim().chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'));
    for parameter in ["where", "on"] {
        let asked_at = seconds();
        let answer = asked(project, vector, parameter).await;
        let is_right = |expect: &Result<Value, String>| match (expect, &answer, parameter) {
            (Err(error), Err(refusal), _) if error == "parse" => refusal.starts_with("400 Unable to parse expression"),
            (Err(error), Ok(_), "on") if error == "parse" => word && !vector.expr.trim().is_empty(),
            (Err(error), Err(refusal), _) => error == "type" && !reads && refusal.starts_with("400"),
            (Err(error), Ok((segments, warned)), "on") => {
                error == "type" && reads && *warned && segments == &[("undefined".to_owned(), 1)]
            }
            (Err(error), Ok((segments, warned)), _) => {
                error == "type" && reads && *warned && segments.iter().all(|(_, count)| *count == 0)
            }
            (Ok(value), Ok((segments, warned)), "where") => match kept(value) {
                Some(count) => !warned && segments == &[(vector.event(), count)],
                None => *warned && segments.iter().all(|(_, count)| *count == 0),
            },
            (Ok(value), Err(refusal), "where") => kept(value).is_none() && refusal.starts_with("400"),
            (Ok(value), Ok((found, warned)), _) => {
                let want: Vec<(String, u64)> =
                    segments(value, &vector.timezone).into_iter().map(|key| (key, 1)).collect();
                !warned && alike(found, &want)
            }
            (Ok(_), Err(_), _) => false,
        };
        // The query began somewhere between asking and the answer.
        if !(asked_at..=seconds()).any(|now| is_right(&vector.expect_at(now))) {
            let Vector { number, expr, .. } = vector;
            let (properties, expect) = (Value::Object(vector.properties_at(asked_at)), vector.expect_at(asked_at));
            wrong.push(format!("vector {number} as {parameter}: {expr} on {properties} is {expect:?}, got {answer:?}"));
        }
    }
    wrong
}

fn seconds() -> i64 {
    now_ms() / 1000
}

/// Equal, numbers within a relative 1e-9.
fn alike(found: &[(String, u64)], want: &[(String, u64)]) -> bool {
    let same = |found: &str, want: &str| {
        found == want
            || match (found.parse::<f64>(), want.parse::<f64>()) {
                (Ok(found), Ok(want)) => (found - want).abs() <= 1e-9 * want.abs(),
                _ => false,
            }
    };
    found.len() == want.len() && found.iter().zip(want).all(|(f, w)| f.1 == w.1 && same(&f.0, &w.0))
}

#[tokio::test]
async fn vectors_hold_as_where_as_on_and_in_sql_over_ingested_events_live_and_flushed() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let text = std::fs::read_to_string(repository_root().join(VECTORS)).expect("the vectors are in the repository");
    let vectors: Vec<Vector> =
        text.lines().enumerate().filter_map(|(index, line)| Vector::read(index + 1, line)).collect();
    assert_eq!(vectors.len(), 348 - 4, "four vectors read a profile or behaviours");
    assert_eq!(vectors.iter().filter(|vector| vector.present).count(), 4, "these ask for the present time");
    let sent_at = seconds();
    let mut zones: Vec<String> = vectors.iter().map(|vector| vector.timezone.clone()).collect();
    zones.sort();
    zones.dedup();
    let mut projects = Vec::new();
    for (number, zone) in zones.iter().enumerate() {
        let project = server.create_project_in(&format!("vectors-{number}"), zone).await;
        let events = vectors.iter().filter(|vector| vector.timezone == *zone).map(|vector| {
            let mut properties = vector.properties_at(sent_at);
            properties.extend([
                ("time".to_owned(), json!(TIME_MS)),
                ("distinct_id".to_owned(), json!("u")),
                ("$insert_id".to_owned(), json!(format!("v{}", vector.number))),
            ]);
            json!({"event": vector.event(), "properties": properties})
        });
        project.import(&events.collect::<Vec<_>>()).await;
        projects.push((zone.clone(), project));
    }
    let mut checks = Checks::default();
    for state in ["live", "flushed"] {
        for (zone, project) in &projects {
            let of_zone = vectors.iter().filter(|vector| vector.timezone == *zone);
            let asked = of_zone.map(|vector| async move {
                let mut all = wrong(project, vector).await;
                all.extend(in_sql::wrong(project, vector).await);
                (vector.number, all)
            });
            let answers: Vec<(usize, Vec<String>)> = futures::stream::iter(asked).buffered(AT_ONCE).collect().await;
            for (number, wrong) in answers {
                checks.equal(format!("vector {number}, {state}"), wrong, Vec::new());
            }
        }
        server.restart().await;
    }
    checks.finish();
    server.stop().await;
}
