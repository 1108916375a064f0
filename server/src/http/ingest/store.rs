//! The last step of a request: its records go to the engine, and what became of them into the books.
//!
//! It runs to its end once begun, whether or not the client still listens: what is on its way to the log cannot be
//! called back, and has to be counted as what it becomes.

use std::sync::Arc;

use footfall_engine::{Arrival, Error, ErrorKind, IngestSummary};
use footfall_model::{Event, ProfileUpdate};

use crate::admission::{Busy, Length, Tenant, Turn};
use crate::ledger::{Receipt, Settled, Source};
use crate::projects::Project;
use crate::quality::Observed;
use crate::state::AppState;

/// A request's records of one project, and what has become of those that are not to be stored.
pub(crate) struct Batch {
    pub project: Arc<Project>,
    pub records: Records,
    pub observed: Observed,
    pub settled: Settled,
}

/// What is to be stored, in the order sent.
pub(crate) enum Records {
    Events(Vec<Event>),
    Profiles(Vec<ProfileUpdate>),
}

impl Records {
    pub fn len(&self) -> usize {
        match self {
            Self::Events(events) => events.len(),
            Self::Profiles(updates) => updates.len(),
        }
    }
}

/// Where a request comes from, and what it costs.
pub(crate) struct Storing {
    pub state: AppState,
    pub source: Source,
    pub arrival: Arrival,
    pub now_ms: i64,
    /// Of the whole request, as text.
    pub bytes: usize,
    /// Whether rates of projects apply: an operator's own import has none.
    pub rated: bool,
}

impl Storing {
    fn length(&self) -> Length {
        Length::of(self.bytes)
    }
}

/// What became of records that name no project. Those refused count as data of the project whose request it seems to be.
#[derive(Default)]
pub(crate) struct Stray {
    pub observed: Observed,
    pub settled: Settled,
}

/// Why not all of a request was stored.
#[derive(Debug)]
pub(crate) enum NotStored {
    Engine(Error),
    Busy(Busy),
}

impl NotStored {
    /// The word in metrics and reports.
    fn reason(&self) -> &'static str {
        match self {
            Self::Busy(busy) => busy.reason(),
            Self::Engine(error) if error.code == "backpressure" => "backpressure",
            Self::Engine(Error { kind: ErrorKind::Unavailable, .. }) => "unavailable",
            Self::Engine(_) => "failed",
        }
    }
}

/// Stores the batches one after the other, up to the first that fails, and settles all of them. Answers what became of
/// each that was stored.
pub(crate) async fn store(
    storing: Storing,
    turn: Option<Turn>,
    receipt: Receipt,
    batches: Vec<Batch>,
) -> Result<Vec<IngestSummary>, NotStored> {
    let (intake, length) = (storing.state.intake.clone(), storing.length());
    intake.admission.complete(length, store_all(storing, turn, receipt, batches)).await
}

async fn store_all(
    storing: Storing,
    mut turn: Option<Turn>,
    mut receipt: Receipt,
    batches: Vec<Batch>,
) -> Result<Vec<IngestSummary>, NotStored> {
    let total: usize = batches.iter().map(|batch| batch.records.len()).sum();
    let mut summaries = Vec::with_capacity(batches.len());
    let mut failed: Option<NotStored> = check_rates(&storing, &batches).err().map(NotStored::Busy);
    for batch in batches {
        let Batch { project, records, observed, mut settled } = batch;
        let count = records.len();
        if count > 0 && failed.is_none() {
            let bytes = storing.bytes / total.max(1) * count;
            match append(&storing, turn.take(), &project, records, bytes).await {
                Ok(summary) => {
                    settled.add_stored(&summary, count);
                    summaries.push(summary);
                }
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = &failed
            && count > 0
            && settled.stored + settled.duplicates == 0
        {
            settled.rejected.insert(error.reason(), count as u64);
        }
        receipt.settle(Some(project.id), &settled);
        let quality = &storing.state.intake.quality;
        quality.add(project.id, storing.now_ms, storing.source.route, observed, &settled);
    }
    failed.map_or(Ok(summaries), Err)
}

/// Counts every record against its project's rate, before any is stored.
fn check_rates(storing: &Storing, batches: &[Batch]) -> Result<(), Busy> {
    if !storing.rated {
        return Ok(());
    }
    let records = |batch: &Batch| batch.records.len() + usize::try_from(batch.settled.records()).unwrap_or(usize::MAX);
    let total: usize = batches.iter().map(records).sum();
    batches.iter().try_for_each(|batch| {
        let bytes = storing.bytes / total.max(1) * records(batch);
        storing.state.intake.admission.check_rate(batch.project.id, records(batch), bytes)
    })
}

async fn append(
    storing: &Storing,
    turn: Option<Turn>,
    project: &Project,
    records: Records,
    bytes: usize,
) -> Result<IngestSummary, NotStored> {
    let (engine, arrival) = (&storing.state.engine, storing.arrival.clone());
    let stored = async {
        match records {
            Records::Events(events) => engine.ingest(project.id, events, arrival).await,
            Records::Profiles(updates) => {
                let stored = updates.len();
                engine.record_profiles(project.id, updates, arrival).await?;
                Ok(IngestSummary { stored, ..IngestSummary::default() })
            }
        }
    };
    let admission = &storing.state.intake.admission;
    let done = admission.append(turn, Tenant::Project(project.id), storing.length(), bytes, stored).await;
    done.map_err(NotStored::Busy)?.map_err(NotStored::Engine)
}

impl Settled {
    /// Adds what the engine said of `count` events.
    fn add_stored(&mut self, summary: &IngestSummary, count: usize) {
        if summary.repeated {
            // A part of an import that had been applied: every record of it was there already.
            self.duplicates += count as u64;
            return;
        }
        self.stored += summary.stored as u64;
        self.duplicates += summary.duplicates as u64;
        self.superseded += summary.superseded as u64;
    }
}
