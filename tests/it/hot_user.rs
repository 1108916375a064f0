//! One user with more events in a day than upstream lets pass: nothing is renamed, nobody loses an id.
//!
//! Upstream calls everything after the first 200,000 events of a user and a day `$hotshard_events` and takes its id away.
//! `FOOTFALL_HOT_EVENTS=300000` is the long form of this test.

use serde_json::{Value, json};

use crate::harness::{Checks, Server, ServerOptions};

const DAY: &str = "2024-01-02";
const DAY_START: i64 = 1_704_153_600;

#[tokio::test]
async fn every_event_of_a_hot_user_keeps_its_name_and_its_user() {
    let events = std::env::var("FOOTFALL_HOT_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000_i64);
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("hot").await;
    let event = |n: i64| {
        let properties = json!({"time": DAY_START + n % 86_400, "distinct_id": "bot", "$insert_id": format!("h-{n}")});
        json!({"event": if n % 2 == 0 { "Ping" } else { "Pong" }, "properties": properties})
    };
    let half = events / 2;
    for from in (0..events).step_by(20_000) {
        project.import(&(from..(from + 20_000).min(events)).map(event).collect::<Vec<_>>()).await;
    }
    let mut checks = Checks::default();
    for state in ["live", "flushed"] {
        let rows = project.sql("SELECT event, user_id, count(*) FROM events GROUP BY 1, 2 ORDER BY 1").await.rows;
        let want = vec![
            vec![json!("Ping"), json!("bot"), json!(events - half)],
            vec![json!("Pong"), json!("bot"), json!(half)],
        ];
        checks.equal(format!("{state}: SQL"), rows, want);
        let query = [("event", "Ping"), ("from_date", DAY), ("to_date", DAY)];
        let count = project.segmentation(&query).await["data"]["values"]["Ping"][DAY].clone();
        checks.equal(format!("{state}: segmentation"), count, json!(events - half));
        let unique = [("event", "Ping"), ("from_date", DAY), ("to_date", DAY), ("type", "unique")];
        let users = project.segmentation(&unique).await["data"]["values"]["Ping"][DAY].clone();
        checks.equal(format!("{state}: one user"), users, json!(1));
        let rows = project.export(DAY, DAY, &[]).await;
        checks.equal(format!("{state}: export"), rows.len() as i64, events);
        let mangled = rows.iter().find(|row| {
            let properties = &row["properties"];
            !["Ping", "Pong"].map(Value::from).contains(&row["event"])
                || properties["distinct_id"] != "bot"
                || !properties["mp_original_event_name"].is_null()
                || !properties["mp_original_distinct_id"].is_null()
        });
        checks.equal(format!("{state}: none is mangled"), mangled, None);
        server.restart().await;
    }
    checks.finish();
}
