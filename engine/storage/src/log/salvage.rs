//! Copying what is sound of a damaged log into a fresh one. The source is only read.
//!
//! Records keep their lsns, for the tables say by them what they hold already. A record that is lost is replaced by an
//! empty one of the kind [`LOST`], so that the copy is whole again and a later start can trust it like any other log.

use std::path::Path;

use uuid::Uuid;

use super::inspect::{Damage, Finding, Inspected, inspect};
use super::record::{self, LOST, Record};
use super::segment::{ActiveSegment, Header, Released, list_segments};
use super::{LogError, LogOptions, Lsn};
use crate::durable::create_dir_durable;

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// What was copied and what was not.
#[derive(Debug, Clone)]
pub struct Salvaged {
    pub source: Inspected,
    /// In the order of the files.
    pub skipped: Vec<Damage>,
    /// Lsns that have an empty record now.
    pub lost: u64,
    /// Bytes at the end of the last segment that were being written when it stopped; never acknowledged.
    pub torn_bytes: u64,
}

/// Copies the log in `from` to the directory `to`, which must be empty or missing. The copy goes on at `next_lsn` or
/// later: set it past what the tables hold when the log has lost its end.
pub fn salvage(from: &Path, to: &Path, next_lsn: Lsn) -> Result<Salvaged, LogError> {
    let failed = |action, file: &Path| {
        let file = file.to_path_buf();
        move |source| LogError::Io { action, file, source }
    };
    create_dir_durable(to).map_err(failed("create", to))?;
    if std::fs::read_dir(to).map_err(failed("list", to))?.next().is_some() {
        return Err(LogError::NotEmpty { dir: to.to_path_buf() });
    }
    // What the headers say is needed before the first record is written.
    let known = inspect(from, |_| Ok::<_, LogError>(()))?;
    if list_segments(from).map_err(failed("list", from))?.is_empty() {
        return Err(LogError::Empty { dir: from.to_path_buf() });
    }
    let released = Lsn(known.oldest_lsn.0.saturating_sub(1));
    Released::create(to, released).map_err(failed("create", to))?;
    let mut copy = Copy::start(to, &known)?;
    let mut skipped = Vec::new();
    let mut torn_bytes = 0;
    let source = inspect(from, |finding| {
        match finding {
            Finding::Record(found) => copy.append(found.record)?,
            Finding::Damage(damage) => skipped.push(damage),
            Finding::TornTail { bytes, .. } => torn_bytes = bytes,
        }
        Ok::<_, LogError>(())
    })?;
    copy.lose_until(next_lsn)?;
    copy.write()?;
    Ok(Salvaged { source, skipped, lost: copy.lost, torn_bytes })
}

/// The copy while it is written.
struct Copy {
    options: LogOptions,
    active: ActiveSegment,
    buffer: Vec<u8>,
    nth: u32,
    next: Lsn,
    lost: u64,
}

impl Copy {
    fn start(to: &Path, source: &Inspected) -> Result<Self, LogError> {
        let options = LogOptions::new(to);
        let header = Header {
            epoch: source.epoch.max(1),
            node: source.node.unwrap_or_else(Uuid::new_v4),
            number: source.first_segment,
            first_lsn: source.oldest_lsn.0,
        };
        let active = ActiveSegment::create(&options, header)?;
        Ok(Self { options, active, buffer: Vec::new(), nth: 0, next: source.oldest_lsn, lost: 0 })
    }

    fn append(&mut self, record: Record<'_>) -> Result<(), LogError> {
        self.lose_until(record.lsn)?;
        self.push(record)
    }

    fn lose_until(&mut self, next: Lsn) -> Result<(), LogError> {
        while self.next < next {
            self.lost += 1;
            self.push(Record { lsn: self.next, project: 0, kind: LOST, payload: &[] })?;
        }
        Ok(())
    }

    fn push(&mut self, record: Record<'_>) -> Result<(), LogError> {
        let held = self.active.len + self.buffer.len() as u64;
        if held + record.payload.len() as u64 > self.options.segment_bytes {
            self.write()?;
            let header =
                Header { number: self.active.header.number + 1, first_lsn: record.lsn.0, ..self.active.header };
            self.active = ActiveSegment::create(&self.options, header)?;
        }
        record::encode(&mut self.buffer, self.active.seed, self.active.header.epoch, self.nth, record);
        self.nth += 1;
        self.next = Lsn(record.lsn.0 + 1);
        if self.buffer.len() >= WRITE_BYTES { self.write() } else { Ok(()) }
    }

    /// Makes what was gathered durable, as one group.
    fn write(&mut self) -> Result<(), LogError> {
        let written = self.active.write(&self.buffer).and_then(|()| self.active.sync(self.buffer.len()));
        let file = &self.active.path;
        written.map_err(|source| LogError::Io { action: "write", file: file.clone(), source })?;
        self.buffer.clear();
        self.nth = 0;
        Ok(())
    }
}
