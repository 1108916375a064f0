//! `expr('…')` in SQL: every vector as a condition and as a value, and the answers of the reports beside those of SQL.

use serde_json::{Value, json};

use super::ingested::{Vector, kept, segments};
use crate::harness::{Checks, Project, Server, ServerOptions};
use crate::oracle::RawEvent;

/// A text as SQL writes it.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether a value of SQL is one of the language. Undefined and null are NULL; a value of a property that was sent with
/// several types is text.
fn alike(found: &Value, want: &Value, timezone: &str) -> bool {
    match (found, want) {
        (Value::Null, Value::Null) => true,
        (Value::Null, Value::Object(members)) => members.contains_key("$undefined"),
        (Value::Number(found), Value::Number(want)) => {
            let (found, want) = (found.as_f64().unwrap_or(f64::NAN), want.as_f64().unwrap_or(f64::NAN));
            (found - want).abs() <= 1e-9 * want.abs()
        }
        (Value::Array(found), Value::Array(want)) => {
            found.len() == want.len() && found.iter().zip(want).all(|(found, want)| alike(found, want, timezone))
        }
        (Value::String(found), Value::Array(_)) => {
            serde_json::from_str(found).is_ok_and(|found: Value| alike(&found, want, timezone))
        }
        (Value::String(found), Value::Object(members)) => match members.get("$datetime").and_then(Value::as_str) {
            Some(utc) => {
                let at = |text: &str| chrono::DateTime::parse_from_rfc3339(text).ok();
                at(utc) == at(found) || [found.clone()] == *segments(want, timezone)
            }
            None => {
                serde_json::from_str(found).is_ok_and(|found: Value| found.is_object() && alike(&found, want, timezone))
            }
        },
        (Value::Object(found), Value::Object(want)) => {
            found.len() == want.len()
                && want.iter().all(|(key, want)| found.get(key).is_some_and(|found| alike(found, want, timezone)))
        }
        (found, want) if found == want => true,
        (Value::String(text), want) => {
            let number = || Some((text.parse::<f64>().ok()?, want.as_f64()?));
            [text.clone()] == *segments(want, timezone)
                || number().is_some_and(|(found, want)| (found - want).abs() <= 1e-9 * want.abs())
        }
        _ => false,
    }
}

/// What is wrong with SQL's answers about a vector; nothing if they are right.
pub async fn wrong(project: &Project, vector: &Vector) -> Vec<String> {
    // Which second a statement calls the present one is told by `where` and `on` already.
    if vector.present {
        return Vec::new();
    }
    let event = quoted(&vector.event());
    let call = format!("expr({})", quoted(&vector.expr));
    let condition = project.sql_reply(&format!("SELECT count(*) FROM events WHERE event = {event} AND {call}")).await;
    let value = project.sql_reply(&format!("SELECT {call} AS v FROM events WHERE event = {event}")).await;
    let reads = vector.reads();
    let code = |body: &Value| body["error"]["code"].as_str().map(str::to_owned);
    let mut wrong = Vec::new();
    let mut check = |role: &str, reply: &crate::harness::Reply, right: bool| {
        if !right {
            let Vector { number, expr, expect, .. } = vector;
            wrong.push(format!("vector {number} as SQL {role}: {expr} is {expect:?}, got {}", reply.text()));
        }
    };
    let count = condition.json()["rows"][0][0].as_u64();
    let refused = |reply: &crate::harness::Reply, error: &str| {
        let body = reply.json();
        reply.status == 400 && code(&body).as_deref() == Some(error) && body["error"]["span"].is_array()
    };
    let right = match &vector.expect {
        Err(error) if error == "type" && reads => count == Some(0),
        Err(error) => refused(&condition, error),
        Ok(value) => match kept(value) {
            Some(kept) => count == Some(kept),
            None => count == Some(0) || refused(&condition, "type"),
        },
    };
    check("condition", &condition, right);
    let found = value.json()["rows"][0][0].clone();
    let right = match &vector.expect {
        Err(error) if error == "type" && reads => value.status == 200 && found.is_null(),
        Err(error) => refused(&value, error),
        Ok(want) => value.status == 200 && alike(&found, want, &vector.timezone),
    };
    check("value", &value, right);
    wrong
}

const DAY: &str = "2024-01-02";
const NOON: i64 = 1_704_196_800_000;

