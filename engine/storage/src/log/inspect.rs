//! Reading a log without changing it and without giving up at what is damaged: for dumps, and for copying what is sound.
//!
//! It may read beside a running server: the last group may be half written then, and the oldest segments may go.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::record::{self, Decoded, Prefix, RECORD_HEADER_BYTES, Record};
use super::segment::{HEADER_BYTES, Header, HeaderError, list_segments};
use super::{LogError, Lsn};

/// No log gets past it in practice, while text read as an lsn always does.
const LSN_LIKELY_MAX: u64 = 1 << 48;

/// One sound record and where it lies.
#[derive(Debug, Clone, Copy)]
pub struct Located<'a> {
    pub record: Record<'a>,
    pub epoch: u32,
    /// Place in the group it was synced with, from 0.
    pub nth: u32,
    pub file: &'a Path,
    pub offset: u64,
    /// With its header.
    pub bytes: u64,
}

/// What is not sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub file: PathBuf,
    pub offset: u64,
    /// Bytes that are no record; 0 where whole records or segments are missing.
    pub bytes: u64,
    /// Records that should be there, as far as what follows tells.
    pub lsns: Option<Range<u64>>,
    pub what: &'static str,
}

/// What a reader meets, in the order of the files.
#[derive(Debug)]
pub enum Finding<'a> {
    Record(Located<'a>),
    Damage(Damage),
    /// The last segment ends in bytes that are no record: what was being written when the process or the machine
    /// stopped, or what a running server writes just now. A start heals it.
    TornTail {
        file: &'a Path,
        offset: u64,
        bytes: u64,
    },
}

/// What a log consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// The log's name; `None` if no header is sound.
    pub node: Option<Uuid>,
    pub epoch: u32,
    pub segments: usize,
    pub first_segment: u64,
    pub records: u64,
    pub oldest_lsn: Lsn,
    /// The lsn after the last sound record.
    pub next_lsn: Lsn,
}

/// Reads every segment in `dir`, oldest first, and shows each finding to `visit` until that answers an error.
pub fn inspect<E: From<LogError>>(
    dir: &Path,
    mut visit: impl FnMut(Finding<'_>) -> Result<(), E>,
) -> Result<Inspected, E> {
    let failed = |file: &Path, source| LogError::Io { action: "read", file: file.to_path_buf(), source };
    let files = list_segments(dir).map_err(|source| failed(dir, source))?;
    let mut reader = Reader { next: None, found: Inspected::default(), visit: &mut visit };
    let last = files.last().map(|(number, _)| *number);
    for (number, path) in files {
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            // Released since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound && reader.next.is_none() => continue,
            Err(error) => return Err(failed(&path, error).into()),
        };
        reader.segment(&path, number, &bytes, Some(number) == last)?;
    }
    reader.found.next_lsn = Lsn(reader.next.unwrap_or(1));
    if reader.found.records == 0 {
        reader.found.oldest_lsn = reader.found.next_lsn;
    }
    Ok(reader.found)
}

impl Default for Inspected {
    fn default() -> Self {
        let (oldest_lsn, next_lsn) = (Lsn(1), Lsn(1));
        Self { node: None, epoch: 0, segments: 0, first_segment: 1, records: 0, oldest_lsn, next_lsn }
    }
}

struct Reader<'v, V> {
    /// The lsn that should come next; `None` before the first segment.
    next: Option<u64>,
    found: Inspected,
    visit: &'v mut V,
}

/// A segment's bytes, and what its records are checked with.
struct Source<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    seed: u32,
    /// `None` if the header does not say.
    epoch: Option<u32>,
}

