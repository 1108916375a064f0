//! Segment files: their names, their headers, the one that is written to and the list of those that exist.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use uuid::Uuid;

use super::record::take;
use super::{LogError, LogOptions, Lsn, Retention};
use crate::durable::sync_dir;
use crate::failpoint;

pub(super) const HEADER_BYTES: usize = 64;
pub(super) const SEGMENT_BYTES_MAX: u64 = 1 << 30;

const MAGIC: [u8; 8] = *b"FOOTLOG\n";
const VERSION: u32 = 1;
const HEADER_ZERO_BYTES: usize = 12;
const TRIED_BYTES: usize = 64 << 10;

/// The first 64 bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub epoch: u32,
    pub node: Uuid,
    pub number: u64,
    pub first_lsn: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// Too short, wrong magic or wrong checksum.
    Damaged,
    Version(u32),
}

impl Header {
    /// The bytes, and the checksum in them that every record of the segment starts from.
    pub fn encode(&self) -> ([u8; HEADER_BYTES], u32) {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        bytes.extend_from_slice(self.node.as_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.first_lsn.to_le_bytes());
        bytes.extend_from_slice(&[0; HEADER_ZERO_BYTES]);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        (bytes.try_into().expect("the fields above add up to HEADER_BYTES"), crc)
    }

    /// The header at the start of `bytes` and the checksum its records start from. Later versions keep the magic, the
    /// version and the place of the checksum, so that this can tell "newer" from "damaged".
    pub fn decode(bytes: &[u8]) -> Result<(Self, u32), HeaderError> {
        let header = bytes.get(..HEADER_BYTES).ok_or(HeaderError::Damaged)?;
        let (body, crc) = header.split_last_chunk::<4>().ok_or(HeaderError::Damaged)?;
        let crc = u32::from_le_bytes(*crc);
        if crc32c::crc32c(body) != crc {
            return Err(HeaderError::Damaged);
        }
        let (version, header) = Self::decode_body(body).ok_or(HeaderError::Damaged)?;
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        Ok((header, crc))
    }

    fn decode_body(body: &[u8]) -> Option<(u32, Self)> {
        let mut rest = body;
        if take(&mut rest)? != MAGIC {
            return None;
        }
        let version = u32::from_le_bytes(take(&mut rest)?);
        let epoch = u32::from_le_bytes(take(&mut rest)?);
        let node = Uuid::from_bytes(take(&mut rest)?);
        let number = u64::from_le_bytes(take(&mut rest)?);
        let first_lsn = u64::from_le_bytes(take(&mut rest)?);
        Some((version, Self { epoch, node, number, first_lsn }))
    }
}

pub(super) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.log"))
}

/// The segment files of a directory by number; files with other names are not ours to judge.
pub(super) fn list_segments(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for dir_entry in std::fs::read_dir(dir)? {
        let path = dir_entry?.path();
        let stem = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".log"));
        let Some(number) = stem
            .filter(|stem| stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|stem| stem.parse().ok())
        else {
            continue;
        };
        found.push((number, path));
    }
    found.sort_unstable();
    Ok(found)
}

/// How far the log was released, in the name of an empty file (L11). It is renamed before segments are deleted, which
/// takes no space and happens as a whole.
#[derive(Debug)]
pub(super) struct Released {
    dir: PathBuf,
    up_to: Lsn,
}

impl Released {
    const PREFIX: &str = "released-";

