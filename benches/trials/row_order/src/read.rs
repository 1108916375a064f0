//! Reading columns of a segment, whole or only the rows of named events. Footers and page indexes are kept open, as a server does.

use std::fs::File;

use arrow::{
    array::{Array, AsArray, Int64Array},
    datatypes::{Int64Type, UInt16Type},
    record_batch::RecordBatch,
};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
        },
    },
    file::metadata::PageIndexPolicy,
};

use crate::data::{EVENT, Failure, Ranges, TIME, UID, Written};

pub struct Segment {
    file: File,
    metadata: ArrowReaderMetadata,
    pub ranges: Ranges,
    pub rows: usize,
    pub file_bytes: u64,
}

/// Events of one name in a segment, ordered by (user, time).
pub struct Run {
    pub uid: Int64Array,
    pub time: Option<Int64Array>,
}

impl Segment {
    pub fn open(written: &Written) -> Result<Self, Failure> {
        let file = File::open(&written.path)?;
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let metadata = ArrowReaderMetadata::load(&file, options)?;
        let rows = metadata.metadata().file_metadata().num_rows() as usize;
        let file_bytes = file.metadata()?.len();
        Ok(Self { file, metadata, ranges: written.ranges.clone(), rows, file_bytes })
    }

    pub fn column_bytes(&self, column: usize) -> i64 {
        self.metadata.metadata().row_groups().iter().map(|group| group.column(column).compressed_size()).sum()
    }

    /// All rows of the columns, in one batch.
    pub fn read(&self, columns: &[usize]) -> Result<Option<RecordBatch>, Failure> {
        self.read_rows(columns, None, self.rows)
    }

    fn read_rows(
        &self,
        columns: &[usize],
        selection: Option<RowSelection>,
        rows: usize,
    ) -> Result<Option<RecordBatch>, Failure> {
        if rows == 0 {
            return Ok(None);
        }
        let mut builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.try_clone()?, self.metadata.clone());
        let mask = ProjectionMask::leaves(builder.parquet_schema(), columns.iter().copied());
        builder = builder.with_projection(mask).with_batch_size(rows);
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        Ok(builder.build()?.next().transpose()?)
    }

    /// One column of one event's rows.
    pub fn read_run_column(&self, event: usize, column: usize) -> Result<Option<RecordBatch>, Failure> {
        let (start, len) = self.ranges[event];
        self.read_rows(&[column], Some(vec![RowSelector::skip(start), RowSelector::select(len)].into()), len)
    }

    /// The rows of the named events, one run each, in the order of `events`; nothing else is decoded.
    pub fn read_runs(&self, events: &[usize], times: bool) -> Result<Vec<Run>, Failure> {
        let mut by_row: Vec<usize> = (0..events.len()).collect();
        by_row.sort_unstable_by_key(|i| self.ranges[events[*i]].0);
        let (mut selectors, mut at, mut rows) = (Vec::new(), 0, 0);
        for i in &by_row {
            let (start, len) = self.ranges[events[*i]];
            if len > 0 {
                selectors.extend([RowSelector::skip(start - at), RowSelector::select(len)]);
                at = start + len;
                rows += len;
            }
        }
        let columns: &[usize] = if times { &[UID, TIME] } else { &[UID] };
        let batch = self.read_rows(columns, Some(selectors.into()), rows)?;
        let mut runs: Vec<Option<Run>> = events.iter().map(|_| None).collect();
        let mut offset = 0;
        for i in by_row {
            let len = self.ranges[events[i]].1;
            let column = |c: usize| match &batch {
                Some(batch) => batch.column(c).slice(offset, len).as_primitive::<Int64Type>().clone(),
                None => Int64Array::from(Vec::<i64>::new()),
            };
            runs[i] = Some(Run { uid: column(0), time: times.then(|| column(1)) });
            offset += len;
        }
        Ok(runs.into_iter().flatten().collect())
    }
}

/// For every key of a dictionary column what `lookup` says of its word.
pub fn by_key<T>(batch: &RecordBatch, column: usize, lookup: impl Fn(&str) -> T) -> (Vec<T>, &[u16]) {
    let dictionary = batch.column(column).as_dictionary::<UInt16Type>();
    let words = dictionary.values().as_string::<i32>();
    let table = (0..words.len()).map(|i| lookup(words.value(i))).collect();
    (table, dictionary.keys().values())
}

pub fn numbers(batch: &RecordBatch, column: usize) -> &[i64] {
    batch.column(column).as_primitive::<Int64Type>().values()
}

pub const ALL_NAMED: [usize; 3] = [UID, TIME, EVENT];
