//! Seed row 21: whatever is wrong with data has a name, and the project's report counts it.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Checks, DAY_MS, Project, Reply, Server, ServerOptions, now_ms};

/// How a case is sent.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Track,
    Strict,
}

struct Case {
    name: &'static str,
    by: By,
    body: Vec<u8>,
    /// Places in `totals`, and what they have to say.
    expect: &'static [(&'static str, u64)],
}

fn record(project: &Project, properties: &str) -> String {
    let now = now_ms() / 1000 - 60;
    let token = &project.token;
    format!(
        r#"{{"event":"E","properties":{{"token":"{token}","time":{now},"distinct_id":"u","$insert_id":"i"{properties}}}}}"#
    )
}

fn send(project: &Project, case: &Case) -> RequestBuilder {
    let request = match case.by {
        By::Track => project.anonymous(Method::POST, "/track"),
        By::Strict => project.request(Method::POST, "/import").query(&[("strict", "1")]),
    };
    request.header("content-type", "application/json").body(case.body.clone())
}

async fn report(project: &Project) -> Value {
    project.get("/v1/quality", &[]).await.ok().json()
}

/// Every case of the row, and its named outcome on each route.
fn cases(project: &Project) -> Vec<Case> {
    let case =
        |name, by, properties: String, expect| Case { name, by, body: record(project, &properties).into(), expect };
    let at = |ms: i64| format!(",\"time\":{}", now_ms() + ms);
    let long = "x".repeat(300);
    let keys = |n: usize| (0..n).map(|n| format!("\"k{n}\":1")).collect::<Vec<_>>().join(",");
    let mut broken = record(project, ",\"p\":\"?\"").into_bytes();
    let place = broken.iter().position(|byte| *byte == b'?').expect("it is there");
    broken[place] = 0xff;
    let deep = format!(",\"p\":{}{}", "[".repeat(100_000), "]".repeat(100_000));
    vec![
        case(
            "clock ahead",
            By::Track,
            at(1_800_000),
            &[("/repaired/time_ahead", 1), ("/clock_ahead/up_to_1_hour", 1), ("/stored", 1)],
        ),
        case("clock ahead, strict", By::Strict, at(1_800_000), &[("/clock_ahead/up_to_1_hour", 1), ("/stored", 1)]),
        case("future", By::Track, at(3 * DAY_MS), &[("/repaired/time_ahead", 1), ("/clock_ahead/over_1_day", 1)]),
        case(
            "future, strict",
            By::Strict,
            at(3 * DAY_MS),
            &[("/rejected_by_reason/time_out_of_range", 1), ("/stored", 0)],
        ),
        case("late", By::Strict, at(-20 * DAY_MS), &[("/age_at_arrival/up_to_30_days", 1), ("/stored", 1)]),
        case("too late", By::Track, at(-20 * DAY_MS), &[("/rejected_by_reason/time_too_old", 1), ("/stored", 0)]),
        case("long text", By::Track, format!(",\"p\":\"{long}\""), &[("/repaired/text_cut", 1), ("/stored", 1)]),
        case(
            "long text, strict",
            By::Strict,
            format!(",\"p\":\"{long}\""),
            &[("/repaired/text_cut", 1), ("/stored", 1)],
        ),
        case("long name", By::Track, format!(",\"{long}\":1"), &[("/repaired/name_cut", 1), ("/stored", 1)]),
        Case {
            name: "bad UTF-8",
            by: By::Track,
            body: broken.clone(),
            expect: &[("/requests_refused/invalid_json", 1), ("/received", 0)],
        },
        Case {
            name: "bad UTF-8, strict",
            by: By::Strict,
            body: broken,
            expect: &[("/rejected_by_reason/not_utf8", 1), ("/stored", 0)],
        },
        case(
            "half a surrogate pair",
            By::Track,
            r#","p":"\ud83d""#.into(),
            &[("/repaired/text_mended", 1), ("/stored", 1)],
        ),
        case("nesting", By::Track, ",\"p\":[[[[1]]]]".into(), &[("/repaired/depth_flattened", 1), ("/stored", 1)]),
        case(
            "nesting, strict",
            By::Strict,
            ",\"p\":[[[[1]]]]".into(),
            &[("/rejected_by_reason/too_deep", 1), ("/stored", 0)],
        ),
        case("10^5 levels", By::Track, deep, &[("/requests_refused/invalid_json", 1), ("/received", 0)]),
        case(
            "10,000 keys",
            By::Track,
            format!(",\"p\":{{{}}}", keys(10_000)),
            &[("/repaired/elements_cut", 1), ("/stored", 1)],
        ),
        case(
            "10,000 keys, strict",
            By::Strict,
            format!(",\"p\":{{{}}}", keys(10_000)),
            &[("/rejected_by_reason/too_many_members", 1)],
        ),
        case(
            "10,000 properties",
            By::Track,
            format!(",{}", keys(10_000)),
            &[("/rejected_by_reason/too_many_properties", 1)],
        ),
        case("NaN", By::Track, ",\"p\":NaN".into(), &[("/requests_refused/invalid_json", 1), ("/received", 0)]),
        case(
            "NaN, strict",
            By::Strict,
            ",\"p\":NaN".into(),
            &[("/requests_refused/invalid_json", 1), ("/received", 0)],
        ),
        case(
            "insert id",
            By::Track,
            ",\"$insert_id\":\"a b\"".into(),
            &[("/repaired/insert_id_hashed", 1), ("/stored", 1)],
        ),
        case("denied id", By::Track, ",\"distinct_id\":\"undefined\"".into(), &[("/repaired/distinct_id_denied", 1)]),
        case("ignored", By::Track, ",\"$ignore\":true".into(), &[("/dropped_by_reason/ignored", 1), ("/stored", 0)]),
    ]
}

