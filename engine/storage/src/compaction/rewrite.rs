//! Rows of segments, and new rows, into one new file: the one place where stored rows change.
//!
//! ```text
//! file of a segment (whole, checked) ─┐
//! file of a segment ─ rows left out ──┼─▶ merge in segment order ─▶ one file with its index, filter and checksums
//! sorted rows in memory ──────────────┘      └─ where each row has gone
//! ```
//!
//! Whatever happens to stored rows comes down to two things, and both are here: a row is left out ([`Source::without`]),
//! and a row is put in ([`Rewrite::add_rows`]). A flush leaves out the rows that it has successors of. A deletion leaves
//! out a user's rows. A link of identities leaves out the rows of the user that is no more, and adds them under the
//! other's number, in that one's place in the order.
//!
//! - C1: every row of every source is in the result once, or was named to be left out.
//! - C2: a file's bytes are checked before a row of it is taken, and its rows are in order (S2), or there is no result.
//! - C3: memory is bounded by the files' sizes together, the result's, and a batch of each.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::metadata::{KeyValue, PageIndexPolicy, RowGroupMetaData};
use roaring::RoaringBitmap;

use super::Pace;
use super::merge::{Merge, Run};
use crate::columns::{Builtin, Catalog, Layout, RestIndex, Target, Uses};
use crate::error::StorageError;
use crate::recent::{KeyCollector, SegmentKeys};
use crate::segment::{Effort, EncodedSegment, EventIndex, FilterPlace, Segment, SegmentWriter, file_format, sort};

/// Rows of a batch, if they are narrow.
const BATCH_ROWS_MAX: usize = 8_192;
/// Memory that the batches of all sources may take together.
const BATCH_BYTES: u64 = 128 << 20;
/// A column with more text than this in a file is read few rows at a time, whatever a row takes on average: large rows
/// are often neighbours, and an array of text ends at 2 GiB.
const TEXT_BYTES_MAX: i64 = 1 << 30;
const LARGE_TEXT_ROWS: usize = 512;
/// Rows that are looked at before a file is written.
const SAMPLE_ROWS: u64 = 4_096;
/// So many of them are neighbours.
const STRETCH_ROWS: u64 = 64;

/// A segment whose rows are rewritten.
pub(crate) struct Source {
    pub segment: Arc<Segment>,
    /// The whole file.
    pub file: Bytes,
    /// Rows that are left out.
    pub without: RoaringBitmap,
}

/// What a new file is made of.
#[derive(Default)]
pub(crate) struct Rewrite {
    sources: Vec<Source>,
    rows: Option<RecordBatch>,
}

/// A new file that is not stored yet.
pub(crate) struct Rewritten {
    pub file: EncodedSegment,
    pub keys: SegmentKeys,
    /// For each source, the new row of each of its rows; [`GONE`](super::GONE) for those that were left out.
    pub places: Vec<Vec<u32>>,
}

