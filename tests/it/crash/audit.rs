//! Asks the server what it holds, and holds that against the ledger.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::ledger::{BatchId, Tick, Version, Visible};
use super::load::{Load, batch_of};
use crate::harness::{Project, Reply, Table};

const BATCHES: &str = "SELECT batch, count(*), count(DISTINCT insert_id), min(version), max(version), min(size), max(size) \
                       FROM events GROUP BY batch";
/// Faults that a failure lists; more say nothing new.
const LISTED: usize = 8;

/// Checks every project once. A broken connection is a failure here.
pub async fn audit(load: &Load, claim: &str) {
    for project in 0..load.projects.len() {
        let looked = look(load, project, claim).await;
        looked.unwrap_or_else(|error| panic!("{claim}: the server does not answer: {error}"));
    }
}

/// As [`audit`], of a store that fails: asks until there is an answer, and that must be right. How often there was none.
pub async fn audit_over_faults(load: &Load, claim: &str) -> usize {
    let mut unanswered = 0;
    for project in 0..load.projects.len() {
        loop {
            let as_of = load.ledger(project).now();
            match Reply::try_of(load.projects[project].sql_request(BATCHES, &[])).await {
                Ok(reply) if reply.status != 503 => {
                    examine(load, project, &reply, as_of, claim);
                    break;
                }
                // Broken off, or "later".
                Ok(_) | Err(_) => unanswered += 1,
            }
        }
    }
    unanswered
}

/// Checks the projects in turn while the load runs, until the connection breaks or `stop` is set. How often it looked.
pub async fn watch(load: &Load, stop: &AtomicBool) -> usize {
    let mut looked = 0;
    while !stop.load(Ordering::Acquire) {
        if look(load, looked % load.projects.len(), "under load").await.is_err() {
            break;
        }
        looked += 1;
    }
    looked
}

/// Checks where every arrival ended up, in projects that nobody sends to any more: visible, or rejected once (L4).
pub async fn audit_arrivals(load: &Load, claim: &str) {
    for (place, project) in load.projects.iter().enumerate() {
        let visible = project.sql("SELECT insert_id, version FROM events").await;
        let rejected = project.sql("SELECT insert_id, properties FROM rejected_events").await;
        let mut versions: BTreeMap<String, BTreeMap<Version, usize>> = BTreeMap::new();
        let visible = visible.rows.iter().map(|row| (text(&row[0]), row[1].clone()));
        let rejected = rejected.rows.iter().map(|row| {
            let properties: Value = serde_json::from_str(&text(&row[1])).expect("properties are JSON");
            (text(&row[0]), properties["version"].clone())
        });
        for (insert_id, version) in visible.chain(rejected) {
            let version = version.as_u64().and_then(|version| u32::try_from(version).ok()).expect("a version");
            *versions.entry(insert_id).or_default().entry(version).or_default() += 1;
        }
        let ledger = load.ledger(place);
        let mut faults = Vec::new();
        let mut batches: BTreeMap<BatchId, BTreeMap<Version, usize>> = BTreeMap::new();
        for (insert_id, versions) in versions {
            // Arrivals are whole batches, so each of a batch's events has had the same.
            let of_batch = batches.entry(batch_of(&insert_id)).or_insert_with(|| versions.clone());
            if *of_batch != versions {
                faults.push(format!("{insert_id} arrived as {versions:?}, another of its batch as {of_batch:?}"));
            }
        }
        faults.extend(ledger.misplaced(&batches));
        drop(ledger);
        report(project, claim, faults);
    }
}

async fn look(load: &Load, project: usize, claim: &str) -> Result<(), reqwest::Error> {
    let as_of = load.ledger(project).now();
    let reply = Reply::try_of(load.projects[project].sql_request(BATCHES, &[])).await?;
    examine(load, project, &reply, as_of, claim);
    Ok(())
}

fn examine(load: &Load, project: usize, reply: &Reply, as_of: Tick, claim: &str) {
    let visible = if reply.status == 200 {
        Table::from_json(&reply.json()).rows.iter().map(|row| batch(row)).collect()
    } else {
        // Before the first event there is no column `batch` to speak of.
        let unknown_column = reply.status == 400 && reply.text().contains("batch");
        assert!(unknown_column, "{claim}: {} {}", reply.status, reply.text());
        BTreeMap::new()
    };
    check(load, project, &visible, as_of, claim);
}

fn check(load: &Load, project: usize, visible: &BTreeMap<BatchId, Visible>, as_of: Tick, claim: &str) {
    let ledger = load.ledger(project);
    let faults = ledger.faults(visible, as_of);
    drop(ledger);
    report(&load.projects[project], claim, faults);
}

fn report(project: &Project, claim: &str, faults: Vec<String>) {
    let listed = faults.iter().take(LISTED).map(|fault| format!("  - {fault}\n")).collect::<String>();
    assert!(faults.is_empty(), "{claim}, project {}: {} faults:\n{listed}", project.name, faults.len());
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

fn batch(row: &[Value]) -> (BatchId, Visible) {
    let number = |place: usize| {
        let value = row.get(place).and_then(Value::as_u64);
        value.unwrap_or_else(|| panic!("column {place} is not a number: {row:?}"))
    };
    let version = |place| u32::try_from(number(place)).expect("a version is small");
    let visible = Visible {
        rows: number(1),
        distinct_insert_ids: number(2),
        versions: (version(3), version(4)),
        sizes: (number(5), number(6)),
    };
    (number(0), visible)
}