    /// What the directory says; `None` if nothing.
    pub fn read(dir: &Path) -> io::Result<Option<Lsn>> {
        let mut released = None;
        for dir_entry in std::fs::read_dir(dir)? {
            let name = dir_entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(Self::PREFIX)?.parse().ok());
            released = released.max(number.map(Lsn));
        }
        Ok(released)
    }

    /// For a log that does not say yet.
    pub fn create(dir: &Path, up_to: Lsn) -> io::Result<Self> {
        let released = Self { dir: dir.to_path_buf(), up_to };
        File::create(released.path(up_to))?;
        sync_dir(dir)?;
        Ok(released)
    }

    pub fn open(dir: &Path, oldest: Lsn) -> io::Result<Self> {
        match Self::read(dir)? {
            Some(up_to) => Ok(Self { dir: dir.to_path_buf(), up_to }),
            None => Self::create(dir, Lsn(oldest.0.saturating_sub(1))),
        }
    }

    /// Makes it durable that nothing up to `up_to` is needed.
    fn advance(&mut self, up_to: Lsn) -> Result<(), LogError> {
        if up_to <= self.up_to {
            return Ok(());
        }
        let (old, new) = (self.path(self.up_to), self.path(up_to));
        let renamed = std::fs::rename(old, &new).and_then(|()| sync_dir(&self.dir));
        renamed.map_err(|source| LogError::Io { action: "rename", file: new, source })?;
        self.up_to = up_to;
        Ok(())
    }

    fn path(&self, up_to: Lsn) -> PathBuf {
        self.dir.join(format!("{}{up_to:020}", Self::PREFIX))
    }
}

/// The segment being written.
#[derive(Debug)]
pub(super) struct ActiveSegment {
    pub path: PathBuf,
    pub header: Header,
    /// What the checksum of each record starts from.
    pub seed: u32,
    /// Bytes known to be good: the header and every durable group.
    pub len: u64,
    file: File,
    #[cfg(test)]
    faults: super::Faults,
}

/// Which half of creating a segment failed: the one a caller may report, or the one it must not survive (L9).
#[derive(Debug)]
pub(super) enum CreateError {
    Write { path: PathBuf, source: io::Error },
    Sync { path: PathBuf, source: io::Error },
}

impl From<CreateError> for LogError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Write { path, source } => Self::Io { action: "create", file: path, source },
            CreateError::Sync { path, source } => Self::Io { action: "sync", file: path, source },
        }
    }
}

impl ActiveSegment {
    /// Creates the file and makes its header and its name durable (L5).
    pub fn create(options: &LogOptions, header: Header) -> Result<Self, CreateError> {
        let dir = &options.dir;
        let path = segment_path(dir, header.number);
        let (bytes, seed) = header.encode();
        let file = match Self::write_header(&path, &bytes) {
            Ok(file) => file,
            Err(source) => return Err(CreateError::Write { path, source }),
        };
        match file.sync_all().and_then(|()| sync_dir(dir)) {
            Ok(()) => Ok(Self {
                path,
                header,
                seed,
                len: HEADER_BYTES as u64,
                file,
                #[cfg(test)]
                faults: options.faults.clone(),
            }),
            Err(source) => Err(CreateError::Sync { path, source }),
        }
    }

