//! Records of many days, out of order, with copies far apart, and what has to be seen of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand::seq::SliceRandom as _;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use crate::harness::{DAY_MS, Project};
use crate::oracle::{RawEvent, surviving};

/// 2024-02-26; the days after it hold a leap day.
pub const FIRST_MS: i64 = 1_708_905_600_000;
pub const LAST_DAY: &str = "2024-12-31";
pub const FIRST_DAY: &str = "2024-01-01";

/// `count` records of `days` days in a random order; one in twenty is an identical or a changed copy of an earlier one.
pub fn records(seed: u64, count: usize, days: i64) -> Vec<RawEvent> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut records: Vec<RawEvent> = (0..count).map(|number| record(&mut rng, number, days)).collect();
    records.shuffle(&mut rng);
    for at in (20..count).step_by(20) {
        let mut copy = records[rng.random_range(0..at)].clone();
        if rng.random_bool(0.5) {
            copy.properties.insert("plan".into(), json!(format!("copy {at}")));
        }
        records[at] = copy;
    }
    records
}

fn record(rng: &mut ChaCha8Rng, number: usize, days: i64) -> RawEvent {
    let time = FIRST_MS + rng.random_range(0..days) * DAY_MS + rng.random_range(0..DAY_MS);
    let user = match rng.random_range(0..200) {
        0 => String::new(),
        user => format!("user-{user}"),
    };
    let name = ["View", "Buy", "Öffnen, \"heute\"", "$session_end"][rng.random_range(0..4)];
    let mut record = RawEvent::new(name, &user, time, &format!("id-{number}"));
    let values: [(&str, Option<Value>); 6] = [
        (
            "plan",
            rng.random_bool(0.8)
                .then(|| json!(["pro", "free, \"trial\"\nline", "007", "+49 30"][rng.random_range(0..4)])),
        ),
        ("count", rng.random_bool(0.7).then(|| json!(rng.random_range(-5..100)))),
        ("amount", rng.random_bool(0.7).then(|| json!(f64::from(rng.random_range(0..8000)) / 8.0 + 0.0625))),
        ("flag", rng.random_bool(0.5).then(|| json!(rng.random_bool(0.5)))),
        (
            "tags",
            rng.random_bool(0.5)
                .then(|| json!((0..rng.random_range(0..3)).map(|n| format!("t{n}")).collect::<Vec<_>>())),
        ),
        ("since", rng.random_bool(0.5).then(|| json!(["2024-02-29T12:00:00", "2023-01-01"][rng.random_range(0..2)]))),
    ];
    record.properties = values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    record
}

/// One record a line, as `/import` takes them.
pub fn lines(records: &[RawEvent]) -> String {
    records.iter().map(|record| format!("{}\n", record.to_json())).collect()
}

/// Writes the records into `files` files of a folder, in their order.
pub fn write_folder(folder: &Path, records: &[RawEvent], files: usize) -> Vec<PathBuf> {
    std::fs::create_dir_all(folder).expect("a folder");
    let parts = records.chunks(records.len().div_ceil(files));
    let paths = parts.enumerate().map(|(number, part)| {
        let path = folder.join(format!("part-{number:03}.ndjson"));
        std::fs::write(&path, lines(part)).expect("a file");
        path
    });
    paths.collect()
}

/// What a project has to hold after an import of `records`, as lines to compare.
pub fn expected(records: &[RawEvent]) -> Vec<String> {
    let mut rows = surviving(records).iter().map(shown).collect::<Vec<_>>();
    rows.sort_unstable();
    rows
}

fn shown(record: &RawEvent) -> String {
    let properties: BTreeMap<_, _> = record.properties.iter().collect();
    let id = record.insert_id.as_deref().unwrap_or_default();
    format!("{} {} {} {id} {}", record.event, record.distinct_id, record.time_ms, json!(properties))
}

/// What it holds, by the raw export: every property of every event. What the service adds is left out.
pub async fn held(project: &Project) -> Vec<String> {
    let exported = project.export(FIRST_DAY, LAST_DAY, &[("time_in_ms", "true")]).await;
    let mut rows = exported.iter().map(|row| shown(&as_sent(row))).collect::<Vec<_>>();
    rows.sort_unstable();
    rows
}

fn as_sent(row: &Value) -> RawEvent {
    let mut properties: Map<String, Value> = row["properties"].as_object().expect("properties").clone();
    let mut take = |name: &str| properties.shift_remove(name).unwrap_or(Value::Null);
    let time_ms = take("time").as_i64().expect("a time");
    let (user, id) = (take("distinct_id"), take("$insert_id"));
    for added in ["$import", "$mp_api_endpoint", "mp_processing_time_ms"] {
        take(added);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    RawEvent { event: text(&row["event"]), distinct_id: text(&user), time_ms, insert_id: Some(text(&id)), properties }
}

/// The first rows in which two lists differ, instead of thousands.
pub fn assert_same(what: &str, got: &[String], want: &[String]) {
    let missing = want.iter().filter(|row| got.binary_search(row).is_err()).take(3).collect::<Vec<_>>();
    let surplus = got.iter().filter(|row| want.binary_search(row).is_err()).take(3).collect::<Vec<_>>();
    assert!(
        got == want,
        "{what}: {} rows, {} expected; missing {missing:#?}, surplus {surplus:#?}",
        got.len(),
        want.len()
    );
}
