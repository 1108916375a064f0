//! The write-ahead log: what was acknowledged is on the disk before anybody hears of it.
//!
//! One log per data directory serves every project, so that one `fdatasync` serves every project too. Callers queue
//! entries; one thread writes whatever has gathered as one *group*, syncs it once, and then tells each caller in
//! order. While the disk syncs one group the next one gathers by itself, so there is no timer and no delay to tune.
//!
//! ```text
//! append ─▶ [ bounded queue ] ─▶ writer thread: write group ▸ fdatasync ▸ callbacks in lsn order ─▶ next group
//! ```
//!
//! # Bytes on disk
//!
//! All integers are little-endian. Files are named `{segment number, 20 digits}.log`.
//!
//! ```text
//! segment := header record*
//!
//! header (64 bytes)                              record (29 bytes + payload)
//! ┌────┬────────────────────────────┐            ┌────┬──────────────────────────────────────┐
//! │  0 │ magic "FOOTLOG\n"        8 │            │  0 │ payload length                     4 │
//! │  8 │ format version           4 │            │  4 │ crc32c                             4 │
//! │ 12 │ epoch                    4 │            │  8 │ lsn                                8 │
//! │ 16 │ node uuid               16 │            │ 16 │ epoch, equal to the header's       4 │
//! │ 32 │ segment number           8 │            │ 20 │ nth: place in its group, from 0    4 │
//! │ 40 │ first lsn                8 │            │ 24 │ project                            4 │
//! │ 48 │ zero                    12 │            │ 28 │ kind                               1 │
//! │ 60 │ crc32c of bytes 0..60    4 │            │ 29 │ payload                              │
//! └────┴────────────────────────────┘            └────┴──────────────────────────────────────┘
//! ```
//!
//! A record's checksum covers its length and everything after the checksum itself, and starts from the checksum of
//! its segment's header. Bytes that look like a record therefore only count in the file they were written for: not in
//! a payload somebody crafted, not in a block that strayed from another segment.
//!
//! # Invariants
//!
//! - **L1** Lsns are given in call order and are contiguous, from 1, across segments and restarts.
//! - **L2** A callback runs with `Ok` only after an `fdatasync` that covers its record returned without error.
//! - **L3** Callbacks run on the log's thread, in the order of the calls they belong to, each exactly once.
//! - **L4** A group is written only after the group before it is durable, and lies in one segment.
//! - **L5** A segment exists only after every record before it is durable; its own header and name are durable before
//!   a record is written to it.
//! - **L6** Only the last segment can be torn, and only within its last group: a hole followed by a record of the same
//!   group (`lsn - nth` tells) is what a power cut leaves, a hole followed by a later group is corruption.
//! - **L7** Recovery changes no file before it has read them all and found nothing to refuse.
//! - **L8** Segments are released oldest first, each deletion durable before the next; the active one never is.
//! - **L9** An `fdatasync` that failed is never repeated: the kernel may have dropped the pages it could not write and
//!   would answer that all is well. The process aborts and the next start reads what the disk really has.
//! - **L10** A group that could not be written is answered with an error, and so is everything queued behind it; their
//!   lsns are given out anew. Nothing enters before the last of these callbacks has returned, and no entry before the
//!   file ends, durably, at its last good byte and takes more. The log looks for that by itself.
//! - **L11** How far the log was released is noted durably before a segment is deleted, so that a first segment that is
//!   missing is told from one that was let go.
//!
//! Left out on purpose: what the payload means, who still needs a record (the caller says `release`), and the lock
//! that keeps a second process out of the directory. A missing *last* segment cannot be told from one that was never
//! written: the caller compares [`Recovery::next_lsn`] with what its tables say they hold.

mod error;
mod inspect;
mod queue;
mod record;
mod recovery;
mod salvage;
mod segment;
mod space;
mod writer;

#[cfg(test)]
mod faults;
#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use faults::Faults;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use uuid::Uuid;

