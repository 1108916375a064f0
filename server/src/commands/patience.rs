//! Waiting for an engine that takes no more events for the moment, because it has to write out what it holds.

use std::time::Duration;

use footfall_engine::{Arrival, Engine, Error, ErrorKind, IngestSummary};
use footfall_model::{Event, ProjectId};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// Beyond this it is not busy but broken.
const TOTAL: Duration = Duration::from_secs(180);

/// How long to wait before each further try.
pub struct Patience {
    next: Duration,
    left: Duration,
}

impl Patience {
    pub fn fresh() -> Self {
        Self { next: FIRST, left: TOTAL }
    }

    /// Waits, longer each time; `false` when there has been enough of it.
    pub async fn wait(&mut self) -> bool {
        if self.left.is_zero() {
            return false;
        }
        tokio::time::sleep(self.next).await;
        self.left = self.left.saturating_sub(self.next);
        self.next = (self.next * 2).min(LONGEST);
        true
    }
}

/// Stores `events`, which may be sent again: what is there already counts as duplicate.
pub async fn ingest(
    engine: &Engine,
    project: ProjectId,
    events: Vec<Event>,
    arrival: Arrival,
) -> Result<IngestSummary, Error> {
    let mut patience = Patience::fresh();
    loop {
        match engine.ingest(project, events.clone(), arrival.clone()).await {
            Err(busy) if busy.kind == ErrorKind::Unavailable => {
                if !patience.wait().await {
                    return Err(busy);
                }
            }
            done => return done,
        }
    }
}
