//! Collects fragments by bin and writes them as blocks.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Block, run_path};
use crate::commands::import::judge::{Bin, Fragment};
use crate::packed::{Packer, RAW_TARGET};

/// Events of all days that may be waiting for their blocks to be full. Ten years of two lanes at the usual size would be
/// two gigabytes; beyond this, blocks are smaller instead.
const WAITING_BYTES_MAX: usize = 128 << 20;

pub struct Writer {
    folder: PathBuf,
    waiting: HashMap<Bin, Waiting>,
    waiting_bytes: usize,
    packer: Packer,
    run: u32,
    file: Option<File>,
    offset: u64,
    /// Of the current run.
    blocks: Vec<Block>,
}

#[derive(Default)]
struct Waiting {
    raw: Vec<u8>,
    events: u32,
}

impl Writer {
    /// Goes on with the runs from `run` on.
    pub fn new(folder: &Path, run: u32) -> io::Result<Self> {
        Ok(Self {
            folder: folder.to_owned(),
            waiting: HashMap::new(),
            waiting_bytes: 0,
            packer: Packer::new()?,
            run,
            file: None,
            offset: 0,
            blocks: Vec::new(),
        })
    }

    pub fn add(&mut self, fragment: Fragment) -> io::Result<()> {
        let Fragment { bin, raw, events } = fragment;
        self.waiting_bytes += raw.len();
        let waiting = self.waiting.entry(bin).or_default();
        if waiting.raw.is_empty() {
            waiting.raw = raw;
        } else {
            waiting.raw.extend_from_slice(&raw);
        }
        waiting.events += events;
        if waiting.raw.len() >= RAW_TARGET {
            let full = std::mem::take(waiting);
            self.write(bin, &full)?;
        }
        if self.waiting_bytes > WAITING_BYTES_MAX {
            self.write_all()?;
        }
        Ok(())
    }

    /// Bytes of the current run, written or waiting.
    pub fn run_bytes(&self) -> u64 {
        self.offset + self.waiting_bytes as u64
    }

    /// Ends the run: its blocks are on disk for good. The number is the run's.
    pub fn checkpoint(&mut self) -> io::Result<(u32, Vec<Block>)> {
        self.write_all()?;
        if let Some(file) = self.file.take() {
            file.sync_data()?;
            // The name as well, else the journal may outlive it.
            File::open(&self.folder)?.sync_all()?;
        }
        self.offset = 0;
        self.run += 1;
        Ok((self.run - 1, std::mem::take(&mut self.blocks)))
    }

    fn write_all(&mut self) -> io::Result<()> {
        let mut bins: Vec<Bin> = self.waiting.keys().copied().collect();
        bins.sort_unstable();
        for bin in bins {
            let waiting = self.waiting.remove(&bin).unwrap_or_default();
            self.write(bin, &waiting)?;
        }
        Ok(())
    }

    fn write(&mut self, bin: Bin, waiting: &Waiting) -> io::Result<()> {
        self.waiting_bytes -= waiting.raw.len();
        if waiting.events == 0 {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(File::create(run_path(&self.folder, self.run))?),
        };
        let block = self.packer.block(&waiting.raw, waiting.events)?;
        file.write_all(&block)?;
        let bytes = u32::try_from(block.len()).map_err(io::Error::other)?;
        let raw = u32::try_from(waiting.raw.len()).map_err(io::Error::other)?;
        let Bin { day, lane } = bin;
        self.blocks.push(Block { day, lane, offset: self.offset, bytes, raw, events: waiting.events });
        self.offset += u64::from(bytes);
        Ok(())
    }
}