#[tokio::test]
async fn whatever_is_wrong_with_data_has_a_name_and_is_counted() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("quality").await;
    let mut checks = Checks::default();
    let mut before = report(&project).await;
    checks.equal("nothing yet", before["totals"]["received"].clone(), json!(0));
    let count = |report: &Value, place: &str| report["totals"].pointer(place).and_then(Value::as_u64).unwrap_or(0);
    for case in cases(&project) {
        Reply::of(send(&project, &case)).await;
        let after = report(&project).await;
        for (place, expect) in case.expect {
            let more = count(&after, place) - count(&before, place);
            checks.equal(format!("{}: {place}", case.name), more, *expect);
        }
        let of = |place| count(&after, place);
        let sum = of("/stored") + of("/duplicates") + of("/rejected") + of("/dropped");
        checks.equal(format!("{}: it adds up", case.name), of("/received"), sum);
        before = after;
    }
    server.stop().await;
    checks.finish();
}

#[tokio::test]
async fn the_report_tells_of_copies_and_types_with_samples_and_survives_a_restart() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let (project, other) = (server.create_project("copies").await, server.create_project("other").await);
    let mut checks = Checks::default();
    let event = |id: &str, properties: Value| {
        let mut event =
            json!({"event": "E", "properties": {"time": now_ms() / 1000 - 600, "distinct_id": "u", "$insert_id": id}});
        event["properties"]
            .as_object_mut()
            .expect("an object")
            .extend(properties.as_object().expect("an object").clone());
        event
    };
    let first = event("a", json!({"price": 5, "plan": "pro", "tags": ["x"]}));
    let changed = {
        let mut copy = first.clone();
        copy["properties"]["price"] = json!("5");
        copy
    };
    project.import(&[first.clone()]).await;
    project.import(&[first]).await;
    project.import(&[changed]).await;
    project.import(&[event("b", json!({"price": 5.5, "plan": null, "tags": [1]}))]).await;
    let secret = "canary-7f3a";
    let refused = event("no-such-id!", json!({"password": secret}));
    Reply::of(project.import_request(&[refused])).await;

    let seen = report(&project).await;
    let totals = &seen["totals"];
    for (name, expect) in [("received", 5), ("stored", 3), ("duplicates", 1), ("superseded", 1), ("rejected", 1)] {
        checks.equal(name, totals[name].clone(), json!(expect));
    }
    // Whole numbers and fractions are numbers, an explicit null says nothing, and lists are lists.
    checks.equal("types", seen["type_drift"].clone(), json!([{"property": "price", "types": ["number", "string"]}]));
    let reason = &seen["reasons"][0];
    checks.equal("reason", reason["reason"].clone(), json!("insert_id_characters"));
    checks.equal("records of it", reason["records"].clone(), json!(1));
    checks.equal("first and last", reason["first_seen"].clone(), reason["last_seen"].clone());
    checks.equal("sample", reason["samples"][0]["id"].clone(), json!("no-such-id!"));
    checks.equal("sample's field", reason["samples"][0]["field"].clone(), json!("$insert_id"));
    checks.holds("no values in it", !seen.to_string().contains(secret), &seen);
    checks.equal("one day", seen["days"].as_array().map(Vec::len), Some(1));
    checks.equal("the day has it all", seen["days"][0]["received"].clone(), json!(5));

    checks.equal("another project", report(&other).await["totals"]["received"].clone(), json!(0));
    let foreign = other.get("/v1/quality", &[("project_id", &project.id.to_string())]).await;
    checks.holds(
        "another's report",
        foreign.status != 200 || foreign.json()["project_id"] == json!(other.id),
        foreign.text(),
    );
    checks.equal("nobody's", Reply::of(project.anonymous(Method::GET, "/v1/quality")).await.status, 401);
    checks.equal("days", project.get("/v1/quality", &[("days", "31")]).await.status, 400);

    server.restart().await;
    checks.equal("after a restart", report(&project).await, seen);
    server.stop().await;
    checks.finish();
}
