//! A project never sees another's data, whichever door is tried.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Checks, Reply, Server, ServerOptions};
use crate::oracle::RawEvent;

const DAY: &str = "2024-01-02";

#[tokio::test]
async fn neither_data_nor_names_of_another_project_can_be_reached() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let (mine, theirs) = (server.create_project("mine").await, server.create_project("theirs").await);
    let event = |name: &str| RawEvent::new(name, "u", 1_704_196_800_000, "i-1").with("secret column", name).to_json();
    mine.import(&[event("Mine")]).await;
    theirs.import(&[event("Theirs")]).await;
    let mut checks = Checks::default();
    for state in ["live", "flushed"] {
        let names = mine.sql("SELECT DISTINCT event FROM events").await.rows;
        checks.equal(format!("{state}: SQL"), names, vec![vec![json!("Mine")]]);
        let rows = mine.export(DAY, DAY, &[]).await;
        checks.equal(format!("{state}: export"), (rows.len(), rows[0]["event"].clone()), (1, json!("Mine")));
        let query = [("event", "Theirs"), ("from_date", DAY), ("to_date", DAY)];
        let report = mine.segmentation(&query).await;
        checks.equal(format!("{state}: segmentation"), report["data"]["values"]["Theirs"][DAY].clone(), json!(0));
        server.restart().await;
    }
    let foreign = format!("{}", theirs.id);
    for path in ["/api/2.0/export", "/api/query/segmentation"] {
        let request = mine.anonymous(Method::GET, path).basic_auth(&mine.username, Some(&mine.secret));
        let query = [("project_id", foreign.as_str()), ("event", "Theirs"), ("from_date", DAY), ("to_date", DAY)];
        let reply = Reply::of(request.query(&query)).await;
        checks.equal(format!("{path} with another's project_id"), reply.status, 403);
        checks.equal(format!("{path}: status"), reply.json()["status"].clone(), json!("error"));
    }
    for (id, username, secret) in
        [("another's secret", &mine.username, &theirs.secret), ("an empty one", &mine.username, &String::new())]
    {
        let request = mine.anonymous(Method::POST, "/v1/sql").basic_auth(username, Some(secret));
        let reply = Reply::of(request.json(&json!({"query": "SELECT 1"}))).await;
        checks.equal(format!("SQL with {id}"), reply.status, 401);
    }
    // A token is public: it may write, and must not read.
    let token = mine.anonymous(Method::POST, "/v1/sql").basic_auth(&mine.token, Some(""));
    let reply = Reply::of(token.json(&json!({"query": "SELECT 1"}))).await;
    checks.holds("SQL with the token", matches!(reply.status, 401 | 403), reply.text());
    checks.finish();
}
