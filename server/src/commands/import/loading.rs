//! The second pass: the spill's batches into the project, day by day, oldest first.
//!
//! Each lane has a thread that reads ahead and a task that applies one batch after the other; lanes meet at the end of
//! each step of the plan, so that no day is begun before the days before it are done. A batch carries its lane's name and
//! its number, and the project applies each number once: whatever a break left unanswered is simply sent again.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::DateTime;
use footfall_engine::{Arrival, ImportBatch, IngestSummary};
use footfall_model::{Event, ProjectId};
use indicatif::HumanCount;
use parking_lot::Mutex;
use tokio::sync::{Barrier, mpsc};
use tokio::task::JoinSet;

use super::journal::{Entry, History, Journal};
use super::judge::LANES;
use super::pass;
use super::spill::{Batch, Plan, Reader};
use super::tally::Loaded;
use crate::commands::backend::{Attempt, Backend};
use crate::commands::{CommandError, Progress, Quantity};
use crate::packed;

/// By which way events came, as `rejected_events` says it.
const SOURCE: &str = "footfall import";
/// Batches of a lane that are read ahead of the one on its way.
const BATCHES_AHEAD: usize = 1;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A server that is started again is back sooner.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// How often it is said that we wait.
const SAID_EVERY: Duration = Duration::from_secs(5);

/// A plan on its way into a project.
pub struct Loading {
    pub backend: Arc<Backend>,
    pub project: ProjectId,
    /// The name under which batches are numbered.
    pub import: String,
    pub plan: Plan,
    state: Mutex<State>,
}

struct State {
    journal: Journal,
    loaded: Loaded,
    /// Events that earlier runs have applied.
    before: u64,
    began: Instant,
    progress: Progress,
    last_said: Option<Instant>,
}

/// A batch as its lane gets it.
struct Ready {
    packed: Bytes,
    /// For an engine in this process.
    events: Option<Vec<Event>>,
}

impl Loading {
    /// Applies what is not applied yet and answers what became of all of it.
    pub async fn run(
        backend: Arc<Backend>,
        project: ProjectId,
        plan: Plan,
        folder: &Path,
        journal: Journal,
        history: &History,
    ) -> Result<Loaded, CommandError> {
        let import = history.begun.as_ref().map(|begun| begun.import.clone()).unwrap_or_default();
        let mut positions = Vec::new();
        for lane in 0..LANES {
            let name = lane_name(&import, lane);
            let position = reach(&backend, || backend.import_position(project, &name), |reason| eprintln!("{reason}"));
            positions.push(position.await?.unwrap_or(0));
        }
        let loaded = applied_before(&plan, &positions, history);
        let progress = Progress::resumed("loading", plan.events, Quantity::Events, loaded.events);
        let state = State { journal, loaded, before: loaded.events, began: Instant::now(), progress, last_said: None };
        let loading = Arc::new(Self { backend, project, import, plan, state: Mutex::new(state) });
        let barrier = Arc::new(Barrier::new(usize::from(LANES)));
        let mut lanes = JoinSet::new();
        for (lane, position) in (0..LANES).zip(positions) {
            let (sender, ready) = mpsc::channel(BATCHES_AHEAD);
            let (feeding, folder) = (loading.clone(), folder.to_owned());
            let feeder = tokio::task::spawn_blocking(move || feeding.feed(lane, position, &folder, &sender));
            let (loading, barrier) = (loading.clone(), barrier.clone());
            lanes.spawn(async move {
                let applied = loading.lane(lane, position, ready, &barrier).await;
                // `lane` has dropped its end, so the thread ends soon.
                feeder.await.map_err(|_| CommandError::failed("reading ahead stopped unexpectedly"))?;
                applied
            });
        }
        while let Some(lane) = lanes.join_next().await {
            // The first failure ends the other lanes: dropping the set stops them where they wait.
            lane.map_err(|_| CommandError::failed("loading stopped unexpectedly"))??;
        }
        let loading = Arc::into_inner(loading).ok_or_else(|| CommandError::failed("loading has not ended"))?;
        let state = loading.state.into_inner();
        state.progress.finish();
        Ok(state.loaded)
    }

    /// Reads a lane's batches until nobody wants more.
    fn feed(&self, lane: u8, position: u64, folder: &Path, sender: &mpsc::Sender<Result<Ready, CommandError>>) {
        let mut reader = Reader::new(folder);
        for batch in self.batches(lane, position) {
            let ready = self.ready(&mut reader, batch);
            if sender.blocking_send(ready).is_err() {
                return;
            }
        }
    }

    fn ready(&self, reader: &mut Reader, batch: &Batch) -> Result<Ready, CommandError> {
        let lost = |e: &dyn std::fmt::Display| {
            CommandError::failed(format!(
                "the events that were read before cannot be used ({e}); --restart begins anew"
            ))
        };
        let packed = Bytes::from(reader.read(batch).map_err(|e| lost(&e))?);
        let events = match self.backend.takes_events() {
            true => Some(packed::unpack(&packed).map_err(|e| lost(&e))?),
            false => None,
        };
        Ok(Ready { packed, events })
    }

