//! Whatever has a column and whatever is in `rest`, live or in segments: every question has the answer that it has where
//! everything has a column.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use chrono::NaiveDate;
use footfall_eval::Clock;
use footfall_model::{Event, Value};
use footfall_storage::columns::{REST, all_as_rest};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value as Json, json};

use crate::catalog::{Properties, Shape};
use crate::export::{Export, ExportSpec};
use crate::fixture::Fixture;
use crate::report::segmentation::{self, Count, SegmentationSpec, Unit};

const START: i64 = 19_700 * 86_400_000;
const NAMES: [&str; 12] = ["a", "b", "c", "d", "e f", "rest", "é", "Plan", "plan", "user_id", "x.y", "q\"q"];

fn clock() -> Clock {
    Clock { now: START / 1000, timezone: chrono_tz::Tz::UTC }
}

fn value(random: &mut StdRng, name: usize) -> Value {
    let text = |n: u32| Value::Text(format!("t{n}"));
    // Some properties keep their type.
    let kind = if name < 4 { name } else { random.random_range(0..8) };
    match kind {
        0 => Value::Int(random.random_range(-3..100)),
        1 => Value::Float(f64::from(random.random_range(-8..8)) / 2.0),
        2 => text(random.random_range(0..4)),
        3 => Value::List((0..random.random_range(0..3)).map(text).collect()),
        4 => Value::Bool(random.random()),
        5 => Value::Null,
        6 => Value::Map(vec![("k".into(), Value::Float(1.0)), ("l".into(), Value::List(vec![Value::Int(1)]))]),
        _ => Value::List(vec![Value::Int(random.random_range(0..3)), text(1)]),
    }
}

fn events(random: &mut StdRng, count: usize, first: usize) -> Vec<Event> {
    let event = |i: usize| {
        let mut properties = BTreeMap::new();
        for _ in 0..random.random_range(0..6) {
            let name = random.random_range(0..NAMES.len());
            properties.insert(NAMES[name].to_owned(), value(random, name));
        }
        Event {
            name: ["Play", "Stop"][i % 2].into(),
            distinct_id: format!("u{}", i % 7),
            time: START + (i as i64 % 3) * 86_400_000 + i as i64,
            insert_id: format!("i{i:04}"),
            insert_id_generated: false,
            properties: properties.into_iter().collect(),
        }
    };
    (first..first + count).map(event).collect()
}

async fn table(fixture: &Fixture, query: &str, properties: Properties) -> String {
    let snapshot = Arc::new(fixture.store.snapshot().unwrap());
    let context = fixture.sessions.context(&snapshot, Shape::Sql, properties).unwrap();
    pretty_format_batches(&context.sql(query).await.unwrap().collect().await.unwrap()).unwrap().to_string()
}

async fn export(fixture: &Fixture, filter: Option<&str>) -> Vec<String> {
    let spec = ExportSpec {
        from: NaiveDate::default(),
        to: NaiveDate::MAX,
        events: None,
        filter: filter.map(str::to_owned),
        limit: None,
        time_in_ms: true,
    };
    let snapshot = Arc::new(fixture.store.snapshot().unwrap());
    let mut export = Export::new(&fixture.sessions, &snapshot, &spec, &clock()).unwrap();
    let mut lines = Vec::new();
    while let Some(chunk) = export.next_chunk().await.unwrap() {
        let text = String::from_utf8(chunk.to_vec()).unwrap();
        lines.extend(text.lines().map(|line| {
            let mut line: Json = serde_json::from_str(line).unwrap();
            let properties = line["properties"].as_object_mut().unwrap();
            properties.remove("mp_processing_time_ms");
            properties.sort_keys();
            line.to_string()
        }));
    }
    lines.sort();
    lines
}

fn sent(events: &[Event]) -> Vec<String> {
    let line = |event: &Event| {
        let mut properties: serde_json::Map<String, Json> =
            event.properties.iter().map(|(name, value)| (name.clone(), Json::from(value))).collect();
        properties.insert("time".into(), json!(event.time));
        properties.insert("distinct_id".into(), json!(event.distinct_id));
        properties.insert("$insert_id".into(), json!(event.insert_id));
        properties.sort_keys();
        json!({"event": event.name, "properties": properties}).to_string()
    };
    let mut lines: Vec<_> = events.iter().map(line).collect();
    lines.sort();
    lines
}

async fn segmentation(fixture: &Fixture, on: &str, filter: &str) -> String {
    let spec = SegmentationSpec {
        event: "Play".into(),
        from: NaiveDate::from_ymd_opt(2023, 12, 1).unwrap(),
        to: NaiveDate::from_ymd_opt(2023, 12, 31).unwrap(),
        unit: Unit::Day,
        count: Count::Unique,
        on: Some(on.to_owned()),
        filter: Some(filter.to_owned()),
        limit: 100,
    };
    let snapshot = Arc::new(fixture.store.snapshot().unwrap());
    format!("{:?}", segmentation::run(&fixture.sessions, &snapshot, &spec, &clock()).await.unwrap())
}

