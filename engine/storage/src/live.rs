//! A project's recent events: durable in the log, not yet in a segment.
//!
//! Rows are appended in blocks, one block per request, in log order. A block becomes visible as a whole when the log
//! says it is durable. Visible blocks are sealed into Arrow chunks, which queries read like small segments. Chunks that
//! are in segments are no part of any answer, but the last of them are kept within bounds ([`Kept`]), so that whoever
//! follows the arrivals may fall behind a flush.
//!
//! ```text
//! positions  0 ─── forgotten ─── kept ─── sealed ─── tail ─── pending ─── next
//!                                         └── visible ──┘
//! ```
//!
//! Invariants:
//! - V1: a position (row number since the start) never changes its row once that is visible; positions are dense.
//! - V2: what is visible is a prefix, cut between blocks: half of a request is never seen.
//! - V3: a sealed chunk holds only visible rows.
//! - V4: kept, sealed and tail are adjacent, so they hold every visible row from the first one held.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use footfall_model::{Shard, StoredEvent, Uid, Value};

use crate::arrivals::{ArrivedRows, LiveRow};
use crate::columns::{Builtin, Catalog, ColumnBudget, RestIndex, RowReader, to_batch};
use crate::kept::Kept;
use crate::log::Lsn;
use crate::segment::segment_order;

/// The rows of one request, contiguous from `first`.
#[derive(Clone)]
pub(crate) struct Block {
    pub first: u64,
    pub lsn: Lsn,
    pub rows: Arc<Vec<StoredEvent>>,
    /// About what the rows take in memory.
    bytes: usize,
}

impl Block {
    pub fn end(&self) -> u64 {
        self.first + self.rows.len() as u64
    }
}

/// Sealed live rows in order of arrival, with the order of a segment beside them.
pub struct LiveChunk {
    /// Position of the first row.
    pub first: u64,
    /// Columns as in a segment; only those that occur.
    pub batch: RecordBatch,
    /// The properties that are in its `rest` column.
    pub rest: RestIndex,
    /// For each shard that occurs, its rows in segment order (event, uid, time, received_at).
    by_shard: Vec<(Shard, UInt32Array)>,
    reader: RowReader,
    bytes: usize,
}

impl LiveChunk {
    fn build(blocks: &[Block], catalog: &mut Arc<Catalog>, budget: &ColumnBudget) -> Result<Self, ArrowError> {
        let first = blocks.first().map_or(0, |b| b.first);
        let (batch, rest) = to_batch(blocks.iter().flat_map(|b| b.rows.iter()), catalog, budget)?;
        let by_shard = order_by_shard(&batch)?;
        let reader = RowReader::try_new(&batch)?;
        let orders: usize = by_shard.iter().map(|(_, rows)| rows.get_array_memory_size()).sum();
        let bytes = batch.get_array_memory_size() + orders;
        Ok(Self { first, batch, rest, by_shard, reader, bytes })
    }

    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    pub fn end(&self) -> u64 {
        self.first + self.rows() as u64
    }

    /// A row's time in milliseconds.
    pub fn time(&self, row: usize) -> i64 {
        self.reader.time(row)
    }

    /// A shard's rows in segment order; `None` if it has none here.
    pub fn shard_rows(&self, shard: Shard) -> Option<&UInt32Array> {
        self.by_shard.iter().find(|(s, _)| *s == shard).map(|(_, rows)| rows)
    }

    pub(crate) fn reader(&self) -> &RowReader {
        &self.reader
    }

    /// Memory that its columns hold, what they have reserved included.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Rows of each shard in segment order.
fn order_by_shard(batch: &RecordBatch) -> Result<Vec<(Shard, UInt32Array)>, ArrowError> {
    let order = segment_order(batch)?;
    let Some(uids) = batch.column_by_name(Builtin::Uid.name()) else { return Ok(Vec::new()) };
    let uids = uids.as_primitive::<Int64Type>();
    let mut by_shard: Vec<(Shard, Vec<u32>)> = Vec::new();
    for row in order {
        let shard = Uid(uids.value(row as usize) as u64).shard();
        match by_shard.iter_mut().find(|(s, _)| *s == shard) {
            Some((_, rows)) => rows.push(row),
            None => by_shard.push((shard, vec![row])),
        }
    }
    Ok(by_shard.into_iter().map(|(shard, rows)| (shard, UInt32Array::from(rows))).collect())
}

/// The live rows of one project.
pub(crate) struct LiveRows {
    /// In segments already: for those who follow the arrivals, not for queries.
    kept: Kept,
    /// Visible and in Arrow.
    sealed: Vec<Arc<LiveChunk>>,
    /// Visible, as rows.
    tail: Vec<Block>,
    /// Appended to the log, not yet known to be durable.
    pending: VecDeque<Block>,
    /// The position of the next row.
    next: u64,
    /// What tail and pending blocks take in memory.
    unsealed_bytes: usize,
    /// The tail as a chunk, made by the last reader that wanted it.
    tail_chunk: Option<Arc<LiveChunk>>,
}

impl LiveRows {
    pub fn new(kept: Kept) -> Self {
        Self {
            kept,
            sealed: Vec::new(),
            tail: Vec::new(),
            pending: VecDeque::new(),
            next: 0,
            unsealed_bytes: 0,
            tail_chunk: None,
        }
    }

