//! Golden checks I1–I18 of `mixpanel-http-api.md` §13.1: what `/track` answers, to the byte, and what it stores.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Checks, DAY_MS, Project, Reply, Server, ServerOptions, gzip, now_ms, today_utc};

const FORM: &str = "application/x-www-form-urlencoded";

struct Wire {
    server: Server,
    checks: Checks,
}

impl Wire {
    async fn start() -> Self {
        Self { server: Server::start(ServerOptions::never_flushing()).await, checks: Checks::default() }
    }

    /// Sends, and expects status 200 with exactly this body.
    async fn answers(&mut self, id: &str, request: RequestBuilder, body: &str) {
        let reply = Reply::of(request).await;
        self.checks.equal(format!("{id}: status and body"), (reply.status, reply.text()), (200, body.into()));
    }

    /// Sends, and expects the verbose reply.
    async fn answers_verbose(&mut self, id: &str, request: RequestBuilder, status: i64) -> Reply {
        let reply = Reply::of(request).await;
        self.checks.equal(format!("{id}: status"), reply.status, 200);
        self.checks.equal(format!("{id}: integer status"), reply.json()["status"].clone(), json!(status));
        let error = &reply.json()["error"];
        let error_fits =
            if status == 1 { error.is_null() } else { error.as_str().is_some_and(|text| !text.is_empty()) };
        self.checks.holds(format!("{id}: error"), error_fits, reply.text());
        reply
    }

    async fn finish(mut self) {
        self.server.stop().await;
        self.checks.finish();
    }
}

/// `G1` and `G2` of the page, for this project's token.
fn g1(project: &Project) -> String {
    STANDARD.encode(json!({"event": "G", "properties": {"token": project.token, "distinct_id": "u1"}}).to_string())
}

/// Its base64 has `+` or `/` in every alignment of the token, so that the alphabets differ.
fn g2(project: &Project) -> Value {
    json!({"event": "G", "properties": {"token": project.token, "distinct_id": "u1", "s": "~~~>>>>???", "t": ">>?>~~?>"}})
}

fn post(project: &Project, content_type: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    project.anonymous(Method::POST, "/track").header("content-type", content_type).body(body)
}

async fn today(project: &Project) -> Vec<Value> {
    // A test that runs over midnight finds its events on either day.
    let from = (today_utc() - chrono::Days::new(1)).to_string();
    project.export(&from, &today_utc().to_string(), &[]).await
}

#[tokio::test]
async fn i1_to_i8_every_wire_form_is_read() {
    let mut wire = Wire::start().await;
    let project = wire.server.create_project("forms").await;
    let (g1, g2) = (g1(&project), g2(&project).to_string());
    let track = |query: String| project.anonymous(Method::GET, &format!("/track{query}"));
    wire.answers("I1", track(format!("?data={g1}")), "1").await;
    let slash = track(format!("/?data={g1}&verbose=1"));
    let reply = wire.answers_verbose("I2", slash, 1).await;
    wire.checks.holds("I2: JSON", reply.header("content-type").starts_with("application/json"), reply.text());

    let raw = STANDARD.encode(&g2);
    wire.checks.holds("I3: the payload holds a raw +", raw.contains('+'), &raw);
    wire.answers("I3", post(&project, FORM, format!("data={raw}")), "1").await;
    let encoded = utf8_percent_encode(&raw, NON_ALPHANUMERIC).to_string();
    wire.answers("I4 encoded", post(&project, FORM, format!("data={encoded}")), "1").await;
    let urlsafe = URL_SAFE.encode(&g2);
    wire.checks.holds("I4: the alphabets differ", urlsafe != raw, &urlsafe);
    wire.answers("I4 urlsafe", post(&project, FORM, format!("data={urlsafe}")), "1").await;
    let unpadded = raw.trim_end_matches('=').to_owned();
    wire.answers("I4 unpadded", post(&project, FORM, format!("data={unpadded}")), "1").await;
    let body = format!("data={}&verbose=1&ip=0", utf8_percent_encode(&g2, NON_ALPHANUMERIC));
    wire.answers_verbose("I5", post(&project, FORM, body), 1).await;
    wire.answers("I6", post(&project, "text/plain;charset=UTF-8", format!("data={g1}")), "1").await;

    let json = "application/json; charset=utf8";
    wire.answers("I7 object", post(&project, json, g2.clone()), "1").await;
    let many = (0..2_000)
        .map(|n| json!({"event": "Many", "properties": {"token": project.token, "distinct_id": format!("m{n}")}}));
    let many = Value::Array(many.collect()).to_string();
    wire.answers("I7 2000", post(&project, json, many.clone()), "1").await;
    let zipped = |content_type: &str, body: &str| {
        post(&project, content_type, gzip(body.as_bytes())).header("content-encoding", "gzip")
    };
    wire.answers("I8 object", zipped(json, &g2), "1").await;
    wire.answers("I8 2000", zipped(json, &many), "1").await;
    wire.answers("I8 form", zipped(FORM, &format!("data={encoded}")), "1").await;
    wire.answers("I8 empty encoding", post(&project, json, g2.clone()).header("content-encoding", ""), "1").await;

    let rows = today(&project).await;
    let of = |name: &str| rows.iter().filter(|row| row["event"] == name).collect::<Vec<_>>();
    wire.checks.equal("rows of G: one per accepted request", of("G").len(), 12);
    wire.checks.equal("rows of Many", of("Many").len(), 4_000);
    let with_s = of("G").into_iter().filter(|row| !row["properties"]["s"].is_null()).collect::<Vec<_>>();
    wire.checks.equal("rows with s", with_s.len(), 9);
    for row in with_s {
        wire.checks.equal("I3: s is unharmed", row["properties"]["s"].clone(), json!("~~~>>>>???"));
        wire.checks.equal("I3: t is unharmed", row["properties"]["t"].clone(), json!(">>?>~~?>"));
        wire.checks.holds("the token is not stored", row["properties"].get("token").is_none(), row);
    }
    wire.finish().await;
}

