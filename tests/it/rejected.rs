//! Duplicates at any distance, by the thousand: counts stay exact, and `rejected_events` holds the losers, once each.
//!
//! The oracle is what was sent, in the order in which it was answered. `FOOTFALL_DUPLICATE_EVENTS` sets how many events
//! there are (50,000).

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::harness::{DAY_MS, Project, Reply, Server, ServerOptions, seed};
use crate::oracle::{Loser, RawEvent, losers, surviving};

const FIRST_MS: i64 = 1_704_067_200_000;
const DAYS: i64 = 6;
const FROM: &str = "2024-01-01";
const TO: &str = "2024-01-07";
const NAMES: [&str; 4] = ["View", "Search", "Paid", "Left"];

fn size() -> usize {
    std::env::var("FOOTFALL_DUPLICATE_EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(50_000)
}

/// Events of which a share is sent again, half of these with another property; and a few that differ from an earlier
/// event in exactly one field of the key.
fn arrivals(rng: &mut ChaCha8Rng, count: usize, share: f64) -> Vec<RawEvent> {
    let mut sent: Vec<RawEvent> = Vec::with_capacity(count);
    while sent.len() < count {
        let n = sent.len();
        let again = (n > 0).then(|| sent[rng.random_range(0..n)].clone());
        let event = match again {
            Some(earlier) if rng.random_bool(share) => match rng.random_bool(0.5) {
                true => earlier,
                false => earlier.with("version", n as i64),
            },
            Some(earlier) if rng.random_bool(share) => near(earlier, rng.random_range(0..4)),
            _ => {
                // Seconds, as most clients have them: many events share a moment.
                let time = FIRST_MS + rng.random_range(0..DAYS * DAY_MS) / 1_000 * 1_000;
                let user = if n % 50 == 0 { String::new() } else { format!("u{}", rng.random_range(0..400)) };
                let event = RawEvent::new(NAMES[n % NAMES.len()], &user, time, &format!("i{n}"));
                event.with("version", -1).with("plan", ["free", "pro"][n % 2])
            }
        };
        sent.push(event);
    }
    sent
}

/// The event with one field of its key changed.
fn near(mut event: RawEvent, field: u8) -> RawEvent {
    match field {
        0 => event.event.push('2'),
        1 => event.distinct_id.push('x'),
        2 => event.time_ms += 1,
        _ => event.insert_id = event.insert_id.map(|id| id + "-"),
    }
    event
}

/// What names an event in every answer: key and version.
type Name = (String, String, i64, String, i64);

fn name(event: &RawEvent) -> Name {
    let insert_id = event.insert_id.clone().unwrap_or_default();
    let version = event.properties["version"].as_i64().expect("a version");
    (event.event.clone(), event.distinct_id.clone(), event.time_ms, insert_id, version)
}

fn name_of(row: &[Value]) -> Name {
    let text = |at: usize| row[at].as_str().unwrap_or_else(|| panic!("no text: {row:?}")).to_owned();
    let number = |at: usize| row[at].as_i64().unwrap_or_else(|| panic!("no integer: {row:?}"));
    (text(0), text(1), number(2), text(3), number(4))
}

fn sorted<T: Ord>(rows: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut rows: Vec<T> = rows.into_iter().collect();
    rows.sort();
    rows
}

fn loser(loser: &Loser) -> (Name, String) {
    (name(&loser.copy), loser.reason.to_owned())
}

async fn check(claim: &str, project: &Project, sent: &[RawEvent]) {
    let kept = surviving(sent);
    let counted = project.sql("SELECT count(*) FROM events").await.int();
    assert_eq!(counted, kept.len() as i64, "{claim}: count");
    let rows =
        project.sql("SELECT event, distinct_id, CAST(time AS BIGINT), insert_id, version FROM events").await.rows;
    assert!(sorted(rows.iter().map(|row| name_of(row))) == sorted(kept.iter().map(name)), "{claim}: other events");
    for event in NAMES {
        let mut days: BTreeMap<String, i64> = BTreeMap::new();
        for kept in kept.iter().filter(|kept| kept.event == event) {
            *days.entry(kept.instant().format("%Y-%m-%d").to_string()).or_default() += 1;
        }
        let query = [("event", event), ("from_date", FROM), ("to_date", TO)];
        let values = project.segmentation(&query).await["data"]["values"][event].clone();
        let values = values.as_object().expect("days").iter().filter(|(_, count)| **count != json!(0));
        let values: BTreeMap<String, i64> =
            values.map(|(day, count)| (day.clone(), count.as_i64().expect("a count"))).collect();
        assert_eq!(values, days, "{claim}: {event} by day");
    }
    let lost = losers(sent);
    check_table(claim, project, &lost).await;
    check_pages(claim, project, &lost).await;
}

async fn check_table(claim: &str, project: &Project, lost: &[Loser]) {
    let table = project
        .sql(
            "SELECT event, distinct_id, CAST(time AS BIGINT), insert_id, properties, reason, source, user_id,
               received_at < kept_received_at FROM rejected_events ORDER BY rejected_at",
        )
        .await;
    let mut seen = Vec::new();
    for row in &table.rows {
        let properties: Value = serde_json::from_str(row[4].as_str().expect("JSON text")).expect("JSON");
        let mut key = row.clone();
        key[4] = properties["version"].clone();
        let reason = row[5].as_str().expect("a reason").to_owned();
        assert_eq!(properties["plan"].is_string(), true, "{claim}: its properties are whole: {row:?}");
        assert_eq!(row[8], json!(reason == "superseded"), "{claim}: the earlier copy loses to a changed one: {row:?}");
        assert!(row[6] == "/import" || (reason == "superseded" && row[6].is_null()), "{claim}: source: {row:?}");
        assert_eq!(row[7].is_null(), row[1] == "", "{claim}: user: {row:?}");
        seen.push((name_of(&key), reason));
    }
    assert!(seen == lost.iter().map(loser).collect::<Vec<_>>(), "{claim}: other losers, or in another order");
    let one_each = "SELECT count(*) = count(DISTINCT rejected_at) AND count(*) = count(DISTINCT received_at)
        FROM rejected_events";
    assert_eq!(
        project.sql(one_each).await.single(),
        &json!(true),
        "{claim}: each copy loses once, at a time of its own"
    );
}

/// `GET /v1/rejected`, page by page, is the same list backwards.
async fn check_pages(claim: &str, project: &Project, lost: &[Loser]) {
    let mut seen = Vec::new();
    let mut before: Option<String> = None;
    loop {
        let mut query = vec![("limit", "700")];
        query.extend(before.as_deref().map(|before| ("before", before)));
        let page = project.get("/v1/rejected", &query).await.ok().json();
        let rows = page["rejected"].as_array().expect("a page").clone();
        seen.extend(rows.iter().map(|row| {
            let key = ["event", "distinct_id", "time", "insert_id"].map(|field| row[field].clone());
            let row = [key.as_slice(), &[row["properties"]["version"].clone(), row["reason"].clone()]].concat();
            (name_of(&row), row[5].as_str().unwrap_or_default().to_owned())
        }));
        match page["next"].as_i64() {
            Some(next) => before = Some(next.to_string()),
            None => break,
        }
    }
    seen.reverse();
    assert!(seen == lost.iter().map(loser).collect::<Vec<_>>(), "{claim}: the pages differ");
}

/// Sends with restarts on the way, and checks at once, after flushes and after a kill.
async fn story(share: f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed(20_240_101));
    let sent = arrivals(&mut rng, size(), share);
    let mut server = Server::start(ServerOptions::flushing_every(7_000)).await;
    let project = server.create_project("losers").await;
    let mut done = 0;
    // A restart flushes, a kill does not; batches of every size lie between.
    let restarts = [(sent.len() / 4, "restart"), (sent.len() / 2, "kill"), (sent.len() * 3 / 4, "restart")];
    let mut restarts = restarts.into_iter().peekable();
    while done < sent.len() {
        let end = (done + rng.random_range(1..=2_000)).min(sent.len());
        project.import(&sent[done..end].iter().map(RawEvent::to_json).collect::<Vec<_>>()).await;
        done = end;
        if let Some((_, how)) = restarts.next_if(|(at, _)| done >= *at) {
            match how {
                "kill" => {
                    check("before the kill", &project, &sent[..done]).await;
                    server.kill().await;
                    server.start_again().await;
                    check("after the kill", &project, &sent[..done]).await;
                }
                _ => server.restart().await,
            }
        }
    }
    check("at once", &project, &sent).await;
    server.restart().await;
    check("after a flush", &project, &sent).await;
    server.kill().await;
    server.start_again().await;
    check("after a restart without a log", &project, &sent).await;
}

