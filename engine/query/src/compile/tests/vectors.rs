//! Every vector of the reference that names neither `user` nor `behaviors`: alone in a
//! table, and among the rows of one table of all.

use chrono_tz::Tz;
use footfall_eval::{EvalValue, parse_datetime};
use footfall_lang::parse_expression;
use footfall_model::Value;
use serde_json::Value as Json;

use super::table::{Failure, Row, Table, TextType, compare};
use crate::compile::Clock;

struct Vector {
    expr: String,
    row: Row,
    clock: Clock,
    /// Absent for a type error.
    expect: Option<EvalValue>,
}

fn vectors() -> Vec<Vector> {
    // One copy of the reference's file serves all crates.
    let text = include_str!("../../../../eval/tests/expression-vectors.jsonl");
    text.lines().filter_map(|line| vector(&serde_json::from_str(line).unwrap())).collect()
}

fn vector(json: &Json) -> Option<Vector> {
    if json.get("user").is_some() || json.get("behaviors").is_some() || json.get("error") == Some(&"parse".into()) {
        return None;
    }
    let timezone: Tz = json.get("tz").map_or(Tz::UTC, |tz| tz.as_str().unwrap().parse().unwrap());
    let Json::Object(properties) = json["properties"].clone() else { panic!("no properties") };
    let properties = properties.into_iter().map(|(key, value)| (key, Value::from(value))).collect();
    let expect = json.get("expect").map(|expect| match expect {
        Json::Object(map) if map.contains_key("$undefined") => EvalValue::Undefined,
        Json::Object(map) if map.contains_key("$datetime") => {
            EvalValue::Datetime(parse_datetime(map["$datetime"].as_str().unwrap(), None).unwrap())
        }
        other => EvalValue::from(&Value::from(other.clone())),
    });
    Some(Vector {
        expr: json["expr"].as_str().unwrap().to_owned(),
        row: Row { properties, ..Row::default() },
        clock: Clock { now: 1_700_000_000, timezone },
        expect,
    })
}

async fn check(vector: &Vector, table: &Table) -> Result<(), String> {
    let tree = parse_expression(&vector.expr).map_err(|error| format!("{}: {error:?}", vector.expr))?;
    let scalar = vector.row.evaluate(&tree, &vector.clock).ok();
    if scalar != vector.expect {
        return Err(format!("{}: evaluator {scalar:?}, expected {:?}", vector.expr, vector.expect));
    }
    compare(&vector.expr, &tree, table, &vector.clock).await.map(|_| ())
}

fn report(failures: Vec<String>) {
    assert!(failures.is_empty(), "{} vectors failed:\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn each_vector_alone() {
    let mut failures = Vec::new();
    let vectors = vectors();
    assert!(vectors.len() > 280, "{} vectors", vectors.len());
    for vector in &vectors {
        let table = Table::new(vec![vector.row.clone()], TextType::Utf8);
        failures.extend(check(vector, &table).await.err());
    }
    report(failures);
}

/// Here almost every property has several types.
#[tokio::test]
async fn all_vectors_in_one_table() {
    let vectors = vectors();
    let rows: Vec<Row> = vectors.iter().map(|vector| vector.row.clone()).collect();
    let mut failures = Vec::new();
    for texts in [TextType::View, TextType::Dictionary] {
        let table = Table::new(rows.clone(), texts);
        for vector in &vectors {
            failures.extend(check(vector, &table).await.err());
        }
    }
    report(failures);
}

#[tokio::test]
async fn a_certain_type_error_is_a_compile_error() {
    let table = Table::new(vec![Row::default()], TextType::Utf8);
    let clock = Clock { now: 1_700_000_000, timezone: Tz::UTC };
    for (text, message, span) in [
        ("properties['x'] and 5", "an operand of `and` must be boolean, found a number", 20..21),
        ("5", "a filter must be boolean, found a number", 0..1),
        ("string(properties['x'], 'none')", "a filter must be boolean, found a string", 0..31),
        ("let(a, NOW, a or true)", "an operand of `or` must be boolean, found a number", 12..13),
        (
            "if(properties['x'] - 1 + today(), 1, 2) == 1 or ['a']",
            "an operand of `or` must be boolean, found a list",
            48..53,
        ),
        ("sum(list(properties['x'] and 5)) > 1", "an operand of `and` must be boolean, found a number", 29..30),
        ("if(null, 1, 2) == 1", "a condition of `if` must be boolean, found null", 3..7),
    ] {
        let tree = parse_expression(text).unwrap();
        match table.filter(&tree, &clock).await {
            Err(Failure::Certain(error)) => assert_eq!((&*error.message, error.span), (message, span), "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    for text in [
        "properties['x'] and properties['y']",
        "if(properties['x'] == 1, 5 and true, false)",
        "any(x and 5 for x in properties['x'])",
        "number(properties['x']) and true",
        "properties['x']",
    ] {
        let tree = parse_expression(text).unwrap();
        assert!(table.filter(&tree, &clock).await.is_ok(), "{text}");
    }
}

#[tokio::test]
async fn only_a_literal_itself_is_a_local_date() {
    let clock = Clock { now: 1_700_000_000, timezone: Tz::America__New_York };
    let properties = [("d".to_owned(), Value::Text("2024-01-02".to_owned()))].into_iter().collect();
    let table = Table::new(vec![Row { properties, time: Some(1_704_171_600_500), ..Row::default() }], TextType::Utf8);
    for text in [
        "properties['$time'] == '2024-01-02'",
        "properties['$time'] in ['2024-01-02']",
        "properties['$time'] == properties['d']",
        "properties['$time'] in list('2024-01-02')",
        "properties['$time'] == '2024-01-' + '02'",
        "let(y, properties['d'], properties['$time'] == '2024-01-02')",
        "let(y, '2024-01-02', properties['$time'] == y)",
        "datetime(let(y, properties['d'], '2024-01-02')) == properties['$time']",
        "if(properties['d'] == '', '', '2024-01-02') < properties['$time']",
        "hour(string('2024-01-02'))",
        "datedif('2024-01-02', properties['$time'], 'D')",
    ] {
        let tree = parse_expression(text).unwrap();
        compare(text, &tree, &table, &clock).await.unwrap();
    }
}
