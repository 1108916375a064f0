//! What a later run of an import has to know: which sources it reads, how far reading has got, where the packed events
//! are, what loading said.
//!
//! ```text
//! {data-dir}/imports/{key}/journal       a line an entry: xxh3 of the JSON in 16 hexadecimal digits, a space, the JSON
//!                         /run-000001 …  packed events, until they are loaded
//!                         /lock          held by the process that works on it
//! ```
//!
//! Entries are appended. A torn last line is what a kill leaves, and is cut off; anything else that is not right is
//! damage, and refused. How far *loading* has got is not for the journal to say but for the project: each batch carries
//! its number, and the project applies each number once.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use footfall_model::ProjectId;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::sources::Stamp;
use super::spill::Block;
use super::tally::{Loaded, Tally};

pub const FILE: &str = "journal";
/// The version of these entries, of packed events, and of the plan that is made of them. Others are refused: an import is
/// not kept for long.
pub const VERSION: u32 = 2;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    Begun(Begun),
    /// A checkpoint of reading.
    Read(Checkpoint),
    /// A batch was answered.
    Loaded {
        lane: u8,
        sequence: u64,
        loaded: Loaded,
    },
    /// All is loaded; nothing but the journal is left.
    Finished {
        loaded: Loaded,
        days: Option<(i32, i32)>,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    pub version: u32,
    /// Under which name the project numbers the batches. Another one each time an import begins anew.
    pub import: String,
    pub project: ProjectId,
    /// Milliseconds since the epoch; what records are judged by, in later runs too.
    pub at: i64,
    pub sources: Vec<Stamp>,
}

/// Up to where the sources have been read, and the run of packed events that this gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Sources before this one are read.
    pub source: usize,
    /// Records of this one that are read.
    pub records: u64,
    pub run: u32,
    pub blocks: Vec<Block>,
    /// Of everything up to here.
    pub tally: Tally,
    pub complete: bool,
}

/// What the entries say.
#[derive(Debug, Default)]
pub struct History {
    pub begun: Option<Begun>,
    /// The last checkpoint, without its blocks.
    pub checkpoint: Checkpoint,
    /// Of all runs.
    pub blocks: Vec<(u32, Block)>,
    /// By lane and number; a number is noted once.
    pub loaded: Vec<(u8, u64, Loaded)>,
    pub finished: Option<(Loaded, Option<(i32, i32)>)>,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal of this import cannot be used: {0}")]
    Io(#[from] io::Error),
    #[error("the journal of this import is damaged in line {line}; --restart begins anew")]
    Damaged { line: usize },
    #[error("the journal of this import is of another version of footfall; --restart begins anew")]
    Version,
}

/// Appends entries.
pub struct Journal {
    file: File,
}

impl Journal {
    /// A journal without entries, in place of one that there may be.
    pub fn create(folder: &Path) -> Result<Self, JournalError> {
        let file = File::create(folder.join(FILE))?;
        File::open(folder)?.sync_all()?;
        Ok(Self { file })
    }

    /// The journal of `folder` and what it says; `None` where there is none, or one without a whole entry.
    pub fn open(folder: &Path) -> Result<Option<(Self, History)>, JournalError> {
        let mut file = match OpenOptions::new().read(true).write(true).open(folder.join(FILE)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (entries, whole) = decode(&bytes)?;
        if entries.is_empty() {
            return Ok(None);
        }
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        let mut history = History::default();
        for entry in entries {
            history.add(entry)?;
        }
        Ok(Some((Self { file }, history)))
    }

    /// Puts a journal of these entries in the place of the one that there is.
    pub fn replace(folder: &Path, entries: &[Entry]) -> Result<(), JournalError> {
        let path = folder.join(format!("{FILE}.new"));
        let mut journal = Self { file: File::create(&path)? };
        for entry in entries {
            journal.note(entry)?;
        }
        journal.file.sync_data()?;
        std::fs::rename(&path, folder.join(FILE))?;
        Ok(File::open(folder)?.sync_all()?)
    }

    /// Adds an entry, durable when this returns.
    pub fn append(&mut self, entry: &Entry) -> Result<(), JournalError> {
        self.note(entry)?;
        Ok(self.file.sync_data()?)
    }

    /// Adds an entry that may be lost with the machine's power.
    pub fn note(&mut self, entry: &Entry) -> Result<(), JournalError> {
        Ok(self.file.write_all(&encode(entry)?)?)
    }
}

impl History {
    fn add(&mut self, entry: Entry) -> Result<(), JournalError> {
        match entry {
            Entry::Begun(begun) if begun.version != VERSION => return Err(JournalError::Version),
            Entry::Begun(begun) => self.begun = Some(begun),
            Entry::Read(mut checkpoint) => {
                let run = checkpoint.run;
                self.blocks.extend(std::mem::take(&mut checkpoint.blocks).into_iter().map(|block| (run, block)));
                self.checkpoint = checkpoint;
            }
            Entry::Loaded { lane, sequence, loaded } => self.loaded.push((lane, sequence, loaded)),
            Entry::Finished { loaded, days } => self.finished = Some((loaded, days)),
        }
        Ok(())
    }
}

fn encode(entry: &Entry) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(entry)?;
    let mut line = format!("{:016x} ", xxh3_64(&json)).into_bytes();
    line.extend_from_slice(&json);
    line.push(b'\n');
    Ok(line)
}

/// The entries, and how many bytes they take up.
fn decode(bytes: &[u8]) -> Result<(Vec<Entry>, usize), JournalError> {
    let (mut entries, mut whole) = (Vec::new(), 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match entry(line) {
            Some(entry) => entries.push(entry),
            // Bytes of one write may reach the disk in any order, so a torn line can have its line feed.
            None if whole + line.len() == bytes.len() => break,
            None => return Err(JournalError::Damaged { line: entries.len() + 1 }),
        }
        whole += line.len();
    }
    Ok((entries, whole))
}

fn entry(line: &[u8]) -> Option<Entry> {
    let (checksum, json) = line.strip_suffix(b"\n")?.split_at_checked(17)?;
    let right = format!("{:016x} ", xxh3_64(json)).as_bytes() == checksum;
    right.then(|| serde_json::from_slice(json).ok())?
}

#[cfg(test)]
mod tests;
