//! A parse error, a type error and a data error on every route that takes an expression: status, form and place.

use reqwest::Method;
use serde_json::{Value, json};

use super::in_sql::quoted;
use crate::harness::{Checks, Project, Reply, Server, ServerOptions};
use crate::oracle::RawEvent;

const DAY: &str = "2024-01-02";
const PARSE: &str = "properties[\"flag\"] and nosuch(1)";
const TYPE: &str = "properties[\"flag\"] and 5";
/// True of one event, false of another, and a type error on a third.
const DATA: &str = "properties[\"flag\"] and true";

async fn project_with_events(server: &Server) -> Project {
    let project = server.create_project("mistakes").await;
    let event = |number: i64| RawEvent::new("Buy", "u", 1_704_200_000_000 + number, &format!("i{number}"));
    let events = [event(1).with("flag", true), event(2).with("flag", false), event(3).with("flag", "yes")];
    project.import(&events.iter().map(RawEvent::to_json).collect::<Vec<_>>()).await;
    project
}

async fn segmentation(project: &Project, parameter: &str, expr: &str) -> Reply {
    let query = [("event", "Buy"), ("from_date", DAY), ("to_date", DAY), (parameter, expr)];
    project.segmentation_reply(&query).await
}

async fn ask(project: &Project, route: &str, expr: &str) -> Reply {
    match route {
        "segmentation where" => segmentation(project, "where", expr).await,
        "segmentation on" => segmentation(project, "on", expr).await,
        "export" => project.export_reply(DAY, DAY, &[("where", expr)]).await,
        "recent" => project.get("/v1/events/recent", &[("where", expr)]).await,
        "evaluate" => project.evaluate(&json!({"expr": expr, "properties": {"flag": true}})).await,
        "sql" => project.sql_reply(&format!("SELECT 1 FROM events WHERE expr({})", quoted(expr))).await,
        "sql value" => project.sql_reply(&format!("SELECT max(expr({})) FROM events", quoted(expr))).await,
        other => panic!("{other}"),
    }
}

/// The text of an error in the form of the route, and its span where the form has one.
fn error(route: &str, body: &Value) -> (String, Option<Value>) {
    match route {
        "segmentation where" | "segmentation on" | "export" => {
            (body["error"].as_str().unwrap_or_default().to_owned(), None)
        }
        _ => {
            let error = &body["error"];
            let text = format!("{} {}", error["code"].as_str().unwrap_or_default(), error["message"]);
            (text, error.get("span").cloned())
        }
    }
}

#[tokio::test]
async fn every_route_tells_parse_and_type_errors_in_its_own_form() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = project_with_events(&server).await;
    let mut checks = Checks::default();
    for route in ["segmentation where", "segmentation on", "export", "recent", "evaluate", "sql", "sql value"] {
        let is_mixpanel = route.starts_with("seg") || route == "export";
        for (expr, begins, at) in [
            (PARSE, if is_mixpanel { "Unable to parse expression: " } else { "parse " }, [23, 29]),
            (TYPE, if is_mixpanel { "" } else { "type " }, [23, 24]),
        ] {
            let reply = ask(&project, route, expr).await;
            let (text, span) = error(route, &reply.json());
            let claim = format!("{route}: {expr}");
            checks.equal(&claim, reply.status, 400);
            checks.holds(&claim, !text.is_empty() && text.starts_with(begins), reply.text());
            if !is_mixpanel {
                checks.equal(&claim, span, Some(json!(at)));
            }
        }
    }
    // The live view answers before its first event.
    for (expr, code) in [(PARSE, "parse"), (TYPE, "type")] {
        let reply = Reply::of(project.request(Method::GET, "/v1/live").query(&[("where", expr)])).await;
        checks.equal(format!("live: {expr}"), (reply.status, &reply.json()["error"]["code"]), (400, &json!(code)));
    }
    checks.finish();
}

#[tokio::test]
async fn one_record_of_another_type_takes_no_report_down() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = project_with_events(&server).await;
    for state in ["live", "flushed"] {
        let mut checks = Checks::default();
        let filtered = segmentation(&project, "where", DATA).await.ok().json();
        checks.equal(state, &filtered["data"]["values"], &json!({"Buy": {DAY: 1}}));
        let warning = filtered["warnings"][0].as_str().unwrap_or_default().to_owned();
        checks.holds(state, warning.contains("where") && warning.contains('1'), &warning);
        let broken_down = segmentation(&project, "on", DATA).await.ok().json();
        let segments = json!({"true": {DAY: 1}, "false": {DAY: 1}, "undefined": {DAY: 1}});
        checks.equal(state, &broken_down["data"]["values"], &segments);
        let warning = broken_down["warnings"][0].as_str().unwrap_or_default().to_owned();
        checks.holds(state, warning.contains("on") && warning.contains('1'), &warning);
        let exported = project.export(DAY, DAY, &[("where", DATA)]).await;
        checks.equal(state, exported.len(), 1);
        let by_sql = project.sql(&format!("SELECT count(*) FROM events WHERE expr({})", quoted(DATA))).await;
        checks.equal(state, by_sql.int(), 1);
        let recent = project.get("/v1/events/recent", &[("where", DATA)]).await.ok().json();
        checks.equal(state, recent["events"].as_array().map(Vec::len), Some(1));
        let evaluated = project.evaluate(&json!({"expr": DATA, "properties": {"flag": "yes"}})).await;
        checks.equal(state, (evaluated.status, &evaluated.json()["error"]["code"]), (400, &json!("type")));
        // An expression that reads profiles is no mistake: nobody has one yet.
        let of_user = segmentation(&project, "where", "defined(user[\"plan\"])").await.ok().json();
        checks.equal(state, &of_user["data"]["values"], &json!({"Buy": {DAY: 0}}));
        let of_behaviors = segmentation(&project, "where", "not (behaviors[\"b\"] > 1)").await.ok().json();
        checks.equal(state, &of_behaviors["data"]["values"], &json!({"Buy": {DAY: 3}}));
        checks.finish();
        server.restart().await;
    }
    server.stop().await;
}