    /// Position that the next row will have.
    pub fn next_position(&self) -> u64 {
        self.next
    }

    /// Position after the last visible row.
    pub fn visible_end(&self) -> u64 {
        let tail = self.tail.last().map(Block::end);
        tail.or_else(|| self.sealed.last().map(|c| c.end()))
            .unwrap_or(self.pending.front().map_or(self.next, |b| b.first))
    }

    /// Rows held, visible or not.
    pub fn len(&self) -> usize {
        let oldest = self.sealed.first().map(|c| c.first);
        let oldest = oldest.or_else(|| self.tail.first().or(self.pending.front()).map(|b| b.first));
        (self.next - oldest.unwrap_or(self.next)) as usize
    }

    /// Memory that they take; of rows that are not in Arrow yet an estimate.
    pub fn bytes(&self) -> usize {
        self.unsealed_bytes + self.sealed.iter().map(|c| c.bytes()).sum::<usize>()
    }

    /// Adds a block that is on its way to the disk; blocks come in log order. `text_bytes` is the length of all its
    /// names and values.
    pub fn append(&mut self, lsn: Lsn, rows: Arc<Vec<StoredEvent>>, text_bytes: usize) {
        let properties: usize = rows.iter().map(|row| row.event.properties.capacity()).sum();
        let structs = rows.capacity() * size_of::<StoredEvent>() + properties * size_of::<(String, Value)>();
        let block = Block { first: self.next, lsn, rows, bytes: structs + text_bytes };
        self.next = block.end();
        self.unsealed_bytes += block.bytes;
        self.pending.push_back(block);
    }

    /// Makes the block of a record visible; a record of something else has none.
    pub fn publish(&mut self, lsn: Lsn) {
        let Some(block) = self.pending.pop_front_if(|block| block.lsn <= lsn) else { return };
        assert_eq!(block.lsn, lsn, "V2: blocks become visible in log order");
        self.tail.push(block);
    }

    /// Forgets what was on its way to the disk: it failed. Its positions are given to others; nobody has seen them (V2).
    pub fn drop_pending(&mut self) -> VecDeque<Block> {
        let failed = std::mem::take(&mut self.pending);
        if let Some(first) = failed.front() {
            self.next = first.first;
        }
        self.unsealed_bytes -= failed.iter().map(|b| b.bytes).sum::<usize>();
        failed
    }

    /// The visible tail below `cut`, if it is worth sealing. A chunk never spans the cut of a flush.
    pub fn tail_of_at_least(&self, rows: usize, cut: Option<u64>) -> Option<Vec<Block>> {
        // Asked with every request: nothing is cloned until it is worth it.
        let below = self.tail.partition_point(|b| b.end() <= cut.unwrap_or(u64::MAX));
        let blocks = if below == 0 { self.tail.as_slice() } else { self.tail.get(..below)? };
        let held = blocks.last()?.end() - blocks.first()?.first;
        (held >= rows as u64).then(|| blocks.to_vec())
    }

    /// Replaces the tail's first blocks by the chunk made of them, unless someone else did.
    pub fn install(&mut self, chunk: Arc<LiveChunk>) {
        if self.tail.first().is_some_and(|b| b.first == chunk.first) {
            let sealed = self.tail.partition_point(|b| b.first < chunk.end());
            self.unsealed_bytes -= self.tail.drain(..sealed).map(|b| b.bytes).sum::<usize>();
            self.sealed.push(chunk);
            self.tail_chunk = None;
        }
    }

    /// Everything visible as chunks: the sealed ones, and what is still rows as blocks or as a cached chunk.
    pub fn visible(&self) -> (Vec<Arc<LiveChunk>>, Tail) {
        let end = self.visible_end();
        let tail = match &self.tail_chunk {
            _ if self.tail.is_empty() => Tail::Empty,
            Some(chunk) if chunk.end() == end => Tail::Chunk(chunk.clone()),
            _ => Tail::Blocks(self.tail.clone()),
        };
        (self.sealed.clone(), tail)
    }

