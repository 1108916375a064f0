//! Properties that nobody declared (seed-claims 3, 27 and 53): thousands of names, and one that changes its type.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::harness::{Checks, Project, Server, ServerOptions, python};
use crate::oracle::RawEvent;

const NAMES: usize = 5_000;
const NAMES_EACH: usize = 4;
const COLUMNS_MAX: u64 = 256;
const FIRST: &str = "2024-01-01";
const LAST: &str = "2024-01-02";
const FIRST_MS: i64 = 1_704_067_200_000;
const MIXED_TYPES: usize = 7;

fn events_wanted() -> usize {
    std::env::var("FOOTFALL_SCHEMA_EVENTS").map_or(20_000, |count| count.parse().expect("a number of events"))
}

fn mixed(i: usize) -> Value {
    [
        json!(i),
        json!(i as f64 + 0.5),
        json!(format!("text {i}")),
        json!(i % 2 == 0),
        json!(["a", i.to_string()]),
        json!({"track": {"tags": ["x", 1, 2.0, null]}, "n": i}),
        Value::Null,
    ][i % MIXED_TYPES]
        .clone()
}

/// A value whose type depends on the name alone.
fn value(name: usize, i: usize) -> Value {
    match name % 5 {
        0 => json!(i as i64 - 7),
        1 => json!(i as f64),
        2 => json!(format!("v{i}\"\u{2028}")),
        3 => json!(i % 3 == 0),
        _ => json!([i, "l"]),
    }
}

fn name(number: usize) -> String {
    format!("k{number:04}")
}

fn event(i: usize) -> RawEvent {
    let time = FIRST_MS + (i as i64 % 2) * 86_400_000 + i as i64;
    let event = ["Play", "Stop", "Rate"][i % 3];
    let mut event = RawEvent::new(event, &format!("u{}", i % 200), time, &format!("s-{i}")).with("mixed", mixed(i));
    for more in 0..NAMES_EACH {
        let number = (i * NAMES_EACH + more) % NAMES;
        event = event.with(&name(number), value(number, i));
    }
    event
}

/// The properties that each stored event was sent with, by insert id.
async fn stored(project: &Project) -> HashMap<String, Map<String, Value>> {
    let rows = project.export(FIRST, LAST, &[]).await;
    let own = |name: &str| name == "mixed" || name.starts_with('k');
    let properties = |row: &Value| {
        let all = row["properties"].as_object().expect("an object");
        let sent = all.iter().filter(|(name, _)| own(name)).map(|(name, value)| (name.clone(), value.clone()));
        (all["$insert_id"].as_str().expect("a text").to_owned(), sent.collect())
    };
    let by_id: HashMap<_, _> = rows.iter().map(properties).collect();
    assert_eq!(by_id.len(), rows.len(), "each event once");
    by_id
}

async fn check(state: &str, project: &Project, sent: &[RawEvent]) {
    let mut checks = Checks::default();
    let stored = stored(project).await;
    let different =
        sent.iter().filter(|event| stored.get(event.insert_id.as_ref().unwrap()) != Some(&event.properties));
    checks.equal(format!("{state}: every value as it was sent"), different.count(), 0);
    checks.equal(format!("{state}: nothing else"), stored.len(), sent.len());

    let mut sent_with: HashMap<&str, usize> = HashMap::new();
    for name in sent.iter().flat_map(|event| event.properties.keys()) {
        *sent_with.entry(name).or_default() += 1;
    }
    let with = |name: &str| sent_with.get(name).copied().unwrap_or_default();
    for number in [0, 1, 2, 3, 4, 777, 4_999] {
        let name = name(number);
        let question = format!("SELECT count({name}) FROM events");
        checks.equal(format!("{state}: {name}"), project.sql(&question).await.int(), with(&name) as i64);
    }
    let sum: i64 = sent.iter().filter_map(|event| event.properties.get("k0005")?.as_i64()).sum();
    checks.equal(format!("{state}: sum"), project.sql("SELECT sum(k0005) FROM events").await.int(), sum);
    let not_null = sent.iter().filter(|event| !event.properties["mixed"].is_null()).count();
    checks.equal(
        format!("{state}: mixed"),
        project.sql("SELECT count(mixed) FROM events").await.int(),
        not_null as i64,
    );
    let texts = r#"properties["mixed"] == "text 2" or properties["k0006"] >= 1206"#;
    let matching = |event: &&RawEvent| {
        event.properties["mixed"] == json!("text 2")
            || event.properties.get("k0006").is_some_and(|value| value.as_f64() >= Some(1206.0))
    };
    let found = project.export(FIRST, LAST, &[("where", texts)]).await.len();
    checks.equal(format!("{state}: where"), found, sent.iter().filter(matching).count());
    // A name that does not exist is refused with those that do.
    let refused = project.sql_reply("SELECT k00055 FROM events").await;
    checks.holds(format!("{state}: near miss"), refused.status == 400, refused.text());

    let schema = project.get("/v1/schema", &[("limit", "100000")]).await.ok().json();
    let counted: HashMap<&str, &Value> =
        schema["properties"].as_array().expect("a list").iter().map(|p| (p["name"].as_str().unwrap(), p)).collect();
    checks.equal(
        format!("{state}: names"),
        counted.keys().filter(|n| n.starts_with('k')).count(),
        NAMES.min(sent.len() * NAMES_EACH),
    );
    let wrong = counted.iter().filter(|(name, found)| name.starts_with('k') && found["count"] != json!(with(name)));
    checks.equal(format!("{state}: volumes"), wrong.count(), 0);
    let types: Vec<_> =
        counted["mixed"]["types"].as_array().expect("a list").iter().map(|t| t["type"].clone()).collect();
    checks.equal(
        format!("{state}: types"),
        json!(types),
        json!(["boolean", "integer", "double", "string", "list", "object", "null"]),
    );
    let play = project.get("/v1/schema", &[("event", "Play"), ("search", "mixed")]).await.ok().json();
    let of_play: Vec<_> = sent.iter().filter(|event| event.event == "Play").collect();
    checks.equal(format!("{state}: of one event"), play["properties"][0]["count"].clone(), json!(of_play.len()));
    checks.equal(
        format!("{state}: first and last"),
        [&play["properties"][0]["first_seen"], &play["properties"][0]["last_seen"]].map(Clone::clone),
        [of_play.iter().map(|e| e.time_ms).min(), of_play.iter().map(|e| e.time_ms).max()].map(|time| json!(time)),
    );
    checks.finish();
}