pub use error::{LogError, PoisonCause, Stall};
pub use inspect::{Damage, Finding, Inspected, Located, inspect};
pub use queue::Reservation;
pub(crate) use record::LOST;
pub use record::{PAYLOAD_BYTES_MAX, Record};
pub use salvage::{Salvaged, salvage};

use crate::durable::create_dir_durable;
use queue::Queue;
use recovery::Scan;
use segment::{ActiveSegment, Header, Released, Segments};
use writer::Writer;

/// A position in the log. The first record is 1; 0 means "before every record".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl std::fmt::Display for Lsn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What to append. The log gives the lsn and does not look inside the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub project: u32,
    pub kind: u8,
    pub payload: Vec<u8>,
}

/// Runs once on the log's thread when the fate of an entry is known. Keep it short, for the next group waits for it,
/// and never append from within, nor take a lock that somebody holds across [`Log::append`] or [`Log::barrier`]: the
/// queue may be full, and only this thread empties it. Under such a lock use a [`Reservation`].
///
/// An error says that the entry is not in the log and that everything this caller appended after it fails as well: undo
/// what rests on it here, for as soon as all have been told the log takes new entries.
pub type OnDurable = Box<dyn FnOnce(Result<Lsn, LogError>) + Send>;

#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Directory of the segments; created if missing.
    pub dir: PathBuf,
    /// A segment is closed before it would grow past this. At most 1 GiB.
    pub segment_bytes: u64,
    /// Most bytes written under one `fdatasync`, unless a single record is larger.
    pub group_bytes: usize,
    /// Most entries waiting. Their bytes are bounded too, by twice `group_bytes`.
    pub queue_len: usize,
    /// Most bytes that are not released; past it the log takes no entries.
    pub bytes_max: u64,
    /// Space that the log leaves free on its disk; past it it takes no entries. `None`: 256 MiB, or a twentieth of a
    /// smaller disk.
    pub free_bytes_min: Option<u64>,
    pub retention: Retention,
    /// Writes that fail, for tests.
    #[cfg(test)]
    pub(crate) faults: Faults,
}

/// What happens to a segment that nobody needs any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// It is deleted.
    UntilReleased,
    /// It stays, so that everything can be made anew from the log. A later start reads it again.
    Forever,
}

impl LogOptions {
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 64 << 20,
            group_bytes: 8 << 20,
            queue_len: 4096,
            bytes_max: 8 << 30,
            free_bytes_min: None,
            retention: Retention::UntilReleased,
            #[cfg(test)]
            faults: Faults::default(),
        }
    }
}

/// What [`Log::open`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Records handed to `replay`.
    pub records: u64,
    /// Bytes of a torn tail that were cut off: records that were never acknowledged.
    pub truncated_tail_bytes: u64,
    /// The first lsn the log still holds; `next_lsn` if it holds none.
    pub oldest_lsn: Lsn,
    /// The lsn of the next append.
    pub next_lsn: Lsn,
    /// How often the log has been opened, this time included.
    pub epoch: u32,
    /// Names this log; made up when the directory was first opened.
    pub node: Uuid,
}

/// The open log. Share it in an `Arc`; every method takes `&self`.
#[derive(Debug)]
pub struct Log {
    queue: Arc<Queue>,
    segments: Arc<Segments>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Log {
    /// Reads the log in lsn order through `replay`, cuts off a torn tail, and starts a new segment under a new epoch.
    ///
    /// An error of `replay` stops the scan and comes back as [`LogError::Replay`]. The caller holds the lock on the
    /// data directory.
    pub fn open<E>(
        options: LogOptions,
        replay: impl FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(Self, Recovery), LogError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let dir = options.dir.clone();
        let failed = |action: &'static str| {
            let file = dir.clone();
            move |source| LogError::Io { action, file, source }
        };
        create_dir_durable(&dir).map_err(failed("create"))?;
        let scan = recovery::scan(&dir, replay)?;
        let truncated_tail_bytes = scan.repair(&dir)?;

        let header = next_header(&scan).ok_or_else(|| LogError::Exhausted { dir: dir.clone() })?;
        let active = ActiveSegment::create(&options, header)?;
        let next_lsn = Lsn(header.first_lsn);
        let oldest = scan.segments.first().map_or(next_lsn, |segment| Lsn(segment.first_lsn));
        let released = Released::open(&dir, oldest).map_err(failed("create"))?;
        let segments = Arc::new(Segments::new(dir.clone(), options.retention, scan.segments, released));
        segments.add_active(&active);
        let recovery = Recovery {
            records: scan.records,
            truncated_tail_bytes,
            oldest_lsn: segments.oldest_lsn(),
            next_lsn,
            epoch: header.epoch,
            node: header.node,
        };

        let queue = Arc::new(Queue::new(next_lsn, options.queue_len, options.group_bytes.saturating_mul(2)));
        let writer = Writer::new(options, Arc::clone(&queue), Arc::clone(&segments), active);
        let thread = thread::Builder::new().name("footfall-log".to_owned()).spawn(move || writer.run());
        let thread = thread.map_err(failed("start the thread of"))?;
        Ok((Self { queue, segments, thread: Mutex::new(Some(thread)) }, recovery))
    }

