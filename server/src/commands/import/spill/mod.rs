//! Between the two passes: packed events on disk, found again by day and lane.
//!
//! Reading appends to *runs*, files of blocks in whatever order the days come in. A run ends at a checkpoint: it is
//! synced, and the journal notes where each of its blocks is. What a killed run left behind that no checkpoint knows is
//! written over. Loading gathers each day's blocks from all runs, oldest run first, and so gets the events of a day in
//! the order of the sources.

mod plan;
mod writer;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use plan::{Batch, Plan};
pub use writer::Writer;

/// A block of packed events. Serialised as a list of numbers, for there are many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(i32, u8, u64, u32, u32, u32)", into = "(i32, u8, u64, u32, u32, u32)")]
pub struct Block {
    pub day: i32,
    pub lane: u8,
    pub offset: u64,
    pub bytes: u32,
    /// Unpacked.
    pub raw: u32,
    pub events: u32,
}

impl From<(i32, u8, u64, u32, u32, u32)> for Block {
    fn from((day, lane, offset, bytes, raw, events): (i32, u8, u64, u32, u32, u32)) -> Self {
        Self { day, lane, offset, bytes, raw, events }
    }
}

impl From<Block> for (i32, u8, u64, u32, u32, u32) {
    fn from(block: Block) -> Self {
        (block.day, block.lane, block.offset, block.bytes, block.raw, block.events)
    }
}

/// Reads blocks back.
pub struct Reader {
    folder: PathBuf,
    open: HashMap<u32, File>,
}

impl Reader {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), open: HashMap::new() }
    }

    /// The blocks of a batch, one after the other.
    pub fn read(&mut self, batch: &Batch) -> io::Result<Vec<u8>> {
        let bytes: usize = batch.blocks.iter().map(|(_, block)| block.bytes as usize).sum();
        let mut packed = vec![0; bytes];
        let mut rest = packed.as_mut_slice();
        for (run, block) in &batch.blocks {
            let file = match self.open.entry(*run) {
                std::collections::hash_map::Entry::Occupied(open) => open.into_mut(),
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(File::open(run_path(&self.folder, *run))?)
                }
            };
            let (part, after) = rest.split_at_mut(block.bytes as usize);
            file.read_exact_at(part, block.offset)?;
            rest = after;
        }
        Ok(packed)
    }
}

fn run_path(folder: &Path, run: u32) -> PathBuf {
    folder.join(format!("run-{run:06}"))
}

#[cfg(test)]
mod tests;
