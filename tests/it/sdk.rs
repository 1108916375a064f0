//! What SDKs and importers ask for beside sending data (`mixpanel-http-api.md` §8, §11.1; checks I42, Q35), and that
//! pages of any origin may call all of it (§3.5).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Checks, Project, Reply, Server, ServerOptions};

const ORIGIN: &str = "https://shop.example";

#[tokio::test]
async fn i42_start_up_calls_are_answered_with_nothing_to_do() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("sdk").await;
    let mut checks = Checks::default();
    let token = &project.token;
    let context = "context=%7B%7D&mp_lib=web&%24lib_version=2.83.0";
    let nothing = json!({"recording": {"is_enabled": false}, "sdk_config": {"config": {"record_sessions_percent": 0}}});
    let done = json!({"code": 200, "status": "OK"});
    for (method, path, query, expect) in [
        (Method::GET, "/flags/", context, json!({"flags": {}})),
        (Method::GET, "/flags", "flag_key=x", json!({"flags": {}})),
        (Method::GET, "/flags/definitions", "lib_version=5.4.1", json!({"flags": []})),
        (Method::POST, "/flags/a-flag/first-time-events", "x", json!({})),
        (Method::GET, "/settings/", "mp_lib=web&sdk_config=1&recording=1", nothing),
        (Method::POST, "/record/", "replay_id=r&seq=0&format=gzip", done),
        (
            Method::GET,
            "/decide",
            "version=1&lib=web&distinct_id=u",
            json!({"notifications": [], "surveys": [], "config": {}}),
        ),
    ] {
        let basic = format!("Basic {}", STANDARD.encode(format!("{token}:")));
        let sent =
            |query: String| project.anonymous(method.clone(), &format!("{path}?{query}")).body("\u{1f}\u{8b}binary");
        let in_query = Reply::of(sent(format!("{query}&token={token}"))).await;
        checks.equal(
            format!("I42 {path}, token in the query"),
            (in_query.status, in_query.json()),
            (200, expect.clone()),
        );
        let in_header = Reply::of(sent(query.to_owned()).header("authorization", &basic)).await;
        checks.equal(format!("{path}, token in the header"), (in_header.status, in_header.json()), (200, expect));
        let kind = in_header.header("content-type");
        checks.holds(format!("{path} is JSON"), kind.starts_with("application/json"), kind);
        let refused = json!({"error": "Invalid credentials", "status": "error"});
        let nobody = Reply::of(sent(query.to_owned())).await;
        checks.equal(format!("{path} of nobody"), (nobody.status, nobody.json()), (401, refused.clone()));
        let unknown = Reply::of(sent("token=0123456789abcdef0123456789abcdef".to_owned())).await;
        checks.equal(format!("{path}, unknown token"), (unknown.status, unknown.json()), (401, refused));
    }
    checks.finish();
}

#[tokio::test]
async fn pages_of_any_origin_may_call_every_route_and_read_its_errors() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let mut checks = Checks::default();
    for (method, path) in [
        (Method::POST, "/track/"),
        (Method::GET, "/track"),
        (Method::POST, "/import"),
        (Method::POST, "/engage/"),
        (Method::POST, "/groups/"),
        (Method::GET, "/flags/"),
        (Method::GET, "/flags/definitions"),
        (Method::POST, "/flags/x/first-time-events"),
        (Method::GET, "/settings/"),
        (Method::POST, "/record/"),
        (Method::GET, "/decide"),
        // Neither a route nor a method of it: an SDK that is wrong should be able to tell.
        (Method::POST, "/track/none"),
        (Method::PUT, "/track"),
    ] {
        let asked = "authorization,content-type,traceparent";
        let preflight = server.request(Method::OPTIONS, path).header("origin", ORIGIN);
        let preflight = preflight.header("access-control-request-method", method.as_str());
        let preflight = Reply::of(preflight.header("access-control-request-headers", asked)).await;
        checks.equal(format!("{path}: preflight"), (preflight.status, preflight.body.len()), (204, 0));
        let error = Reply::of(server.request(method.clone(), path).header("origin", ORIGIN).body("data=%%%")).await;
        checks.holds(format!("{method} {path} fails"), error.status >= 400 || error.text() == "0", error.text());
        for reply in [&preflight, &error] {
            for (name, value) in [
                ("access-control-allow-origin", ORIGIN),
                ("access-control-allow-credentials", "true"),
                ("access-control-expose-headers", "Retry-After"),
            ] {
                checks.equal(format!("{method} {path}: {name}"), reply.header(name), value);
            }
            let vary =
                reply.headers.get_all("vary").iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"origin"));
            checks.holds(format!("{method} {path}: varies by origin"), vary, format!("{:?}", reply.headers));
        }
        checks.equal(format!("{path}: headers"), preflight.header("access-control-allow-headers"), asked);
        checks.equal(
            format!("{path}: methods"),
            preflight.header("access-control-allow-methods"),
            "GET, POST, OPTIONS",
        );
        checks.equal(format!("{path}: for a day"), preflight.header("access-control-max-age"), "86400");
    }
    let query = Reply::of(server.request(Method::GET, "/api/query/segmentation").header("origin", ORIGIN)).await;
    checks.equal("a question is no business of foreign pages", query.header("access-control-allow-credentials"), "");
    let missing = Reply::of(server.request(Method::GET, "/no/such/route")).await;
    checks.equal(
        "unknown route",
        (missing.status, missing.json()),
        (404, json!({"error": "not found", "status": "error"})),
    );
    checks.finish();
}

