//! A year of a project: days in order, late events for days long past, copies sent again, copies with other properties,
//! flushes and compactions in between. The sums are those of the oracle throughout, and four other engines that read the
//! table get the same.

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use crate::harness::{DAY_MS, Project, Server, ServerOptions, python, seed};
use crate::oracle::{RawEvent, surviving};

/// 2024-01-01.
const FIRST_MS: i64 = 1_704_067_200_000;
const DAYS: i64 = 365;
const ROUNDS: i64 = 5;
const NAMES: [&str; 5] = ["Play", "Pause", "Buy", "Öffnen", "Log in"];
const BATCH: usize = 2_000;

fn events_wanted() -> usize {
    std::env::var("FOOTFALL_YEAR_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000)
}

/// What arrives in one round: its own part of the year, and of everything before it late events and copies.
fn round(rng: &mut ChaCha8Rng, number: i64, count: usize, sent: &[RawEvent]) -> Vec<RawEvent> {
    let days = (DAYS * number / ROUNDS)..(DAYS * (number + 1) / ROUNDS);
    let mut arrivals = Vec::with_capacity(count);
    while arrivals.len() < count {
        arrivals.push(match rng.random_range(0..100) {
            0..=2 if !sent.is_empty() => sent.choose(rng).expect("not empty").clone(),
            3..=4 if !sent.is_empty() => {
                sent.choose(rng).expect("not empty").clone().with("n", rng.random_range(1_000..2_000))
            }
            5..=9 => event(rng, 0..days.end, format!("late-{number}-{}", arrivals.len())),
            _ => event(rng, days.clone(), format!("{number}-{}", arrivals.len())),
        });
    }
    // As they would come: by day.
    arrivals.sort_by_key(|event| event.time_ms / DAY_MS);
    arrivals
}

fn event(rng: &mut ChaCha8Rng, days: std::ops::Range<i64>, insert_id: String) -> RawEvent {
    let time = FIRST_MS + rng.random_range(days.start * DAY_MS..days.end * DAY_MS);
    let user = format!("user-{}", rng.random_range(1..30) * rng.random_range(1..30));
    let event = RawEvent::new(NAMES.choose(rng).expect("not empty"), &user, time, &insert_id);
    event.with("n", rng.random_range(-50..50)).with("weight", f64::from(rng.random_range(0..40)) / 4.0)
}

/// Sums by event: rows, users, n, weight.
fn oracle(arrivals: &[RawEvent]) -> Value {
    let mut sums: std::collections::BTreeMap<String, (i64, std::collections::BTreeSet<String>, i64, f64)> =
        Default::default();
    for event in surviving(arrivals) {
        let sum = sums.entry(event.event.clone()).or_default();
        sum.0 += 1;
        sum.1.insert(event.distinct_id.clone());
        sum.2 += event.properties["n"].as_i64().expect("an integer");
        sum.3 += event.properties["weight"].as_f64().expect("a number");
    }
    sums.into_iter().map(|(name, (rows, users, n, weight))| json!([name, rows, users.len(), n, weight])).collect()
}

async fn footfall(project: &Project) -> Value {
    let question = "SELECT event, count(*), count(DISTINCT user_id), sum(n), CAST(sum(weight) AS DOUBLE) FROM events \
                    GROUP BY event ORDER BY event";
    project.sql(question).await.rows.into_iter().map(Value::from).collect()
}

/// Every row there is, in an order of its own.
async fn rows(project: &Project) -> Vec<Vec<Value>> {
    let columns = "event, distinct_id, user_id, time, insert_id, received_at, n, weight";
    project.sql(&format!("SELECT {columns} FROM events ORDER BY received_at")).await.rows
}

async fn check_outside(server: &Server, project: &Project, want: &Value) {
    let table = server.data_dir().join("store").join(project.id.to_string()).join("events");
    let Some(printed) = python("table_sums.py", &[table.to_str().expect("UTF-8")]).await else { return };
    let seen: Map<String, Value> = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(seen.len(), 4, "four engines");
    for (engine, sums) in seen {
        assert_eq!(&sums, want, "{engine} sums as Footfall does");
    }
}

#[tokio::test]
async fn a_year_with_late_events_copies_and_compactions_sums_alike_in_every_engine() {
    let mut rng = ChaCha8Rng::seed_from_u64(seed(365));
    let each = events_wanted() / ROUNDS as usize;
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("year").await;
    let mut sent: Vec<RawEvent> = Vec::new();
    for number in 0..ROUNDS {
        let arrivals = round(&mut rng, number, each, &sent);
        sent.extend(arrivals.iter().cloned());
        let records: Vec<Value> = arrivals.iter().map(RawEvent::to_json).collect();
        for batch in records.chunks(BATCH) {
            project.import(batch).await;
        }
        let want = oracle(&sent);
        assert_eq!(footfall(&project).await, want, "round {number}, live");
        server.restart().await;
        assert_eq!(footfall(&project).await, want, "round {number}, flushed");
        if number % 2 == 1 || number + 1 == ROUNDS {
            let before = rows(&project).await;
            check_outside(&server, &project, &want).await;
            server.cli(&["compact", "--all"]).await.succeeded();
            assert_eq!(rows(&project).await, before, "round {number}: a compaction keeps every row as it was");
            assert_eq!(footfall(&project).await, want, "round {number}, compacted");
            check_outside(&server, &project, &want).await;
        }
    }
    server.stop().await;
}
