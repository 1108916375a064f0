//! The bounded queue between callers and the writer thread. It also gives out lsns, so that the order of the queue and
//! the order of lsns are one thing (L1), and it is the gate that closes when the disk takes no more (L10).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::record::RECORD_HEADER_BYTES;
use super::{Entry, LogError, Lsn, OnDurable, PAYLOAD_BYTES_MAX, PoisonCause, Stall};

/// What the writer thread takes from the queue.
pub(super) struct Queued {
    /// The entry's own lsn, or for a barrier the last one given before it.
    pub lsn: Lsn,
    pub entry: Option<Entry>,
    pub on_durable: OnDurable,
}

impl Queued {
    /// Bytes this adds to a group.
    pub fn encoded_len(&self) -> usize {
        self.entry.as_ref().map_or(0, |entry| RECORD_HEADER_BYTES + entry.payload.len())
    }

    fn payload_bytes(&self) -> usize {
        self.entry.as_ref().map_or(0, |entry| entry.payload.len())
    }
}

/// What the writer thread does next.
pub(super) enum Work {
    Group(Vec<Queued>),
    /// The time it asked to be woken at has come.
    Woken,
    /// The queue is closed and empty.
    Done,
}

pub(super) struct Queue {
    state: Mutex<State>,
    /// Signals the writer thread: there is work, or the log closes.
    work: Condvar,
    /// Signals callers: there is room, or the gate has closed.
    room: Condvar,
    len_max: usize,
    bytes_max: usize,
}

struct State {
    queued: VecDeque<Queued>,
    next_lsn: u64,
    /// Entries and bytes that count against the bounds: those queued and those reserved.
    held_len: usize,
    held_bytes: usize,
    gate: Gate,
    closed: bool,
}

/// What may enter.
enum Gate {
    Open,
    /// Barriers only.
    Stalled(Arc<Stall>),
    /// Nothing: callers are being told that entries of theirs failed, and until the last of them has heard of it, what
    /// they ask for may rest on such an entry.
    Failing(Arc<Stall>),
    Poisoned(Arc<PoisonCause>),
}

impl Queue {
    pub fn new(next_lsn: Lsn, len_max: usize, bytes_max: usize) -> Self {
        let state = State {
            queued: VecDeque::new(),
            next_lsn: next_lsn.0,
            held_len: 0,
            held_bytes: 0,
            gate: Gate::Open,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            work: Condvar::new(),
            room: Condvar::new(),
            len_max: len_max.max(1),
            bytes_max: bytes_max.max(1),
        }
    }

    pub fn append(&self, entry: Entry, on_durable: OnDurable) -> Result<Lsn, LogError> {
        check_payload(entry.payload.len())?;
        let mut state = self.wait_for_room(entry.payload.len(), State::check_entry)?;
        state.hold(entry.payload.len());
        Ok(self.push(&mut state, Some(entry), on_durable))
    }

    pub fn barrier(&self, on_durable: OnDurable) -> Result<(), LogError> {
        let mut state = self.wait_for_room(0, State::check_barrier)?;
        state.hold(0);
        self.push(&mut state, None, on_durable);
        Ok(())
    }

    pub fn try_reserve(self: &Arc<Self>, payload_bytes: usize) -> Result<Reservation, LogError> {
        check_payload(payload_bytes)?;
        let mut state = self.state.lock();
        reserve_check(payload_bytes)(&state)?;
        if !self.has_room(&state, payload_bytes) {
            return Err(LogError::Full);
        }
        state.hold(payload_bytes);
        Ok(Reservation { queue: Arc::clone(self), payload_bytes })
    }

    pub fn reserve(self: &Arc<Self>, payload_bytes: usize) -> Result<Reservation, LogError> {
        check_payload(payload_bytes)?;
        self.wait_for_room(payload_bytes, reserve_check(payload_bytes))?.hold(payload_bytes);
        Ok(Reservation { queue: Arc::clone(self), payload_bytes })
    }

    /// The next group, at most `group_bytes` unless its first record alone is larger; waits for one, or until `wake_at`.
    pub fn take(&self, group_bytes: usize, wake_at: Option<Instant>) -> Work {
        let mut state = self.state.lock();
        while state.queued.is_empty() {
            if state.closed {
                return Work::Done;
            }
            match wake_at {
                None => self.work.wait(&mut state),
                Some(at) if self.work.wait_until(&mut state, at).timed_out() => return Work::Woken,
                Some(_) => {}
            }
        }
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(next) = state.queued.front() {
            bytes += next.encoded_len();
            if bytes > group_bytes && !group.is_empty() {
                break;
            }
            let Some(next) = state.queued.pop_front() else { break };
            state.give_back(next.payload_bytes());
            group.push(next);
        }
        self.room.notify_all();
        Work::Group(group)
    }

    /// Lets entries in, or refuses them because of a stall; what is queued stays. After [`Queue::fail`] it ends the time
    /// in which nothing enters.
    pub fn set_stall(&self, stall: Option<Arc<Stall>>) {
        let mut state = self.state.lock();
        if !matches!(state.gate, Gate::Poisoned(_)) {
            state.gate = stall.map_or(Gate::Open, Gate::Stalled);
        }
        self.room.notify_all();
    }

