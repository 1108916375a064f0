//! `expr('…')` wherever a statement may hold it, against the same question in plain SQL or put by hand.

use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use chrono_tz::Tz;
use footfall_model::{Event, Value};
use futures::TryStreamExt;
use serde_json::json;

use crate::compile::Clock;
use crate::error::QueryError;
use crate::fixture::Fixture;
use crate::sql::{properties_in, run};

const DAY: i64 = 86_400_000;
const START: i64 = 19_700 * DAY;
const VIENNA: Clock = Clock { now: 1_700_000_000, timezone: Tz::Europe__Vienna };

/// Of several types under one name where people send such.
fn event(i: i64) -> Event {
    let mixed = match i % 5 {
        0 => json!(i),
        1 => json!(i as f64 / 2.0),
        2 => json!(format!("t{i}")),
        3 => json!(i % 2 == 0),
        _ => json!(null),
    };
    let properties = json!({
        "n": i,
        "half": i as f64 / 2.0,
        "plan": (["free", "pro", "team"][i as usize % 3]),
        "flag": if i % 7 == 0 { json!("yes") } else { json!(i % 2 == 0) },
        "mixed": mixed,
        "tags": if i % 4 == 0 { json!(["a", "b"]) } else { json!(["c"]) },
        "items": [{"price": i % 6, "sku": format!("s{i}")}, {"price": i % 4}],
        "user_id": format!("shadow {}", i % 2),
    });
    let serde_json::Value::Object(members) = properties else { unreachable!() };
    Event {
        name: ["Play", "Stop"][i as usize % 2].to_owned(),
        distinct_id: format!("u{}", i % 37),
        time: START + (i % 5) * DAY + i * 1000 + 123,
        insert_id: format!("e-{i:04}"),
        insert_id_generated: false,
        properties: members.into_iter().map(|(key, value)| (key, Value::from(value))).collect(),
    }
}

struct Shop(Fixture);

impl Shop {
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        fixture.append((0..200).map(event).collect()).await;
        Self(fixture)
    }

    async fn answer(&self, query: &str) -> Result<String, QueryError> {
        let snapshot = Arc::new(self.0.store.snapshot().unwrap());
        let context = self.0.sessions.sql_context(&snapshot, properties_in(query), &VIENNA)?;
        let batches: Vec<_> = run(&context, query, &[]).await?.try_collect().await?;
        let mut lines: Vec<String> =
            pretty_format_batches(&batches).unwrap().to_string().lines().map(str::to_owned).collect();
        lines.retain(|line| !line.starts_with("+-"));
        // Of rows in order the first few tell the order.
        if !query.starts_with("EXPLAIN") {
            lines.sort();
        }
        let words = |line: String| line.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(lines.into_iter().map(words).collect::<Vec<_>>().join("\n"))
    }

    async fn same(&self, query: &str, plain: &str) {
        let (got, want) = (self.answer(query).await, self.answer(plain).await);
        let got = got.unwrap_or_else(|e| panic!("{query}: {e}"));
        let want = want.unwrap_or_else(|e| panic!("{plain}: {e}"));
        assert!(want.lines().count() > 1, "{plain} has no rows");
        assert_eq!(got, want, "{query}");
    }
}

