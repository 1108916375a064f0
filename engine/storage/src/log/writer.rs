//! The log's thread: takes a group, writes it, syncs it once, answers each caller, and starts over.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::queue::{Queue, Queued};
use super::record::{self, Record};
use super::segment::{ActiveSegment, CreateError, HEADER_BYTES, Header, Segments};
use super::{LogError, PoisonCause};

pub(super) struct Writer {
    dir: PathBuf,
    segment_bytes: u64,
    group_bytes: usize,
    queue: Arc<Queue>,
    segments: Arc<Segments>,
    active: ActiveSegment,
    /// The group being written, kept for its capacity.
    buffer: Vec<u8>,
    poison: Option<Arc<PoisonCause>>,
}

impl Writer {
    pub fn new(
        dir: PathBuf,
        segment_bytes: u64,
        group_bytes: usize,
        queue: Arc<Queue>,
        segments: Arc<Segments>,
        active: ActiveSegment,
    ) -> Self {
        // A group lies in one segment (L4), so it is never planned larger than one.
        let segment_room = segment_bytes.saturating_sub(HEADER_BYTES as u64);
        let group_bytes = group_bytes.min(usize::try_from(segment_room).unwrap_or(usize::MAX));
        Self { dir, segment_bytes, group_bytes, queue, segments, active, buffer: Vec::new(), poison: None }
    }

    /// Runs until the queue is closed and empty.
    pub fn run(mut self) {
        while let Some(group) = self.queue.take_group(self.group_bytes) {
            if self.poison.is_none()
                && let Err(cause) = self.commit(&group)
            {
                self.fail(cause);
            }
            for queued in group {
                self.answer(queued);
            }
        }
    }

    /// Makes a group durable. When this returns `Ok` every record of it is on the disk (L2).
    fn commit(&mut self, group: &[Queued]) -> Result<(), PoisonCause> {
        let bytes: usize = group.iter().map(Queued::encoded_len).sum();
        let Some(first) = group.iter().find(|queued| queued.entry.is_some()) else {
            // Only barriers: all before them was made durable by the groups before this one (L4).
            return Ok(());
        };
        let is_empty = self.active.len == HEADER_BYTES as u64;
        if !is_empty && self.active.len + bytes as u64 > self.segment_bytes {
            self.rotate(first.lsn.0)?;
        }
        self.encode(group);
        let written = self.active.write(&self.buffer);
        written.map_err(|source| PoisonCause::Write { file: self.active.path.clone(), source })?;
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
    fn rotate(&mut self, first_lsn: u64) -> Result<(), PoisonCause> {
        let header = Header { number: self.active.header.number + 1, first_lsn, ..self.active.header };
        match ActiveSegment::create(&self.dir, header) {
            Ok(active) => {
                self.segments.add_active(&active);
                self.active = active;
                Ok(())
            }
            Err(CreateError::Write { path, source }) => Err(PoisonCause::Write { file: path, source }),
            Err(CreateError::Sync { path, source }) => abort(&path, &source),
        }
    }

    fn answer(&mut self, queued: Queued) {
        let Queued { lsn, on_durable, .. } = queued;
        let outcome = match &self.poison {
            None => Ok(lsn),
            Some(cause) => Err(LogError::Unavailable { source: Arc::clone(cause) }),
        };
        // A caller's panic must not take the thread along: everybody else would wait for an answer for ever.
        if catch_unwind(AssertUnwindSafe(|| on_durable(outcome))).is_err() {
            self.fail(PoisonCause::CallbackPanicked { lsn: lsn.0 });
        }
    }

    fn fail(&mut self, cause: PoisonCause) {
        tracing::error!(error = &cause as &dyn std::error::Error, "the log stops acknowledging until it is reopened");
        let cause = Arc::clone(self.poison.get_or_insert(Arc::new(cause)));
        self.queue.poison(cause);
    }
}

/// Ends the process after a failed sync (L9).
fn abort(file: &Path, error: &io::Error) -> ! {
    tracing::error!(file = %file.display(), %error, "cannot sync the log, aborting");
    // The subscriber may buffer, and an abort flushes nothing.
    let _ = writeln!(io::stderr(), "cannot sync the log, aborting, file={}: {error}", file.display());
    std::process::abort()
}
