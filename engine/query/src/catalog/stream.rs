//! One lane at work: parts in, batches of table columns out.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{cast, filter_record_batch, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef, TimestampMicrosecondType};
use datafusion::common::{DataFusionError, Result};
use datafusion::physical_plan::metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder};
use footfall_model::Shard;
use footfall_storage::columns::{Builtin, Catalog, PropertyColumn, REST, RestIndex};
use footfall_storage::segment::{OpenSegment, Segment, day_of};
use footfall_storage::{LiveChunk, Snapshot, StorageError};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use roaring::RoaringBitmap;

use super::columns::{Source, StoredRows, TableColumn};
use super::groups::GroupFilter;
use super::prune::Bounds;

/// A run of rows in segment order.
pub enum Part {
    Segment(Arc<Segment>),
    /// A shard's rows of a live chunk.
    Live(Arc<LiveChunk>, Shard),
}

/// Counters of one lane, shown by `EXPLAIN ANALYZE`.
#[derive(Clone)]
pub struct LaneMetrics {
    baseline: BaselineMetrics,
    segments_read: Count,
    /// Segments that hold none of the wanted events, or by their statistics none of the wanted values.
    segments_skipped: Count,
    /// Column chunks that were read, from the store or a cache: their size in the file.
    bytes_scanned: Count,
}

impl LaneMetrics {
    pub fn new(set: &ExecutionPlanMetricsSet, lane: usize) -> Self {
        Self {
            baseline: BaselineMetrics::new(set, lane),
            segments_read: MetricBuilder::new(set).counter("segments_read", lane),
            segments_skipped: MetricBuilder::new(set).counter("segments_skipped", lane),
            bytes_scanned: MetricBuilder::new(set).counter("bytes_scanned", lane),
        }
    }
}

/// What every part of a lane is read with.
#[derive(Clone)]
pub struct LaneScan {
    pub snapshot: Arc<Snapshot>,
    pub columns: Arc<[TableColumn]>,
    /// See [`stored_names`].
    pub names: Arc<HashSet<String>>,
    pub bounds: Arc<Bounds>,
    pub groups: Option<Arc<GroupFilter>>,
    pub schema: SchemaRef,
    pub batch_rows: usize,
    pub metrics: LaneMetrics,
}

pub type Batches = BoxStream<'static, Result<RecordBatch>>;

impl LaneScan {
    /// The batches of all parts, one part after another.
    pub fn stream(self, parts: impl Iterator<Item = Part> + Send + 'static) -> Batches {
        let scan = Arc::new(self);
        stream::iter(parts)
            .then(move |part| scan.clone().read(part))
            .try_flatten()
            .try_filter(|batch| futures::future::ready(batch.num_rows() > 0))
            .boxed()
    }

    async fn read(self: Arc<Self>, part: Part) -> Result<Batches> {
        match part {
            Part::Segment(segment) => self.read_segment(segment).await,
            Part::Live(chunk, shard) => self.read_live(&chunk, shard),
        }
    }

    async fn read_segment(self: Arc<Self>, segment: Arc<Segment>) -> Result<Batches> {
        let files = &self.snapshot.files;
        let open = files.open(&segment).await.map_err(external)?;
        let mut rows: Option<Vec<Range<usize>>> = self.bounds.events.as_ref().map(|events| {
            let ranges = events.iter().filter_map(|event| open.index.rows(event));
            merged(ranges)
        });
        let reads_properties = self.columns.iter().any(|column| !column.properties().is_empty());
        let in_rest = match reads_properties || self.groups.is_some() {
            true => files.rest(&segment, &open).await.map_err(external)?,
            false => Arc::default(),
        };
        if let Some(groups) = &self.groups
            && let Some(kept) = groups.rows(&open, &in_rest)?
        {
            rows = Some(match rows {
                None => kept,
                Some(rows) => intersection(&rows, &kept),
            });
        }
        let in_rest = self.in_rest(&in_rest);
        if !self.bounds.holds_all_received(&segment.received) {
            rows = Some(self.rows_received(&segment, &open, rows.as_deref()).await?);
        }
        if rows.as_ref().is_some_and(Vec::is_empty) {
            self.metrics.segments_skipped.add(1);
            return Ok(stream::empty().boxed());
        }
        self.metrics.segments_read.add(1);
        let schema = open.metadata.schema();
        let stored = self.stored_columns(schema, &open.catalog, &in_rest);
        let names: Vec<&str> = stored.into_iter().map(|place| schema.field(place).name().as_str()).collect();
        self.metrics.bytes_scanned.add(chunk_bytes(&open, &names));
        let masked = self.snapshot.masked_rows(&segment).cloned();
        let mut at = RowCursor::new(rows.as_deref(), segment.rows as usize);
        let stored = files.read(&segment, &open, &names, rows.as_deref(), self.batch_rows).map_err(external)?;
        let scan = self.clone();
        let batches = stored.map(move |batch| {
            let batch = batch.map_err(external)?;
            let batch = match &masked {
                None => batch,
                Some(masked) => without_masked(&batch, &mut at, masked)?,
            };
            scan.compute(batch, &in_rest, segment.day, segment.shard)
        });
        Ok(batches.boxed())
    }