#[tokio::test]
async fn few_duplicates_among_many_events() {
    story(0.0011).await;
}

#[tokio::test]
async fn many_duplicates() {
    story(0.05).await;
}

#[tokio::test]
async fn losers_are_narrowed_and_belong_to_their_project() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let (project, other) = (server.create_project("mine").await, server.create_project("other").await);
    let event = |name: &str, user: &str| RawEvent::new(name, user, FIRST_MS, "i").with("version", 1);
    let first = [event("A", "ann"), event("A", "bob"), event("B", "ann")];
    project.import(&first.iter().map(RawEvent::to_json).collect::<Vec<_>>()).await;
    project.import(&first.iter().map(RawEvent::to_json).collect::<Vec<_>>()).await;
    project.import(&[event("A", "ann").with("version", 2).to_json()]).await;
    let read = async |query: &[(&str, &str)]| {
        let page = project.get("/v1/rejected", query).await.ok().json();
        let row = |row: &Value| format!("{} {} {}", row["event"], row["distinct_id"], row["reason"]).replace('"', "");
        page["rejected"].as_array().expect("a page").iter().map(row).collect::<Vec<_>>()
    };
    let all = ["A ann superseded", "B ann duplicate", "A bob duplicate", "A ann duplicate"];
    assert_eq!(read(&[]).await, all);
    assert_eq!(read(&[("reason", "superseded")]).await, all[..1]);
    assert_eq!(read(&[("event", "A")]).await, ["A ann superseded", "A bob duplicate", "A ann duplicate"]);
    assert_eq!(read(&[("distinct_id", "ann"), ("reason", "duplicate")]).await, ["B ann duplicate", "A ann duplicate"]);
    let page = project.get("/v1/rejected", &[("limit", "4")]).await.ok().json();
    assert_eq!(page["next"], Value::Null, "a page that is just full is the last one");
    let nothing = other.get("/v1/rejected", &[]).await.ok().json();
    assert_eq!(nothing, json!({"rejected": [], "next": null}));
    assert_eq!(other.sql("SELECT count(*) FROM rejected_events").await.int(), 0);
    let stranger = other.request(reqwest::Method::GET, "/v1/rejected").query(&[("project_id", project.id)]);
    assert!(matches!(Reply::of(stranger).await.status, 400 | 403));
    let refused = project.get("/v1/rejected", &[("reason", "late")]).await;
    assert_eq!((refused.status, refused.json()["error"]["field"].clone()), (400, json!("reason")));
    let anonymous = Reply::of(project.anonymous(reqwest::Method::GET, "/v1/rejected")).await;
    assert_eq!(anonymous.status, 401);
}
