//! `POST /v1/expressions/check`: what is told of an expression before it is used.

use serde_json::{Value, json};

use crate::harness::{Checks, Project, Reply, Server, ServerOptions};
use crate::oracle::RawEvent;

async fn check(project: &Project, body: Value) -> Reply {
    Reply::of(project.request(reqwest::Method::POST, "/v1/expressions/check").json(&body)).await
}

async fn project_with_events(server: &Server) -> Project {
    let project = server.create_project("check").await;
    let event = |number: i64| RawEvent::new("Buy", "u", 1_704_200_000_000 + number, &format!("i{number}"));
    let cart = json!([{"sku": "a", "price": 5}]);
    let events = [
        event(1).with("price", 5).with("plan", "pro").with("cart", cart).with("flag", true),
        event(2).with("price", "five").with("gone", Value::Null),
    ];
    project.import(&events.iter().map(RawEvent::to_json).collect::<Vec<_>>()).await;
    project
}

#[tokio::test]
async fn types_properties_and_cost_are_told_by_the_projects_own_properties() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = project_with_events(&server).await;
    for state in ["live", "flushed"] {
        let mut checks = Checks::default();
        for (expr, role, types, cost, properties) in [
            ("properties['plan']", "on", json!(["string", "undefined"]), "columns", json!([["plan", ["string"]]])),
            ("plan", "on", json!(["string", "undefined"]), "columns", json!([["plan", ["string"]]])),
            (
                "properties[\"price\"]",
                "on",
                json!(["number", "string", "undefined"]),
                "columns",
                json!([["price", ["number", "string"]]]),
            ),
            (
                "properties[\"price\"] == 5",
                "where",
                json!(["boolean"]),
                "columns",
                json!([["price", ["number", "string"]]]),
            ),
            (
                "properties[\"price\"] > 5",
                "where",
                json!(["boolean", "undefined"]),
                "columns",
                json!([["price", ["number", "string"]]]),
            ),
            ("1 + 2", "on", json!(["number"]), "constant", json!([])),
            ("NOW", "on", json!(["number"]), "constant", json!([])),
            ("true", "selector", json!(["boolean"]), "constant", json!([])),
            (
                "properties[\"$time\"]",
                "on",
                json!(["datetime", "undefined"]),
                "columns",
                json!([["$time", ["datetime"]]]),
            ),
            (
                "any(x['price'] > 1 for x in properties['cart'])",
                "where",
                json!(["boolean", "undefined"]),
                "nested",
                json!([["cart", ["list", "map"]]]),
            ),
            ("properties['gone']", "on", json!(["null", "undefined"]), "columns", json!([["gone", ["null"]]])),
            ("defined(user['plan'])", "where", json!(["boolean"]), "columns", json!([["plan", []]])),
        ] {
            let reply = check(&project, json!({"expr": expr, "role": role})).await.ok().json();
            let seen: Vec<Value> = reply["properties"]
                .as_array()
                .map(|all| all.iter().map(|p| json!([p["name"], p["types"]])).collect())
                .unwrap_or_default();
            let claim = format!("{state}: {expr}");
            checks.equal(&claim, (&reply["valid"], &reply["types"]), (&json!(true), &types));
            checks.equal(&claim, (&reply["cost"], json!(seen)), (&json!(cost), properties));
        }
        checks.finish();
        server.restart().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn mistakes_are_told_with_place_and_suggestion() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = project_with_events(&server).await;
    let mut checks = Checks::default();
    for (expr, valid, severity, code, span, suggestion) in [
        ("flor(1) == 1", false, "error", "parse", json!([0, 4]), json!("floor")),
        ("1 +", false, "error", "parse", json!([3, 3]), Value::Null),
        ("true and 5", false, "error", "type", json!([9, 10]), Value::Null),
        ("properties['prise'] == 5", true, "warning", "unknown_property", json!([0, 19]), json!("price")),
        (
            "true and properties['nothing_like_it'] == 5",
            true,
            "warning",
            "unknown_property",
            json!([9, 38]),
            Value::Null,
        ),
    ] {
        let reply = check(&project, json!({"expr": expr})).await.ok().json();
        let told = &reply["diagnostics"][0];
        checks.equal(expr, &reply["valid"], &json!(valid));
        checks.equal(expr, (&told["severity"], &told["code"]), (&json!(severity), &json!(code)));
        checks.equal(expr, (&told["span"], &told["suggestion"]), (&span, &suggestion));
        checks.holds(expr, told["message"].as_str().is_some_and(|message| message.len() > 10), told);
        checks.equal(expr, reply.get("types").is_some(), valid);
    }
    let two = check(&project, json!({"expr": "flor(1) == ciel(2)"})).await.ok().json();
    checks.equal("every misspelt name is told", two["diagnostics"].as_array().map(Vec::len), Some(2));
    let where_role = check(&project, json!({"expr": "price"})).await.ok().json();
    checks.equal("a bare word is a property in `on` alone", &where_role["valid"], &json!(false));
    let engage = check(&project, json!({"expr": "properties['any'] > 5", "role": "engage"})).await.ok().json();
    checks.equal("profiles are not events", (&engage["valid"], &engage["diagnostics"]), (&json!(true), &json!([])));
    for body in [json!({}), json!({"expr": 5}), json!({"expr": "1", "role": "other"}), json!({"expr": "1", "x": 1})] {
        checks.equal(format!("{body}"), check(&project, body.clone()).await.status, 400);
    }
    let anonymous = project.anonymous(reqwest::Method::POST, "/v1/expressions/check").json(&json!({"expr": "1"}));
    checks.equal("credentials are needed", Reply::of(anonymous).await.status, 401);
    checks.finish();
}
