//! Checksums within a segment's file, so that whatever part of it is read can be checked by itself.
//!
//! ```text
//! entry of the table ─ whole file, tail ─▶ footer ─ each column chunk, key filter ─▶ their bytes
//! ```
//!
//! Parquet's writer notes no checksums of pages, and a part of a file cannot be checked against a sum of the whole. So
//! the footer lists a CRC-32C of every column chunk, and the table's entry has one of the tail that holds the footer;
//! the entry itself is under the checksum of its commit. Every byte that an answer rests on is under one of them.

use std::ops::Range;

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};

use super::Segment;

/// Key of the chunks' sums in the Parquet footer: eight hexadecimal digits each, columns within row groups.
pub(super) const FOOTER_KEY: &str = "footfall.chunk_crc32c";
const DIGITS: usize = 8;

/// The end of a file, from behind the key filter on: page indexes, the footer, its length, the magic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    pub bytes: u64,
    pub crc32c: u32,
}

impl Tail {
    /// Of a finished file that has its tail from `start` on.
    pub(super) fn of(file: &[u8], start: usize) -> Option<Self> {
        let tail = file.get(start..)?;
        Some(Self { bytes: tail.len() as u64, crc32c: crc32c::crc32c(tail) })
    }

    /// As the table's entry has it.
    pub(crate) fn to_tag(self) -> String {
        format!("{}:{:08x}", self.bytes, self.crc32c)
    }

    pub(crate) fn from_tag(tag: &str) -> Option<Self> {
        let (bytes, crc32c) = tag.split_once(':')?;
        Some(Self { bytes: bytes.parse().ok()?, crc32c: u32::from_str_radix(crc32c, 16).ok()? })
    }

    /// Where it is in a file; `None` if the file is shorter.
    pub(super) fn range(self, segment: &Segment) -> Option<Range<u64>> {
        Some(segment.bytes.checked_sub(self.bytes)?..segment.bytes)
    }
}

/// The footer's entry about row groups that are in `file`.
pub(super) fn of_groups(file: &[u8], groups: &[RowGroupMetaData]) -> Option<String> {
    let mut text = String::new();
    for column in groups.iter().flat_map(RowGroupMetaData::columns) {
        let range = range_of(column)?;
        let bytes = file.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)?;
        text.push_str(&format!("{:08x}", crc32c::crc32c(bytes)));
    }
    Some(text)
}

/// A column's bytes in one row group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub range: Range<u64>,
    pub crc32c: Option<u32>,
    /// Place of the row group in the file, and of the column in the group.
    pub group: usize,
    pub column: usize,
}

/// All chunks of a file by where they are.
#[derive(Debug)]
pub struct Chunks(Vec<Chunk>);

impl Chunks {
    /// `sums` is the footer's entry; files written before there were sums have none. `None` if the entry does not fit
    /// the file.
    pub(super) fn of(metadata: &ParquetMetaData, sums: Option<&str>) -> Option<Self> {
        let mut chunks = Vec::new();
        for (group, metadata) in metadata.row_groups().iter().enumerate() {
            for (column, metadata) in metadata.columns().iter().enumerate() {
                let at = chunks.len() * DIGITS;
                let crc32c = match sums {
                    Some(sums) => Some(u32::from_str_radix(sums.get(at..at + DIGITS)?, 16).ok()?),
                    None => None,
                };
                chunks.push(Chunk { range: range_of(metadata)?, crc32c, group, column });
            }
        }
        if sums.is_some_and(|sums| sums.len() != chunks.len() * DIGITS) {
            return None;
        }
        chunks.sort_unstable_by_key(|chunk| chunk.range.start);
        Some(Self(chunks))
    }

    /// The chunk that holds all of a range.
    pub fn holding(&self, range: &Range<u64>) -> Option<&Chunk> {
        let after = self.0.partition_point(|chunk| chunk.range.start <= range.start);
        self.0.get(after.checked_sub(1)?).filter(|chunk| range.end <= chunk.range.end)
    }

    /// In the order in which they are in the file.
    pub fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.0.iter()
    }
}

/// Where a chunk is; `None` if the footer says what cannot be, which Parquet's own reading of it answers with a panic.
fn range_of(column: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let (start, length) = (u64::try_from(start).ok()?, u64::try_from(column.compressed_size()).ok()?);
    Some(start..start.checked_add(length)?)
}
