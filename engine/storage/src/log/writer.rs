//! The log's thread: takes a group, writes it, syncs it once, answers each caller, and starts over.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::queue::{Queue, Queued, Work};
use super::record::{self, Record};
use super::segment::{ActiveSegment, CreateError, HEADER_BYTES, Header, SEGMENT_BYTES_MAX, Segments};
use super::space::Space;
use super::{LogError, LogOptions, PoisonCause, Stall};
use crate::error::chain;

/// How often a log that has stalled looks whether it can go on.
const PROBE_INTERVAL: Duration = Duration::from_millis(if cfg!(test) { 2 } else { 200 });

pub(super) struct Writer {
    options: LogOptions,
    space: Space,
    queue: Arc<Queue>,
    segments: Arc<Segments>,
    active: ActiveSegment,
    /// The group being written, kept for its capacity.
    buffer: Vec<u8>,
    /// A write failed and the disk may hold parts of it: nothing is written before [`Writer::heal`] succeeded.
    torn: bool,
    /// A write failed and none has succeeded since.
    doubtful: bool,
    /// When to look again, while the log has stalled.
    probe_at: Option<Instant>,
    poison: Option<Arc<PoisonCause>>,
}

impl Writer {
    pub fn new(options: LogOptions, queue: Arc<Queue>, segments: Arc<Segments>, active: ActiveSegment) -> Self {
        let segment_bytes = options.segment_bytes.min(SEGMENT_BYTES_MAX);
        // A group lies in one segment (L4), so it is never planned larger than one.
        let segment_room = segment_bytes.saturating_sub(HEADER_BYTES as u64);
        let group_bytes = options.group_bytes.min(usize::try_from(segment_room).unwrap_or(usize::MAX));
        let space = Space { bytes_max: options.bytes_max, free_bytes_min: options.free_bytes_min };
        let options = LogOptions { segment_bytes, group_bytes, ..options };
        let buffer = Vec::new();
        Self {
            options,
            space,
            queue,
            segments,
            active,
            buffer,
            torn: false,
            doubtful: false,
            probe_at: None,
            poison: None,
        }
    }

    /// Runs until the queue is closed and empty.
    pub fn run(mut self) {
        self.watch_space();
        loop {
            match self.queue.take(self.options.group_bytes, self.probe_at) {
                Work::Group(group) => self.process(group),
                Work::Woken => {}
                Work::Done => return,
            }
            if self.probe_at.is_some_and(|at| at <= Instant::now()) {
                self.probe();
            }
        }
    }

    fn process(&mut self, group: Vec<Queued>) {
        let committed = if self.poison.is_some() { Ok(()) } else { self.commit(&group) };
        match committed {
            Ok(()) => {
                for queued in group {
                    self.answer(queued, None);
                }
                self.watch_space();
            }
            Err(stall) => self.fail(group, Arc::new(stall)),
        }
    }

    /// Makes a group durable. When this returns `Ok` every record of it is on the disk (L2).
    fn commit(&mut self, group: &[Queued]) -> Result<(), Stall> {
        let bytes: usize = group.iter().map(Queued::encoded_len).sum();
        let Some(first) = group.iter().find(|queued| queued.entry.is_some()) else {
            // Only barriers: all before them was made durable by the groups before this one (L4).
            return Ok(());
        };
        assert!(!self.torn, "L10: entries are let in only after a failed write was cut off");
        let is_empty = self.active.len == HEADER_BYTES as u64;
        if !is_empty && self.active.len + bytes as u64 > self.options.segment_bytes {
            self.rotate(first.lsn.0)?;
        }
        self.encode(group);
        let written = self.active.write(&self.buffer);
        written.map_err(|source| Stall::of_write(self.active.path.clone(), source))?;
        if let Err(error) = self.active.sync(self.buffer.len()) {
            abort(&self.active.path, &error);
        }
        self.segments.set_active_bytes(self.active.len);
        Ok(())
    }

    fn encode(&mut self, group: &[Queued]) {
        self.buffer.clear();
        let entries = group.iter().filter_map(|queued| queued.entry.as_ref().map(|entry| (queued.lsn, entry)));
        for ((lsn, entry), nth) in entries.zip(0..) {
            let record = Record { lsn, project: entry.project, kind: entry.kind, payload: &entry.payload };
            record::encode(&mut self.buffer, self.active.seed, self.active.header.epoch, nth, record);
        }
    }

    /// Starts the next segment. The one before is whole and durable: each of its groups was synced (L4, L5).
    fn rotate(&mut self, first_lsn: u64) -> Result<(), Stall> {
        let header = Header { number: self.active.header.number + 1, first_lsn, ..self.active.header };
        match ActiveSegment::create(&self.options, header) {
            Ok(active) => {
                self.segments.add_active(&active);
                self.active = active;
                Ok(())
            }
            Err(CreateError::Write { path, source }) => Err(Stall::of_write(path, source)),
            Err(CreateError::Sync { path, source }) => abort(&path, &source),
        }
    }

