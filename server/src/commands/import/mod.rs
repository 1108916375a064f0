//! `footfall import`: files of events into a project, once however often it is run.
//!
//! One thread reads, validates and batches; several batches are on their way at a time. An event that brings no
//! `$insert_id` gets one made of its file, its place in it and its text, so a second run finds every event there already.
//! Nothing about a run is recorded: an import that was broken off is run again from the start and goes quickly over what
//! is there.

mod batch;
mod files;
mod lines;
mod records;
mod tally;

use std::path::Path;

use footfall_engine::{Arrival, IngestSummary};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;

use super::CommandError;
use super::backend::Backend;
use super::output::print;
use super::progress::{Progress, Quantity};
use crate::config::Settings;
use batch::{Batch, Keys};
use files::Source;
use records::Reader;
use tally::Tally;

/// Batches sent and not yet acknowledged. The log writes a group at a time, so a few keep it busy.
const BATCHES_IN_FLIGHT: usize = 4;

pub async fn run(path: &Path, settings: &Settings) -> Result<(), CommandError> {
    let name = settings.import.project.as_deref().ok_or_else(|| CommandError::usage("--project is missing"))?;
    let sources = files::find(path)?;
    let backend = Backend::open(settings).await?;
    let result = import(&backend, name, sources, settings).await;
    let closed = backend.close().await;
    let tally = result?;
    closed?;
    print(&tally.to_string())
}

async fn import(
    backend: &Backend,
    project: &str,
    sources: Vec<Source>,
    settings: &Settings,
) -> Result<Tally, CommandError> {
    let project = backend.project(project).await?;
    let total = sources.iter().map(|source| source.bytes).sum();
    let mut progress = Progress::new("import", total, Quantity::Bytes);
    let (sender, mut batches) = mpsc::channel(BATCHES_IN_FLIGHT);
    let reader = Reader::new(settings.import.format, project.merge, chrono::Utc::now().timestamp_millis());
    let reading =
        tokio::task::spawn_blocking(move || reader.read(sources, |batch| sender.blocking_send(batch).is_ok()));

    let mut stored = IngestSummary::default();
    let mut in_flight = FuturesUnordered::new();
    let mut keys_in_flight = Keys::default();
    let mut outcome = Ok(());
    while let Some(Batch { events, keys, position }) = batches.recv().await {
        // The later version of an event counts, so two batches with versions of one event must not race.
        let wait_for_all = keys_in_flight.intersects(&keys);
        while in_flight.len() >= if wait_for_all { 1 } else { BATCHES_IN_FLIGHT } {
            let Some(done) = in_flight.next().await else { break };
            outcome = outcome.and(settle(done, &mut stored, &mut keys_in_flight));
        }
        if outcome.is_err() {
            break;
        }
        keys_in_flight.insert_all(&keys);
        in_flight.push(
            backend
                .ingest(project.id, events, Arrival::from_source("footfall import"))
                .map(move |result| (result, keys)),
        );
        progress.set(position, &format!("{} stored", stored.stored));
    }
    // A closed channel stops the reading thread.
    drop(batches);
    while let Some(done) = in_flight.next().await {
        outcome = outcome.and(settle(done, &mut stored, &mut keys_in_flight));
    }
    let tally = reading.await.map_err(|_| CommandError::failed("reading stopped unexpectedly"));
    progress.finish();
    outcome.map_err(|e| CommandError::failed(format!("{e}; what was stored stays, run the import again to go on")))?;
    Ok(tally??.with(stored))
}

fn settle(
    (result, keys): (Result<IngestSummary, CommandError>, Vec<u64>),
    stored: &mut IngestSummary,
    keys_in_flight: &mut Keys,
) -> Result<(), CommandError> {
    keys_in_flight.remove_all(&keys);
    let summary = result?;
    stored.stored += summary.stored;
    stored.duplicates += summary.duplicates;
    stored.superseded += summary.superseded;
    Ok(())
}
