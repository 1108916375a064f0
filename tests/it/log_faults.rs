//! The log's disk is full, read-only, torn, damaged or lying: what was acknowledged is there once, what is not sound is
//! healed or refused by name, and nothing is ever answered wrong.

mod damage;
mod disk;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Project, Reply, Server};
use crate::oracle::RawEvent;

const FIRST_MS: i64 = 1_704_067_200_000;

/// Batch `id` of so many events, the same whenever it is made.
fn batch(id: usize, rows: usize) -> Vec<Value> {
    let event = |n: usize| {
        let event = RawEvent::new("E", &format!("u{}", n % 7), FIRST_MS + n as i64, &format!("b{id}-{n}"));
        event.with("batch", id).to_json()
    };
    (0..rows).map(event).collect()
}

async fn send(project: &Project, id: usize, rows: usize) -> Reply {
    Reply::of(project.import_request(&batch(id, rows))).await
}

/// Ids of visible batches; each must be there whole and once.
async fn visible(project: &Project, rows: usize) -> Vec<usize> {
    const BATCHES: &str = "SELECT batch, count(*), count(DISTINCT insert_id) FROM events GROUP BY batch ORDER BY batch";
    let table = project.sql(BATCHES).await;
    let number = |value: &Value| value.as_u64().expect("a number") as usize;
    let id = |row: &Vec<Value>| {
        assert_eq!((number(&row[1]), number(&row[2])), (rows, rows), "batch {} is whole, each event once", row[0]);
        number(&row[0])
    };
    table.rows.iter().map(id).collect()
}

/// The segments of a log, oldest first.
fn segments(data_dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(data_dir.join("log")).expect("a log").filter_map(Result::ok).map(|file| file.path());
    let mut segments: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    segments.sort();
    segments
}

/// Stops a server the hard way, so that everything is in the log and nothing in tables.
async fn killed_after(server: &mut Server, project: &Project, batches: usize, rows: usize) {
    for id in 0..batches {
        send(project, id, rows).await.ok();
    }
    server.kill().await;
}
