//! Reading the segment files of one table, through the caches that all tables share.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};

use super::check::count_events;
use super::filter::FilterPlace;
use super::open::{Opened, open};
use super::reader::ChunkReader;
use super::{KeyFilter, OpenSegment, Segment, SegmentCaches};
use crate::StorageError;
use crate::census::Census;
use crate::columns::{Builtin, RestIndex};
use crate::sound::TRIES;

/// How much of the end of a file is read whose table does not say how long the footer is.
const FOOTER_GUESS_BYTES: u64 = 64 << 10;

/// The segment files of one table, and what has been read of them.
#[derive(Clone)]
pub struct SegmentFiles {
    store: Arc<dyn ObjectStore>,
    root: Path,
    caches: Arc<SegmentCaches>,
}

impl SegmentFiles {
    pub fn new(store: Arc<dyn ObjectStore>, root: Path, caches: Arc<SegmentCaches>) -> Self {
        Self { store, root, caches }
    }

    /// Where the table is in the store.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where a segment's file is in the store.
    pub fn location(&self, segment: &Segment) -> Path {
        // Segment paths are made of our own key=value folders and a uuid: nothing to escape.
        Path::from(format!("{}/{}", self.root, segment.path))
    }

    /// Stores a new file. It is durable when this returns; nobody sees it until the table lists it.
    pub async fn put(&self, segment: &Segment, bytes: Bytes) -> Result<(), StorageError> {
        self.store.put(&self.location(segment), bytes.into()).await?;
        Ok(())
    }

    /// The bytes of the whole file, past the caches: for those who read a file once. Whoever takes rows out of them checks
    /// them first.
    pub(crate) async fn whole(&self, segment: &Segment) -> Result<Bytes, StorageError> {
        let is_sound = |bytes: &Bytes| crc32c::crc32c(bytes) == segment.crc32c;
        let what = || "whole file".to_owned();
        self.fetch_from_store(segment, &self.location(segment), 0..segment.bytes, is_sound, what).await
    }

    /// Reads the footer, or finds it in the cache.
    pub async fn open(&self, segment: &Segment) -> Result<Arc<OpenSegment>, StorageError> {
        let location = self.location(segment);
        let mut cached = true;
        let read = async {
            cached = false;
            self.read_footer(segment).await
        };
        let open = self.caches.footers.get_or_insert_async(&location, read).await?;
        if cached {
            self.caches.count_memory_hit();
        }
        Ok(open)
    }

    async fn read_footer(&self, segment: &Segment) -> Result<Arc<OpenSegment>, StorageError> {
        let (mut bytes, crc32c) = match segment.tail {
            Some(tail) => (tail.bytes, Some(tail.crc32c)),
            None => (FOOTER_GUESS_BYTES.min(segment.bytes), None),
        };
        loop {
            let start = segment.bytes.checked_sub(bytes);
            let start = start.ok_or_else(|| self.corrupt(segment, "footer longer than the file"))?;
            let tail = self.fetch(segment, start..segment.bytes, crc32c, || "footer".to_owned()).await?;
            match open(segment, &tail).map_err(|error| error.located(&self.location(segment)))? {
                Opened::Open(open) => return Ok(Arc::new(*open)),
                // Grows each time.
                Opened::Short(needed) if segment.tail.is_none() && needed > bytes => bytes = needed,
                Opened::Short(_) => return Err(self.corrupt(segment, "footer incomplete")),
            }
        }
    }

    /// Reads the filter of the segment's keys; `None` if the file has none.
    pub(crate) async fn read_filter(&self, segment: &Segment) -> Result<Option<KeyFilter>, StorageError> {
        let open = self.open(segment).await?;
        let Some(place) = &open.filter else { return Ok(None) };
        let bytes = self.read_block(segment, place, "key filter").await?;
        KeyFilter::decode(bytes).map(Some).ok_or_else(|| self.corrupt(segment, "key filter"))
    }

    /// Reads the census of the segment's rows; `None` if the file has none. Its bytes are kept with the footer.
    pub(crate) async fn read_census(&self, segment: &Segment) -> Result<Option<Census>, StorageError> {
        let open = self.open(segment).await?;
        let bytes = match (&open.census, open.census_bytes.get()) {
            (None, _) => return Ok(None),
            (_, Some(bytes)) => bytes.clone(),
            (Some(place), None) => {
                let bytes = self.read_block(segment, place, "census").await?;
                open.census_bytes.get_or_init(|| bytes).clone()
            }
        };
        Census::decode(&bytes).map(Some).ok_or_else(|| self.corrupt(segment, "census"))
    }