    /// Which rows arrived within the bounds: one narrow column is read to spare the pages of all others.
    async fn rows_received(
        &self,
        segment: &Segment,
        open: &Arc<OpenSegment>,
        within: Option<&[Range<usize>]>,
    ) -> Result<Vec<Range<usize>>> {
        let files = &self.snapshot.files;
        let mut at = RowCursor::new(within, segment.rows as usize);
        let names = [Builtin::ReceivedAt.name()];
        let mut batches = files.read(segment, open, &names, within, self.batch_rows).map_err(external)?;
        let mut rows = Vec::new();
        while let Some(batch) = batches.try_next().await.map_err(external)? {
            let received = cast(batch.column(0), &Builtin::ReceivedAt.data_type())?;
            for received_at in received.as_primitive::<TimestampMicrosecondType>().values() {
                let Some(row) = at.next() else { break };
                if self.bounds.may_hold_received(&(*received_at..=*received_at)) {
                    rows.push(row..row + 1);
                }
            }
        }
        Ok(merged(rows.into_iter()))
    }

    fn read_live(self: Arc<Self>, chunk: &Arc<LiveChunk>, shard: Shard) -> Result<Batches> {
        let Some(order) = chunk.shard_rows(shard) else { return Ok(stream::empty().boxed()) };
        let order = self.live_rows(chunk, order);
        let schema = chunk.batch.schema();
        let in_rest = self.in_rest(&chunk.rest);
        let catalog = if self.is_whole() { Catalog::from_schema(&schema) } else { Catalog::default() };
        let narrow = chunk.batch.project(&self.stored_columns(&schema, &catalog, &in_rest))?;
        let by_day = self.columns.iter().any(|c| matches!(c.source, Source::Day));
        let runs = if by_day { split_by_day(chunk, order) } else { vec![(0, order)] };
        let mut slices = Vec::new();
        for (day, order) in runs {
            for start in (0..order.len()).step_by(self.batch_rows.max(1)) {
                slices.push((day, order.slice(start, self.batch_rows.min(order.len() - start))));
            }
        }
        // One at a time, as they are asked for: of thousands of columns each batch is large, and a limit needs one.
        let batches = slices
            .into_iter()
            .map(move |(day, rows)| self.compute(take_record_batch(&narrow, &rows)?, &in_rest, day, shard));
        Ok(stream::iter(batches).boxed())
    }

    /// Whether all properties of a row are wanted.
    fn is_whole(&self) -> bool {
        self.columns.iter().any(|column| matches!(column.source, Source::Whole))
    }

    /// The wanted properties that are in a part's `rest`.
    fn in_rest(&self, rest: &RestIndex) -> Vec<Arc<PropertyColumn>> {
        if rest.is_empty() {
            return Vec::new();
        }
        let wanted = self.columns.iter().flat_map(|column| column.properties());
        let mut held: Vec<_> = wanted.filter(|c| rest.holds(&c.property, c.kind)).cloned().collect();
        held.sort_unstable_by(|a, b| a.column.cmp(&b.column));
        held.dedup_by(|a, b| a.column == b.column);
        held
    }

    /// Which columns to read of a part that has these, and of properties those of `catalog`. Found from the part's side: it
    /// has few, a query may want thousands.
    fn stored_columns(&self, schema: &Schema, catalog: &Catalog, in_rest: &[Arc<PropertyColumn>]) -> Vec<usize> {
        let is_whole = self.is_whole();
        let properties = catalog.columns().iter().filter(|_| is_whole);
        let properties: HashSet<&str> = properties.map(|column| column.column.as_ref()).collect();
        let is_wanted = |name: &str| match name {
            REST => is_whole || !in_rest.is_empty(),
            name => self.names.contains(name) || properties.contains(name),
        };
        let places = schema.fields().iter().enumerate();
        places.filter(|(_, field)| is_wanted(field.name())).map(|(place, _)| place).collect()
    }

