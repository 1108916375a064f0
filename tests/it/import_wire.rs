//! Golden checks I19–I34 of `mixpanel-http-api.md` §13.1: credentials, strictness, forms, times and copies of `/import`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Checks, Project, Reply, Server, ServerOptions, now_ms, today_utc};

const INSTANT: i64 = 1_700_000_000;
const DAY: &str = "2023-11-14";

fn order(insert_id: &str) -> Value {
    json!({"event": "Order", "properties": {"time": INSTANT, "distinct_id": "u1", "$insert_id": insert_id, "amount": 5.0}})
}

fn with(mut event: Value, name: &str, value: Value) -> Value {
    event["properties"][name] = value;
    event
}

fn without(mut event: Value, name: &str) -> Value {
    event["properties"].as_object_mut().expect("an object").remove(name);
    event
}

fn authorized(project: &Project, query: &str, authorization: &str) -> RequestBuilder {
    project.anonymous(Method::POST, &format!("/import?strict=1{query}")).header("authorization", authorization)
}

async fn stored(project: &Project, name: &str) -> Vec<Value> {
    let rows = project.export(DAY, DAY, &[]).await;
    rows.into_iter().filter(|row| row["event"] == name).collect()
}

#[tokio::test]
async fn i19_to_i21_strict_import_reports_each_record() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("strict").await;
    let mut checks = Checks::default();
    let send = async |events: Value| Reply::of(project.import_request(events.as_array().expect("a list"))).await;

    let good = send(json!([order("a-1"), order("a-2")])).await;
    checks.equal("I19: status", good.status, 200);
    checks.equal("I19: body", good.json(), json!({"code": 200, "num_records_imported": 2, "status": "OK"}));

    let bad = send(json!([with(order("b-1"), "time", json!("x")), order("b-2")])).await;
    let body = bad.json();
    checks.equal("I20: status", bad.status, 400);
    checks.equal(
        "I20: code, status",
        (body["code"].clone(), body["status"].clone()),
        (json!(400), json!("Bad Request")),
    );
    checks.equal("I20: error", body["error"].clone(), json!("some data points in the request failed validation"));
    checks.equal("I20: the good one counts", body["num_records_imported"].clone(), json!(1));
    let failed = &body["failed_records"];
    checks.equal("I20: one failed", failed.as_array().map(Vec::len), Some(1));
    checks.equal("I20: its index", failed[0]["index"].clone(), json!(0));
    checks.equal("I20: its field", failed[0]["field"].clone(), json!("properties.time"));
    let message = "'properties.time' is invalid: must be specified as seconds since epoch";
    checks.equal("I20: its message", failed[0]["message"].clone(), json!(message));
    checks.equal(
        "I20: both keys",
        (failed[0]["insert_id"].clone(), failed[0]["$insert_id"].clone()),
        (json!("b-1"), json!("b-1")),
    );

    let deny = "'properties.distinct_id' is invalid: value is not allowed";
    let characters = "'$insert_id' is invalid: must only contain alphanumeric or hyphen '-' characters";
    let range = "'properties.time' is invalid: must be between 1971-01-01 and one hour from now";
    for (id, event, field, message) in [
        ("I21", order("a_b"), "$insert_id", characters),
        (
            "no $insert_id",
            without(order("x"), "$insert_id"),
            "$insert_id",
            "'$insert_id' is invalid: must not be missing or blank",
        ),
        ("37 bytes", order(&"x".repeat(37)), "$insert_id", "'$insert_id' is invalid: must not exceed 36 bytes"),
        ("no name", without_name(order("c-1")), "event", "'event' must not be missing or blank"),
        ("no time", without(order("c-2"), "time"), "properties.time", message),
        ("1970", with(order("c-3"), "time", json!(86_400)), "properties.time", range),
        ("tomorrow", with(order("c-4"), "time", json!(now_ms() / 1000 + 86_400)), "properties.time", range),
        ("I33 true", with(order("c-5"), "distinct_id", json!(true)), "properties.distinct_id", deny),
        ("anon", with(order("c-6"), "distinct_id", json!("Anonymous")), "properties.distinct_id", deny),
    ] {
        let reply = send(json!([event])).await;
        let failed = &reply.json()["failed_records"][0];
        checks.equal(format!("{id}: status"), reply.status, 400);
        checks.equal(format!("{id}: field"), failed["field"].clone(), json!(field));
        checks.equal(format!("{id}: message"), failed["message"].clone(), json!(message));
    }
    checks.equal("only the good ones are stored", stored(&project, "Order").await.len(), 3);
    checks.finish();
}

fn without_name(mut event: Value) -> Value {
    event["event"] = json!("  ");
    event
}