impl<E, V: FnMut(Finding<'_>) -> Result<(), E>> Reader<'_, V> {
    fn segment(&mut self, path: &Path, number: u64, bytes: &[u8], is_last: bool) -> Result<(), E> {
        if self.found.segments == 0 {
            self.found.first_segment = number;
        }
        self.found.segments += 1;
        let damage = |offset, bytes, what| Damage { file: path.to_path_buf(), offset, bytes, lsns: None, what };
        let source = match Header::decode(bytes) {
            Ok((header, seed)) => {
                if header.number != number {
                    self.damage(damage(32, 0, "the segment number is not the one in the file name"))?;
                }
                if self.found.node.is_some_and(|node| node != header.node) {
                    self.damage(damage(16, bytes.len() as u64, "the segment belongs to another log"))?;
                    return Ok(());
                }
                self.found.node = Some(header.node);
                self.found.epoch = self.found.epoch.max(header.epoch);
                self.missing(path, 40, header.first_lsn, "the segments before this one are missing")?;
                Source { path, bytes, seed, epoch: Some(header.epoch) }
            }
            Err(HeaderError::Version(_)) => {
                return self.damage(damage(8, bytes.len() as u64, "the segment was written by a newer version"));
            }
            Err(HeaderError::Damaged) if is_last && bytes.len() <= HEADER_BYTES => {
                return (self.visit)(Finding::TornTail { file: path, offset: 0, bytes: bytes.len() as u64 });
            }
            Err(HeaderError::Damaged) => {
                self.damage(damage(0, HEADER_BYTES.min(bytes.len()) as u64, "the segment header is damaged"))?;
                // Records are checked with the header's own checksum, which may be whole although the rest is not.
                let Some(seed) = bytes.get(HEADER_BYTES - 4..).and_then(|rest| rest.first_chunk()) else {
                    return Ok(());
                };
                Source { path, bytes, seed: u32::from_le_bytes(*seed), epoch: None }
            }
        };
        self.records(&source, is_last)
    }

    fn records(&mut self, source: &Source<'_>, is_last: bool) -> Result<(), E> {
        let mut offset = HEADER_BYTES;
        while offset < source.bytes.len() {
            let next = self.next.unwrap_or(0);
            let Some((start, decoded)) = source.find(offset, next) else { return self.rest(source, offset, is_last) };
            let lsn = decoded.record.lsn.0;
            if start > offset {
                let lsns = self.next.filter(|next| *next < lsn).map(|next| next..lsn);
                let what = "the bytes are no record";
                let (file, bytes) = (source.path.to_path_buf(), (start - offset) as u64);
                self.damage(Damage { file, offset: offset as u64, bytes, lsns, what })?;
            } else {
                self.missing(source.path, start as u64, lsn, "the records before this one are missing")?;
            }
            let bytes = decoded.encoded_len();
            if self.found.records == 0 {
                self.found.oldest_lsn = decoded.record.lsn;
            }
            self.found.records += 1;
            self.next = Some(lsn + 1);
            (self.visit)(Finding::Record(Located {
                record: decoded.record,
                epoch: decoded.epoch,
                nth: decoded.nth,
                file: source.path,
                offset: start as u64,
                bytes: bytes as u64,
            }))?;
            offset = start + bytes;
        }
        Ok(())
    }

    /// Nothing in the segment is sound from `offset` on.
    fn rest(&mut self, source: &Source<'_>, offset: usize, is_last: bool) -> Result<(), E> {
        let (at, bytes) = (offset as u64, (source.bytes.len() - offset) as u64);
        if is_last && source.epoch.is_some() {
            return (self.visit)(Finding::TornTail { file: source.path, offset: at, bytes });
        }
        let what = "the bytes are no record";
        self.damage(Damage { file: source.path.to_path_buf(), offset: at, bytes, lsns: None, what })
    }

    /// What comes at `offset` is `lsn`: notes what should have come before it.
    fn missing(&mut self, path: &Path, offset: u64, lsn: u64, what: &'static str) -> Result<(), E> {
        let next = self.next.replace(self.next.map_or(lsn, |next| next.max(lsn)));
        match next {
            Some(next) if next < lsn => {
                self.damage(Damage { file: path.to_path_buf(), offset, bytes: 0, lsns: Some(next..lsn), what })
            }
            _ => Ok(()),
        }
    }

    fn damage(&mut self, damage: Damage) -> Result<(), E> {
        (self.visit)(Finding::Damage(damage))
    }
}

impl<'a> Source<'a> {
    /// The first sound record at or after `offset` that may follow, and where it starts.
    fn find(&self, offset: usize, next: u64) -> Option<(usize, Decoded<'a>)> {
        (offset..self.bytes.len()).find_map(|start| {
            let rest = self.bytes.get(start..)?;
            // The cheap test first: checksums at every byte would take minutes on a full segment.
            let prefix = Prefix::decode(rest)?;
            let records_max = (self.bytes.len() / RECORD_HEADER_BYTES) as u64;
            let follows = prefix.lsn >= next && u64::from(prefix.nth) <= records_max;
            let here = match self.epoch {
                Some(epoch) => prefix.epoch == epoch && prefix.lsn - next.min(prefix.lsn) <= records_max,
                None => prefix.lsn < LSN_LIKELY_MAX,
            };
            if !follows || !here {
                return None;
            }
            record::decode(rest, self.seed).map(|decoded| (start, decoded))
        })
    }
}
