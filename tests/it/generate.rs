//! Seeded events whose values are of every kind that a breakdown or a filter can trip over.

use chrono::NaiveDate;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::oracle::RawEvent;

pub const EVENTS: [&str; 4] = ["View", "Buy", "Öffnen", "$session_end"];

/// Days that the events lie on: both changes of New York's clocks and of Lord Howe's half-hour ones are inside.
pub fn first_day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2024, 2, 26).expect("a date")
}

pub fn last_day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2024, 11, 10).expect("a date")
}

/// Instants around which many events fall: midnights, and the clock changes of New York.
const CROWDED_MS: [i64; 5] =
    [1_710_054_000_000, 1_730_613_600_000, 1_709_251_200_000, 1_730_617_200_000, 1_719_792_000_000];

pub fn random_events(seed: u64, count: usize) -> Vec<RawEvent> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|number| random_event(&mut rng, number)).collect()
}

fn random_event(rng: &mut ChaCha8Rng, number: usize) -> RawEvent {
    let user = match rng.random_range(0..50) {
        0 => String::new(),
        // A square favours small numbers, so some users have many events and some have one.
        draw => format!("user-{}", draw * rng.random_range(1..50) / 10),
    };
    let name = EVENTS.choose(rng).expect("not empty");
    let mut event = RawEvent::new(name, &user, random_time(rng), &format!("id-{number}"));
    for (name, value) in [
        ("plan", plan(rng)),
        ("amount", amount(rng)),
        ("tags", tags(rng)),
        ("flag", rng.random_bool(0.7).then(|| json!(rng.random_bool(0.5)))),
        ("country", ["DE", "AT", "Österreich", "us", "US"].choose(rng).map(|country| json!(country))),
        ("nest", rng.random_bool(0.3).then(|| json!({"z": 1, "a": {"k": rng.random_range(0..3)}}))),
    ] {
        if let Some(value) = value {
            event.properties.insert(name.into(), value);
        }
    }
    event
}

fn random_time(rng: &mut ChaCha8Rng) -> i64 {
    if rng.random_bool(0.4) {
        let around = CROWDED_MS.choose(rng).expect("not empty");
        return around + rng.random_range(-7_200_000..7_200_000);
    }
    let day = |date: NaiveDate| date.and_hms_opt(0, 0, 0).expect("midnight").and_utc().timestamp_millis();
    rng.random_range(day(first_day())..day(last_day()))
}

fn plan(rng: &mut ChaCha8Rng) -> Option<Value> {
    [None, Some(json!(null)), Some(json!("pro")), Some(json!("free")), Some(json!("")), Some(json!("undefined"))]
        .choose(rng)
        .cloned()
        .flatten()
}

/// Whole and broken numbers, numbers as text, and what is no number at all.
fn amount(rng: &mut ChaCha8Rng) -> Option<Value> {
    match rng.random_range(0..10) {
        0 => None,
        1 => Some(json!("5")),
        2 => Some(json!(true)),
        3 => Some(json!("n/a")),
        4 => Some(json!(f64::from(rng.random_range(-4..4)) / 4.0)),
        5 => Some(json!(1e21)),
        6 => Some(json!(5.0)),
        _ => Some(json!(rng.random_range(-3..100))),
    }
}

fn tags(rng: &mut ChaCha8Rng) -> Option<Value> {
    match rng.random_range(0..4) {
        0 => None,
        1 => Some(json!([])),
        _ => {
            let mut list = vec![];
            for _ in 0..rng.random_range(1..4) {
                list.push([json!("red"), json!("green"), json!(7), json!("7")].choose(rng).expect("not empty").clone());
            }
            Some(Value::Array(list))
        }
    }
}