/// Everything that can be asked about some properties.
async fn answers(fixture: &Fixture, names: &[&str]) -> Vec<String> {
    let mut answers = vec![
        table(fixture, "SELECT * FROM events ORDER BY insert_id", Properties::All).await,
        table(fixture, "SELECT count(*), count(DISTINCT user_id) FROM events", Properties::All).await,
    ];
    for name in names.iter().copied() {
        let column = if name == "user_id" { "properties.user_id" } else { name };
        let column = column.replace('"', "\"\"");
        let query = format!("SELECT insert_id, \"{column}\" FROM events ORDER BY insert_id");
        answers.push(table(fixture, &query, crate::sql::properties_in(&query)).await);
        let property = format!("properties[\"{}\"]", name.replace('"', "\\\""));
        answers.push(segmentation(fixture, &property, &format!("defined({property})")).await);
        answers.push(segmentation(fixture, &property, "properties[\"a\"] > 20 or properties[\"x.y\"] == \"t1\"").await);
        answers.extend(export(fixture, Some(&format!("defined({property})"))).await);
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_property_reads_the_same_wherever_it_is() {
    for seed in 0..2 {
        let mut random = StdRng::seed_from_u64(seed);
        let (narrow, wide) = (Fixture::with_columns_max(4).await, Fixture::with_columns_max(256).await);
        let mut all: Vec<Event> = Vec::new();
        for state in ["live", "flushed", "both", "flushed again", "replaced", "rewritten"] {
            let new = match state {
                "live" | "both" => events(&mut random, 90, all.len()),
                "replaced" => {
                    let changed = events(&mut random, 10, 40);
                    all.retain(|event| !changed.iter().any(|c| c.insert_id == event.insert_id));
                    changed
                }
                _ => Vec::new(),
            };
            for fixture in [&narrow, &wide] {
                fixture.append(new.clone()).await;
                if new.is_empty() {
                    fixture.store.flush().await.unwrap();
                }
            }
            all.extend(new);
            assert_eq!(export(&narrow, None).await, sent(&all), "seed {seed}, {state}: as sent");
            // All of them by turns.
            let names = [0, 1, 2].map(|step| NAMES[(all.len() / 10 + step * 5 + seed as usize) % NAMES.len()]);
            let (seen, want) = (answers(&narrow, &names).await, answers(&wide, &names).await);
            assert_eq!(seen.len(), want.len());
            for (seen, want) in seen.into_iter().zip(want) {
                assert_eq!(seen, want, "seed {seed}, {state}");
            }
        }
        let snapshot = narrow.store.snapshot().unwrap();
        let mut in_rest = 0;
        for segment in snapshot.segments.iter() {
            let open = snapshot.files.open(segment).await.unwrap();
            assert!(open.catalog.columns().len() <= 4);
            let rest = snapshot.files.rest(segment, &open).await.unwrap();
            in_rest += rest.iter().count();
            let rows = snapshot.files.read_all(segment).await.unwrap();
            assert_eq!(rows.column_by_name(REST).is_some(), !rest.is_empty());
            assert_eq!(all_as_rest(&rows).unwrap().len(), rows.num_rows());
        }
        assert!(in_rest > 20, "the test is about properties without columns: {in_rest}");
    }
}

/// Seed-claims 27 and 3: a query reads the chunks of the columns that it names, `rest` only where the footer says so.
#[tokio::test(flavor = "multi_thread")]
async fn rest_is_read_only_for_what_it_holds() {
    let fixture = Fixture::with_columns_max(4).await;
    let event = |i: usize| Event {
        name: "Play".into(),
        distinct_id: format!("u{i}"),
        time: START + i as i64,
        insert_id: format!("i{i}"),
        insert_id_generated: false,
        properties: [("hot".to_owned(), Value::Int(i as i64))]
            .into_iter()
            .chain((0..20).filter(|n| i % (n + 2) == 0).map(|n| (format!("p{n:02}"), Value::Text("x".repeat(40)))))
            .collect(),
    };
    fixture.append((0..2_000).map(event).collect()).await;
    fixture.store.flush().await.unwrap();
    let scanned = async |query: &str| {
        let plan = table(&fixture, &format!("EXPLAIN ANALYZE {query}"), Properties::All).await;
        let scan = plan.lines().find(|line| line.contains("ShardScanExec")).unwrap().to_owned();
        let number = scan.split("bytes_scanned=").nth(1).unwrap().split([',', ']']).next().unwrap().to_owned();
        let (digits, unit) = number.trim().split_once(' ').unwrap_or((number.trim(), ""));
        digits.parse::<f64>().unwrap() * if unit.starts_with('K') { 1e3 } else { 1.0 }
    };
    let (hot, cold) = (scanned("SELECT sum(hot) FROM events").await, scanned("SELECT max(p19) FROM events").await);
    let snapshot = fixture.store.snapshot().unwrap();
    let mut chunks: BTreeMap<String, f64> = BTreeMap::new();
    for segment in snapshot.segments.iter() {
        let open = snapshot.files.open(segment).await.unwrap();
        for chunk in open.metadata.metadata().row_groups().iter().flat_map(|group| group.columns()) {
            *chunks.entry(chunk.column_path().string()).or_default() += chunk.compressed_size() as f64;
        }
    }
    assert!(chunks.contains_key("hot") && chunks.contains_key(REST) && !chunks.contains_key("p19"), "{chunks:?}");
    // One cheap column more carries the number of rows.
    assert!(hot <= 1.2 * (chunks["hot"] + chunks["uid"]), "{hot} of {chunks:?}");
    assert!(cold <= 1.2 * (chunks[REST] + chunks["uid"]) && cold >= chunks[REST] * 0.9, "{cold} of {chunks:?}");
}