async fn app(project: &Project, path: &str) -> (u16, Value) {
    let request = project.anonymous(Method::GET, path).basic_auth(&project.username, Some(&project.secret));
    let reply = Reply::of(request).await;
    (reply.status, reply.json())
}

#[tokio::test]
async fn q35_the_app_api_names_the_callers_projects_and_no_others() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let mine = server.create_project_in("mine", "Europe/Berlin").await;
    let theirs = server.create_project("theirs").await;
    let mut checks = Checks::default();
    let id = mine.id.to_string();
    let workspace = json!({
        "id": mine.id, "name": "All Project Data", "project_id": mine.id, "is_default": true, "is_global": true,
    });
    for path in ["/api/app/me", "/api/app/me/?include_workspace_users=false"] {
        let (status, body) = app(&mine, path).await;
        checks.equal(format!("{path}: status"), (status, body["status"].clone()), (200, json!("ok")));
        let results = &body["results"];
        checks.equal(format!("{path}: user"), results["user_name"].clone(), json!(mine.username));
        checks.holds(format!("{path}: a number"), results["user_id"].as_u64().is_some_and(|id| id > 0), results);
        let project = json!({id.as_str(): {"name": "mine", "organization_id": 1, "timezone": "Europe/Berlin"}});
        checks.equal(format!("{path}: Q35 projects"), results["projects"].clone(), project);
        checks.equal(format!("{path}: workspaces"), results["workspaces"].clone(), json!({id.as_str(): workspace}));
        checks.equal(format!("{path}: organization"), results["organizations"]["1"]["id"].clone(), json!(1));
    }
    let ok = |results: Value| (200, json!({"status": "ok", "results": results}));
    let public = format!("/api/app/projects/{id}/workspaces/public");
    checks.equal("workspaces", app(&mine, &public).await, ok(json!([workspace])));
    let index = json!({id.as_str(): {"workspaces": {id.as_str(): workspace}}});
    checks.equal("index", app(&mine, "/api/app/projects/metadata/index/").await, ok(index));
    let groups = format!("/api/app/projects/{id}/data-groups/");
    checks.equal("no groups", app(&mine, &groups).await, ok(json!([])));
    for (key, group) in [("company", "acme"), ("team", "blue"), ("company", "umbra")] {
        let record = json!([{"$token": mine.token, "$group_key": key, "$group_id": group, "$set": {"tier": "gold"}}]);
        Reply::of(mine.anonymous(Method::POST, "/groups").json(&record)).await.ok();
    }
    let (_, live) = app(&mine, &groups).await;
    let named = |list: &Value, at: usize| list["results"][at]["property_name"].clone();
    checks.equal("each kind once", (named(&live, 0), named(&live, 1)), (json!("company"), json!("team")));
    let numbers = [0, 1].map(|at| live["results"][at]["data_group_id"].as_str().and_then(|id| id.parse::<i64>().ok()));
    checks.holds("with numbers of their own", numbers[0] != numbers[1] && numbers[0].is_some(), &live);
    checks.equal(
        "another's groups",
        app(&theirs, &format!("/api/app/projects/{}/data-groups", theirs.id)).await,
        ok(json!([])),
    );
    server.restart().await;
    checks.equal("the same after a restart", app(&mine, &groups).await, (200, live));

    let (status, body) = app(&theirs, &public).await;
    checks.equal("another's project", (status, body["status"].clone()), (403, json!("error")));
    let (status, body) = app(&mine, "/api/app/projects/99999/workspaces/public").await;
    checks.equal("a project that is none", (status, body["status"].clone()), (403, json!("error")));
    for path in ["/api/app/me", public.as_str()] {
        let reply = Reply::of(mine.anonymous(Method::GET, path)).await;
        let body = json!({"status": "error", "error": "Unable to authenticate request"});
        checks.equal(format!("{path} of nobody"), (reply.status, reply.json()), (401, body));
    }
    checks.finish();
}