fn event(n: i64) -> RawEvent {
    let event =
        RawEvent::new(["Buy", "See"][n as usize % 2], &format!("u{}", n % 7), NOON + n * 1000, &format!("e{n}"));
    let items: Vec<Value> = (0..n % 4).map(|i| json!({"price": (n + i) % 6, "sku": format!("s{i}")})).collect();
    let event = event.with("a", n).with("country", ["NL", "DE", "AT"][n as usize % 3]).with("items", json!(items));
    let event = event.with("flag", if n % 5 == 0 { json!("yes") } else { json!(n % 2 == 0) });
    match n % 4 {
        0 => event,
        1 => event.with("odd", n as f64 / 2.0),
        2 => event.with("odd", format!("t{n}")),
        _ => event.with("odd", Value::Null),
    }
}

/// Each is taken by both roles.
const EXPRESSIONS: [&str; 10] = [
    r#"properties["country"] == "NL" and any(x["price"] > 3 for x in properties["items"])"#,
    r#"properties["a"] % 3 == 1"#,
    r#"properties["odd"] > 3"#,
    r#"not (properties["odd"] > 3)"#,
    r#"defined(properties["odd"])"#,
    r#"properties["country"] in ["NL", "AT"] and properties["a"] <= 40"#,
    r#"properties["flag"] and properties["a"] > 3"#,
    r#"properties["absent"] != "x""#,
    r#"hour(properties["$time"]) == 13 and properties["$event_name"] == "Buy""#,
    r#"all(x["price"] < 5 for x in properties["items"])"#,
];

#[tokio::test]
async fn sql_answers_like_segmentation_and_like_each_event_by_itself() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project_in("both", "Europe/Vienna").await;
    let events: Vec<RawEvent> = (0..60).map(event).collect();
    project.import(&events.iter().map(RawEvent::to_json).collect::<Vec<_>>()).await;
    for state in ["live", "flushed"] {
        let mut checks = Checks::default();
        for expr in EXPRESSIONS {
            let call = format!("expr({})", quoted(expr));
            let ask = async |parameter: &str| {
                let query = [("event", "Buy"), ("from_date", DAY), ("to_date", DAY), (parameter, expr)];
                project.segmentation_reply(&query).await
            };
            let counted = ask("where").await.ok();
            let sql = format!("SELECT count(*) FROM events WHERE event = 'Buy' AND {call}");
            let kept = project.sql(&sql).await;
            checks.equal(
                format!("{state}: where {expr}"),
                &json!(kept.int()),
                &counted.json()["data"]["values"]["Buy"][DAY],
            );
            let grouped = format!(
                "SELECT coalesce(CAST({call} AS VARCHAR), 'undefined'), count(*) FROM events WHERE event = 'Buy' GROUP BY {call}"
            );
            let counted = ask("on").await.ok().json();
            for row in project.sql(&grouped).await.rows {
                let key = row[0].as_str().unwrap_or_default().to_owned();
                checks.equal(format!("{state}: on {expr}: {key}"), &row[1], &counted["data"]["values"][&key][DAY]);
            }
        }
        checks.finish();
        server.restart().await;
    }
    // One by one: what the evaluator says of each event.
    let mut checks = Checks::default();
    for expr in [EXPRESSIONS[0], EXPRESSIONS[2], EXPRESSIONS[5]] {
        let mut want = Vec::new();
        for (n, event) in events.iter().enumerate() {
            let properties = event.to_json()["properties"].clone();
            let reply = project.evaluate(&json!({"expr": expr, "properties": properties})).await.ok().json();
            if reply["value"] == json!(true) {
                want.push(vec![json!(n)]);
            }
        }
        let found = project.sql(&format!("SELECT a FROM events WHERE expr({}) ORDER BY a", quoted(expr))).await;
        checks.holds(expr, !want.is_empty(), "no event");
        checks.equal(expr, found.rows, want);
    }
    checks.finish();
    // And by the command line, with no server.
    server.stop().await;
    let query = r#"SELECT expr('properties["a"] + 1') AS v, count(*) AS c FROM events WHERE expr('properties["country"] == "NL"') GROUP BY 1 ORDER BY 1 LIMIT 2"#;
    let printed = server.cli(&["sql", "--project", "both", query, "--format", "csv"]).await.succeeded().stdout;
    assert_eq!(printed.replace("\r\n", "\n"), "v,c\n1.0,1\n4.0,1\n");
}
