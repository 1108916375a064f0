//! That what is stored is what was written: damage is found, named, refused and healed; backups come back; caches and
//! formats do not lie.

mod backup;
mod cache;
mod damage;
mod formats;
mod inspect;
mod on_the_way;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Project, Reply, Server, parquet_files};

/// Events of a few names over three days, with columns of every kind of encoding.
fn events(range: std::ops::Range<usize>) -> Vec<Value> {
    let event = |n: usize| {
        let mixed = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (name, plan) = (["Pause", "Play", "Stop"][n % 3], ["free", "paid"][n % 2]);
        json!({"event": name, "properties": {
            "distinct_id": format!("user-{}", n % 53),
            "time": 1_766_000_000 + (n / 3 % 3) * 86_400 + n % 1000,
            "$insert_id": format!("{mixed:016x}"),
            "plan": plan,
            "n": n,
            "price": (mixed >> 11) as f64 / 7.0,
            "note": format!("{:032x}", mixed.rotate_left(17)),
        }})
    };
    range.map(event).collect()
}

/// Questions whose answers are compared.
const QUESTIONS: [&str; 4] = [
    "SELECT event, count(*), count(DISTINCT user_id), sum(n), max(price) FROM events GROUP BY event ORDER BY event",
    "SELECT plan, min(note), max(note), count(*) FROM events GROUP BY plan ORDER BY plan",
    "SELECT count(*), min(time), max(time) FROM events WHERE event = 'Play'",
    "SELECT count(*) FROM rejected_events",
];

async fn answers(project: &Project) -> Vec<Value> {
    let mut answers = Vec::new();
    for question in QUESTIONS {
        answers.push(Value::from(project.sql(question).await.rows.into_iter().map(Value::from).collect::<Vec<_>>()));
    }
    answers
}

/// Rows in every table: events, copies that lost, changes of profiles, a lookup table.
async fn fill(server: &Server, project: &Project, count: usize) {
    project.import(&events(0..count)).await;
    let mut changed = events(0..5);
    changed.iter_mut().for_each(|event| event["properties"]["plan"] = json!("free and changed"));
    project.import(&changed).await;
    let update = json!([{"$token": project.token, "$distinct_id": "user-1", "$set": {"city": "Rome"}}]);
    Reply::of(server.request(reqwest::Method::POST, "/engage").json(&update)).await.ok();
}

/// The events' files, by name.
fn segments(data_dir: &Path) -> Vec<PathBuf> {
    let mut files = parquet_files(&data_dir.join("store"));
    files.retain(|path| path.components().any(|part| part.as_os_str() == "events"));
    files.sort();
    files
}

fn flip(path: &Path, byte: usize) {
    let mut bytes = std::fs::read(path).expect("the file");
    bytes[byte] ^= 0x10;
    std::fs::write(path, bytes).expect("it is changed");
}

fn copy(from: &Path) -> tempfile::TempDir {
    let copy = tempfile::TempDir::with_prefix("footfall-it-").expect("a temporary directory");
    let copied = std::process::Command::new("cp").arg("-rT").arg(from).arg(copy.path()).status();
    assert!(copied.expect("cp runs").success());
    copy
}

fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}
