//! The conformance vectors of `shared/reference/expression-language.md` §11, kept beside this file.

use chrono_tz::Tz;
use footfall_eval::{Clock, EvalValue, Map, Record, evaluate, parse_datetime};
use footfall_lang::parse_expression;
use footfall_model::Value;
use serde_json::Value as Json;

const VECTORS: &str = include_str!("expression-vectors.jsonl");

#[test]
fn every_vector_holds() {
    let vectors: Vec<Json> = VECTORS.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(vectors.len(), 348);
    let failures: Vec<String> = vectors.iter().enumerate().filter_map(|(i, vector)| failure(i + 1, vector)).collect();
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), vectors.len(), failures.join("\n"));
}

fn failure(number: usize, vector: &Json) -> Option<String> {
    let found = outcome(vector);
    let held = match (&vector["error"], &found) {
        (Json::Null, Ok(value)) => is(value, &vector["expect"]),
        (Json::String(expect), Err(kind)) => expect == kind,
        _ => false,
    };
    (!held).then(|| format!("#{number} {vector}: found {found:?}"))
}

/// The value, or `parse` or `type`.
fn outcome(vector: &Json) -> Result<EvalValue, &'static str> {
    let tree = parse_expression(vector["expr"].as_str().unwrap()).map_err(|_| "parse")?;
    let (properties, user, behaviors) = (map(&vector["properties"]), map(&vector["user"]), map(&vector["behaviors"]));
    let record = Record { properties: &properties, event: &properties, user: &user, behaviors: &behaviors };
    let clock = Clock {
        now: vector["now"].as_i64().unwrap_or(1_700_000_000),
        timezone: vector["tz"].as_str().map_or(Tz::UTC, |name| name.parse().unwrap()),
    };
    evaluate(&tree, &record, &clock).map_err(|_| "type")
}

fn map(json: &Json) -> Map {
    match EvalValue::from(&Value::from(json.clone())) {
        EvalValue::Map(map) => map,
        _ => Map::from_iter([]),
    }
}

fn is(value: &EvalValue, expect: &Json) -> bool {
    match (value, expect) {
        (EvalValue::Undefined, Json::Object(object)) => object.contains_key("$undefined"),
        (EvalValue::Datetime(seconds), Json::Object(object)) => {
            object["$datetime"].as_str().and_then(|text| parse_datetime(text, None)) == Some(*seconds)
        }
        (EvalValue::Null, Json::Null) => true,
        (EvalValue::Bool(found), Json::Bool(expect)) => found == expect,
        (EvalValue::Number(found), Json::Number(expect)) => {
            let expect = expect.as_f64().unwrap();
            (found - expect).abs() <= 1e-9 * expect.abs()
        }
        (EvalValue::Text(found), Json::String(expect)) => **found == **expect,
        (EvalValue::List(found), Json::Array(expect)) => {
            found.len() == expect.len() && found.iter().zip(expect).all(|(found, expect)| is(found, expect))
        }
        _ => false,
    }
}
