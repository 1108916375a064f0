//! Reads the log back at start: first everything, changing nothing (L7), then the repairs a crash calls for.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};

use super::record::{self, Decoded, LOST, Prefix, RECORD_HEADER_BYTES, Record};
use super::segment::{HEADER_BYTES, Header, HeaderError, Known, Released, SEGMENT_BYTES_MAX, list_segments};
use super::{LogError, Lsn, PAYLOAD_BYTES_MAX};
use crate::durable::sync_dir;

/// Far past any lsn a log can reach, and far enough from the end of the type to count on without overflow.
const LSN_MAX: u64 = 1 << 62;

/// What a scan found and what has to be done about it.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub records: u64,
    pub segments: Vec<Known>,
    /// The header of the last sound segment.
    pub last: Option<Header>,
    pub next_lsn: u64,
    /// A last file that a crash left before its header was whole.
    headless: Option<PathBuf>,
    torn: Option<Torn>,
}

/// The last segment holds nothing sound past `good_bytes`.
#[derive(Debug)]
struct Torn {
    path: PathBuf,
    good_bytes: u64,
    bytes: u64,
}

/// Reads every segment, oldest first, and hands each record on. Changes nothing.
pub(super) fn scan<E>(dir: &Path, mut replay: impl FnMut(Record<'_>) -> Result<(), E>) -> Result<Scan, LogError>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let files = list_segments(dir).map_err(|source| io_error("list", dir, source))?;
    let released = Released::read(dir).map_err(|source| io_error("list", dir, source))?;
    if let (None, Some(released)) = (files.first(), released) {
        return match released {
            Lsn(0) => Ok(Scan { next_lsn: 1, ..Scan::default() }),
            Lsn(_) => Err(corrupt(dir, 0, "all segments are missing")),
        };
    }
    let mut scan = Scan { next_lsn: 1, ..Scan::default() };
    let last_number = files.last().map(|(number, _)| *number);
    for (number, path) in files {
        let is_last = Some(number) == last_number;
        let bytes = read_segment(&path, is_last)?;
        let Some((header, seed)) = read_header(&scan, number, &path, &bytes, is_last)? else {
            scan.headless = Some(path);
            break;
        };
        check_follows(&scan, &header, &path)?;
        if scan.last.is_none() && released.is_some_and(|released| released.0.saturating_add(1) < header.first_lsn) {
            return Err(corrupt(&path, 40, "the segments before this one are missing"));
        }
        scan.next_lsn = header.first_lsn;
        scan.last = Some(header);
        let mut reader = SegmentReader { path: &path, header, seed, bytes: &bytes, offset: HEADER_BYTES };
        while let Some(decoded) = reader.next(scan.next_lsn)? {
            if decoded.record.kind != LOST {
                replay(decoded.record)
                    .map_err(|source| LogError::Replay { lsn: decoded.record.lsn.0, source: source.into() })?;
                scan.records += 1;
            }
            scan.next_lsn += 1;
        }
        let good_bytes = reader.offset as u64;
        if reader.offset < bytes.len() {
            reader.check_torn(scan.next_lsn, is_last)?;
            scan.torn = Some(Torn { path: path.clone(), good_bytes, bytes: bytes.len() as u64 });
        }
        scan.segments.push(Known { path, first_lsn: header.first_lsn, bytes: good_bytes });
    }
    Ok(scan)
}

impl Scan {
    /// Cuts off what a crash left half done and makes everything that was read durable, so that the next segment may
    /// be created (L5). Answers the bytes of the torn tail.
    pub fn repair(&self, dir: &Path) -> Result<u64, LogError> {
        if let Some(path) = &self.headless {
            tracing::warn!(file = %path.display(), "removing a log segment that was never begun");
            std::fs::remove_file(path).map_err(|source| io_error("remove", path, source))?;
            sync_dir(dir).map_err(|source| io_error("sync", dir, source))?;
        }
        let Some(torn) = &self.torn else { return Ok(0) };
        let cut_bytes = torn.bytes - torn.good_bytes;
        tracing::warn!(
            file = %torn.path.display(), offset = torn.good_bytes, bytes = cut_bytes, next_lsn = self.next_lsn,
            "cutting a torn tail off the log: records that were being written when the process or the machine stopped"
        );
        let file = OpenOptions::new().write(true).open(&torn.path);
        file.and_then(|file| file.set_len(torn.good_bytes).and_then(|()| file.sync_all()))
            .map_err(|source| io_error("truncate", &torn.path, source))?;
        Ok(cut_bytes)
    }
}

/// The whole file. The last one is first synced and dropped from the page cache: after a sync that failed (L9) or a
/// process that was killed, the cache may hold what the disk does not.
fn read_segment(path: &Path, is_last: bool) -> Result<Vec<u8>, LogError> {
    let failed = |source| io_error("read", path, source);
    let mut file = File::open(path).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    let len_max = SEGMENT_BYTES_MAX + (HEADER_BYTES + RECORD_HEADER_BYTES + PAYLOAD_BYTES_MAX) as u64;
    if len > len_max {
        return Err(corrupt(path, len_max, "the file is larger than any segment"));
    }
    if is_last {
        file.sync_data().map_err(|source| io_error("sync", path, source))?;
        // Advice only: a file system without a page cache to drop has nothing to hide either.
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// The header and the seed of the records after it, or `None` for a last file that a crash left without one.
fn read_header(
    scan: &Scan,
    number: u64,
    path: &Path,
    bytes: &[u8],
    is_last: bool,
) -> Result<Option<(Header, u32)>, LogError> {
    match Header::decode(bytes) {
        Ok((header, seed)) if header.number == number => Ok(Some((header, seed))),
        Ok(_) => Err(corrupt(path, 32, "the segment number is not the one in the file name")),
        Err(HeaderError::Version(version)) => Err(LogError::Version { file: path.to_path_buf(), version }),
        // No record is written before the header is durable (L5), so this file never held one. It must not be the only
        // one, though, unless it is the very first: the next lsn would be forgotten with it.
        Err(HeaderError::Damaged) if is_last && bytes.len() <= HEADER_BYTES && (scan.last.is_some() || number == 1) => {
            Ok(None)
        }
        Err(HeaderError::Damaged) => Err(corrupt(path, 0, "the segment header is damaged")),
    }
}

/// Checks a segment against the one before it (L1, L5).
fn check_follows(scan: &Scan, header: &Header, path: &Path) -> Result<(), LogError> {
    if !(1..=LSN_MAX).contains(&header.first_lsn) {
        return Err(corrupt(path, 40, "the first lsn is out of range"));
    }
    let Some(last) = &scan.last else { return Ok(()) };
    if last.number.checked_add(1) != Some(header.number) {
        return Err(corrupt(path, 32, "the segment before this one is missing"));
    }
    if header.node != last.node {
        return Err(corrupt(path, 16, "the segment belongs to another log"));
    }
    if header.epoch < last.epoch {
        return Err(corrupt(path, 12, "the segment is from an earlier epoch than the one before it"));
    }
    if header.first_lsn != scan.next_lsn {
        return Err(corrupt(path, 40, "the segment does not begin where the one before it ends"));
    }
    Ok(())
}

struct SegmentReader<'a> {
    path: &'a Path,
    header: Header,
    seed: u32,
    bytes: &'a [u8],
    /// Everything before this is sound.
    offset: usize,
}

impl<'a> SegmentReader<'a> {
    /// The next record, which must be `lsn`; `None` at the end or at the first byte that is not a sound record.
    fn next(&mut self, lsn: u64) -> Result<Option<Decoded<'a>>, LogError> {
        let Some(decoded) = self.bytes.get(self.offset..).and_then(|rest| record::decode(rest, self.seed)) else {
            return Ok(None);
        };
        // A checksum that fits around a wrong lsn or epoch is no torn write: nobody wrote that here.
        if decoded.record.lsn.0 != lsn {
            return Err(self.corrupt("a record has an lsn that does not follow"));
        }
        if decoded.epoch != self.header.epoch {
            return Err(self.corrupt("a record has another epoch than its segment"));
        }
        self.offset += decoded.encoded_len();
        Ok(Some(decoded))
    }

    /// Whether the bad bytes at `offset`, where record `lsn` should be, can be a torn group (L6); an error if not.
    fn check_torn(&self, lsn: u64, is_last: bool) -> Result<(), LogError> {
        if !is_last {
            return Err(self.corrupt("a record in a finished segment is damaged"));
        }
        for start in self.offset..self.bytes.len() {
            let Some(later) = self.decode_later(start, lsn) else { continue };
            if later.group_start() > lsn {
                return Err(self.corrupt("a record is damaged although a later group is whole"));
            }
        }
        Ok(())
    }

    /// A sound record at `start` that could have been written after `lsn`.
    fn decode_later(&self, start: usize, lsn: u64) -> Option<Decoded<'a>> {
        let rest = self.bytes.get(start..)?;
        // The cheap test first: checksums at every byte would take minutes on a full segment.
        let prefix = Prefix::decode(rest)?;
        let records_max = (self.bytes.len() / RECORD_HEADER_BYTES) as u64;
        if prefix.epoch != self.header.epoch || prefix.lsn < lsn || prefix.lsn - lsn > records_max {
            return None;
        }
        record::decode(rest, self.seed)
    }

    fn corrupt(&self, what: &'static str) -> LogError {
        corrupt(self.path, self.offset as u64, what)
    }
}

fn corrupt(file: &Path, offset: u64, what: &'static str) -> LogError {
    LogError::Corrupt { file: file.to_path_buf(), offset, what }
}

fn io_error(action: &'static str, file: &Path, source: io::Error) -> LogError {
    LogError::Io { action, file: file.to_path_buf(), source }
}