    fn batches(&self, lane: u8, position: u64) -> impl Iterator<Item = &Batch> {
        let all = self.plan.lanes.get(usize::from(lane)).map_or(&[][..], Vec::as_slice);
        all.iter().filter(move |batch| batch.sequence > position)
    }

    async fn lane(
        &self,
        lane: u8,
        position: u64,
        mut ready: mpsc::Receiver<Result<Ready, CommandError>>,
        barrier: &Barrier,
    ) -> Result<(), CommandError> {
        let mut batches = self.batches(lane, position).peekable();
        for step in 0..self.plan.steps {
            while let Some(batch) = batches.next_if(|batch| batch.step == step) {
                let ended = || CommandError::failed("reading ahead stopped unexpectedly");
                let ready = ready.recv().await.ok_or_else(ended)??;
                let summary = self.apply(lane, batch, ready).await?;
                self.note(lane, batch, summary)?;
            }
            barrier.wait().await;
        }
        Ok(())
    }

    /// Tries until it is applied.
    async fn apply(&self, lane: u8, batch: &Batch, ready: Ready) -> Result<IngestSummary, CommandError> {
        let Ready { packed, mut events } = ready;
        let part = ImportBatch { import: lane_name(&self.import, lane), sequence: batch.sequence };
        let arrival = Arrival { source: SOURCE.into(), batch: Some(part) };
        let mut pause = FIRST_PAUSE;
        loop {
            let attempt = || self.backend.ingest(self.project, &packed, events.take(), arrival.clone());
            match reach(&self.backend, attempt, |reason| self.say_waiting(reason)).await? {
                Attempt::Applied(summary) => return Ok(summary),
                Attempt::Busy { reason, again_after } => {
                    self.say_waiting(&reason);
                    tokio::time::sleep(again_after.unwrap_or(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    fn say_waiting(&self, reason: &str) {
        let mut state = self.state.lock();
        if state.last_said.is_none_or(|at| at.elapsed() >= SAID_EVERY) {
            state.last_said = Some(Instant::now());
            state.progress.say(&format!("loading waits: {reason}"));
        }
    }

    fn note(&self, lane: u8, batch: &Batch, summary: IngestSummary) -> Result<(), CommandError> {
        pass("import::batch")?;
        let loaded = match summary.repeated {
            true => Loaded { events: batch.events, uncounted: batch.events, ..Loaded::default() },
            false => Loaded {
                events: batch.events,
                stored: summary.stored as u64,
                duplicates: summary.duplicates as u64,
                superseded: summary.superseded as u64,
                uncounted: 0,
            },
        };
        let mut state = self.state.lock();
        let entry = Entry::Loaded { lane, sequence: batch.sequence, loaded };
        state.journal.note(&entry).map_err(|e| CommandError::failed(e.to_string()))?;
        state.loaded.add(loaded);
        let (events, here) = (state.loaded.events, state.loaded.events.saturating_sub(state.before));
        let rate = here as f64 / state.began.elapsed().as_secs_f64().max(0.001);
        let note = format!("day {}, {}/s", day_text(batch.day), HumanCount(rate as u64));
        state.progress.set(events, &note);
        Ok(())
    }
}

/// Asks until there is an answer, for as long as a server may be away that is started again. Whether one that went away
/// had understood the question does not matter to those who ask here.
async fn reach<T, F: Future<Output = Result<T, CommandError>>>(
    backend: &Backend,
    mut ask: impl FnMut() -> F,
    say: impl Fn(&str),
) -> Result<T, CommandError> {
    let (since, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        match ask().await {
            Err(CommandError::Unreachable(reason)) if since.elapsed() < AWAY_MAX => {
                say(&reason);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                backend.find_again();
            }
            answer => return answer,
        }
    }
}

/// What the batches up to the positions came to, as far as it was noted.
fn applied_before(plan: &Plan, positions: &[u64], history: &History) -> Loaded {
    let noted: std::collections::HashMap<(u8, u64), Loaded> =
        history.loaded.iter().map(|(lane, sequence, loaded)| ((*lane, *sequence), *loaded)).collect();
    let mut before = Loaded::default();
    for ((lane, batches), position) in (0u8..).zip(&plan.lanes).zip(positions) {
        for batch in batches.iter().filter(|batch| batch.sequence <= *position) {
            let unknown = Loaded { events: batch.events, uncounted: batch.events, ..Loaded::default() };
            before.add(noted.get(&(lane, batch.sequence)).copied().unwrap_or(unknown));
        }
    }
    before
}

fn lane_name(import: &str, lane: u8) -> String {
    format!("{import}-{lane}")
}

/// `2024-02-29`
pub fn day_text(day: i32) -> String {
    let midnight = DateTime::from_timestamp(i64::from(day) * 86_400, 0);
    midnight.map_or_else(|| day.to_string(), |at| at.format("%Y-%m-%d").to_string())
}