    /// Closes the gate to everything, gives the lsns from `next_lsn` on out anew, and answers what is queued: it rests on
    /// entries that have failed (L10).
    pub fn fail(&self, stall: Arc<Stall>, next_lsn: Lsn) -> Vec<Queued> {
        let mut state = self.state.lock();
        if !matches!(state.gate, Gate::Poisoned(_)) {
            state.gate = Gate::Failing(stall);
        }
        state.next_lsn = next_lsn.0;
        let queued: Vec<Queued> = state.queued.drain(..).collect();
        for failed in &queued {
            state.give_back(failed.payload_bytes());
        }
        self.room.notify_all();
        queued
    }

    /// Refuses everything from now on with `cause`. What is queued stays for the writer thread to answer.
    pub fn poison(&self, cause: Arc<PoisonCause>) {
        self.state.lock().gate = Gate::Poisoned(cause);
        self.room.notify_all();
    }

    /// The lsn of the next entry, unless entries or barriers wait in the queue.
    pub fn next_if_empty(&self) -> Option<Lsn> {
        let state = self.state.lock();
        state.queued.is_empty().then_some(Lsn(state.next_lsn))
    }

    /// Why entries are refused at present, if the disk is the reason.
    pub fn stall(&self) -> Option<Arc<Stall>> {
        match &self.state.lock().gate {
            Gate::Stalled(stall) | Gate::Failing(stall) => Some(Arc::clone(stall)),
            Gate::Open | Gate::Poisoned(_) => None,
        }
    }

    pub fn close(&self) {
        self.state.lock().closed = true;
        self.work.notify_all();
        self.room.notify_all();
    }

    fn wait_for_room(
        &self,
        payload_bytes: usize,
        check: fn(&State) -> Result<(), LogError>,
    ) -> Result<MutexGuard<'_, State>, LogError> {
        let mut state = self.state.lock();
        loop {
            check(&state)?;
            if self.has_room(&state, payload_bytes) {
                return Ok(state);
            }
            self.room.wait(&mut state);
        }
    }

    /// An empty queue takes anything, so that a payload past `bytes_max` is not stuck for ever.
    fn has_room(&self, state: &State, payload_bytes: usize) -> bool {
        state.held_len == 0
            || (state.held_len < self.len_max && state.held_bytes.saturating_add(payload_bytes) <= self.bytes_max)
    }

    fn push(&self, state: &mut State, entry: Option<Entry>, on_durable: OnDurable) -> Lsn {
        if entry.is_some() {
            state.next_lsn += 1;
        }
        let lsn = Lsn(state.next_lsn - 1);
        state.queued.push_back(Queued { lsn, entry, on_durable });
        self.work.notify_one();
        lsn
    }
}

impl State {
    fn check_entry(&self) -> Result<(), LogError> {
        match &self.gate {
            Gate::Stalled(stall) if !self.closed => Err(LogError::Stalled { source: Arc::clone(stall) }),
            _ => self.check_barrier(),
        }
    }

    fn check_barrier(&self) -> Result<(), LogError> {
        match &self.gate {
            _ if self.closed => Err(LogError::Closed),
            Gate::Open | Gate::Stalled(_) => Ok(()),
            Gate::Failing(stall) => Err(LogError::Stalled { source: Arc::clone(stall) }),
            Gate::Poisoned(cause) => Err(LogError::Unavailable { source: Arc::clone(cause) }),
        }
    }

    fn hold(&mut self, payload_bytes: usize) {
        self.held_len += 1;
        self.held_bytes += payload_bytes;
    }

    fn give_back(&mut self, payload_bytes: usize) {
        self.held_len -= 1;
        self.held_bytes -= payload_bytes;
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("len_max", &self.len_max).field("bytes_max", &self.bytes_max).finish()
    }
}

/// A place in the queue, taken before the work that leads to an append so that the append itself cannot block.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub struct Reservation {
    queue: Arc<Queue>,
    payload_bytes: usize,
}

impl Reservation {
    /// As [`Log::append`](super::Log::append), without blocking. The payload may turn out larger than was reserved.
    pub fn append(self, entry: Entry, on_durable: OnDurable) -> Result<Lsn, LogError> {
        check_payload(entry.payload.len())?;
        let mut state = self.queue.state.lock();
        state.check_entry()?;
        Ok(self.push(&mut state, Some(entry), on_durable))
    }

    /// As [`Log::barrier`](super::Log::barrier), without blocking: for when there turned out to be nothing to append.
    pub fn barrier(self, on_durable: OnDurable) -> Result<(), LogError> {
        let mut state = self.queue.state.lock();
        state.check_barrier()?;
        self.push(&mut state, None, on_durable);
        Ok(())
    }

    fn push(&self, state: &mut State, entry: Option<Entry>, on_durable: OnDurable) -> Lsn {
        // On top of our own place, which `drop` gives back once the lock is free.
        state.hold(entry.as_ref().map_or(0, |entry| entry.payload.len()));
        self.queue.push(state, entry, on_durable)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.queue.state.lock().give_back(self.payload_bytes);
        self.queue.room.notify_all();
    }
}

/// A place of no bytes is meant for a barrier.
fn reserve_check(payload_bytes: usize) -> fn(&State) -> Result<(), LogError> {
    if payload_bytes == 0 { State::check_barrier } else { State::check_entry }
}

fn check_payload(bytes: usize) -> Result<(), LogError> {
    if bytes > PAYLOAD_BYTES_MAX {
        return Err(LogError::TooLarge { bytes, max: PAYLOAD_BYTES_MAX });
    }
    Ok(())
}
