//! Following a project's arrivals: every row once, in log order, as it becomes visible.
//!
//! A follower is a position and nothing else. It costs the writing side one wake-up a request, and memory nothing: rows
//! are read where they are, in the live rows or among the last flushed ones, and who is too slow finds them gone.

use tokio::sync::watch;

use super::ProjectStore;
use crate::arrivals::ArrivedRows;

/// What a follower finds at its position.
#[derive(Clone)]
pub struct Arrived {
    /// Rows between the position asked for and the first of `rows` that are held no more.
    pub dropped: u64,
    pub rows: ArrivedRows,
}

impl ProjectStore {
    /// Changes whenever rows have become visible. Take it before the first look, then wait only after a look that found
    /// nothing: so none is missed.
    pub fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrived.subscribe()
    }

    /// The next visible rows from a position on, at most `rows_max`; `None` while there are none. The follower's next
    /// position is their end.
    pub fn arrived(&self, from: u64, rows_max: usize) -> Option<Arrived> {
        let rows = self.state.lock().live.arrived(from, rows_max)?;
        Some(Arrived { dropped: rows.first().saturating_sub(from), rows })
    }

    /// The position after the last visible row, and when that row arrived: where a follower starts that wants only what
    /// comes from now on.
    pub fn arrivals_end(&self) -> (u64, i64) {
        let state = self.state.lock();
        (state.live.visible_end(), state.live.last_visible_received_at())
    }

    /// The position of the first held row that arrived after `received_at`, and whether no row between is gone.
    pub fn arrivals_after(&self, received_at: i64) -> (u64, bool) {
        self.state.lock().live.position_after(received_at)
    }
}