impl Rewrite {
    /// Whether there is no segment in it.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    pub fn add_segment(&mut self, source: Source) {
        self.sources.push(source);
    }

    /// Rows in any order that are in none of the segments.
    pub fn add_rows(&mut self, rows: &RecordBatch) -> Result<(), StorageError> {
        self.rows = Some(sort(rows)?).filter(|rows| rows.num_rows() > 0);
        Ok(())
    }

    /// Makes the file, its columns chosen anew; `None` if no row is left. CPU work, at `pace`.
    pub fn run(self, layout: &Layout, pace: &mut Pace) -> Result<Option<Rewritten>, StorageError> {
        self.run_in(layout, pace, BATCH_ROWS_MAX)
    }

    /// As [`Self::run`], at most so many rows at a time.
    pub(super) fn run_in(
        self,
        layout: &Layout,
        pace: &mut Pace,
        batch_rows_max: usize,
    ) -> Result<Option<Rewritten>, StorageError> {
        let parts = self.sources.len() + usize::from(self.rows.is_some());
        let mut opened = Vec::with_capacity(self.sources.len());
        for source in self.sources {
            opened.push(Opened::new(source)?);
        }
        let mut uses = Uses::default();
        for file in &opened {
            file.count(&mut uses, &layout.catalog)?;
        }
        if let Some(rows) = &self.rows {
            uses.add_batch(rows, &layout.catalog)?;
        }
        let target = Arc::new(Target::choose(uses, layout));
        let sample = sample(&opened, self.rows.as_ref(), &target)?;
        let mut events: BTreeSet<String> = BTreeSet::new();
        let mut runs = Vec::with_capacity(parts);
        let mut batch_rows = batch_rows_max;
        let mut expected = Vec::with_capacity(parts);
        for file in opened {
            events.extend(file.index.iter().map(|(name, _)| name.to_owned()));
            expected.push(file.source.segment.clone());
            let rows = file.batch_rows(BATCH_BYTES / parts.max(1) as u64).min(batch_rows_max);
            batch_rows = batch_rows.min(rows);
            runs.push(file.into_run(rows)?);
        }
        if let Some(rows) = self.rows {
            events.extend(names_of(&rows));
            let batches = Box::new(std::iter::once(Ok(rows)));
            runs.push(Run { name: "new rows".to_owned(), batches, without: RoaringBitmap::new() });
        }
        let mut merge = Merge::new(runs, events, target.clone())?;
        let mut keys = KeyCollector::default();
        let mut writer = None;
        while let Some(batch) = merge.next_batch(batch_rows)? {
            keys.add(&batch)?;
            let writer = match &mut writer {
                Some(writer) => writer,
                None => writer.insert(SegmentWriter::new(target.schema.clone(), &sample, Effort::Thorough)?),
            };
            writer.write(&batch)?;
            pace.breathe()?;
        }
        let mut places = merge.into_places();
        places.truncate(expected.len());
        // C1: a reader that ends early would lose rows for good.
        for (segment, places) in expected.iter().zip(&places) {
            if places.len() as u64 != segment.rows {
                let what = format!("{} rows read of {}", places.len(), segment.rows);
                return Err(StorageError::CorruptSegment { path: segment.path.clone(), what });
            }
        }
        let Some(writer) = writer else { return Ok(None) };
        let keys = keys.finish();
        let file = writer.finish(keys.hashes())?;
        Ok(Some(Rewritten { file, keys, places }))
    }
}

/// Some rows from all over what a new file is made of. Its own first rows would tell of its first event alone.
fn sample(files: &[Opened], rows: Option<&RecordBatch>, target: &Target) -> Result<Vec<RecordBatch>, StorageError> {
    let in_files: u64 = files.iter().map(|file| file.source.segment.rows).sum();
    let all = in_files + rows.map_or(0, |rows| rows.num_rows() as u64);
    let share = |rows: u64| SAMPLE_ROWS.saturating_mul(rows) / all.max(1);
    let mut parts = Vec::new();
    for file in files {
        let rows = file.source.segment.rows;
        let fits = file.batch_rows(BATCH_BYTES / (files.len() as u64 + 1)) as u64;
        for batch in file.some(&stretches(rows, share(rows).min(fits)))? {
            parts.push(target.lay_out(&batch?)?);
        }
    }
    if let Some(rows) = rows {
        let all = rows.num_rows() as u64;
        for stretch in stretches(all, share(all)) {
            parts.push(target.lay_out(&rows.slice(stretch.start, stretch.end - stretch.start))?);
        }
    }
    Ok(parts)
}

/// Where to look at about `wanted` of so many rows: ascending and apart.
pub(super) fn stretches(rows: u64, wanted: u64) -> Vec<Range<usize>> {
    let wanted = wanted.min(rows);
    let count = wanted.div_ceil(STRETCH_ROWS).max(1);
    let length = STRETCH_ROWS.min(wanted).min(rows / count).max(1);
    let starts = (0..count).map(|nth| nth.saturating_mul(rows) / count);
    starts.map(|start| start as usize..(start + length).min(rows) as usize).filter(|s| !s.is_empty()).collect()
}

/// A file whose bytes are sound, with its footer read.
struct Opened {
    source: Source,
    metadata: ArrowReaderMetadata,
    index: EventIndex,
}

impl Opened {
    fn new(source: Source) -> Result<Self, StorageError> {
        let segment = &source.segment;
        let corrupt = |what: &str| StorageError::CorruptSegment { path: segment.path.clone(), what: what.to_owned() };
        if source.file.len() as u64 != segment.bytes || crc32c::crc32c(&source.file) != segment.crc32c {
            return Err(corrupt("checksum mismatch"));
        }
        // With the places of pages: a sample need not decompress the others.
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(&source.file, options)?;
        let footer = metadata.metadata().file_metadata();
        file_format(&segment.path, footer.key_value_metadata())?;
        let entries = footer.key_value_metadata().into_iter().flatten();
        let index = entries.filter(|entry| entry.key == EventIndex::FOOTER_KEY).find_map(index_of);
        let index = index.ok_or_else(|| corrupt("event index missing or malformed"))?;
        if footer.num_rows() as u64 != segment.rows || index.total() != segment.rows {
            return Err(corrupt("row count differs from the table's"));
        }
        Ok(Self { source, metadata, index })
    }

