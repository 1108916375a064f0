//! Segmentation equals the oracle on random data, in every unit and time zone, live, flushed and mixed.

use std::collections::BTreeSet;

use chrono::{Days, NaiveDate};
use chrono_tz::Tz;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::generate::{EVENTS, first_day, last_day, random_events};
use crate::harness::{Project, Server, ServerOptions, seed};
use crate::oracle::{self, Answer, Breakdown, Count, Filter, Question, RawEvent, Unit};

const EVENT_COUNT: usize = 6_000;
const QUESTIONS: usize = 120;

fn number_of(event: &RawEvent, name: &str) -> Option<f64> {
    event.properties.get(name).and_then(Value::as_f64)
}

fn text_of<'a>(event: &'a RawEvent, name: &str) -> Option<&'a str> {
    event.properties.get(name).and_then(Value::as_str)
}

fn has_tag(event: &RawEvent, tag: &Value) -> Option<bool> {
    event.properties.get("tags").and_then(Value::as_array).map(|list| list.contains(tag))
}

/// Segment text of one value (expression-language.md, section 9).
fn segment_text(value: Option<&Value>) -> String {
    match value {
        None => "undefined".into(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => format!("{}", number.as_f64().expect("a double") + 0.0),
        Some(other) => other.to_string(),
    }
}

fn segments(event: &RawEvent, name: &str) -> BTreeSet<String> {
    match event.properties.get(name) {
        Some(Value::Array(list)) if list.is_empty() => BTreeSet::from(["undefined".into()]),
        Some(Value::Array(list)) => list.iter().map(|value| segment_text(Some(value))).collect(),
        Some(Value::Object(map)) => {
            let sorted = map.iter().collect::<std::collections::BTreeMap<_, _>>();
            BTreeSet::from([json!(sorted).to_string()])
        }
        value => BTreeSet::from([segment_text(value)]),
    }
}

fn filters() -> Vec<Filter> {
    let filter = |text: &str, keeps| Filter { text: text.into(), keeps };
    vec![
        filter(r#"properties["plan"] == "pro""#, |e| text_of(e, "plan") == Some("pro")),
        filter(r#"properties["plan"] != "pro""#, |e| text_of(e, "plan") != Some("pro")),
        filter(r#"defined(properties["plan"])"#, |e| e.properties.get("plan").is_some_and(|v| !v.is_null())),
        filter(r#"properties["amount"] > 50"#, |e| number_of(e, "amount").is_some_and(|n| n > 50.0)),
        filter(r#"not (properties["amount"] > 50)"#, |e| !number_of(e, "amount").is_some_and(|n| n > 50.0)),
        filter(r#"properties["amount"] == "5""#, |e| text_of(e, "amount") == Some("5")),
        filter(r#"string(properties["amount"]) == "5""#, |e| {
            number_of(e, "amount") == Some(5.0) || text_of(e, "amount") == Some("5")
        }),
        filter(r#"number(properties["amount"]) <= 1"#, |e| match e.properties.get("amount") {
            Some(Value::Bool(_)) => true,
            Some(Value::String(text)) => text.parse::<f64>().is_ok_and(|n| n <= 1.0),
            _ => number_of(e, "amount").is_some_and(|n| n <= 1.0),
        }),
        filter(r#"properties["amount"] * 2 + 1 >= 21"#, |e| {
            number_of(e, "amount").is_some_and(|n| n * 2.0 + 1.0 >= 21.0)
        }),
        filter(r#""red" in properties["tags"]"#, |e| has_tag(e, &json!("red")) == Some(true)),
        filter(r#"not "red" in properties["tags"]"#, |e| has_tag(e, &json!("red")) != Some(true)),
        filter(r#"properties["country"] in ["DE", "Österreich", 4]"#, |e| {
            matches!(text_of(e, "country"), Some("DE" | "Österreich"))
        }),
        filter(r#""u" in properties["country"]"#, |e| text_of(e, "country").is_some_and(|t| t.contains('u'))),
        filter(r#"properties["flag"] or properties["country"] == "us""#, |e| {
            e.properties.get("flag") == Some(&json!(true)) || text_of(e, "country") == Some("us")
        }),
        filter(r#"properties["nest"]["a"]["k"] == 1"#, |e| {
            e.properties.get("nest").is_some_and(|nest| nest["a"]["k"] == json!(1))
        }),
        filter(r#"properties["$time"] >= datetime("2024-07-01T00:00:00Z")"#, |e| e.time_ms >= 1_719_792_000_000),
        filter("properties[\"time\"] < 1710054000", |e| e.time_ms < 1_710_054_000_000),
    ]
}

fn breakdowns() -> Vec<Breakdown> {
    let on = |text: &str, segments| Breakdown { text: text.into(), segments };
    vec![
        on(r#"properties["plan"]"#, |e| segments(e, "plan")),
        on(r#"properties["amount"]"#, |e| segments(e, "amount")),
        on(r#"properties["tags"]"#, |e| segments(e, "tags")),
        on(r#"properties["flag"]"#, |e| segments(e, "flag")),
        on("country", |e| segments(e, "country")),
        on(r#"properties["nest"]"#, |e| segments(e, "nest")),
        on(r#"properties["amount"] > 50"#, |e| {
            BTreeSet::from([number_of(e, "amount").map_or("undefined".into(), |n| (n > 50.0).to_string())])
        }),
        on(r#"string(properties["plan"], "none")"#, |e| {
            BTreeSet::from([text_of(e, "plan").unwrap_or("none").to_owned()])
        }),
        on(r#"properties["absent"]"#, |_| BTreeSet::from(["undefined".into()])),
    ]
}

fn random_question(rng: &mut ChaCha8Rng, zone: Tz) -> Question {
    let unit = *[Unit::Minute, Unit::Hour, Unit::Day, Unit::Week, Unit::Month].choose(rng).expect("not empty");
    let (from, days) = match unit {
        // The days of the clock changes, where the events crowd.
        Unit::Minute | Unit::Hour => {
            let days = ["2024-03-09", "2024-03-10", "2024-11-02", "2024-11-03", "2024-06-30"];
            (days.choose(rng).expect("not empty").parse().expect("a date"), rng.random_range(0..2))
        }
        _ => {
            let span = (last_day() - first_day()).num_days() as u64;
            (first_day() + Days::new(rng.random_range(0..span)), rng.random_range(0..100))
        }
    };
    let to: NaiveDate = from + Days::new(days);
    Question {
        event: (*EVENTS.choose(rng).expect("not empty")).into(),
        from,
        to,
        unit,
        count: *[Count::General, Count::Unique, Count::Average].choose(rng).expect("not empty"),
        zone,
        filter: rng.random_bool(0.6).then(|| filters().choose(rng).expect("not empty").clone()),
        on: rng.random_bool(0.6).then(|| breakdowns().choose(rng).expect("not empty").clone()),
        limit: if rng.random_bool(0.2) { 2 } else { 1_000 },
    }
}

fn parameters(question: &Question) -> Vec<(&'static str, String)> {
    let mut parameters = vec![
        ("event", question.event.clone()),
        ("from_date", question.from.to_string()),
        ("to_date", question.to.to_string()),
        ("unit", question.unit.name().into()),
        ("type", question.count.name().into()),
        ("limit", question.limit.to_string()),
    ];
    parameters.extend(question.filter.as_ref().map(|filter| ("where", filter.text.clone())));
    parameters.extend(question.on.as_ref().map(|on| ("on", on.text.clone())));
    parameters
}

async fn ask(project: &Project, question: &Question) -> Answer {
    let parameters = parameters(question);
    let borrowed = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>();
    let reply = project.segmentation_reply(&borrowed).await;
    assert_eq!(reply.status, 200, "{parameters:?}\n{}", reply.text());
    Answer::from_reply(&reply.json())
}

fn assert_equal(state: &str, question: &Question, got: &Answer, want: &Answer) {
    let parameters = parameters(question);
    assert_eq!(got.series, want.series, "{state}: series of {parameters:?}");
    let keys = |answer: &Answer| answer.values.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(got), keys(want), "{state}: segments of {parameters:?}");
    for (segment, row) in &want.values {
        let differing = row.iter().filter(|(label, value)| {
            let got = got.values[segment].get(*label).copied();
            got.is_none_or(|got| (got - **value).abs() > 1e-9 * value.abs())
        });
        let differing = differing.map(|(label, value)| (label, got.values[segment].get(label), value));
        let differing = differing.take(5).collect::<Vec<_>>();
        assert!(differing.is_empty(), "{state}: {segment:?} of {parameters:?}: (bucket, got, want) {differing:?}");
    }
}

/// Asks the same questions of the same events in four states of storage; all must equal the oracle.
async fn equals_the_oracle_in_every_state(zone: Tz, seed: u64) {
    let events = random_events(seed, EVENT_COUNT);
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 1);
    let questions = (0..QUESTIONS).map(|_| random_question(&mut rng, zone)).collect::<Vec<_>>();
    let answers = questions.iter().map(|question| oracle::segmentation(&events, question)).collect::<Vec<_>>();
    let telling = answers.iter().filter(|answer| answer.values.values().flat_map(|row| row.values()).any(|v| *v > 0.0));
    assert!(telling.count() > QUESTIONS / 2, "most questions have something to find");
    let check = async |state: &str, project: &Project| {
        for (question, want) in questions.iter().zip(&answers) {
            assert_equal(state, question, &ask(project, question).await, want);
        }
    };
    let sent = events.iter().map(RawEvent::to_json).collect::<Vec<_>>();

    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project_in("seg", zone.name()).await;
    project.import(&sent[..EVENT_COUNT / 2]).await;
    project.import(&sent[EVENT_COUNT / 2..]).await;
    check("live", &project).await;
    server.kill().await;
    server.start_again().await;
    check("recovered", &project).await;
    server.restart().await;
    check("flushed", &project).await;

    let mixed = server.create_project_in("mixed", zone.name()).await;
    mixed.import(&sent[..EVENT_COUNT / 2]).await;
    server.restart().await;
    mixed.import(&sent[EVENT_COUNT / 2..]).await;
    check("mixed", &mixed).await;
    server.stop().await;
}

#[tokio::test]
async fn equals_the_oracle_in_utc() {
    equals_the_oracle_in_every_state(chrono_tz::UTC, seed(21)).await;
}

#[tokio::test]
async fn equals_the_oracle_where_clocks_change_by_an_hour() {
    equals_the_oracle_in_every_state(chrono_tz::America::New_York, seed(22)).await;
}

#[tokio::test]
async fn equals_the_oracle_where_clocks_change_by_half_an_hour() {
    equals_the_oracle_in_every_state(chrono_tz::Australia::Lord_Howe, seed(23)).await;
}

const ROUTES: [&str; 3] = ["/api/query/segmentation", "/api/2.0/segmentation/", "/api/2.0/segmentation"];

/// Q9 and Q16: both prefixes, both forms of the path, GET and the two POST forms.
#[tokio::test]
async fn every_route_and_method_answers_alike() {
    use reqwest::Method;
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("routes").await;
    let noon = 1_704_196_800_000;
    project.import(&[RawEvent::new("A", "u", noon, "i1").with("plan", "pro").to_json()]).await;
    let query =
        [("event", "A"), ("from_date", "2024-01-01"), ("to_date", "2024-01-03"), ("on", r#"properties["plan"]"#)];
    let reference = project.segmentation(&query).await;
    let values = json!({"pro": {"2024-01-01": 0, "2024-01-02": 1, "2024-01-03": 0}});
    assert_eq!(reference["data"]["values"], values, "three dates, zeros included, counts are integers");
    assert!(reference.get("error").is_none(), "a 200 reply has no key `error`: {reference}");
    for route in ROUTES {
        let get = crate::harness::Reply::of(project.request(Method::GET, route).query(&query)).await;
        let form = form_urlencoded(&query);
        let post = project.request(Method::POST, route).header("content-type", "application/x-www-form-urlencoded");
        let post = crate::harness::Reply::of(post.body(form)).await;
        let body = query.iter().copied().collect::<std::collections::BTreeMap<_, _>>();
        let json = crate::harness::Reply::of(project.request(Method::POST, route).json(&body)).await;
        for (form, reply) in [("GET", get), ("POST form", post), ("POST JSON", json)] {
            assert_eq!((reply.status, reply.json()), (200, reference.clone()), "{form} {route}: {}", reply.text());
        }
    }
}

fn form_urlencoded(pairs: &[(&str, &str)]) -> String {
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
}

/// §10.1: the message names the parameter; expressions that cannot be parsed are told as such.
#[tokio::test]
async fn wrong_questions_are_told_what_is_wrong() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("wrong").await;
    let mut checks = crate::harness::Checks::default();
    let good = [("event", "A"), ("from_date", "2024-01-01"), ("to_date", "2024-01-02")];
    for (name, value, words) in [
        ("event", "", "event"),
        ("from_date", "yesterday", "from_date"),
        ("to_date", "2023-12-31", "to_date"),
        ("unit", "fortnight", "unit"),
        ("type", "sum", "type"),
        ("limit", "many", "limit"),
        ("where", "properties[", "expression"),
        ("where", "properties[\"a\"] and 5", "expression"),
        ("on", "properties[5]", "expression"),
    ] {
        let mut query = good.iter().copied().filter(|(known, _)| *known != name).collect::<Vec<_>>();
        query.push((name, value));
        let reply = project.segmentation_reply(&query).await;
        let error = reply.json()["error"].as_str().unwrap_or_default().to_owned();
        checks.equal(format!("{name}={value}: status"), reply.status, 400);
        let named = error.to_lowercase().contains(words) || error.contains(name);
        checks.holds(format!("{name}={value}: the message names it"), named, reply.text());
        checks.equal(format!("{name}={value}: status key"), reply.json()["status"].clone(), json!("error"));
        let echoed = reply.json()["request"].as_str().is_some_and(|text| text.starts_with("/api/query/segmentation?"));
        checks.holds(format!("{name}={value}: request key"), echoed, reply.text());
    }
    let anonymous =
        crate::harness::Reply::of(project.anonymous(reqwest::Method::GET, "/api/query/segmentation").query(&good));
    let anonymous = anonymous.await;
    checks.equal("no credentials: status", anonymous.status, 401);
    checks.equal("no credentials: error", anonymous.json()["error"].clone(), json!("Unable to authenticate request"));
    checks.finish();
}

/// One event whose value cannot stand where a boolean is needed does not fail the report: it does not match, and is told.
#[tokio::test]
async fn stray_values_are_warned_of_and_do_not_match() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("stray").await;
    let noon = 1_704_196_800_000;
    let flagged = |id: &str, flag: Value| RawEvent::new("A", "u", noon, id).with("flag", flag).to_json();
    project.import(&[flagged("1", json!(true)), flagged("2", json!("yes")), flagged("3", json!(false))]).await;
    let query = [("event", "A"), ("from_date", "2024-01-02"), ("to_date", "2024-01-02")];
    let mut asked = query.to_vec();
    asked.push(("where", r#"properties["flag"] and true"#));
    let reply = project.segmentation(&asked).await;
    assert_eq!(reply["data"]["values"], json!({"A": {"2024-01-02": 1}}));
    let warnings = reply["warnings"].to_string();
    assert!(warnings.contains('1'), "the one stray value is counted in `warnings`: {reply}");
    let clean = project.segmentation(&query).await;
    assert_eq!(clean["data"]["values"], json!({"A": {"2024-01-02": 3}}));
}