#[tokio::test]
async fn i22_to_i26_every_credential_that_clients_send_is_taken() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("keys").await;
    let other = server.create_project("other").await;
    let mut checks = Checks::default();
    let named = format!("&project_id={}", project.id);
    let (token, secret) = (&project.token, &project.api_secret);
    let clear = format!("Basic {}:{}", project.username, project.secret);
    let account = STANDARD.encode(format!("{}:{}", project.username, project.secret));
    for (id, query, authorization) in [
        ("I22 token", "", format!("Basic {}", STANDARD.encode(format!("{token}:")))),
        ("I23 secret", "", format!("Basic {}", STANDARD.encode(format!("{secret}:")))),
        ("I23 without colon", "", format!("Basic {}", STANDARD.encode(secret))),
        ("I23 in clear", named.as_str(), clear),
        ("service account", named.as_str(), format!("basic {account}")),
    ] {
        let name = id.replace(' ', "-");
        let request = authorized(&project, query, &authorization).json(&json!([order(&name)]));
        let reply = Reply::of(request).await;
        checks.equal(
            format!("{id}: reply"),
            (reply.status, reply.json()["num_records_imported"].clone()),
            (200, json!(1)),
        );
    }
    let wrong = STANDARD.encode(format!("{}:wrong", project.username));
    let reply = Reply::of(authorized(&project, &named, &format!("Basic {wrong}")).json(&json!([order("w")]))).await;
    let body = json!({"code": 401, "error": "Invalid credentials", "status": "Unauthorized"});
    checks.equal("I24", (reply.status, reply.json()), (401, body.clone()));
    let none = project.anonymous(Method::POST, &format!("/import?strict=1{named}")).json(&json!([order("n")]));
    let reply = Reply::of(none).await;
    checks.equal("no credentials", (reply.status, reply.json()), (401, body));
    let foreign = authorized(&project, &format!("&project_id={}", other.id), &format!("Basic {account}"));
    let reply = Reply::of(foreign.json(&json!([order("f")]))).await;
    checks.equal("another project: 403", reply.status, 403);

    let data = utf8_percent_encode(&json!([order("form")]).to_string(), NON_ALPHANUMERIC).to_string();
    let form = project.anonymous(Method::POST, "/import").header("content-type", "application/x-www-form-urlencoded");
    let reply = Reply::of(form.body(format!("data={data}&verbose=1&api_key={secret}"))).await;
    checks.equal("I25: integer status", (reply.status, reply.json()["status"].clone()), (200, json!(1)));
    let data = STANDARD.encode(order("get").to_string());
    let get = project.anonymous(Method::GET, "/import").query(&[("api_key", secret), ("data", &data)]);
    let reply = Reply::of(get).await;
    checks.equal("I26", (reply.status, reply.text()), (200, "1".into()));

    checks.equal("each accepted request stored one", stored(&project, "Order").await.len(), 7);
    checks.equal("nothing reached the other project", stored(&other, "Order").await.len(), 0);
    checks.finish();
}

#[tokio::test]
async fn i27_to_i29_lines_limits_and_missing_ids() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("lines").await;
    let mut checks = Checks::default();
    let post = |path: &str| project.request(Method::POST, path);
    let lines = format!("{}\r\n{}\n\n", order("l-1"), order("l-2"));
    let request = post("/import").query(&[("strict", "1")]).header("content-type", "application/x-ndjson").body(lines);
    let reply = Reply::of(request).await;
    let body = json!({"code": 200, "num_records_imported": 2, "status": "OK"});
    checks.equal("I27", (reply.status, reply.json()), (200, body));

    let too_many = (0..2_001).map(|n| with(order(&format!("m-{n}")), "token", json!(project.token)));
    let too_many = too_many.collect::<Vec<_>>();
    for route in ["/import", "/track"] {
        let reply = Reply::of(post(route).json(&too_many)).await;
        checks.equal(format!("I28 {route}"), reply.status, 413);
    }
    let properties = json!({"time": INSTANT, "$insert_id": "d-1", "$device_id": "d1", "$user_id": "U"});
    let reply = Reply::of(project.import_request(&[json!({"event": "Probe", "properties": properties})])).await;
    checks.equal("I29", (reply.status, reply.json()["num_records_imported"].clone()), (200, json!(1)));
    let probe = stored(&project, "Probe").await;
    checks.equal(
        "I29: the user is named",
        probe.first().map(|row| row["properties"]["distinct_id"].clone()),
        Some(json!("U")),
    );
    checks.equal("I28: nothing of it is stored", stored(&project, "Order").await.len(), 2);
    checks.finish();
}

