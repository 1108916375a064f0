//! The golden checks I1 to I34 of `reference/mixpanel-http-api.md` §13.1, on an engine of their own.
//!
//! I17 and I18 (cross-origin headers) belong to all routes and are checked there.

use std::io::Write;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use footfall_engine::{Engine, EngineOptions, ExportSpec};
use footfall_ingest::MergeMode;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::config::IngestSettings;
use crate::intake::Intake;
use crate::local::LocalToken;
use crate::projects::{CreatedProject, NewProject, Projects};
use crate::state::Phase;

/// A server's ingestion routes with one project.
struct Api {
    state: AppState,
    router: Router,
    project: CreatedProject,
    _folder: tempfile::TempDir,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Api {
    async fn new() -> Self {
        Self::with(MergeMode::Simplified, IngestSettings::default()).await
    }

    async fn with(merge: MergeMode, settings: IngestSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = EngineOptions {
            data_dir: folder.path().to_owned(),
            shards: 2,
            query_threads: 1,
            ..EngineOptions::default()
        };
        let engine = Engine::open(options).await.unwrap();
        let projects = Projects::open(Arc::new(InMemory::new()), Some(engine.clone())).await.unwrap();
        let new = NewProject { name: "shop".into(), timezone: chrono_tz::UTC, merge, shards: 2 };
        let project = projects.create(new).await.unwrap();
        let intake = Intake::open(settings, folder.path(), engine.nice().clone());
        let state = AppState {
            engine,
            projects: Arc::new(projects),
            local_token: Arc::new(LocalToken::random()),
            metrics: metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle(),
            phase: Phase::default(),
            intake: Arc::new(intake),
        };
        let router = routes().with_state(state.clone());
        Self { state, router, project, _folder: folder }
    }

    async fn send(&self, method: &str, uri: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 22).await.unwrap();
        Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    async fn get(&self, uri: &str) -> Reply {
        self.send("GET", uri, &[], "").await
    }

    async fn post(&self, uri: &str, content_type: &str, body: impl Into<Body>) -> Reply {
        self.send("POST", uri, &[("content-type", content_type)], body).await
    }

    /// Posts JSON to `/import` as the service account.
    async fn import(&self, query: &str, body: impl Into<Body>) -> Reply {
        let account = &self.project.service_account;
        let authorization = basic(&format!("{}:{}", account.username, account.secret));
        let headers = [("authorization", authorization.as_str()), ("content-type", JSON)];
        self.send("POST", &format!("/import?project_id={}{query}", self.project.project_id), &headers, body).await
    }

    /// An event of this project, with these further members.
    fn event(&self, more: &str) -> String {
        format!(r#"{{"event":"G","properties":{{"token":"{}","distinct_id":"u1"{more}}}}}"#, self.project.token)
    }

    async fn stored(&self) -> Vec<Value> {
        let today = chrono::DateTime::from_timestamp_millis(arrival_ms()).unwrap().date_naive();
        let spec = ExportSpec {
            from: chrono::NaiveDate::from_ymd_opt(2022, 1, 1).unwrap(),
            to: today,
            events: None,
            filter: None,
            limit: None,
            time_in_ms: false,
        };
        let lines: Vec<_> =
            self.state.engine.export(self.project.project_id, spec).await.unwrap().try_collect().await.unwrap();
        let text = lines.concat();
        text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
    }
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    #[track_caller]
    fn is(&self, status: u16, body: &str) {
        assert_eq!((self.status, self.body.as_str()), (status, body));
    }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

fn basic(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

fn percent(text: &str) -> String {
    percent_encoding::percent_encode(text.as_bytes(), percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn zip(plain: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn i1_to_i4_base64_in_query_and_form() {
    let api = Api::new().await;
    let one = STANDARD.encode(api.event(""));
    api.get(&format!("/track?data={one}")).await.is(200, "1");
    let reply = api.get(&format!("/track?data={one}&verbose=1")).await;
    assert_eq!((reply.json()["status"].clone(), reply.json()["error"].clone()), (json!(1), Value::Null));
    assert_eq!(reply.headers[header::CONTENT_TYPE], JSON);
    let two = STANDARD.encode(api.event(r#","s":"~~~>>>>???~~>>""#));
    assert!(two.contains('+') && two.contains('/'), "{two}");
    api.post("/track", FORM, format!("data={two}")).await.is(200, "1");
    api.post("/track", FORM, format!("data={}", percent(&two))).await.is(200, "1");
    let safe = two.replace('+', "-").replace('/', "_");
    api.post("/track", FORM, format!("data={safe}")).await.is(200, "1");
    api.post("/track", FORM, format!("data={}", safe.trim_end_matches('='))).await.is(200, "1");
    let stored = api.stored().await;
    assert_eq!(stored.len(), 6);
    let with_s = stored.iter().filter(|event| event["properties"]["s"] == "~~~>>>>???~~>>");
    assert_eq!(with_s.count(), 4);
    assert!(stored.iter().all(|event| event["properties"].get("token").is_none()));
}

#[tokio::test]
async fn i5_to_i8_forms_json_and_gzip() {
    let api = Api::new().await;
    let json = api.event("");
    let reply = api.post("/track", FORM, format!("data={}&verbose=1&ip=0", percent(&json))).await;
    assert_eq!(reply.json()["status"], 1);
    api.post("/track", "text/plain;charset=UTF-8", format!("data={}", STANDARD.encode(&json))).await.is(200, "1");
    api.post("/track", "application/json; charset=utf8", json.clone()).await.is(200, "1");
    let batch = format!("[{}]", vec![json.clone(); 2000].join(","));
    api.post("/track", JSON, batch.clone()).await.is(200, "1");
    let gzip = [("content-type", JSON), ("content-encoding", "gzip")];
    api.send("POST", "/track", &gzip, zip(&batch)).await.is(200, "1");
    let gzip = [("content-type", FORM), ("content-encoding", "gzip")];
    api.send("POST", "/track", &gzip, zip(&format!("data={}", percent(&json)))).await.is(200, "1");
    let empty = [("content-type", JSON), ("content-encoding", "")];
    api.send("POST", "/track", &empty, json).await.is(200, "1");
    assert_eq!(api.stored().await.len(), 4005);
}

#[tokio::test]
async fn i9_unreadable_data() {
    let api = Api::new().await;
    for body in ["data=%%%", "", "data=W10=", "data="] {
        api.post("/track", FORM, body).await.is(200, "0");
        let reply = api.post("/track?verbose=1", FORM, body).await;
        assert_eq!((reply.status, &reply.json()["status"]), (200, &json!(0)));
        assert!(!reply.json()["error"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn i10_to_i13_what_is_dropped_and_what_is_said() {
    let api = Api::new().await;
    let good = api.event("");
    let token = &api.project.token;
    let nameless = format!(r#"{{"properties":{{"token":"{token}"}}}}"#);
    api.post("/track", JSON, format!("[{nameless},{good},7]")).await.is(200, "1");
    assert_eq!(api.stored().await.len(), 1);

    let reply = api.post("/track?verbose=1", JSON, r#"{"event":"G","properties":{}}"#).await;
    assert_eq!(reply.json(), json!({"error": "token, missing or empty", "status": 0}));

    let unknown = r#"{"event":"G","properties":{"token":"ffffffffffffffffffffffffffffffff"}}"#;
    api.post("/track", JSON, unknown).await.is(200, "1");
    api.post("/track", JSON, format!("[{unknown},{good}]")).await.is(200, "1");
    assert_eq!(api.stored().await.len(), 2);

    let old = api.event(&format!(r#","time":{}"#, arrival_ms() / 1000 - 6 * 86_400));
    api.post("/track", JSON, old.clone()).await.is(200, "0");
    let reply = api.post("/track?verbose=1", JSON, old.clone()).await;
    assert_eq!(reply.json()["error"], "time, more than 5 days in the past");
    api.post("/track", JSON, format!("[{old},{good}]")).await.is(200, "1");
    assert_eq!(api.stored().await.len(), 3);
}

#[tokio::test]
async fn unknown_tokens_can_be_reported() {
    let settings = IngestSettings { reject_unknown_token: true, ..IngestSettings::default() };
    let api = Api::with(MergeMode::Simplified, settings).await;
    let unknown = r#"{"event":"G","properties":{"token":"ffffffffffffffffffffffffffffffff"}}"#;
    let reply = api.post("/track?verbose=1", JSON, unknown).await;
    assert_eq!(reply.json(), json!({"error": "token, unknown", "status": 0}));
    let unknown = r#"{"$token":"ffffffffffffffffffffffffffffffff","$distinct_id":"u","$set":{}}"#;
    let reply = api.post("/engage?verbose=1", JSON, unknown).await;
    assert_eq!(reply.json(), json!({"error": "token, unknown", "status": 0}));
    let reply = api.post("/engage?strict=1", JSON, unknown).await;
    let message = json!({"index": 0, "distinct_id": "u", "field": "$token", "message": "'$token' is invalid: unknown"});
    assert_eq!(reply.json()["failed_records"], json!([message]));
}

#[tokio::test]
async fn i14_to_i16_special_replies() {
    let api = Api::new().await;
    let data = STANDARD.encode(api.event(""));
    let pixel = api.get(&format!("/track?img=1&data={data}")).await;
    assert!(pixel.headers[header::CONTENT_TYPE] == "image/gif" && pixel.body.starts_with("GIF89a"));
    let script = api.get(&format!("/track?callback=mixpanel._jsc%5B7%5D&data={data}")).await;
    script.is(200, "mixpanel._jsc[7](1);");
    assert!(script.headers[header::CONTENT_TYPE].to_str().unwrap().contains("javascript"));
    let reply = api.get(&format!("/track?redirect=https%3A%2F%2Fexample.com%2Fx&data={data}")).await;
    assert_eq!((reply.status, &reply.headers[header::LOCATION]), (302, &"https://example.com/x".parse().unwrap()));
    assert_eq!(api.stored().await.len(), 3);
}

#[tokio::test]
async fn only_get_tracks_without_a_body() {
    let api = Api::new().await;
    let data = STANDARD.encode(api.event(""));
    assert_eq!(api.send("HEAD", &format!("/track?data={data}"), &[], "").await.status, 200);
    assert_eq!(api.send("PUT", &format!("/track?data={data}"), &[], "").await.status, 405);
    assert_eq!(api.stored().await.len(), 0);
}

fn import_event(more: &str) -> String {
    format!(r#"{{"event":"Order","properties":{{"time":1704103200,"distinct_id":"u1","$insert_id":"ord-1"{more}}}}}"#)
}

#[tokio::test]
async fn i19_to_i21_strict_import() {
    let api = Api::new().await;
    let (one, two) = (import_event(""), import_event(r#","$insert_id":"ord-2""#));
    let reply = api.import("&strict=1", format!("[{one},{two}]")).await;
    reply.is(200, r#"{"code":200,"num_records_imported":2,"status":"OK"}"#);
    assert!(api.stored().await.iter().all(|event| event["properties"]["$import"] == true));

    let (bad, good) = (import_event(r#","time":"x""#), import_event(r#","$insert_id":"ord-3""#));
    let reply = api.import("", format!("[{good},{bad}]")).await;
    assert_eq!(reply.status, 400);
    let body = reply.json();
    assert_eq!(body["error"], "some data points in the request failed validation");
    assert_eq!((&body["num_records_imported"], &body["failed_records"][0]["index"]), (&json!(1), &json!(1)));
    assert_eq!(api.stored().await.len(), 3);

    let reply = api.import("&strict=1&verbose=1&ip=0", import_event(r#","$insert_id":"a_b""#)).await;
    let message = "'$insert_id' is invalid: must only contain alphanumeric or hyphen '-' characters";
    assert_eq!((reply.status, &reply.json()["failed_records"][0]["message"]), (400, &json!(message)));
    for nothing in ["", "[]", "{", "[1e999]"] {
        let reply = api.import("", nothing).await;
        assert_eq!((reply.status, &reply.json()["num_records_imported"]), (400, &json!(0)), "{nothing}");
    }
}

#[tokio::test]
async fn i22_to_i24_credentials() {
    let api = Api::new().await;
    let CreatedProject { project_id: id, token, api_secret, service_account, .. } = &api.project;
    let account = format!("{}:{}", service_account.username, service_account.secret);
    let import = async |authorization: &str, query: &str| {
        let headers = [("authorization", authorization), ("content-type", JSON)];
        api.send("POST", &format!("/import{query}"), &headers, import_event("")).await
    };
    for (authorization, query) in [
        (basic(&format!("{token}:")), String::new()),
        (basic(&format!("{api_secret}:")), format!("?project_id={id}")),
        (basic(api_secret), String::new()),
        (format!("basic {}", STANDARD.encode(api_secret).trim_end_matches('=')), String::new()),
        (format!("Basic {account}"), format!("?project_id={id}")),
        (basic(&account), String::new()),
        ("Digest x".into(), format!("?api_key={api_secret}")),
    ] {
        assert_eq!(import(&authorization, &query).await.status, 200, "{authorization} {query}");
    }
    let unauthorized = r#"{"code":401,"error":"Invalid credentials","status":"Unauthorized"}"#;
    for authorization in [
        format!("Basic {}:wrong", service_account.username),
        basic("ffffffffffffffffffffffffffffffff:"),
        basic(&format!("{token}:password")),
        "Bearer ffff".into(),
        "Basic".into(),
        "Basic %%%".into(),
    ] {
        import(&authorization, &format!("?project_id={id}")).await.is(401, unauthorized);
    }
    for authorization in [basic(&account), basic(api_secret), basic(&format!("{token}:"))] {
        let reply = import(&authorization, "?project_id=99").await;
        assert_eq!((reply.status, &reply.json()["status"]), (403, &json!("error")));
    }
    assert_eq!(import(&basic(&account), "?project_id=x").await.status, 400);
}

#[tokio::test]
async fn i25_to_i27_old_forms_and_lines() {
    let api = Api::new().await;
    let key = &api.project.api_secret;
    let data = STANDARD.encode(import_event(r#","time":1699999999"#));
    let form = format!("data={}&verbose=1&api_key={key}", percent(&data));
    let reply = api.post("/import", FORM, form).await;
    assert_eq!(reply.json(), json!({"code": 200, "error": null, "num_records_imported": 1, "status": 1}));
    api.get(&format!("/import?api_key={key}&data={data}")).await.is(200, "1");
    api.import("&strict=0", import_event("")).await.is(200, "1");
    api.import("&strict=0", r#"{"event":""}"#).await.is(200, "0");
    let reply = api.import("&strict=0&verbose=1", r#"{"event":""}"#).await;
    assert_eq!(reply.json(), json!({"error": "event, missing or empty", "status": 0}));

    let authorization = basic(&format!("{key}:"));
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/x-ndjson")];
    let lines = format!("{}\n\n{}\n\n", import_event(""), import_event(r#","$insert_id":"ord-2""#));
    let reply = api.send("POST", "/import?strict=1", &headers, lines).await;
    reply.is(200, r#"{"code":200,"num_records_imported":2,"status":"OK"}"#);
}

#[tokio::test]
async fn i28_limits() {
    let settings = IngestSettings { body_bytes_max: 300_000, ..IngestSettings::default() };
    let api = Api::with(MergeMode::Simplified, settings).await;
    let many = format!("[{}]", vec![import_event(""); 2001].join(","));
    assert!(many.len() < 300_000);
    for reply in [api.import("", many.clone()).await, api.post("/track", JSON, many).await] {
        reply.is(413, r#"{"code":413,"error":"too many records","status":"Request Entity Too Large"}"#);
    }
    let large =
        r#"{"code":413,"error":"request exceeds max limit of 300000 bytes","status":"Request Entity Too Large"}"#;
    let spaces = " ".repeat(300_001);
    api.import("", spaces.clone()).await.is(413, large);
    api.send("POST", "/track", &[("content-encoding", "gzip")], zip(&spaces)).await.is(413, large);
    assert_eq!(api.stored().await.len(), 0);
}

#[tokio::test]
async fn i29_i30_the_probe_for_the_merge_mode() {
    let probe = r#"[{"event":"P","properties":{"time":1650000000,"$insert_id":"p","$device_id":"d","$user_id":"U"}}]"#;
    let api = Api::new().await;
    api.import("&strict=1", probe).await.is(200, r#"{"code":200,"num_records_imported":1,"status":"OK"}"#);
    assert_eq!(api.stored().await[0]["properties"]["distinct_id"], "U");
    let api = Api::with(MergeMode::Original, IngestSettings::default()).await;
    let reply = api.import("&strict=1", probe).await;
    let message = "'properties.distinct_id' is invalid: must not be missing";
    assert_eq!((reply.status, &reply.json()["failed_records"][0]["message"]), (400, &json!(message)));
}

#[tokio::test]
async fn i31_i33_i34_times_ids_and_ignored_events() {
    let api = Api::new().await;
    for (n, time) in ["1700000000", "1700000000000", "1700000000.5"].iter().enumerate() {
        let event = import_event(&format!(r#","time":{time},"$insert_id":"t-{n}""#));
        assert_eq!(api.import("", event).await.status, 200);
    }
    let stored = api.stored().await;
    assert!(stored.len() == 3 && stored.iter().all(|event| event["properties"]["time"] == 1_700_000_000));

    let api = Api::new().await;
    assert_eq!(api.import("", import_event(r#","distinct_id":17"#)).await.status, 200);
    let reply = api.import("", import_event(r#","distinct_id":true"#)).await;
    let message = "'properties.distinct_id' is invalid: value is not allowed";
    assert_eq!((reply.status, &reply.json()["failed_records"][0]["message"]), (400, &json!(message)));
    api.post("/track", JSON, api.event(r#","$ignore":true"#)).await.is(200, "1");
    let stored = api.stored().await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0]["properties"]["distinct_id"], "17");
}

#[tokio::test]
async fn the_address_names_who_has_no_id() {
    let api = Api::new().await;
    let nobody = format!(r#"{{"event":"G","properties":{{"token":"{}"}}}}"#, api.project.token);
    let from = [("x-forwarded-for", "203.0.113.7"), ("content-type", JSON)];
    api.send("POST", "/track?ip=1", &from, nobody.clone()).await.is(200, "1");
    api.send("POST", "/track?ip=0", &from, nobody).await.is(200, "1");
    let mut ids: Vec<_> = api.stored().await.iter().map(|e| e["properties"]["distinct_id"].to_string().len()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [2, 34]);
}

#[tokio::test]
async fn merges_go_through_import_only() {
    let api = Api::new().await;
    let merge =
        format!(r#"[{{"event":"$merge","properties":{{"$distinct_ids":["a","b"],"token":"{}"}}}}]"#, api.project.token);
    assert_eq!(api.import("&strict=1", merge.clone()).await.status, 200);
    api.post("/track", JSON, merge).await.is(200, "0");
}

#[tokio::test]
async fn hostile_json_is_answered() {
    let api = Api::new().await;
    let deep = format!(r#"{{"event":"G","properties":{{"p":{}"#, "[".repeat(100_000));
    let wide: Vec<_> = (0..500_000).map(|n| format!("\"{n}\":1")).collect();
    let wide = format!(r#"{{"event":"G","properties":{{"token":"{}",{}}}}}"#, api.project.token, wide.join(","));
    for body in [deep, wide, "\0".repeat(1000), format!("[{}", "1".repeat(1_000_000))] {
        api.post("/track", JSON, body.clone()).await.is(200, "0");
        let reply = api.import("&strict=1", body).await;
        assert_eq!((reply.status, &reply.json()["num_records_imported"]), (400, &json!(0)));
    }
}