    /// Queues an entry and answers its lsn; lsns follow call order, so callers that need an order hold their own lock
    /// across the call. Blocks while the queue is full. `on_durable` is called exactly once if this answers `Ok`, and
    /// dropped uncalled if it answers an error.
    pub fn append(&self, entry: Entry, on_durable: OnDurable) -> Result<Lsn, LogError> {
        self.queue.append(entry, on_durable)
    }

    /// A place in the queue for one entry of about `payload_bytes`; waits for it. With it in hand, neither
    /// [`Reservation::append`] nor [`Reservation::barrier`] blocks, so a lock that callbacks take as well may be held
    /// across them. Dropped unused, it gives the place back. A place of no bytes is for a barrier: a log that has stalled
    /// gives it, too.
    pub fn reserve(&self, payload_bytes: usize) -> Result<Reservation, LogError> {
        self.queue.reserve(payload_bytes)
    }

    /// As [`Log::reserve`], but answers [`LogError::Full`] at once where that would wait.
    pub fn try_reserve(&self, payload_bytes: usize) -> Result<Reservation, LogError> {
        self.queue.try_reserve(payload_bytes)
    }

    /// Calls back once everything appended so far is durable, with the last lsn of that; writes nothing itself.
    /// Blocks while the queue is full.
    pub fn barrier(&self, on_durable: OnDurable) -> Result<(), LogError> {
        self.queue.barrier(on_durable)
    }

    /// Why the log takes no entries at present; `None` if it does.
    pub fn stall(&self) -> Option<Arc<Stall>> {
        self.queue.stall()
    }

    /// Lets go of the segments that hold no record past `up_to`, oldest first, and deletes them unless they are kept. Repeating it is harmless, and after an
    /// error it continues where it stopped. Blocks on the disk.
    pub fn release(&self, up_to: Lsn) -> Result<(), LogError> {
        self.segments.release(up_to)
    }

    /// Writes, syncs and answers everything queued, then ends the thread. Later appends answer [`LogError::Closed`].
    pub fn close(&self) {
        self.queue.close();
        let Some(thread) = self.thread.lock().take() else { return };
        // The last handle may be dropped by a callback, on the very thread that would have to end first.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!("the log thread panicked");
        }
    }

    /// Bytes of all segments that were not released.
    pub fn bytes(&self) -> u64 {
        self.segments.bytes()
    }

    /// The first lsn that was not released, or the next one if there is none.
    pub fn oldest_lsn(&self) -> Lsn {
        self.segments.oldest_lsn()
    }
}

/// The header of the segment this open starts; `None` if a number has no successor.
fn next_header(scan: &Scan) -> Option<Header> {
    let first_lsn = scan.next_lsn;
    match scan.last {
        None => Some(Header { epoch: 1, node: Uuid::new_v4(), number: 1, first_lsn }),
        Some(last) => Some(Header {
            epoch: last.epoch.checked_add(1)?,
            node: last.node,
            number: last.number.checked_add(1)?,
            first_lsn,
        }),
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}