    /// Keeps a tail chunk for the next reader, if the tail has not moved on.
    pub fn remember_tail(&mut self, chunk: &Arc<LiveChunk>) {
        if self.tail.first().is_some_and(|b| b.first == chunk.first) {
            self.tail_chunk = Some(chunk.clone());
        }
    }

    /// The row at a position, as an event or within a chunk.
    pub fn row(&self, position: u64) -> Option<LiveRow<'_>> {
        if let Some(chunk) = self.sealed.iter().find(|c| (c.first..c.end()).contains(&position)) {
            return Some(LiveRow::Sealed(chunk.reader(), (position - chunk.first) as usize));
        }
        let block = self.tail.iter().chain(&self.pending).find(|b| (b.first..b.end()).contains(&position))?;
        block.rows.get((position - block.first) as usize).map(LiveRow::Plain)
    }

    /// The sealed chunks below a position; the tail must have been sealed.
    pub fn sealed_below(&self, position: u64) -> Vec<Arc<LiveChunk>> {
        self.sealed.iter().filter(|c| c.end() <= position).cloned().collect()
    }

    /// Visible blocks below a position that are not sealed yet.
    pub fn tail_below(&self, position: u64) -> Vec<Block> {
        self.tail.iter().filter(|b| b.end() <= position).cloned().collect()
    }

    /// Rows below a position are in segments now: forgets them, but for the last ones, which are kept.
    pub fn drop_below(&mut self, position: u64) {
        let flushed = self.sealed.partition_point(|c| c.end() <= position);
        for chunk in self.sealed.drain(..flushed) {
            self.kept.push(chunk);
        }
        // A flush has sealed all that it wrote.
        debug_assert!(self.tail.first().is_none_or(|b| b.end() > position), "V4: flushed rows were sealed");
        self.tail_chunk = None;
    }

    /// The first visible row at or after `from`, and the rows of its block or chunk that follow it, at most `rows_max`.
    /// `None`: nothing is visible there yet. If rows at `from` are forgotten, what is answered starts after them.
    pub fn arrived(&self, from: u64, rows_max: usize) -> Option<ArrivedRows> {
        let tail_first = self.tail.first().map_or(u64::MAX, |b| b.first);
        if from >= tail_first {
            let block = self.tail.get(self.tail.partition_point(|b| b.end() <= from))?;
            return Some(ArrivedRows::of_block(block).from_position(from).first_rows(rows_max));
        }
        let kept = self.kept.chunks().find(|c| c.end() > from);
        let chunk = kept.or_else(|| self.sealed.get(self.sealed.partition_point(|c| c.end() <= from)));
        let rows = match chunk {
            Some(chunk) => ArrivedRows::of_chunk(chunk),
            // Only tail rows are held, and `from` is before them.
            None => ArrivedRows::of_block(self.tail.first()?),
        };
        Some(rows.from_position(from).first_rows(rows_max))
    }

    /// The position of the first held row that came after `received_at`, and whether all such rows are held.
    pub fn position_after(&self, received_at: i64) -> (u64, bool) {
        let parts = self.kept.chunks().chain(&self.sealed).map(ArrivedRows::of_chunk);
        let parts = parts.chain(self.tail.iter().map(ArrivedRows::of_block));
        let position = parts.filter_map(|rows| rows.first_after(received_at)).next();
        (position.unwrap_or_else(|| self.visible_end()), received_at >= self.kept.forgotten_received_at())
    }

    /// When the last visible row arrived, as far as it is known.
    pub fn last_visible_received_at(&self) -> i64 {
        let tail = self.tail.last().and_then(|b| b.rows.last()).map(|row| row.received_at);
        let last = |chunk: &Arc<LiveChunk>| chunk.reader().received_at(chunk.rows().saturating_sub(1));
        let chunk = || self.sealed.last().or_else(|| self.kept.chunks().last()).map(last);
        tail.or_else(chunk).unwrap_or_else(|| self.kept.forgotten_received_at())
    }
}

/// What is visible but not sealed.
pub(crate) enum Tail {
    Empty,
    Chunk(Arc<LiveChunk>),
    Blocks(Vec<Block>),
}

/// Turns blocks into a chunk. CPU work: call it without holding the project's lock.
pub(crate) fn seal(
    blocks: &[Block],
    catalog: &mut Arc<Catalog>,
    budget: &ColumnBudget,
) -> Result<Arc<LiveChunk>, ArrowError> {
    LiveChunk::build(blocks, catalog, budget).map(Arc::new)
}

#[cfg(test)]
mod tests;