    fn write_header(path: &Path, bytes: &[u8]) -> io::Result<File> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all_at(bytes, 0)?;
        Ok(file)
    }

    /// Removes what a failed [`ActiveSegment::create`] left of segment `number`, durably.
    pub fn remove(dir: &Path, number: u64) -> Result<(), CreateError> {
        let path = segment_path(dir, number);
        match std::fs::remove_file(&path) {
            Ok(()) => sync_dir(dir).map_err(|source| CreateError::Sync { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(CreateError::Write { path, source }),
        }
    }

    /// Writes a group after the last good byte. After an error there may be a part of it.
    pub fn write(&self, group: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        self.faults.strike(&self.file, group, self.len)?;
        failpoint::hit("log::before_write")?;
        if failpoint::ENABLED {
            self.file.write_all_at(&group[..group.len() / 2], self.len)?;
            failpoint::hit("log::mid_write")?;
        }
        self.file.write_all_at(group, self.len)
    }

    /// Cuts off everything after the last good byte.
    pub fn cut(&self) -> io::Result<()> {
        self.file.set_len(self.len)
    }

    /// Whether the disk takes what a small group needs. Leaves the file as it was.
    pub fn try_write(&self) -> io::Result<()> {
        let written = self.write(&[0; TRIED_BYTES]);
        self.cut().and(written)
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes the group just written durable. An error must not be answered with a second try (L9).
    pub fn sync(&mut self, group_bytes: usize) -> io::Result<()> {
        failpoint::hit("log::before_sync")?;
        self.file.sync_data()?;
        failpoint::hit("log::after_sync")?;
        self.len += group_bytes as u64;
        Ok(())
    }
}

/// Every segment that somebody may still need, oldest first; the last one is the active one.
#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    retention: Retention,
    known: Mutex<VecDeque<Known>>,
    /// Held while files are deleted, so that `known` is not held across disk work the writer would wait for.
    releasing: Mutex<Releasing>,
}

#[derive(Debug)]
struct Releasing {
    /// The highest lsn that nobody needs.
    up_to: Lsn,
    /// What the directory says of it; behind by what cannot be deleted yet.
    noted: Released,
}

#[derive(Debug, Clone)]
pub(super) struct Known {
    pub path: PathBuf,
    pub first_lsn: u64,
    pub bytes: u64,
}

impl Segments {
    pub fn new(dir: PathBuf, retention: Retention, sealed: Vec<Known>, noted: Released) -> Self {
        let releasing = Mutex::new(Releasing { up_to: Lsn(0), noted });
        Self { dir, retention, known: Mutex::new(sealed.into()), releasing }
    }

    pub fn add_active(&self, segment: &ActiveSegment) {
        let mut known = self.known.lock();
        assert!(
            known.back().is_none_or(|last| last.first_lsn <= segment.header.first_lsn),
            "L1: lsns grow from segment to segment"
        );
        let path = segment.path.clone();
        known.push_back(Known { path, first_lsn: segment.header.first_lsn, bytes: segment.len });
    }

    pub fn set_active_bytes(&self, bytes: u64) {
        if let Some(active) = self.known.lock().back_mut() {
            active.bytes = bytes;
        }
    }

    pub fn bytes(&self) -> u64 {
        self.known.lock().iter().map(|segment| segment.bytes).sum()
    }

    pub fn oldest_lsn(&self) -> Lsn {
        Lsn(self.known.lock().front().map_or(1, |segment| segment.first_lsn))
    }

    pub fn release(&self, up_to: Lsn) -> Result<(), LogError> {
        let mut releasing = self.releasing.lock();
        releasing.up_to = up_to.max(releasing.up_to);
        self.release_known(&mut releasing)
    }

    /// Releases what could not be, because it was the active segment when it was asked for.
    pub fn release_again(&self) -> Result<(), LogError> {
        self.release_known(&mut self.releasing.lock())
    }

    /// Whether nobody needs a record before `next`.
    pub fn is_released_below(&self, next: Lsn) -> bool {
        // A release that is under way is not waited for: the next look will see what it did.
        self.releasing.try_lock().is_some_and(|releasing| releasing.up_to.0.saturating_add(1) >= next.0)
    }

    fn release_known(&self, releasing: &mut Releasing) -> Result<(), LogError> {
        while let Some((path, last_lsn)) = self.oldest_if_released(releasing.up_to) {
            if self.retention == Retention::UntilReleased {
                releasing.noted.advance(last_lsn)?;
                self.delete(&path)?;
            }
            self.known.lock().pop_front();
        }
        Ok(())
    }

    fn delete(&self, path: &Path) -> Result<(), LogError> {
        match unlink(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(LogError::Io { action: "delete", file: path.to_path_buf(), source });
            }
            Ok(()) | Err(_) => {}
        }
        // Each deletion on its own: a file system may keep a later one and lose an earlier one, and the gap would read
        // as a lost segment (L8).
        sync_dir(&self.dir).map_err(|source| LogError::Io { action: "sync", file: self.dir.clone(), source })
    }

    /// The oldest segment and the last lsn in it, if that is at or below `up_to`; never the active one (L8).
    fn oldest_if_released(&self, up_to: Lsn) -> Option<(PathBuf, Lsn)> {
        let known = self.known.lock();
        let (oldest, next) = (known.front()?, known.get(1)?);
        let last_lsn = Lsn(next.first_lsn.saturating_sub(1));
        (last_lsn <= up_to).then(|| (oldest.path.clone(), last_lsn))
    }
}

fn unlink(path: &Path) -> io::Result<()> {
    failpoint::hit("log::unlink")?;
    std::fs::remove_file(path)
}
