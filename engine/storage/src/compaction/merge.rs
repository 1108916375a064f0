//! Sorted runs of rows to one, a batch at a time.
//!
//! Only as much of each run is in memory as its current batch. Where every row ends up is noted, so that whatever names
//! a row of a run (a mask) can be told its new place.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use arrow::array::{AsArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{ArrowPrimitiveType, Int64Type, TimestampMicrosecondType, TimestampMillisecondType};
use arrow::error::ArrowError;
use hashbrown::HashMap;
use roaring::RoaringBitmap;

use super::GONE;
use crate::columns::{Builtin, Target};
use crate::error::StorageError;

/// Batches of one run, in order.
pub(super) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, StorageError>> + Send>;

/// A run of rows in segment order, and which of them, by number, are left out.
pub(super) struct Run {
    /// For errors.
    pub name: String,
    pub batches: Batches,
    pub without: RoaringBitmap,
}

/// Segment order (S2), with the event's place among all names instead of its name.
type Key = (u32, i64, i64, i64);

pub(super) struct Merge {
    target: Arc<Target>,
    cursors: Vec<Cursor>,
    /// The next row of each run that has one.
    next: BinaryHeap<Reverse<(Key, usize)>>,
    /// For each row of each run, its row in the result.
    places: Vec<Vec<u32>>,
    rows: u32,
    last: Option<Key>,
}

impl Merge {
    /// `events`: all names that occur. `target`: the columns of the result.
    pub fn new(runs: Vec<Run>, events: BTreeSet<String>, target: Arc<Target>) -> Result<Self, StorageError> {
        let ranks: HashMap<String, u32> = events.into_iter().zip(0..).collect();
        let mut merge = Self {
            places: vec![Vec::new(); runs.len()],
            cursors: Vec::with_capacity(runs.len()),
            next: BinaryHeap::with_capacity(runs.len()),
            target,
            rows: 0,
            last: None,
        };
        let ranks = Arc::new(ranks);
        for run in runs {
            merge.cursors.push(Cursor { run, ranks: ranks.clone(), batch: None, at: 0, first: 0, held: None });
        }
        for run in 0..merge.cursors.len() {
            merge.advance(run)?;
        }
        Ok(merge)
    }

    /// The next rows, `rows_max` of them unless they are the last; `None` after those.
    pub fn next_batch(&mut self, rows_max: usize) -> Result<Option<RecordBatch>, StorageError> {
        // What the result takes rows from; a run's batch is among them once a row of it is taken.
        let mut held: Vec<RecordBatch> = Vec::with_capacity(self.cursors.len());
        let mut taken: Vec<(usize, usize)> = Vec::with_capacity(rows_max);
        self.cursors.iter_mut().for_each(|cursor| cursor.held = None);
        while taken.len() < rows_max {
            let Some(Reverse((key, run))) = self.next.pop() else { break };
            let Some(cursor) = self.cursors.get_mut(run) else { break };
            if self.last.is_some_and(|last| last > key) {
                return Err(cursor.corrupt("rows are not in order"));
            }
            self.last = Some(key);
            let Some((batch, row)) = cursor.take(&mut held) else { break };
            taken.push((batch, row));
            if let Some(places) = self.places.get_mut(run) {
                places.push(self.rows);
            }
            self.rows = self.rows.checked_add(1).filter(|rows| *rows < GONE).ok_or_else(too_many_rows)?;
            self.advance(run)?;
        }
        if taken.is_empty() {
            return Ok(None);
        }
        Ok(Some(interleave_record_batch(&held.iter().collect::<Vec<_>>(), &taken)?))
    }

    /// For each run, the new row of each of its rows; [`GONE`] for those that were left out.
    pub fn into_places(self) -> Vec<Vec<u32>> {
        self.places
    }