/// Bytes of the column chunks that a question read.
async fn scanned(project: &Project, question: &str) -> f64 {
    let plan = project.sql(&format!("EXPLAIN ANALYZE {question}")).await;
    let plan = plan.rows[0][1].as_str().expect("a plan").to_owned();
    let number = plan.split("bytes_scanned=").nth(1).unwrap_or_else(|| panic!("no bytes in {plan}"));
    let number = number.split([',', ']']).next().unwrap_or_default().trim();
    let (digits, unit) = number.split_once(' ').unwrap_or((number, ""));
    let factor = match unit.chars().next() {
        Some('K') => 1e3,
        Some('M') => 1e6,
        _ => 1.0,
    };
    digits.parse::<f64>().unwrap_or_else(|_| panic!("not a number: {number}")) * factor
}

#[tokio::test]
async fn five_thousand_names_and_one_of_every_type_come_back_as_sent() {
    let sent: Vec<RawEvent> = (0..events_wanted()).map(event).collect();
    let json: Vec<Value> = sent.iter().map(RawEvent::to_json).collect();
    let (first, second) = json.split_at(json.len() * 2 / 3);
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("wide").await;
    project.import(first).await;
    check("live", &project, &sent[..first.len()]).await;
    server.restart().await;
    check("flushed", &project, &sent[..first.len()]).await;
    project.import(second).await;
    server.kill().await;
    server.start_again().await;
    check("both, after a crash", &project, &sent).await;
    // Resent copies are recognised wherever their properties are.
    project.import(&json[..200]).await;
    assert_eq!(project.sql("SELECT count(*) FROM rejected_events").await.int(), 200);
    server.restart().await;
    check("flushed again", &project, &sent).await;

    let table = server.data_dir().join("store").join(project.id.to_string()).join("events");
    let mut args = vec![table.to_str().expect("UTF-8").to_owned(), "mixed".to_owned()];
    args.extend([0, 1, 777, 4_999].map(name));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let Some(printed) = python("wide_table.py", &args).await {
        let seen: Value = serde_json::from_str(&printed).expect("JSON");
        assert_eq!((&seen["rows"], &seen["duckdb_rows"]), (&json!(sent.len()), &json!(sent.len())));
        assert!(seen["columns_max"].as_u64() <= Some(COLUMNS_MAX), "{}", seen["columns_max"]);
        assert!(seen["fields"].as_u64() <= Some(8 * COLUMNS_MAX + 10), "{}", seen["fields"]);
        for name in &args[1..] {
            let want = sent.iter().filter(|event| event.properties.contains_key(*name)).count();
            assert_eq!(seen["values"][name], json!(want), "{name}");
        }
        let chunks = |wanted: &dyn Fn(&str) -> bool| -> f64 {
            let chunks = seen["chunks"].as_object().expect("an object").iter();
            chunks.filter(|(name, _)| wanted(name)).filter_map(|(_, bytes)| bytes.as_f64()).sum()
        };
        // One cheap column more carries the number of rows.
        let named = chunks(&|name| name == "uid" || name == "mixed" || name.starts_with("mixed__"));
        let read = scanned(&project, "SELECT count(mixed) FROM events").await;
        assert!(read <= 1.2 * named, "{read} bytes for {named}");
        assert!(named * 2.0 < chunks(&|_| true), "the rest of the table is larger than {named}");
    }
    server.stop().await;
}
