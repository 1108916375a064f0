//! A parse error, a type error and a data error on every route that takes an expression: status, form and place.

use reqwest::Method;
use serde_json::{Value, json};

use super::in_sql::quoted;
use crate::harness::{Checks, Project, Reply, Server, ServerOptions};
use crate::oracle::RawEvent;

const DAY: &str = "2024-01-02";
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

/// Every route that takes an expression, and how it takes it.
const ROUTES: [&str; 14] = [
    "segmentation where",
    "segmentation on",
    "segmentation where, POST form",
    "segmentation on, POST JSON",
    "segmentation where, 2.0",
    "export where",
    "export where, POST form",
    "recent where",
    "live where",
    "evaluate",
    "check where",
    "check on",
    "sql where",
    "sql value on",
];

async fn ask(project: &Project, route: &str, expr: &str) -> Reply {
    match route {
        "sql where" => return project.sql_reply(&format!("SELECT 1 FROM events WHERE expr({})", quoted(expr))).await,
        "sql value on" => return project.sql_reply(&format!("SELECT max(expr({})) FROM events", quoted(expr))).await,
        _ => {}
    }
    let parameter = if route.contains(" on") { "on" } else { "where" };
    let counted = [("event", "Buy"), ("from_date", DAY), ("to_date", DAY), (parameter, expr)];
    let (path, by) = match route {
        "segmentation where, 2.0" => ("/api/2.0/segmentation", Method::GET),
        "export where" => ("/api/2.0/export", Method::GET),
        "export where, POST form" => ("/api/2.0/export", Method::POST),
        "recent where" => ("/v1/events/recent", Method::GET),
        "live where" => ("/v1/live", Method::GET),
        "evaluate" => ("/v1/expressions/evaluate", Method::POST),
        _ if route.starts_with("check") => ("/v1/expressions/check", Method::POST),
        _ if route.contains("POST") => ("/api/query/segmentation", Method::POST),
        _ => ("/api/query/segmentation", Method::GET),
    };
    let request = project.request(by, path);
    let request = match route {
        "evaluate" => request.json(&json!({"expr": expr, "properties": {"flag": true}})),
        _ if route.starts_with("check") => request.json(&json!({"expr": expr, "role": parameter})),
        _ if route.ends_with("JSON") => {
            let body: serde_json::Map<String, Value> =
                counted.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            request.json(&body)
        }
        _ if route.ends_with("form") => request.form(&counted),
        "recent where" | "live where" => request.query(&[("where", expr)]),
        _ => request.query(&counted),
    };
    if route != "live where" {
        return Reply::of(request).await;
    }
    // A live view that was opened does not end.
    let reply = request.send().await.expect("the server answers");
    let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
    let body = if status == 200 { Vec::new() } else { reply.bytes().await.expect("a refusal ends").to_vec() };
    Reply { status, headers, body }
}

/// A refusal as the route's protocol words it: status, code, message, span.
#[derive(Debug)]
struct Refusal {
    status: u16,
    code: String,
    message: String,
    span: Value,
}

/// The query family has neither code nor span: its text begins with words of its own, names the parameter, and ends with
/// the offset. `check` answers whatever the text with 200.
fn refusal(route: &str, reply: &Reply) -> Refusal {
    let body = reply.json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (status, error) = match route {
        _ if route.starts_with("seg") || route.starts_with("export") => {
            let message = text(&body["error"]);
            let whole =
                body["request"].as_str().is_some_and(|asked| asked.starts_with("/api/")) && body["status"] == "error";
            let named = message.strip_prefix("Unable to parse expression: ").unwrap_or(&message);
            let parameter = if route.contains(" on") { "on, " } else { "where, " };
            let code = match () {
                () if !whole || !named.starts_with(parameter) => "",
                () if named.len() < message.len() => "parse",
                () => "type",
            };
            let offset = message.rsplit_once("offset=").and_then(|(_, offset)| offset.parse::<u64>().ok());
            return Refusal { status: reply.status, code: code.into(), message, span: json!(offset) };
        }
        _ if route.starts_with("check") => {
            (if reply.status == 200 && body["valid"] == false { 400 } else { 0 }, &body["diagnostics"][0])
        }
        _ => (reply.status, &body["error"]),
    };
    Refusal { status, code: text(&error["code"]), message: text(&error["message"]), span: error["span"].clone() }
}

/// Checks that a route refuses a text with this code, here, in these words.
fn check_refusal(checks: &mut Checks, route: &str, expr: &str, reply: &Reply, expect: (&str, [u64; 2], &str)) {
    let (code, span, words) = expect;
    let found = refusal(route, reply);
    let shown: String = expr.chars().take(80).collect();
    let right_place = found.span == json!(span) || found.span == json!(span[0]);
    let holds = found.status == 400 && found.code == code && right_place && found.message.contains(words);
    checks.holds(format!("{route}: {shown} is a {code} error at {span:?}: {words}"), holds, format!("{found:?}"));
    checks.holds(format!("{route}: {shown}: no `value` beside"), reply.json().get("value").is_none(), reply.text());
}