    /// Puts the next row of a run that is not left out among the candidates.
    fn advance(&mut self, run: usize) -> Result<(), StorageError> {
        let (Some(cursor), Some(places)) = (self.cursors.get_mut(run), self.places.get_mut(run)) else { return Ok(()) };
        while let Some(key) = cursor.key(&self.target)? {
            if !cursor.run.without.contains(cursor.first + cursor.at as u32) {
                self.next.push(Reverse((key, run)));
                break;
            }
            places.push(GONE);
            cursor.at += 1;
        }
        Ok(())
    }
}

/// Where a run is.
struct Cursor {
    run: Run,
    ranks: Arc<HashMap<String, u32>>,
    batch: Option<Columns>,
    /// The next row of the batch.
    at: usize,
    /// The batch's first row in the run.
    first: u32,
    /// Place of the batch among those that the result takes rows from.
    held: Option<usize>,
}

/// A batch and its key columns.
struct Columns {
    batch: RecordBatch,
    event: StringArray,
    uid: PrimitiveArray<Int64Type>,
    time: PrimitiveArray<TimestampMillisecondType>,
    received_at: PrimitiveArray<TimestampMicrosecondType>,
    /// The row that was looked at last, and its name's place.
    ranked: Option<(usize, u32)>,
}

impl Cursor {
    /// The key of the next row, from the next batch if need be; `None` at the end.
    fn key(&mut self, target: &Target) -> Result<Option<Key>, StorageError> {
        while self.batch.as_ref().is_none_or(|columns| self.at >= columns.batch.num_rows()) {
            let Some(batch) = self.run.batches.next() else { return Ok(None) };
            self.first += self.batch.as_ref().map_or(0, |columns| columns.batch.num_rows() as u32);
            self.batch = Some(Columns::new(target.lay_out(&batch?)?)?);
            (self.at, self.held) = (0, None);
        }
        let Some(columns) = &mut self.batch else { return Ok(None) };
        let row = self.at;
        let name = columns.event.value(row);
        let rank = match columns.ranked {
            Some((before, rank)) if columns.event.value(before) == name => Some(rank),
            _ => self.ranks.get(name).copied(),
        };
        let Some(rank) = rank else { return Err(self.corrupt("an event that the index does not name")) };
        columns.ranked = Some((row, rank));
        Ok(Some((rank, columns.uid.value(row), columns.time.value(row), columns.received_at.value(row))))
    }

    /// The next row, as the place of its batch among `held` and the row in it; then the one after it is next.
    fn take(&mut self, held: &mut Vec<RecordBatch>) -> Option<(usize, usize)> {
        let columns = self.batch.as_ref()?;
        let batch = *self.held.get_or_insert_with(|| {
            held.push(columns.batch.clone());
            held.len() - 1
        });
        let row = self.at;
        self.at += 1;
        Some((batch, row))
    }

    fn corrupt(&self, what: &str) -> StorageError {
        StorageError::CorruptSegment { path: self.run.name.clone(), what: what.to_owned() }
    }
}

impl Columns {
    fn new(batch: RecordBatch) -> Result<Self, StorageError> {
        Ok(Self {
            event: named(&batch, Builtin::Event)?.as_string_opt::<i32>().ok_or_else(|| unfit(Builtin::Event))?.clone(),
            uid: primitive(&batch, Builtin::Uid)?,
            time: primitive(&batch, Builtin::Time)?,
            received_at: primitive(&batch, Builtin::ReceivedAt)?,
            ranked: None,
            batch,
        })
    }
}

fn named(batch: &RecordBatch, builtin: Builtin) -> Result<&arrow::array::ArrayRef, ArrowError> {
    batch.column_by_name(builtin.name()).ok_or_else(|| unfit(builtin))
}

fn primitive<T: ArrowPrimitiveType>(batch: &RecordBatch, builtin: Builtin) -> Result<PrimitiveArray<T>, ArrowError> {
    named(batch, builtin)?.as_primitive_opt::<T>().cloned().ok_or_else(|| unfit(builtin))
}

fn unfit(builtin: Builtin) -> ArrowError {
    ArrowError::SchemaError(format!("column missing or of another type, column={}", builtin.name()))
}

fn too_many_rows() -> StorageError {
    ArrowError::InvalidArgumentError("more rows than a segment can hold".to_owned()).into()
}