#[tokio::test]
async fn i9_to_i13_what_is_not_valid_is_refused_and_not_stored() {
    let mut wire = Wire::start().await;
    let project = wire.server.create_project("refused").await;
    for (id, body) in [("%%%", "data=%%%"), ("empty body", ""), ("empty list", "data=W10=")] {
        wire.answers(&format!("I9 {id}"), post(&project, FORM, body), "0").await;
        let verbose = post(&project, FORM, body).query(&[("verbose", "1")]);
        wire.answers_verbose(&format!("I9 verbose {id}"), verbose, 0).await;
    }
    let event = |name: &str, properties: Value| {
        let mut event = json!({"event": name, "properties": {"token": project.token, "distinct_id": "u"}});
        let given = properties.as_object().expect("an object");
        event["properties"].as_object_mut().expect("an object").extend(given.clone());
        event
    };
    let send = |events: Value| post(&project, "application/json", events.to_string());
    let nameless = json!({"properties": {"token": project.token, "distinct_id": "u"}});
    wire.answers("I10", send(json!([event("I10", json!({})), nameless])), "1").await;
    wire.answers("I10 alone", send(json!([nameless])), "0").await;

    let tokenless = json!([{"event": "I11", "properties": {"distinct_id": "u"}}]);
    wire.answers("I11", send(tokenless.clone()), "0").await;
    let reply = wire.answers_verbose("I11 verbose", send(tokenless).query(&[("verbose", "1")]), 0).await;
    wire.checks.equal("I11: error", reply.json()["error"].clone(), json!("token, missing or empty"));
    let unknown = json!([event("I12", json!({"token": "0123456789abcdef0123456789abcdef"}))]);
    wire.answers("I12", send(unknown), "1").await;

    let old = event("I13", json!({"time": (now_ms() - 6 * DAY_MS) / 1000, "old": true}));
    let fresh = event("I13", json!({"time": now_ms() / 1000, "old": false}));
    wire.answers("I13 alone", send(json!([old])), "0").await;
    wire.answers("I13 in a batch", send(json!([old, fresh])), "1").await;

    let since = (today_utc() - chrono::Days::new(8)).to_string();
    let rows = project.export(&since, &today_utc().to_string(), &[]).await;
    let stored = rows.iter().map(|row| row["event"].as_str().unwrap_or_default()).collect::<Vec<_>>();
    wire.checks.equal("what is stored of I9–I13", stored.len(), 2);
    wire.checks.holds("I10 is stored once", stored.contains(&"I10"), format!("{stored:?}"));
    let kept = rows.iter().find(|row| row["event"] == "I13").map(|row| row["properties"]["old"].clone());
    wire.checks.equal("I13: the fresh one is stored", kept, Some(json!(false)));
    wire.finish().await;
}

