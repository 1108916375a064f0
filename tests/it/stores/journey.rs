//! What happens to a project in its life, wherever its tables are; and all that can be asked of it afterwards.

use serde_json::{Value, json};

use crate::generate::{first_day, last_day, random_events};
use crate::harness::{DAY_MS, Project, Reply, Server, ServerOptions};
use crate::oracle::RawEvent;

const EVENTS: usize = 1_500;
/// 1 July 2024.
const FIRST_MS: i64 = 1_719_792_000_000;
const DAYS: i64 = 5;

/// In a few days, so that there are not hundreds of files.
pub fn events() -> Vec<RawEvent> {
    let mut events = random_events(71, EVENTS);
    for event in &mut events {
        event.time_ms = FIRST_MS + event.time_ms.rem_euclid(DAYS * DAY_MS);
    }
    events
}

/// Live rows, flushes, resends, changed copies, late days, profiles, a lookup table, `kill -9`, stops and starts, and a
/// start on an empty data directory: at each turn the answers are the same. They are what comes back.
pub async fn journey(options: ServerOptions) -> Value {
    let events = events();
    let sent: Vec<Value> = events.iter().map(RawEvent::to_json).collect();
    let changed: Vec<Value> =
        events[..60].iter().map(|event| event.clone().with("plan", "changed").to_json()).collect();
    let mut server = Server::start(options).await;
    let project = server.create_project("journey").await;
    project.import(&sent[..900]).await;
    server.restart().await;
    project.import(&sent[700..]).await;
    project.import(&changed).await;
    let engage = json!([{"$token": project.token, "$distinct_id": "user-1", "$set": {"name": "One"}}]);
    let engage = project.anonymous(reqwest::Method::POST, "/engage").json(&engage);
    assert_eq!(Reply::of(engage).await.ok().text(), "1");
    add_plans(&project).await;
    let seen = answers(&project).await;
    server.kill().await;
    server.start_again().await;
    assert_eq!(answers(&project).await, seen, "killed and started");
    server.restart().await;
    assert_eq!(answers(&project).await, seen, "flushed");
    server.stop().await;
    let told = server.cli(&["sql", "--project", "journey", "--format", "json", COUNTS]).await.succeeded().json();
    assert_eq!(told["rows"], seen["counts"], "by the command line, without a server");
    if server.has_tables_elsewhere() {
        server.forget_data();
    }
    server.start_again().await;
    assert_eq!(answers(&project).await, seen, "with nothing but the tables");
    project.import(&sent[..200]).await;
    project.import(&changed).await;
    assert_eq!(answers(&project).await["counts"], seen["counts"], "resent");
    server.stop().await;
    seen
}

/// A lookup table, for [`answers`] to join.
pub async fn add_plans(project: &Project) {
    let csv = project.request(reqwest::Method::POST, "/lookup-tables").query(&[("name", "Plans")]);
    Reply::of(csv.body("id,price\nfree,0\nchanged,7\n")).await.ok();
}

const COUNTS: &str = "SELECT event, plan, count(*) AS n, count(DISTINCT user_id) AS users, count(amount) AS amounts \
                      FROM events GROUP BY event, plan ORDER BY event, plan";

/// Sums, copies that lost, a join, a report, and every event as it is exported.
pub async fn answers(project: &Project) -> Value {
    let (from, to) = (first_day().to_string(), last_day().to_string());
    let (from, to) = (from.as_str(), to.as_str());
    let rows =
        async |query: &str| Value::from(project.sql(query).await.rows.into_iter().map(Value::from).collect::<Vec<_>>());
    let mut exported: Vec<String> = Vec::new();
    for mut row in project.export(from, to, &[]).await {
        let properties = row["properties"].as_object_mut().expect("properties");
        properties.retain(|name, _| name != "mp_processing_time_ms");
        exported.push(row.to_string());
    }
    exported.sort_unstable();
    json!({
        "counts": Value::from(project.sql(COUNTS).await.rows.into_iter().map(Value::from).collect::<Vec<_>>()),
        "rejected": rows("SELECT reason, count(*) FROM rejected_events GROUP BY reason ORDER BY reason").await,
        "joined": rows("SELECT sum(price), count(*) FROM events JOIN \"lookup_Plans\" ON plan = id").await,
        "segmentation": project.segmentation(&[("event", "Buy"), ("from_date", from), ("to_date", to), ("unit", "week")]).await["data"],
        "exported": exported,
    })
}
