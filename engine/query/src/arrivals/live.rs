//! One viewer of a project's arrivals: a filter and a position.
//!
//! Rows are looked at in rounds, and between rounds the viewer rests a little, so that thousands of small requests a
//! second wake it some dozens of times. What it is behind costs nobody anything: the rows lie where they are, until a
//! flush lets go of them; then it is told how many it has missed.

use std::sync::Arc;
use std::time::Duration;

use footfall_eval::Clock;
use footfall_storage::{ArrivedRows, LiveRow, ProjectStore};
use tokio::sync::mpsc::Sender;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::filter::{ArrivalFilter, ArrivalFilterSpec};
use crate::error::QueryError;

/// Rows looked at before others have the thread: about a millisecond with a costly expression.
const ROUND_ROWS: usize = 1_000;
/// Rest between two looks at new arrivals.
const REST: Duration = Duration::from_millis(20);
/// Silence after which the viewer is told how far it has seen.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What a viewer asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveSpec {
    pub filter: ArrivalFilterSpec,
    /// `received_at` of the last event seen before the connection broke; `None`: only what comes from now on.
    pub since: Option<i64>,
}

/// What a viewer gets, in order of arrival.
#[derive(Clone)]
pub enum LiveItem {
    /// Every event that arrived until then has been looked at. First of all, and after each silence.
    Seen {
        received_at: i64,
    },
    /// Events were missed: `dropped` of the project's, wanted or not, or nobody knows how many. The next one that was
    /// not missed arrived at `until`, where one is known.
    Gap {
        dropped: Option<u64>,
        until: Option<i64>,
    },
    Events(Viewed),
}

/// Wanted rows, shared with the store; at least one.
#[derive(Clone)]
pub struct Viewed {
    rows: ArrivedRows,
    /// Positions of the wanted ones, ascending.
    wanted: Vec<u64>,
}

impl Viewed {
    pub fn iter(&self) -> impl Iterator<Item = LiveRow<'_>> {
        self.wanted.iter().filter_map(|position| self.rows.at(*position))
    }
}

/// A viewer before it runs: it sees everything that becomes visible after it was made.
pub struct Live {
    store: Arc<ProjectStore>,
    arrivals: watch::Receiver<u64>,
    filter: ArrivalFilter,
    position: u64,
    seen: i64,
    /// Rows after `since` are gone, nobody knows how many.
    is_behind: bool,
}

impl Live {
    pub fn new(store: Arc<ProjectStore>, spec: LiveSpec, clock: &Clock) -> Result<Self, QueryError> {
        let filter = ArrivalFilter::new(spec.filter, clock)?;
        let arrivals = store.arrivals();
        let (position, seen, is_behind) = match spec.since {
            None => {
                let (position, seen) = store.arrivals_end();
                (position, seen, false)
            }
            Some(since) => {
                let (position, complete) = store.arrivals_after(since);
                (position, since, !complete)
            }
        };
        Ok(Self { store, arrivals, filter, position, seen, is_behind })
    }

    /// Sends items until the receiver is gone. `clock` is asked at each look.
    pub async fn run(mut self, items: Sender<LiveItem>, clock: impl Fn() -> Clock) {
        let closed = items.clone();
        tokio::select! {
            () = closed.closed() => {}
            // Ends when an item cannot be sent, which is the same.
            _ = self.follow(&items, clock) => {}
        }
    }

    async fn follow(&mut self, items: &Sender<LiveItem>, clock: impl Fn() -> Clock) -> Option<()> {
        if self.is_behind {
            let next = self.store.arrived(self.position, 1);
            let until = next.and_then(|next| next.rows.iter().next().map(|(_, row)| row.received_at()));
            items.send(LiveItem::Gap { dropped: None, until }).await.ok()?;
        }
        items.send(LiveItem::Seen { received_at: self.seen }).await.ok()?;
        loop {
            // Marked as seen before the look: what comes during it wakes us again.
            self.arrivals.borrow_and_update();
            self.look(items, &clock()).await?;
            sleep(REST).await;
            match timeout(HEARTBEAT, self.arrivals.changed()).await {
                Ok(Ok(())) => {}
                // The project is gone.
                Ok(Err(_)) => return None,
                Err(_) => items.send(LiveItem::Seen { received_at: self.seen }).await.ok()?,
            }
        }
    }

    /// Sends what has arrived since the last look.
    async fn look(&mut self, items: &Sender<LiveItem>, clock: &Clock) -> Option<()> {
        while let Some(arrived) = self.store.arrived(self.position, ROUND_ROWS) {
            let rows = arrived.rows;
            if arrived.dropped > 0 {
                let until = rows.iter().next().map(|(_, row)| row.received_at());
                items.send(LiveItem::Gap { dropped: Some(arrived.dropped), until }).await.ok()?;
            }
            let wanted = rows.iter().filter(|(_, row)| self.filter.keeps(row, clock)).map(|(position, _)| position);
            let wanted: Vec<u64> = wanted.collect();
            self.position = rows.end();
            self.seen = rows.iter().next_back().map_or(self.seen, |(_, row)| row.received_at());
            if wanted.is_empty() {
                tokio::task::yield_now().await;
            } else {
                items.send(LiveItem::Events(Viewed { rows, wanted })).await.ok()?;
            }
        }
        Some(())
    }
}