#[tokio::test]
async fn i30_the_probe_tells_an_original_merge_project() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_original_project("original").await;
    let mut checks = Checks::default();
    // As mixpanel-import asks: four years old, ids of both kinds, and none that counts in this mode.
    let properties =
        json!({"time": now_ms() / 1000 - 4 * 365 * 86_400, "$insert_id": "p-1", "$device_id": "d", "$user_id": "U"});
    let probe = json!([{"event": "Probe", "properties": properties}]);
    let authorization = format!("Basic {}", STANDARD.encode(format!("{}:", project.token)));
    let reply = Reply::of(authorized(&project, "", &authorization).json(&probe)).await;
    let body = reply.json();
    checks.equal("I30: status", (reply.status, body["num_records_imported"].clone()), (400, json!(0)));
    let message = "'properties.distinct_id' is invalid: must not be missing";
    checks.equal("I30: message", body["failed_records"][0]["message"].clone(), json!(message));
    let named = with(probe[0].clone(), "distinct_id", json!("U"));
    checks.equal("with an id", Reply::of(project.import_request(&[named])).await.status, 200);
    let merge = json!({"event": "$merge", "properties": {"$distinct_ids": ["a", "b"]}});
    checks.equal("$merge needs none", Reply::of(project.import_request(&[merge.clone()])).await.status, 200);
    checks.equal("D8: $merge on /track", project.track(&[merge]).await.text(), "0".to_owned());
    checks.finish();
}

#[tokio::test]
async fn i32_of_two_copies_the_export_holds_the_winner_alone() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("copies").await;
    let mut checks = Checks::default();
    for amount in [1, 2, 2] {
        let reply = Reply::of(project.import_request(&[with(order("same"), "amount", json!(amount))])).await;
        checks.equal("I32: each copy is accepted", reply.status, 200);
    }
    for state in ["live", "flushed"] {
        let amounts = stored(&project, "Order").await.iter().map(|row| row["properties"]["amount"].clone()).collect();
        checks.equal(format!("I32 {state}: one line, the latest"), amounts, vec![json!(2)]);
        let query = [("event", "Order"), ("from_date", DAY), ("to_date", DAY)];
        let count = project.segmentation(&query).await["data"]["values"]["Order"][DAY].clone();
        checks.equal(format!("I32 {state}: segmentation counts one"), count, json!(1));
        server.restart().await;
    }
    checks.finish();
}

#[tokio::test]
async fn i31_i33_and_i34_times_ids_and_ignored_events() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("times").await;
    let mut checks = Checks::default();
    let times = [json!(1_700_000_000), json!(1_700_000_000_000_i64), json!(1_700_000_000.5)];
    let events = times.into_iter().enumerate().map(|(n, time)| with(order(&format!("t-{n}")), "time", time));
    project.import(&events.collect::<Vec<_>>()).await;
    let rows = stored(&project, "Order").await;
    let seconds = rows.iter().map(|row| row["properties"]["time"].to_string()).collect::<Vec<_>>();
    checks.equal("I31: integers, all one second", seconds, vec!["1700000000".to_owned(); 3]);
    let rows = project.export(DAY, DAY, &[("time_in_ms", "true")]).await;
    let millis = rows.iter().map(|row| row["properties"]["time"].to_string()).collect::<Vec<_>>();
    checks.equal(
        "I31: milliseconds are kept, in order",
        millis,
        ["1700000000000", "1700000000000", "1700000000500"].map(str::to_owned).to_vec(),
    );

    project.import(&[with(with(order("i33"), "distinct_id", json!(17)), "token", json!("x"))]).await;
    let rows = stored(&project, "Order").await;
    let ids = rows.iter().map(|row| row["properties"]["distinct_id"].clone()).collect::<Vec<_>>();
    checks.equal("I33: 17 is exported as text", ids.contains(&json!("17")), true);

    let named = |name: &str, distinct_id: Value| json!({"event": name, "properties": {"token": project.token, "distinct_id": distinct_id, "time": now_ms() / 1000}});
    let ignored = with(named("Ignored", json!("u")), "$ignore", json!(true));
    for event in [named("Seventeen", json!(17)), named("True", json!(true)), ignored] {
        let reply = project.track(std::slice::from_ref(&event)).await;
        checks.equal(format!("{}: accepted", event["event"]), (reply.status, reply.text()), (200, "1".into()));
    }
    let from = (today_utc() - chrono::Days::new(1)).to_string();
    let rows = project.export(&from, &today_utc().to_string(), &[]).await;
    let id_of = |name: &str| {
        let row = rows.iter().find(|row| row["event"] == name);
        row.map(|row| row["properties"]["distinct_id"].clone())
    };
    checks.equal("I33: a number is its text", id_of("Seventeen"), Some(json!("17")));
    checks.equal("I33: true is denied, the event kept without a user", id_of("True"), Some(json!("")));
    checks.equal("I34: nothing is stored", id_of("Ignored"), None);
    checks.finish();
}
