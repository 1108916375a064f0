//! Taking back what requests did to the live state when the log could not take their records.
//!
//! A request changes the state when its record is queued, so that the next one is decided on it. If the record fails,
//! everything queued behind it fails too (L10 of the log), and everything before it has been published: what is pending
//! is what failed. It goes as a whole, at the first callback that says so, and the log takes nothing new before all have
//! been told.
//!
//! Two things stay. A `uid` that was given out is never given again, for a flush may be saving it just now; a user
//! without events is counted nowhere. And `received_at` only moves on.

use hashbrown::HashMap;

use super::{ProjectStore, Replaced, State};
use crate::keys::{EventKey, event_key};

impl ProjectStore {
    /// What is pending has failed.
    pub(super) fn roll_back(&self) {
        self.state.lock().roll_back();
    }
}

impl State {
    pub(super) fn roll_back(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let blocks = self.live.drop_pending();
        let position = self.live.next_position();
        // A key that a failed row had taken over names the row that had it before.
        let mut earlier: HashMap<EventKey, u64> = HashMap::new();
        for replaced in self.pending.iter().flat_map(|pending| &pending.replaced) {
            if let Replaced::Live(old) = replaced
                && *old < position
                && let Some(key) = self.live.row(*old).and_then(|row| row.key())
            {
                earlier.insert(key, *old);
            }
        }
        for row in blocks.iter().flat_map(|block| block.rows.iter()) {
            if let Some(key) = event_key(&row.event) {
                self.keys.restore(key, position, earlier.get(&key).copied());
            }
        }
        while let Some(pending) = self.pending.pop_back() {
            self.imports.take_back(pending.part);
        }
        self.sources.forget_from(position);
        self.rejected.drop_pending();
        self.profiles.drop_pending();
        // A flush that waits for these records has less to wait for; what comes now is not its own.
        self.unflushed.roll_back(position);
    }
}

#[cfg(test)]
mod tests;