    fn answer(&mut self, queued: Queued, stall: Option<&Arc<Stall>>) {
        let Queued { lsn, on_durable, .. } = queued;
        let outcome = match (&self.poison, stall) {
            (Some(cause), _) => Err(LogError::Unavailable { source: Arc::clone(cause) }),
            (None, Some(stall)) => Err(LogError::Stalled { source: Arc::clone(stall) }),
            (None, None) => Ok(lsn),
        };
        // A caller's panic must not take the thread along: everybody else would wait for an answer for ever.
        if catch_unwind(AssertUnwindSafe(|| on_durable(outcome))).is_err() {
            let cause = PoisonCause::CallbackPanicked { lsn: lsn.0 };
            tracing::error!(error = &cause as &dyn std::error::Error, "the log stops until it is opened again");
            let cause = Arc::clone(self.poison.get_or_insert(Arc::new(cause)));
            self.queue.poison(cause);
        }
    }

    /// A group could not be written: cut off what there is of it, and tell its callers and everybody behind them (L10).
    fn fail(&mut self, group: Vec<Queued>, stall: Arc<Stall>) {
        tracing::error!(error = chain(&*stall), "the log takes nothing until the disk does");
        let Some(first) = group.iter().find(|queued| queued.entry.is_some()).map(|queued| queued.lsn) else { return };
        let behind = self.queue.fail(Arc::clone(&stall), first);
        (self.torn, self.doubtful) = (true, true);
        // Now rather than at the first look: what is answered with an error should not turn up again after a crash.
        if let Err(error) = self.heal() {
            tracing::warn!(error = chain(&error), "a failed write could not be cut off the log yet");
        }
        for queued in group.into_iter().chain(behind) {
            let rests_on_failed = queued.entry.is_some() || queued.lsn >= first;
            self.answer(queued, rests_on_failed.then_some(&stall));
        }
        self.stall(stall);
    }

    /// Closes the gate to entries and looks again later.
    fn stall(&mut self, stall: Arc<Stall>) {
        self.queue.set_stall(Some(stall));
        self.probe_at = Some(Instant::now() + PROBE_INTERVAL);
    }

    /// Closes the gate before the disk is full, so that there is room to flush what the log holds.
    fn watch_space(&mut self) {
        if self.probe_at.is_none()
            && let Err(stall) = self.space.check(&self.active, &self.segments)
        {
            tracing::warn!(error = chain(&stall), "the log takes no entries until there is room");
            self.stall(Arc::new(stall));
        }
    }

    /// Opens the gate if the log can go on.
    fn probe(&mut self) {
        match self.can_go_on() {
            Ok(()) => {
                tracing::info!("the log takes entries again");
                self.probe_at = None;
                self.queue.set_stall(None);
            }
            Err(stall) => self.stall(Arc::new(stall)),
        }
    }

    fn can_go_on(&mut self) -> Result<(), Stall> {
        self.heal()?;
        self.reclaim();
        if self.doubtful {
            let tried = self.active.try_write();
            self.torn = tried.is_err();
            tried.map_err(|source| Stall::of_write(self.active.path.clone(), source))?;
            self.doubtful = false;
        }
        self.space.check(&self.active, &self.segments)
    }

    /// Gives back the active segment, too, if nobody needs what is in it: a log that waits for room cannot wait until
    /// the segment is full.
    fn reclaim(&mut self) {
        let Some(next) = self.queue.next_if_empty() else { return };
        if self.active.len == HEADER_BYTES as u64 || !self.segments.is_released_below(next) {
            return;
        }
        let reclaimed = self.rotate(next.0).map(|()| self.segments.release_again());
        match reclaimed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = chain(&error), "a log segment could not be released"),
            // What there is of the next segment has to go first.
            Err(_) => self.torn = true,
        }
    }

    /// Brings the files back to the last good byte after a write that failed.
    fn heal(&mut self) -> Result<(), Stall> {
        if !self.torn {
            return Ok(());
        }
        // A segment that could not be created would be the last one to a recovery, and the active one finished.
        match ActiveSegment::remove(&self.options.dir, self.active.header.number + 1) {
            Ok(()) => {}
            Err(CreateError::Write { path, source }) => return Err(Stall::of_write(path, source)),
            Err(CreateError::Sync { path, source }) => abort(&path, &source),
        }
        self.active.cut().map_err(|source| Stall::of_write(self.active.path.clone(), source))?;
        // That an error was answered for these bytes holds after a power cut, too.
        if let Err(error) = self.active.sync(0) {
            abort(&self.active.path, &error);
        }
        self.torn = false;
        Ok(())
    }
}

/// Ends the process after a failed sync (L9).
fn abort(file: &Path, error: &io::Error) -> ! {
    tracing::error!(file = %file.display(), %error, "cannot sync the log, aborting");
    // The subscriber may buffer, and an abort flushes nothing.
    let _ = writeln!(io::stderr(), "cannot sync the log, aborting, file={}: {error}", file.display());
    std::process::abort()
}
