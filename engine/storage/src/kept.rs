//! The last rows that a flush has taken over, kept in memory a little longer.
//!
//! Queries read them from segments. Those who follow the arrivals find them here, and so may fall behind a flush, or come
//! back after a broken connection, without a hole. Bounded by rows and bytes for each project, and by bytes for all of
//! them together ([`KeptBudget`]).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::live::LiveChunk;

/// Bounds of what one project keeps. Zero keeps nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptLimits {
    pub rows_max: usize,
    pub bytes_max: usize,
}

/// Memory that all projects together may hold in kept rows.
#[derive(Debug)]
pub struct KeptBudget {
    bytes_max: usize,
    used: AtomicUsize,
}

impl KeptBudget {
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, used: AtomicUsize::new(0) })
    }

    fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let fits = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.bytes_max);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.ok().map(|_| Share { budget: self.clone(), bytes })
    }
}

/// A part of the budget, given back when it is dropped.
struct Share {
    budget: Arc<KeptBudget>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Flushed chunks in order of arrival, without a hole between them.
pub(crate) struct Kept {
    limits: KeptLimits,
    budget: Arc<KeptBudget>,
    chunks: VecDeque<(Arc<LiveChunk>, Share)>,
    /// When the last row arrived that is no longer held.
    forgotten: i64,
}

impl Kept {
    /// `forgotten` is when the last row arrived that memory does not hold from the start.
    pub fn new(limits: KeptLimits, budget: Arc<KeptBudget>, forgotten: i64) -> Self {
        Self { limits, budget, chunks: VecDeque::new(), forgotten }
    }

    pub fn chunks(&self) -> impl DoubleEndedIterator<Item = &Arc<LiveChunk>> {
        self.chunks.iter().map(|(chunk, _)| chunk)
    }

    /// Rows that arrived until then are not held any more.
    pub fn forgotten_received_at(&self) -> i64 {
        self.forgotten
    }

    /// Takes the chunk that follows the ones it has; older ones make room.
    pub fn push(&mut self, chunk: Arc<LiveChunk>) {
        let bytes = chunk.bytes();
        loop {
            let rows = self.chunks().map(|c| c.rows()).sum::<usize>() + chunk.rows();
            let held = self.chunks.iter().map(|(_, share)| share.bytes).sum::<usize>() + bytes;
            if rows <= self.limits.rows_max
                && held <= self.limits.bytes_max
                && let Some(share) = self.budget.take(bytes)
            {
                self.chunks.push_back((chunk, share));
                return;
            }
            match self.chunks.pop_front() {
                Some((oldest, _)) => self.forget(&oldest),
                None => return self.forget(&chunk),
            }
        }
    }

    fn forget(&mut self, chunk: &LiveChunk) {
        if let Some(last) = chunk.rows().checked_sub(1) {
            self.forgotten = chunk.reader().received_at(last);
        }
    }
}