#[tokio::test]
async fn i14_to_i16_special_forms_of_the_reply() {
    let mut wire = Wire::start().await;
    let project = wire.server.create_project("special").await;
    let g1 = g1(&project);
    let get = |more: &str| Reply::of(project.anonymous(Method::GET, &format!("/track?data={g1}&{more}")));

    let image = get("img=1").await;
    wire.checks.equal("I14: type", (image.status, image.header("content-type")), (200, "image/gif"));
    wire.checks.holds("I14: bytes", image.body.starts_with(b"GIF89a"), image.text());
    let script = get("callback=mixpanel._jsc%5B7%5D").await;
    wire.checks.equal("I15: body", (script.status, script.text()), (200, "mixpanel._jsc[7](1);".into()));
    let kind = script.header("content-type");
    wire.checks.holds("I15: JavaScript", kind.starts_with("text/javascript"), kind);
    let evil = get("callback=%3Cscript%3Ealert(1)%3C/script%3E").await;
    wire.checks.equal("I15: a callback that is no name falls back", evil.text(), "1".into());
    let redirect = get("redirect=https%3A%2F%2Fexample.com%2Fx").await;
    wire.checks.equal("I16: status", redirect.status, 302);
    wire.checks.equal("I16: location", redirect.header("location"), "https://example.com/x");
    wire.checks.equal("the four special requests stored their events", today(&project).await.len(), 4);
    wire.finish().await;
}

#[tokio::test]
async fn redirects_can_be_switched_off_and_unknown_tokens_reported() {
    let options = ServerOptions::never_flushing()
        .env("FOOTFALL_ALLOW_REDIRECT", false)
        .env("FOOTFALL_REJECT_UNKNOWN_TOKEN", true)
        .env("FOOTFALL_TRACK_WINDOW_DAYS", 0);
    let server = Server::start(options).await;
    let project = server.create_project("settings").await;
    let mut checks = Checks::default();
    let redirect =
        project.anonymous(Method::GET, &format!("/track?data={}&redirect=https%3A%2F%2Fa.example", g1(&project)));
    let reply = Reply::of(redirect).await;
    checks.equal("no redirect", (reply.status, reply.text()), (200, "1".to_owned()));
    let unknown = json!({"event": "E", "properties": {"token": "0123456789abcdef0123456789abcdef"}});
    checks.equal(
        "unknown",
        Reply::of(post(&project, "application/json", unknown.to_string())).await.text(),
        "0".into(),
    );
    let old = json!({"event": "Old", "properties": {"distinct_id": "u", "time": 1_700_000_000}});
    checks.equal("of any age", project.track(&[old]).await.text(), "1".to_owned());
    checks.equal("and stored", project.export("2023-11-14", "2023-11-14", &[]).await.len(), 1);
    checks.finish();
}

#[tokio::test]
async fn i17_and_i18_browsers_of_any_origin_may_call() {
    let mut wire = Wire::start().await;
    let origin = "https://a.example";
    let preflight = wire.server.request(Method::OPTIONS, "/track/").header("origin", origin);
    let preflight = preflight
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,traceparent");
    let reply = Reply::of(preflight).await;
    wire.checks.equal("I17: status", reply.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", origin),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-headers", "authorization,traceparent"),
    ] {
        wire.checks.equal(format!("I17: {name}"), reply.header(name), value);
    }
    let methods = reply.header("access-control-allow-methods");
    wire.checks.holds("I17: methods", methods.contains("POST") && methods.contains("GET"), methods);

    let error = wire.server.request(Method::POST, "/track/").header("origin", origin).body("data=%%%");
    let error = Reply::of(error).await;
    wire.checks.equal("I18: an error reply", error.text(), "0".into());
    wire.checks.equal("I18: origin", error.header("access-control-allow-origin"), origin);
    wire.checks.equal("I18: credentials", error.header("access-control-allow-credentials"), "true");
    wire.finish().await;
}