    /// The rows of a live chunk that are wanted and have not been replaced.
    fn live_rows(&self, chunk: &LiveChunk, order: &UInt32Array) -> UInt32Array {
        let snapshot = &self.snapshot;
        if snapshot.has_no_masked_live_rows() && self.bounds.events.is_none() {
            return order.clone();
        }
        let names = chunk.batch.column_by_name(Builtin::Event.name()).map(|names| names.as_string::<i32>());
        let wanted = |row: &u32| match (&self.bounds.events, names) {
            (Some(events), Some(names)) => {
                events.binary_search_by(|event| event.as_str().cmp(names.value(*row as usize))).is_ok()
            }
            _ => true,
        };
        let kept = order.values().iter().copied();
        let kept = kept.filter(|row| wanted(row) && !snapshot.is_live_row_masked(chunk.first + u64::from(*row)));
        UInt32Array::from_iter_values(kept)
    }

    fn compute(
        &self,
        stored: RecordBatch,
        in_rest: &[Arc<PropertyColumn>],
        day: i32,
        shard: Shard,
    ) -> Result<RecordBatch> {
        let _timer = self.metrics.baseline.elapsed_compute().timer();
        let stored = StoredRows::new(stored, in_rest)?;
        let arrays = self.columns.iter().map(|column| column.compute(&stored, day, shard.0));
        let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(stored.rows()));
        self.metrics.baseline.record_output(stored.rows());
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?)
    }
}

/// The stored columns that others are computed from, `rest` apart. Where a query needs none that exist, one cheap column
/// still carries the number of rows.
pub fn stored_names(columns: &[TableColumn]) -> HashSet<String> {
    let mut names: HashSet<String> = columns.iter().filter_map(|c| c.builtin_name()).map(str::to_owned).collect();
    if names.is_empty() {
        names.insert(Builtin::Uid.name().to_owned());
    }
    names.extend(columns.iter().flat_map(|column| column.properties()).map(|c| c.column.to_string()));
    names
}

fn chunk_bytes(open: &OpenSegment, columns: &[&str]) -> usize {
    let columns: HashSet<&str> = columns.iter().copied().collect();
    let chunks = open.metadata.metadata().row_groups().iter().flat_map(|group| group.columns());
    let named =
        chunks.filter(|chunk| chunk.column_path().parts().first().is_some_and(|c| columns.contains(c.as_str())));
    named.map(|chunk| chunk.compressed_size().max(0) as usize).sum()
}

fn external(error: StorageError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Ascending ranges with neighbours joined.
fn merged(ranges: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => merged.push(range),
        }
    }
    merged
}

/// What two ascending lists of ranges have in common.
fn intersection(ones: &[Range<usize>], others: &[Range<usize>]) -> Vec<Range<usize>> {
    let pairs =
        ones.iter().flat_map(|one| others.iter().map(move |other| one.start.max(other.start)..one.end.min(other.end)));
    merged(pairs.filter(|both| !both.is_empty()))
}

/// Rows by their UTC day, each day in segment order.
fn split_by_day(chunk: &LiveChunk, order: UInt32Array) -> Vec<(i32, UInt32Array)> {
    let Some(times) = chunk.batch.column_by_name(Builtin::Time.name()) else { return Vec::new() };
    let times = times.as_primitive::<arrow::datatypes::TimestampMillisecondType>();
    let mut days: std::collections::BTreeMap<i32, Vec<u32>> = Default::default();
    for row in order.values() {
        days.entry(day_of(times.value(*row as usize))).or_default().push(*row);
    }
    days.into_iter().map(|(day, rows)| (day, rows.into())).collect()
}

/// Knows which row of the file a batch starts at.
struct RowCursor {
    ranges: std::vec::IntoIter<Range<usize>>,
    current: Range<usize>,
}

impl RowCursor {
    fn new(ranges: Option<&[Range<usize>]>, rows: usize) -> Self {
        let ranges = ranges.map_or_else(|| vec![0..rows], <[_]>::to_vec);
        Self { ranges: ranges.into_iter(), current: 0..0 }
    }
}

impl Iterator for RowCursor {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while self.current.is_empty() {
            self.current = self.ranges.next()?;
        }
        self.current.next()
    }
}

fn without_masked(batch: &RecordBatch, rows: &mut RowCursor, masked: &RoaringBitmap) -> Result<RecordBatch> {
    let kept: BooleanArray = rows.take(batch.num_rows()).map(|row| Some(!masked.contains(row as u32))).collect();
    Ok(filter_record_batch(batch, &kept)?)
}
