//! Validated events as bytes: what `footfall import` keeps on disk between its two passes, and what it sends to a
//! running server. The same bytes serve both, so that they are made once and taken apart once.
//!
//! ```text
//! block = packed length u32 | raw length u32 | events u32 | checksum u64 | packed bytes (zstd)
//! raw   = event, event, …                                                  (numbers little-endian; see `codec`)
//! ```
//!
//! Blocks stand alone and may be put one after another. The checksum finds damage on a disk; it is no defence against
//! someone who forges blocks, and [`unpack`] does not need one: whatever the bytes, it answers an error or events, with
//! memory bounded by [`RAW_MAX`] a block.

mod codec;

#[cfg(test)]
mod tests;

use footfall_model::Event;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use codec::append;

/// A block is closed at this many raw bytes.
pub const RAW_TARGET: usize = 256 << 10;
/// No block is larger: the target, and one event beyond it, which is below a megabyte of JSON.
pub const RAW_MAX: usize = 8 << 20;
const HEADER: usize = 20;
/// Half the size at a fraction of the cost of the usual levels: blocks live for minutes.
const ZSTD_LEVEL: i32 = -3;

/// Why bytes are no blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackedError {
    #[error("block is cut short")]
    Short,
    #[error("block checksum mismatch")]
    Checksum,
    #[error("block is larger than allowed")]
    TooLarge,
    #[error("block does not decompress")]
    Compression,
    #[error("block holds no valid events")]
    Events,
}

/// Makes blocks; keeps the compressor's tables from one to the next.
pub struct Packer {
    zstd: zstd::bulk::Compressor<'static>,
}

impl Packer {
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { zstd: zstd::bulk::Compressor::new(ZSTD_LEVEL)? })
    }

    /// The block of `events` events that [`append`] has written to `raw`.
    pub fn block(&mut self, raw: &[u8], events: u32) -> std::io::Result<Vec<u8>> {
        let too_large = |_| std::io::Error::other("block is larger than 4 GiB");
        let packed = self.zstd.compress(raw)?;
        let mut block = Vec::with_capacity(HEADER + packed.len());
        let raw_len = u32::try_from(raw.len()).map_err(too_large)?;
        block.extend_from_slice(&u32::try_from(packed.len()).map_err(too_large)?.to_le_bytes());
        block.extend_from_slice(&raw_len.to_le_bytes());
        block.extend_from_slice(&events.to_le_bytes());
        block.extend_from_slice(&checksum(&packed, raw_len, events).to_le_bytes());
        block.extend_from_slice(&packed);
        Ok(block)
    }
}

/// How many bytes the blocks unpack to, by what they say themselves.
pub fn raw_len(mut blocks: &[u8]) -> Result<usize, PackedError> {
    let mut total: usize = 0;
    while !blocks.is_empty() {
        let (header, rest) = blocks.split_at_checked(HEADER).ok_or(PackedError::Short)?;
        let mut fields = Fields(header);
        let (packed_len, raw_len) = (fields.u32()? as usize, fields.u32()? as usize);
        total = total.saturating_add(raw_len);
        blocks = rest.get(packed_len..).ok_or(PackedError::Short)?;
    }
    Ok(total)
}

/// The events of one block or of several, in their order.
pub fn unpack(mut blocks: &[u8]) -> Result<Vec<Event>, PackedError> {
    let mut events = Vec::new();
    while !blocks.is_empty() {
        let (header, rest) = blocks.split_at_checked(HEADER).ok_or(PackedError::Short)?;
        let mut fields = Fields(header);
        let (packed_len, raw_len, count) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let expected = fields.u64()?;
        let (packed, rest) = rest.split_at_checked(packed_len as usize).ok_or(PackedError::Short)?;
        if checksum(packed, raw_len, count) != expected {
            return Err(PackedError::Checksum);
        }
        if raw_len as usize > RAW_MAX {
            return Err(PackedError::TooLarge);
        }
        let raw = zstd::bulk::decompress(packed, raw_len as usize).map_err(|_| PackedError::Compression)?;
        codec::read_all(&raw, count, &mut events).ok_or(PackedError::Events)?;
        blocks = rest;
    }
    Ok(events)
}

/// Of the packed bytes and of what the header says about them.
fn checksum(packed: &[u8], raw_len: u32, events: u32) -> u64 {
    xxh3_64_with_seed(packed, u64::from(raw_len) << 32 | u64::from(events))
}

/// A header's numbers from front to back.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&mut self) -> Result<u32, PackedError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(PackedError::Short)?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*number))
    }

    fn u64(&mut self) -> Result<u64, PackedError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(PackedError::Short)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*number))
    }
}