/// Each as a statement with `expr`, and without.
const PLACES: [(&str, &str); 25] = [
    (
        r#"SELECT insert_id FROM events WHERE expr('properties["n"] > 190')"#,
        "SELECT insert_id FROM events WHERE n > 190",
    ),
    (r#"SELECT expr('properties["n"] + 1') AS v FROM events"#, "SELECT CAST(n AS DOUBLE) + 1 AS v FROM events"),
    // The condition stands beside SQL's own, on the same property too.
    (
        r#"SELECT n FROM events WHERE n < 60 AND NOT (expr('properties["n"] > 50') OR plan = 'pro')"#,
        "SELECT n FROM events WHERE n <= 50 AND plan <> 'pro'",
    ),
    (
        r#"SELECT expr('properties["plan"]') AS p, count(*) AS c FROM events GROUP BY expr('properties["plan"]')"#,
        "SELECT plan AS p, count(*) AS c FROM events GROUP BY 1",
    ),
    (
        r#"SELECT expr('properties["n"] % 3') AS p, count(*) AS c FROM events GROUP BY 1 ORDER BY 1"#,
        "SELECT CAST(n % 3 AS DOUBLE) AS p, count(*) AS c FROM events GROUP BY 1 ORDER BY 1",
    ),
    (
        r#"SELECT sum(expr('properties["n"] * 2')) AS s, count(*) FILTER (WHERE expr('properties["n"] < 5')) AS f FROM events"#,
        "SELECT CAST(sum(n * 2) AS DOUBLE) AS s, count(*) FILTER (WHERE n < 5) AS f FROM events",
    ),
    (
        r#"SELECT plan, count(DISTINCT user_id) AS u FROM events GROUP BY plan HAVING max(expr('properties["half"]')) > 99"#,
        "SELECT plan, count(DISTINCT user_id) AS u FROM events GROUP BY plan HAVING max(half) > 99",
    ),
    (
        r#"SELECT expr('properties["n"] > 99') AS big, count(*) AS c FROM events GROUP BY 1 HAVING expr('properties["n"] > 99')"#,
        "SELECT n > 99 AS big, count(*) AS c FROM events WHERE n > 99 GROUP BY 1",
    ),
    (
        r#"SELECT insert_id FROM events ORDER BY expr('-properties["n"]') LIMIT 3"#,
        "SELECT insert_id FROM events ORDER BY n DESC LIMIT 3",
    ),
    (
        r#"SELECT expr('properties["n"]') AS v FROM events ORDER BY expr('properties["plan"]'), expr('properties["n"]') LIMIT 4"#,
        "SELECT n AS v FROM events ORDER BY plan, n LIMIT 4",
    ),
    // Through aliases, inner queries and CTEs, though these show nothing of the property, or another thing under its name.
    (r#"SELECT e.event FROM events e WHERE expr('properties["n"] == 7')"#, "SELECT event FROM events WHERE n = 7"),
    (
        r#"SELECT count(*) AS c, min(n) AS m FROM (SELECT event, -n AS n FROM events WHERE n > 3) x WHERE expr('properties["n"] < 9')"#,
        "SELECT count(*) AS c, min(-n) AS m FROM events WHERE n > 3 AND n < 9",
    ),
    (
        r#"WITH x AS (SELECT event, time FROM events WHERE expr('properties["plan"] == "pro"') ORDER BY time LIMIT 40)
           SELECT event, expr('properties["mixed"]') AS m FROM x AS y WHERE expr('properties["n"] > 20')"#,
        "WITH x AS (SELECT * FROM events WHERE plan = 'pro' ORDER BY time LIMIT 40) SELECT event, mixed AS m FROM x WHERE n > 20",
    ),
    (
        r#"WITH x AS (SELECT expr('properties["n"] % 2') AS odd FROM events) SELECT a.odd, count(*) AS c FROM x a JOIN x b ON a.odd = b.odd GROUP BY 1"#,
        "SELECT CAST(n AS DOUBLE) AS odd, c FROM (VALUES (0, 10000), (1, 10000)) AS t(n, c)",
    ),
    (
        r#"SELECT count(*) AS c FROM events WHERE n IN (SELECT max(n) FROM events WHERE expr('properties["plan"] == "pro"'))"#,
        "SELECT 1 AS c",
    ),
    (
        r#"SELECT t.label, count(*) AS c FROM events e JOIN (VALUES ('pro', 'paid'), ('team', 'paid')) AS t(plan, label)
           ON expr('properties["plan"]') = t.plan WHERE expr('properties["n"] < 100') GROUP BY 1"#,
        "SELECT 'paid' AS label, count(*) AS c FROM events WHERE plan IN ('pro', 'team') AND n < 100",
    ),
    (
        r#"SELECT count(*) AS c FROM (VALUES ('pro'), ('none')) AS t(plan) LEFT JOIN events e ON t.plan = e.plan AND expr('properties["n"] > 190')"#,
        "SELECT count(*) + 1 AS c FROM events WHERE plan = 'pro' AND n > 190",
    ),
    (
        r#"SELECT count(*) AS c FROM events e LEFT SEMI JOIN (SELECT n FROM events WHERE expr('properties["n"] < 5')) s ON e.n = s.n WHERE expr('properties["plan"] != "pro"')"#,
        "SELECT count(*) AS c FROM events WHERE n < 5 AND plan <> 'pro'",
    ),
    (
        r#"SELECT n, row_number() OVER (PARTITION BY expr('properties["plan"]') ORDER BY expr('properties["n"]')) AS r FROM events"#,
        "SELECT n, row_number() OVER (PARTITION BY plan ORDER BY n) AS r FROM events",
    ),
    (
        r#"SELECT CASE WHEN expr('properties["n"] < 100') THEN 'low' ELSE 'high' END AS c, count(*) AS k FROM events GROUP BY 1"#,
        "SELECT CASE WHEN n < 100 THEN 'low' ELSE 'high' END AS c, count(*) AS k FROM events GROUP BY 1",
    ),
    (
        r#"SELECT expr('properties["plan"]') AS p, event, count(*) AS c FROM events GROUP BY ROLLUP(expr('properties["plan"]'), event)"#,
        "SELECT plan AS p, event, count(*) AS c FROM events GROUP BY ROLLUP(plan, event)",
    ),
    (
        r#"SELECT DISTINCT expr('properties["n"] > 100') AS big FROM events WHERE expr('any(x["price"] == 5 for x in properties["items"])')"#,
        "SELECT DISTINCT n > 100 AS big FROM events WHERE n % 6 = 5",
    ),
    (
        r#"SELECT unnest(tags) AS tag, expr('properties["n"]') AS n FROM events WHERE expr('"a" in properties["tags"]')"#,
        "SELECT unnest(tags) AS tag, n FROM events WHERE n % 4 = 0",
    ),
    (
        r#"SELECT tag, count(*) AS c FROM (SELECT unnest(tags) AS tag FROM events) t WHERE expr('properties["n"] < 50') GROUP BY 1"#,
        "SELECT tag, count(*) AS c FROM (SELECT unnest(tags) AS tag FROM events WHERE n < 50) t GROUP BY 1",
    ),
    (r#"SELECT EXPR('1 + 1') AS two, expr($$"a" + 'b'$$) AS ab"#, "SELECT 2.0 AS two, 'ab' AS ab"),
];

#[tokio::test(flavor = "multi_thread")]
async fn it_stands_wherever_a_row_of_events_is_in_reach() {
    let shop = Shop::new().await;
    for state in ["live", "flushed"] {
        for (query, plain) in PLACES {
            println!("{state}: {query}");
            shop.same(query, plain).await;
            shop.answer(&format!("EXPLAIN {query}")).await.unwrap();
        }
        shop.0.store.flush().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_property_is_its_column_whichever_way_it_is_named() {
    let shop = Shop::new().await;
    for state in ["live", "flushed"] {
        for (property, column) in [
            ("n", "n"),
            ("half", "half"),
            ("plan", "plan"),
            ("flag", "flag"),
            ("mixed", "mixed"),
            ("tags", "tags"),
            ("items", "items"),
            ("user_id", r#""properties.user_id""#),
        ] {
            let expr = format!("expr('properties[\"{property}\"]')");
            let query = format!("SELECT insert_id, {expr} AS a, arrow_typeof({expr}) AS t, {column} AS b FROM events");
            let plain =
                format!("SELECT insert_id, {column} AS a, arrow_typeof({column}) AS t, {column} AS b FROM events");
            shop.same(&query, &plain).await;
            let differ = format!("SELECT count(*) AS differ FROM events WHERE {expr} IS DISTINCT FROM {column}");
            shop.same(&differ, "SELECT 0 AS differ").await;
            println!("{state}: {property}");
        }
        shop.0.store.flush().await.unwrap();
    }
}

#[tokio::test]
async fn a_value_has_the_type_that_it_always_has_or_else_is_text() {
    let shop = Shop::new().await;
    let of_event = async |number: i64, text: &str| {
        let text = text.replace('\'', "''");
        let query =
            format!("SELECT arrow_typeof(expr('{text}')) AS t, expr('{text}') AS v FROM events WHERE n = {number}");
        shop.answer(&query).await.unwrap().lines().find(|line| *line != "| t | v |").unwrap().to_owned()
    };
    let time = r#"Timestamp(ms, "UTC")"#;
    for (number, text, kind, value) in [
        (7, r#"properties["n"] > 5"#, "Boolean", "true"),
        (7, r#"properties["plan"] > 5"#, "Boolean", ""),
        (7, r#"not (properties["plan"] > 5)"#, "Boolean", "true"),
        (7, r#"properties["n"] * 1.5"#, "Float64", "10.5"),
        (7, r#"properties["nothing"] * 2"#, "Float64", ""),
        (7, r#"properties["nothing"]"#, "Utf8", ""),
        (7, r#"let(x, properties["n"], x)"#, "Int64", "7"),
        (7, r#"properties["time"]"#, "Int64", &(START / 1000 + 2 * 86_400 + 7).to_string()),
        (7, r#"upper(properties["plan"])"#, "Utf8", "PRO"),
        (7, r#"properties["items"][0]["sku"]"#, "Utf8", "s7"),
        (7, r#"properties["items"][0]["price"] + 1"#, "Float64", "2.0"),
        (7, r#"properties["items"][0]["price"]"#, "Utf8", "1"),
        (7, r#"properties["items"][0]"#, "Utf8", r#"{"price":1,"sku":"s7"}"#),
        (7, r#"map(x, properties["items"], x["price"] * 2)"#, "Utf8", "[2,6]"),
        (7, r#"split(properties["plan"], "r")"#, "Utf8", r#"["p","o"]"#),
        (7, r#"properties["$event_name"]"#, "Utf8", "Stop"),
        (7, r#"properties["$time"]"#, time, "2023-12-11T00:00:07Z"),
        (7, r#"datetime("2024-06-01")"#, time, "2024-05-31T22:00:00Z"),
        (7, r#"hour(properties["$time"])"#, "Float64", "1.0"),
        (7, r#"string(properties["$time"])"#, "Utf8", "2023-12-11T01:00:07"),
        (7, r#"user["plan"] == undefined"#, "Boolean", "true"),
        (7, r#"if(properties["n"] > 5, "big", properties["n"])"#, "Utf8", "big"),
        (3, r#"if(properties["n"] > 5, "big", properties["n"])"#, "Utf8", "3"),
        (4, r#"let(m, properties["mixed"], m)"#, "Utf8", ""),
        (5, r#"let(m, properties["mixed"], m)"#, "Utf8", "5"),
        (6, r#"let(m, properties["mixed"], m)"#, "Utf8", "3"),
        (8, r#"let(m, properties["mixed"], m)"#, "Utf8", "true"),
        // A type error is NULL too.
        (7, r#"properties["flag"] and true"#, "Boolean", ""),
        (8, r#"properties["flag"] and true"#, "Boolean", "true"),
        (7, r#"string(if(properties["flag"], 1, 2))"#, "Utf8", ""),
    ] {
        let line = of_event(number, text).await;
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(line, words(&format!("| {kind} | {value} |")), "{text} of {number}");
    }
}

/// As the `where` of a report takes it: true or dropped, whatever else the property may be.
#[tokio::test]
async fn a_condition_is_true_or_drops_the_row() {
    let shop = Shop::new().await;
    for (query, plain) in [
        (
            r#"SELECT n FROM events WHERE expr('properties["flag"]')"#,
            "SELECT n FROM events WHERE n % 2 = 0 AND n % 7 <> 0",
        ),
        (
            r#"SELECT n FROM events WHERE expr('properties["flag"] or properties["n"] < 50')"#,
            "SELECT n FROM events WHERE n % 7 <> 0 AND (n % 2 = 0 OR n < 50)",
        ),
        // In SQL, NOT of what is undefined or an error is neither true.
        (
            r#"SELECT n FROM events WHERE NOT expr('properties["flag"]')"#,
            "SELECT n FROM events WHERE n % 2 = 1 AND n % 7 <> 0",
        ),
        (
            r#"SELECT n FROM events WHERE expr('properties["flag"]') IS NOT TRUE"#,
            "SELECT n FROM events WHERE n % 2 = 1 OR n % 7 = 0",
        ),
        (
            r#"SELECT n FROM events WHERE expr('not (properties["plan"] > 5)') AND expr('properties["nothing"] != 1') AND n < 9"#,
            "SELECT n FROM events WHERE n < 9",
        ),
    ] {
        shop.same(query, plain).await;
    }
}

#[tokio::test]
async fn mistakes_are_told_with_their_place() {
    let shop = Shop::new().await;
    for (query, kind, span, message) in [
        ("SELECT expr('1 +') FROM events", "parse", 3..3, "expr=1 +"),
        (r#"SELECT 1 FROM events WHERE event = 'x' AND expr('flor(1) == 1')"#, "parse", 0..4, "`floor`"),
        (r#"SELECT sum(expr('properties[5]')) FROM events"#, "parse", 11..12, "offset=11"),
        (r#"SELECT expr('true and 5') FROM events"#, "type", 9..10, "offset=9"),
        ("SELECT 1 FROM events WHERE expr('5')", "type", 0..1, "a filter must be boolean"),
        ("EXPLAIN SELECT expr('') FROM events", "parse", 0..0, ""),
        (r#"SELECT expr(properties["a"]) FROM events"#, "sql", 0..0, "between single quotes"),
        (r#"SELECT expr("properties['a']") FROM events"#, "sql", 0..0, "between single quotes"),
        ("SELECT expr(event) FROM events", "sql", 0..0, "between single quotes"),
        ("SELECT expr('1', '2') FROM events", "sql", 0..0, "between single quotes"),
        ("SELECT expr() FROM events", "sql", 0..0, "between single quotes"),
        ("SELECT expr($1) FROM events", "sql", 0..0, "between single quotes"),
        (r#"SELECT expr('properties["n"]')"#, "sql", 0..0, "no"),
        (r#"SELECT event, expr('properties["n"]') FROM events GROUP BY event"#, "sql", 0..0, "GROUP BY"),
        (r#"SELECT expr('properties["n"]') FROM rejected_events"#, "sql", 0..0, "inner query"),
        (r#"SELECT expr('properties["n"]') FROM events a JOIN events b ON a.n = b.n"#, "sql", 0..0, "several"),
        (
            r#"SELECT expr('properties["n"]') FROM (SELECT n FROM events UNION ALL SELECT n FROM events) x"#,
            "sql",
            0..0,
            "inner query",
        ),
        (r#"SELECT DISTINCT event FROM events ORDER BY expr('properties["n"]')"#, "sql", 0..0, ""),
    ] {
        let error = shop.answer(query).await.err().unwrap_or_else(|| panic!("{query} was taken"));
        let told = match &error {
            QueryError::Parse { field: "query", span, .. } => ("parse", span.clone()),
            QueryError::Type { field: "query", span, .. } => ("type", span.clone()),
            QueryError::Statement { .. } => ("sql", 0..0),
            other => panic!("{query}: {other:?}"),
        };
        assert_eq!(told, (kind, span), "{query}: {error}");
        assert!(error.to_string().contains(message), "{query}: {error}");
    }
}

/// What is not named is not read, and what is named is read once.
#[tokio::test]
async fn the_scan_has_each_named_column_once() {
    let shop = Shop::new().await;
    shop.0.store.flush().await.unwrap();
    let columns = async |query: &str| {
        let plan = shop.answer(&format!("EXPLAIN {query}")).await.unwrap();
        let (_, rest) = plan.split_once("columns=[").unwrap_or_else(|| panic!("{plan}"));
        let (columns, after) = rest.split_once(']').unwrap();
        assert!(!after.contains("columns=["), "one scan: {plan}");
        let mut columns: Vec<&str> = columns.split(", ").collect();
        columns.sort_unstable();
        columns.join(", ")
    };
    let ten = |one: &str, op: &str| vec![one; 10].join(op);
    for (query, expect) in [
        (format!("SELECT count(*) FROM events WHERE expr('{}')", ten(r#"properties["n"] != 3"#, " and ")), "n"),
        (format!("SELECT sum(n) FROM events WHERE expr('{} > 3')", ten(r#"properties["n"]"#, " + ")), "n"),
        (format!("SELECT expr('{}') AS v FROM events", ten(r#"properties["plan"]"#, " + ")), "plan"),
        (
            format!("SELECT count(*) FROM events WHERE expr('{}')", ten(r#"properties["items"][0]["price"] != 9"#, " and ")),
            "items",
        ),
        (
            r#"SELECT max(half) FROM events WHERE n < 5 AND expr('properties["n"] > 3') AND expr('properties["half"] > 1')"#
                .to_owned(),
            "half, n",
        ),
        (r#"SELECT expr('properties["$event_name"] + "!"') AS v, count(*) FROM events GROUP BY 1"#.to_owned(), "event"),
    ] {
        assert_eq!(columns(&query).await, expect, "{query}");
    }
}