    /// In how many rows each property occurs, by the footer: of rows that are left out too.
    fn count(&self, uses: &mut Uses, catalog: &Catalog) -> Result<(), StorageError> {
        let rows = self.source.segment.rows;
        uses.add_rows(rows);
        let groups = self.metadata.metadata().row_groups();
        for column in Catalog::from_schema(self.metadata.schema()).columns() {
            let Ok(at) = self.metadata.schema().index_of(&column.column) else { continue };
            let nulls = |group: &RowGroupMetaData| group.columns().get(at)?.statistics()?.null_count_opt();
            let nulls: Option<u64> = groups.iter().map(nulls).sum();
            uses.add_column(column, nulls.map_or(rows, |nulls| rows.saturating_sub(nulls)));
        }
        let footer = self.metadata.metadata().file_metadata();
        let corrupt = || StorageError::CorruptSegment {
            path: self.source.segment.path.clone(),
            what: "index of rest malformed".to_owned(),
        };
        let place = FilterPlace::of(footer.key_value_metadata(), RestIndex::FOOTER_KEY).map_err(|_| corrupt())?;
        if let Some(place) = place {
            let rest = place.bytes_in(&self.source.file).and_then(RestIndex::decode).ok_or_else(corrupt)?;
            rest.iter().for_each(|(property, kind, set)| uses.add_in_rest(property, kind, set, catalog));
        }
        Ok(())
    }

    /// How many rows take about so much memory.
    fn batch_rows(&self, bytes: u64) -> usize {
        let groups = self.metadata.metadata().row_groups();
        let total: i64 = groups.iter().flat_map(RowGroupMetaData::columns).map(decoded_bytes).sum();
        let row = (total.max(1) as u64).div_ceil(self.source.segment.rows.max(1));
        let rows = usize::try_from(bytes / row.max(1)).unwrap_or(usize::MAX).clamp(1, BATCH_ROWS_MAX);
        let mut text = vec![0_i64; self.metadata.parquet_schema().num_columns()];
        for group in groups {
            for (sum, column) in text.iter_mut().zip(group.columns()) {
                *sum = sum.saturating_add(column.unencoded_byte_array_data_bytes().unwrap_or(0));
            }
        }
        if text.iter().any(|bytes| *bytes > TEXT_BYTES_MAX) { rows.min(LARGE_TEXT_ROWS) } else { rows }
    }

    /// The rows of some stretches, ascending and apart.
    fn some(&self, stretches: &[Range<usize>]) -> Result<ParquetRecordBatchReader, StorageError> {
        let rows = self.source.segment.rows as usize;
        let selection = RowSelection::from_consecutive_ranges(stretches.iter().cloned(), rows);
        let file = self.source.file.clone();
        Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
            .with_row_selection(selection)
            .with_batch_size(LARGE_TEXT_ROWS)
            .build()?)
    }

    fn into_run(self, batch_rows: usize) -> Result<Run, StorageError> {
        let Source { segment, file, without } = self.source;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata)
            .with_batch_size(batch_rows)
            .build()?
            .map(|batch| batch.map_err(StorageError::from));
        Ok(Run { name: segment.path.clone(), batches: Box::new(reader), without })
    }
}

/// Memory that a column takes when it is read, about: text as it is, whatever a dictionary saves.
fn decoded_bytes(column: &parquet::file::metadata::ColumnChunkMetaData) -> i64 {
    const OF_A_NUMBER: i64 = 8;
    column.num_values().saturating_mul(OF_A_NUMBER) + column.unencoded_byte_array_data_bytes().unwrap_or(0)
}

fn index_of(entry: &KeyValue) -> Option<EventIndex> {
    EventIndex::from_json(entry.value.as_deref()?)
}

/// The event names of sorted rows.
fn names_of(rows: &RecordBatch) -> Vec<String> {
    let mut index = EventIndex::default();
    if let Some(names) = rows.column_by_name(Builtin::Event.name()) {
        index.append_sorted(names);
    }
    index.iter().map(|(name, _)| name.to_owned()).collect()
}