    /// Which properties are in the segment's `rest` column. Read once and kept with the footer.
    pub async fn rest(&self, segment: &Segment, open: &OpenSegment) -> Result<Arc<RestIndex>, StorageError> {
        match (&open.rest, open.rest_index.get()) {
            (None, _) => Ok(Arc::default()),
            (_, Some(index)) => Ok(index.clone()),
            (Some(place), None) => {
                let bytes = self.read_block(segment, place, "index of rest").await?;
                let index = RestIndex::decode(&bytes).ok_or_else(|| self.corrupt(segment, "index of rest"))?;
                Ok(open.rest_index.get_or_init(|| Arc::new(index)).clone())
            }
        }
    }

    /// A block behind the last row group.
    async fn read_block(
        &self,
        segment: &Segment,
        place: &FilterPlace,
        what: &'static str,
    ) -> Result<Bytes, StorageError> {
        let corrupt = || self.corrupt(segment, what);
        let end = place.offset.checked_add(place.bytes).filter(|end| *end <= segment.bytes).ok_or_else(corrupt)?;
        match place.bytes {
            0 => Ok(Bytes::new()),
            _ => self.fetch(segment, place.offset..end, Some(place.crc32c), || what.to_owned()).await,
        }
    }

    /// Streams the named columns of the given rows (ascending, disjoint; `None` is all), in file order. Names that the
    /// file does not have are left out: the caller knows what an absent column means.
    pub fn read(
        &self,
        segment: &Segment,
        open: &Arc<OpenSegment>,
        columns: &[&str],
        rows: Option<&[Range<usize>]>,
        batch_rows: usize,
    ) -> Result<BoxStream<'static, Result<RecordBatch, StorageError>>, StorageError> {
        // By position: a name with a dot in it would be taken for a path.
        let wanted: HashSet<&str> = columns.iter().copied().collect();
        let fields = open.metadata.schema().fields().iter().enumerate();
        let roots = fields.filter(|(_, field)| wanted.contains(field.name().as_str())).map(|(place, _)| place);
        let mask = ProjectionMask::roots(open.metadata.parquet_schema(), roots);
        let reader = ChunkReader { files: self.clone(), segment: segment.clone(), open: open.clone() };
        let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, open.metadata.clone())
            .with_projection(mask)
            .with_batch_size(batch_rows);
        if let Some(rows) = rows {
            builder = builder.with_row_selection(selection(rows, segment.rows as usize));
        }
        Ok(builder.build()?.map_err(StorageError::from).boxed())
    }

    /// A whole segment in memory, for comparing rows and rewriting.
    pub async fn read_all(&self, segment: &Segment) -> Result<RecordBatch, StorageError> {
        let open = self.open(segment).await?;
        let names: Vec<&str> = open.metadata.schema().fields().iter().map(|f| f.name().as_str()).collect();
        self.read_batch(segment, &open, &names).await
    }

    /// Rows of each event, counted by a plain reader from the whole file: what queries must agree with.
    pub async fn count_plainly(&self, segment: &Segment) -> Result<BTreeMap<String, u64>, StorageError> {
        let file = self.whole(segment).await?;
        crate::project::run_blocking(move || count_events(file)).await
    }

    /// One row with all its columns. Decodes a page of each.
    pub(crate) async fn read_row(&self, segment: &Segment, row: usize) -> Result<RecordBatch, StorageError> {
        let open = self.open(segment).await?;
        let names: Vec<&str> = open.metadata.schema().fields().iter().map(|f| f.name().as_str()).collect();
        let rows = self.read(segment, &open, &names, Some(&[row..row + 1]), 1)?.try_next().await?;
        let missing = || self.corrupt(segment, &format!("no row {row}"));
        rows.filter(|batch| batch.num_rows() == 1).ok_or_else(missing)
    }

    /// The built-in columns of a whole segment in memory.
    pub async fn read_builtin(&self, segment: &Segment) -> Result<RecordBatch, StorageError> {
        let open = self.open(segment).await?;
        self.read_batch(segment, &open, &Builtin::ALL.map(Builtin::name)).await
    }

    async fn read_batch(
        &self,
        segment: &Segment,
        open: &Arc<OpenSegment>,
        columns: &[&str],
    ) -> Result<RecordBatch, StorageError> {
        let stream = self.read(segment, open, columns, None, segment.rows.max(1) as usize)?;
        let batches: Vec<RecordBatch> = stream.try_collect().await?;
        let schema = batches.first().map(|b| b.schema());
        let schema = schema.ok_or_else(|| self.corrupt(segment, "no rows"))?;
        Ok(arrow::compute::concat_batches(&schema, &batches)?)
    }

    /// A part of a file that queries ask for again: from the caches, or fetched and checked.
    pub(super) async fn part(
        &self,
        segment: &Segment,
        range: Range<u64>,
        crc32c: Option<u32>,
        what: impl Fn() -> String,
    ) -> Result<Bytes, StorageError> {
        let key = (self.location(segment), range.start);
        let mut cached = true;
        let read = async {
            cached = false;
            self.fetch(segment, range, crc32c, what).await
        };
        let part = self.caches.parts.get_or_insert_async(&key, read).await?;
        if cached {
            self.caches.count_memory_hit();
        }
        Ok(part)
    }

    /// What was fetched from the store so far, by whoever shares the caches.
    pub fn fetched_bytes(&self) -> u64 {
        self.caches.fetched_bytes()
    }

    /// A part of a file, never other bytes than were written (S4); `what` names it if it is damaged.
    async fn fetch(
        &self,
        segment: &Segment,
        range: Range<u64>,
        crc32c: Option<u32>,
        what: impl Fn() -> String,
    ) -> Result<Bytes, StorageError> {
        let location = self.location(segment);
        let Some(expected) = crc32c else {
            return self.fetch_from_store(segment, &location, range, |_| true, what).await;
        };
        let length = range.end - range.start;
        if let Some(part) = self.caches.on_disk(&location, range.start, length, expected).await {
            return Ok(part);
        }
        let is_sound = |bytes: &Bytes| crc32c::crc32c(bytes) == expected;
        let start = range.start;
        let part = self.fetch_from_store(segment, &location, range, is_sound, what).await?;
        self.caches.keep_on_disk(&location, start, &part).await;
        Ok(part)
    }

    async fn fetch_from_store(
        &self,
        segment: &Segment,
        location: &Path,
        range: Range<u64>,
        is_sound: impl Fn(&Bytes) -> bool,
        what: impl Fn() -> String,
    ) -> Result<Bytes, StorageError> {
        let length = range.end - range.start;
        let is_sound = |bytes: &Bytes| bytes.len() as u64 == length && is_sound(bytes);
        self.caches.count_miss();
        self.caches.count_fetched(length);
        let mut found = self.store.get_range(location, range.clone()).await;
        let mut tries = 1;
        while tries < TRIES && found.as_ref().is_ok_and(|bytes| !is_sound(bytes)) {
            // Damaged in the store, or on its way: the latter passes.
            tries += 1;
            self.caches.count_fetched(length);
            found = self.store.get_range(location, range.clone()).await;
        }
        let error = match found {
            Ok(bytes) if is_sound(&bytes) => return Ok(bytes),
            Ok(_) => self.corrupt(segment, &format!("checksum mismatch, {}", what())),
            Err(object_store::Error::NotFound { .. }) => self.corrupt(segment, "file missing"),
            // The store refuses a range that is not there.
            Err(_) if self.is_short(segment).await => {
                self.corrupt(segment, &format!("file shorter than it was, {}", what()))
            }
            Err(error) => return Err(error.into()),
        };
        let Some(replica) = &self.caches.replica else { return Err(error) };
        let healed = replica.heal(&self.store, location, segment).await?;
        let (Ok(start), Ok(end)) = (usize::try_from(range.start), usize::try_from(range.end)) else {
            return Err(error);
        };
        match healed.filter(|file| end <= file.len()).map(|file| file.slice(start..end)).filter(is_sound) {
            Some(part) => {
                self.caches.count_healed();
                Ok(part)
            }
            None => Err(error),
        }
    }

    async fn is_short(&self, segment: &Segment) -> bool {
        self.store.head(&self.location(segment)).await.is_ok_and(|object| object.size < segment.bytes)
    }

    pub(super) fn corrupt(&self, segment: &Segment, what: &str) -> StorageError {
        StorageError::corrupt(self.location(segment).as_ref(), what)
    }
}

fn selection(rows: &[Range<usize>], total: usize) -> RowSelection {
    let mut selectors = Vec::with_capacity(rows.len() * 2 + 1);
    let mut at = 0;
    for range in rows {
        selectors.push(RowSelector::skip(range.start.saturating_sub(at)));
        selectors.push(RowSelector::select(range.end - range.start));
        at = range.end;
    }
    selectors.push(RowSelector::skip(total.saturating_sub(at)));
    selectors.retain(|s| s.row_count > 0);
    selectors.into()
}
