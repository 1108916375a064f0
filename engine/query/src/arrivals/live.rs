//! One viewer of a project's arrivals: a filter and a position.
//!
//! Rows are looked at in rounds, and between rounds the viewer rests a little, so that thousands of small requests a
//! second wake it some dozens of times. What it is behind costs nobody anything: the rows lie where they are, until a
//! flush lets go of them; then it is told how many it has missed.

use std::sync::Arc;
use std::time::Duration;

use footfall_eval::Clock;
use footfall_model::StoredEvent;
use footfall_storage::{Arrived, ArrivedRows, LiveRow, ProjectStore};
use tokio::sync::mpsc::Sender;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::filter::{ArrivalFilter, ArrivalFilterSpec};
use crate::error::QueryError;

/// Rows looked at before others have the thread: below a millisecond even with a costly expression.
const ROUND_ROWS: usize = 500;
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

/// Wanted rows in order of arrival; at least one.
#[derive(Clone)]
pub struct Viewed(Rows);

#[derive(Clone)]
enum Rows {
    /// A request's rows, shared with the store, and the positions of the wanted ones.
    Shared(ArrivedRows, Vec<u64>),
    /// Wanted rows of a sealed chunk. A chunk is many requests' rows, which a viewer that stopped reading must not hold.
    Copied(Vec<StoredEvent>),
}

impl Viewed {
    fn new(rows: ArrivedRows, wanted: Vec<u64>) -> Self {
        if !rows.is_sealed() {
            return Self(Rows::Shared(rows, wanted));
        }
        Self(Rows::Copied(wanted.into_iter().filter_map(|at| rows.at(at)).map(|row| row.to_stored()).collect()))
    }

    pub fn len(&self) -> usize {
        match &self.0 {
            Rows::Shared(_, wanted) => wanted.len(),
            Rows::Copied(events) => events.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A row by its number, counted from 0.
    pub fn row(&self, number: usize) -> Option<LiveRow<'_>> {
        match &self.0 {
            Rows::Shared(rows, wanted) => rows.at(*wanted.get(number)?),
            Rows::Copied(events) => events.get(number).map(LiveRow::Plain),
        }
    }
}

/// A viewer before it runs: it sees everything that becomes visible after it was made.
pub struct Live {
    store: Arc<ProjectStore>,
    arrivals: watch::Receiver<u64>,
    filter: ArrivalFilter,
    position: u64,
    seen: i64,
    /// What the viewer has missed before it begins.
    gap: Option<LiveItem>,
}

impl Live {
    pub fn new(store: Arc<ProjectStore>, spec: LiveSpec, clock: &Clock) -> Result<Self, QueryError> {
        let filter = ArrivalFilter::new(spec.filter, clock)?;
        let arrivals = store.arrivals();
        let (position, seen, gap) = match spec.since {
            None => {
                let (position, seen) = store.arrivals_end();
                (position, seen, None)
            }
            Some(since) => match store.arrivals_after(since) {
                (position, true) => (position, since, None),
                (position, false) => {
                    let until = store.arrived(position, 1).and_then(|next| first_received_at(&next.rows));
                    let seen = until.map_or_else(|| store.arrivals_end().1, |until| until - 1);
                    (position, seen, Some(LiveItem::Gap { dropped: None, until }))
                }
            },
        };
        Ok(Self { store, arrivals, filter, position, seen, gap })
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
        // Before any new id: if the connection breaks in between, the next one is told again.
        if let Some(gap) = self.gap.take() {
            items.send(gap).await.ok()?;
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
        loop {
            // First: while there is no room, nothing but the position is held.
            let room = items.reserve().await.ok()?;
            let Some(Arrived { dropped, rows }) = self.store.arrived(self.position, ROUND_ROWS) else {
                return Some(());
            };
            if dropped > 0 {
                self.position = rows.first();
                room.send(LiveItem::Gap { dropped: Some(dropped), until: first_received_at(&rows) });
                continue;
            }
            let wanted = rows.iter().filter(|(_, row)| self.filter.keeps(row, clock)).map(|(position, _)| position);
            let wanted: Vec<u64> = wanted.collect();
            self.position = rows.end();
            self.seen = rows.iter().next_back().map_or(self.seen, |(_, row)| row.received_at());
            if !wanted.is_empty() {
                room.send(LiveItem::Events(Viewed::new(rows, wanted)));
            }
            tokio::task::yield_now().await;
        }
    }
}

fn first_received_at(rows: &ArrivedRows) -> Option<i64> {
    rows.iter().next().map(|(_, row)| row.received_at())
}