#[tokio::test]
async fn every_route_tells_what_is_wrong_and_where() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = project_with_events(&server).await;
    let deep = format!("{}1{}", "(".repeat(300), ")".repeat(300));
    let deep_not = format!("{}true", "not ".repeat(257));
    let mistakes: [(&str, &str, [u64; 2], &str); 32] = [
        // Names.
        ("flor(1) == 1", "parse", [0, 4], "did you mean `floor`?"),
        ("true and HASPREFIX('a', 'b')", "parse", [9, 18], "did you mean `has_prefix`?"),
        ("properties[\"flag\"] and nosuch(1)", "parse", [23, 29], "nosuch"),
        ("Properties[\"flag\"]", "parse", [0, 10], "did you mean `properties`?"),
        ("any(y == 1 for x in [1]) and z == 1", "parse", [4, 5], "y"),
        // Brackets, quotes, and what stops too early.
        ("properties[\"flag\"", "parse", [17, 17], "expected `]`"),
        ("(true or false", "parse", [14, 14], ")"),
        ("true)", "parse", [4, 5], ")"),
        ("properties[\"flag] == 1", "parse", [11, 22], "closing"),
        ("1 +", "parse", [3, 3], "expected an expression"),
        ("[1, 2", "parse", [5, 5], ""),
        ("any(x == 1 for x in [1]", "parse", [23, 23], ""),
        // Numbers of arguments, and patterns.
        ("floor(1, 2) == 1", "parse", [0, 11], "1 argument, found 2"),
        ("floor() == 1", "parse", [0, 7], "1 argument, found 0"),
        ("true and ifs(true, 1, false) == 1", "parse", [9, 28], "pairs"),
        ("regex_match('a', '(') == true", "parse", [17, 20], "pattern"),
        ("regex_match('a', properties['p'])", "parse", [17, 32], "pattern"),
        // Look-ups by anything but a literal.
        ("properties == 1", "parse", [11, 13], "["),
        ("properties[properties[\"a\"]]", "parse", [11, 21], "a quoted name"),
        ("properties[5]", "parse", [11, 12], "a quoted name"),
        ("properties.flag", "parse", [10, 11], "properties[\"name\"]"),
        // Characters and words of other languages.
        ("true && false", "parse", [5, 6], "write `and`"),
        ("true == !false", "parse", [8, 9], "write `not`"),
        ("true\u{a0}and true", "parse", [4, 6], "no-break space"),
        // Places are counted in bytes of UTF-8: two, three and four of them in these characters.
        ("'é日😀' == 'é' and nosuch(1)", "parse", [24, 30], "nosuch"),
        ("properties['é日😀'] and 5", "type", [28, 29], "found a number"),
        (&deep, "parse", [256, 257], "depth_max=256"),
        (&deep_not, "parse", [1024, 1027], "depth_max=256"),
        // What no record can avoid.
        ("properties[\"flag\"] and 5", "type", [23, 24], "an operand of `and` must be boolean, found a number"),
        ("true or 'x'", "type", [8, 11], "an operand of `or` must be boolean, found a string"),
        ("if('yes', 1, 2) == 1", "type", [3, 8], "a condition of `if` must be boolean, found a string"),
        ("any(x, [5], x)", "type", [12, 13], "the body of `any` must be boolean, found a number"),
    ];
    let mut checks = Checks::default();
    for route in ROUTES {
        for (expr, code, span, words) in mistakes {
            let reply = ask(&project, route, expr).await;
            check_refusal(&mut checks, route, expr, &reply, (code, span, words));
        }
    }
    // Only a filter has to be a condition.
    for route in ROUTES.into_iter().filter(|route| route.contains("where")) {
        let reply = ask(&project, route, "properties['flag'] == 1 == 'a' < 5 in [1] + 'x'").await;
        checks.equal(format!("{route}: whatever compares is a condition"), reply.status, 200);
        for (expr, span, kind) in
            [("5", [0, 1], "a number"), (" 'a' + 'b'", [1, 10], "a string"), ("null", [0, 4], "null")]
        {
            let reply = ask(&project, route, expr).await;
            check_refusal(&mut checks, route, expr, &reply, ("type", span, &format!("must be boolean, found {kind}")));
        }
    }
    checks.finish();
}

#[tokio::test]
async fn texts_that_are_too_long_or_empty_are_answered_as_such() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = project_with_events(&server).await;
    let mut checks = Checks::default();
    let longest = format!("true{}", " ".repeat(65_536 - 4));
    let too_long = format!("{longest} ");
    for route in [
        "segmentation where, POST form",
        "segmentation on, POST JSON",
        "export where, POST form",
        "evaluate",
        "check where",
    ] {
        let reply = ask(&project, route, &longest).await;
        checks.equal(format!("{route}: 65,536 bytes"), reply.status, 200);
        checks.holds(format!("{route}: 65,536 bytes"), reply.json()["valid"] != false, reply.text());
        let reply = ask(&project, route, &too_long).await;
        check_refusal(&mut checks, route, &too_long, &reply, ("parse", [0, 65_537], "bytes_max=65536"));
    }
    // Thousands of operators in a row are no depth.
    let chain = vec!["properties['flag'] == 1"; 2_000].join(" or ");
    for route in ["segmentation where, POST form", "export where, POST form", "evaluate", "check where"] {
        let reply = ask(&project, route, &chain).await;
        checks.equal(format!("{route}: a chain of 2,000"), reply.status, 200);
    }
    for blank in ["", "  \t\n "] {
        for route in ["evaluate", "check where", "check on"] {
            let (at, reply) = (blank.len() as u64, ask(&project, route, blank).await);
            check_refusal(&mut checks, route, blank, &reply, ("parse", [at, at], "expected an expression"));
        }
        // A parameter that is present but empty counts as absent.
        for route in ["segmentation where", "segmentation on", "segmentation on, POST JSON"] {
            let reply = ask(&project, route, blank).await.ok().json();
            checks.equal(format!("{route}: {blank:?}"), &reply["data"]["values"], &json!({"Buy": {DAY: 3}}));
        }
        for (route, rows) in [("export where", 3), ("export where, POST form", 3)] {
            checks.equal(
                format!("{route}: {blank:?}"),
                ask(&project, route, blank).await.ok().text().lines().count(),
                rows,
            );
        }
        let recent = ask(&project, "recent where", blank).await.ok().json();
        checks.equal("recent", recent["events"].as_array().map(Vec::len), Some(3));
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
