//! Opening and reading segment files, through bounded caches of footers and column chunks.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::filter::FilterPlace;
use super::{EventIndex, KeyFilter, Segment};
use crate::StorageError;
use crate::census::Census;
use crate::columns::{Builtin, Catalog, RestIndex};

/// How much of a file's end is read in the hope that it holds the whole footer.
const FOOTER_GUESS_BYTES: u64 = 64 << 10;

/// A segment whose footer has been read.
pub struct OpenSegment {
    pub metadata: ArrowReaderMetadata,
    pub index: EventIndex,
    /// The property columns that occur in this file.
    pub catalog: Catalog,
    /// Where it says which properties are in its `rest` column; nowhere if it has none.
    rest: Option<FilterPlace>,
    rest_index: OnceLock<Arc<RestIndex>>,
    /// Files written before there were filters have none.
    filter: Option<FilterPlace>,
    /// Files written before there were censuses have none.
    census: Option<FilterPlace>,
    census_bytes: OnceLock<Bytes>,
}

impl OpenSegment {
    /// Whether the file has a column of this name.
    pub fn has_column(&self, name: &str) -> bool {
        self.metadata.schema().field_with_name(name).is_ok()
    }
}

/// The segment files of one table, and what has been read of them.
#[derive(Clone)]
pub struct SegmentFiles {
    store: Arc<dyn ObjectStore>,
    root: Path,
    caches: Arc<SegmentCaches>,
}

/// Shared by all tables of a process; bounded by bytes.
pub struct SegmentCaches {
    footers: Cache<Path, Arc<OpenSegment>>,
    chunks: Cache<(Path, u64), Bytes, ChunkWeight>,
    fetched_bytes: AtomicU64,
}

impl SegmentCaches {
    /// `chunk_bytes` bounds the column chunks kept; footers are bounded by number.
    pub fn new(chunk_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            footers: Cache::new(16_384),
            chunks: Cache::with_weighter(65_536, chunk_bytes, ChunkWeight),
            fetched_bytes: AtomicU64::new(0),
        })
    }

    /// Bytes asked of the object store since the start; what caches answered is not counted.
    pub fn fetched_bytes(&self) -> u64 {
        self.fetched_bytes.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct ChunkWeight;

impl Weighter<(Path, u64), Bytes> for ChunkWeight {
    fn weight(&self, _: &(Path, u64), chunk: &Bytes) -> u64 {
        chunk.len() as u64 + 64
    }
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
        Ok(self.fetch(&self.location(segment), 0..segment.bytes).await?)
    }

    /// Reads the footer, or finds it in the cache.
    pub async fn open(&self, segment: &Segment) -> Result<Arc<OpenSegment>, StorageError> {
        let location = self.location(segment);
        if let Some(open) = self.caches.footers.get(&location) {
            return Ok(open);
        }
        let mut reader = self.reader(segment);
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load_async(&mut reader, options).await?;
        let corrupt = |what: &str| StorageError::CorruptSegment { path: segment.path.clone(), what: what.to_owned() };
        let footer = metadata.metadata().file_metadata().key_value_metadata();
        let value = |key: &str| footer.into_iter().flatten().find(|entry| entry.key == key)?.value.as_deref();
        let index = value(EventIndex::FOOTER_KEY)
            .and_then(EventIndex::from_json)
            .ok_or_else(|| corrupt("event index missing or malformed"))?;
        let filter = value(FilterPlace::FOOTER_KEY).map(serde_json::from_str).transpose();
        let filter = filter.map_err(|_| corrupt("place of the key filter malformed"))?;
        let census = value(Census::FOOTER_KEY).map(serde_json::from_str).transpose();
        let census = census.map_err(|_| corrupt("place of the census malformed"))?;
        let rest = value(RestIndex::FOOTER_KEY).map(serde_json::from_str).transpose();
        let rest = rest.map_err(|_| corrupt("place of the index of rest malformed"))?;
        if index.total() != segment.rows || metadata.metadata().file_metadata().num_rows() as u64 != segment.rows {
            return Err(corrupt("row count differs from the table's"));
        }
        let catalog = Catalog::from_schema(metadata.schema());
        let open = Arc::new(OpenSegment {
            metadata,
            index,
            catalog,
            rest,
            rest_index: OnceLock::new(),
            filter,
            census,
            census_bytes: OnceLock::new(),
        });
        self.caches.footers.insert(location, open.clone());
        Ok(open)
    }

    /// Reads the filter of the segment's keys; `None` if the file has none.
    pub(crate) async fn read_filter(&self, segment: &Segment) -> Result<Option<KeyFilter>, StorageError> {
        let open = self.open(segment).await?;
        let Some(place) = &open.filter else { return Ok(None) };
        let bytes = self.read_block(segment, place, "key filter").await?;
        KeyFilter::decode(bytes).map(Some).ok_or_else(|| corrupt_block(segment, "key filter"))
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
        Census::decode(&bytes).map(Some).ok_or_else(|| corrupt_block(segment, "census"))
    }

    /// Which properties are in the segment's `rest` column. Read once and kept with the footer.
    pub async fn rest(&self, segment: &Segment, open: &OpenSegment) -> Result<Arc<RestIndex>, StorageError> {
        match (&open.rest, open.rest_index.get()) {
            (None, _) => Ok(Arc::default()),
            (_, Some(index)) => Ok(index.clone()),
            (Some(place), None) => {
                let bytes = self.read_block(segment, place, "index of rest").await?;
                let index = RestIndex::decode(&bytes).ok_or_else(|| corrupt_block(segment, "index of rest"))?;
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
        let corrupt = || corrupt_block(segment, what);
        let end = place.offset.checked_add(place.bytes).filter(|end| *end <= segment.bytes).ok_or_else(corrupt)?;
        let bytes = match place.bytes {
            0 => Bytes::new(),
            _ => self.fetch(&self.location(segment), place.offset..end).await?,
        };
        if crc32c::crc32c(&bytes) != place.crc32c {
            return Err(corrupt());
        }
        Ok(bytes)
    }

    /// Streams the named columns of the given rows (ascending, disjoint; `None` is all), in file order. Names that the
    /// file does not have are left out: the caller knows what an absent column means.
    pub fn read(
        &self,
        segment: &Segment,
        open: &OpenSegment,
        columns: &[&str],
        rows: Option<&[Range<usize>]>,
        batch_rows: usize,
    ) -> Result<BoxStream<'static, Result<RecordBatch, StorageError>>, StorageError> {
        // By position: a name with a dot in it would be taken for a path.
        let schema = open.metadata.schema();
        let roots = columns.iter().filter_map(|name| schema.index_of(name).ok());
        let mask = ProjectionMask::roots(open.metadata.parquet_schema(), roots);
        let mut builder =
            ParquetRecordBatchStreamBuilder::new_with_metadata(self.reader(segment), open.metadata.clone())
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

    /// One row with all its columns. Decodes a page of each.
    pub(crate) async fn read_row(&self, segment: &Segment, row: usize) -> Result<RecordBatch, StorageError> {
        let open = self.open(segment).await?;
        let names: Vec<&str> = open.metadata.schema().fields().iter().map(|f| f.name().as_str()).collect();
        let rows = self.read(segment, &open, &names, Some(&[row..row + 1]), 1)?.try_next().await?;
        let missing = || StorageError::CorruptSegment { path: segment.path.clone(), what: format!("no row {row}") };
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
        open: &OpenSegment,
        columns: &[&str],
    ) -> Result<RecordBatch, StorageError> {
        let stream = self.read(segment, open, columns, None, segment.rows.max(1) as usize)?;
        let batches: Vec<RecordBatch> = stream.try_collect().await?;
        let schema = batches.first().map(|b| b.schema());
        let schema = schema
            .ok_or_else(|| StorageError::CorruptSegment { path: segment.path.clone(), what: "no rows".to_owned() })?;
        Ok(arrow::compute::concat_batches(&schema, &batches)?)
    }

    fn reader(&self, segment: &Segment) -> ChunkReader {
        ChunkReader { files: self.clone(), location: self.location(segment), bytes: segment.bytes, metadata: None }
    }

    /// What was fetched from the store so far, by whoever shares the caches.
    pub fn fetched_bytes(&self) -> u64 {
        self.caches.fetched_bytes()
    }

    async fn fetch(&self, location: &Path, range: Range<u64>) -> Result<Bytes, object_store::Error> {
        self.caches.fetched_bytes.fetch_add(range.end - range.start, Ordering::Relaxed);
        self.store.get_range(location, range).await
    }
}

fn corrupt_block(segment: &Segment, what: &str) -> StorageError {
    StorageError::CorruptSegment { path: segment.path.clone(), what: what.to_owned() }
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

/// Answers parquet's reads from whole column chunks, which are fetched once and cached: queries ask for the same
/// columns again and again, and for ever other row ranges of them.
struct ChunkReader {
    files: SegmentFiles,
    location: Path,
    bytes: u64,
    metadata: Option<Arc<ParquetMetaData>>,
}

impl ChunkReader {
    /// The column chunk that holds a range, if one does.
    fn chunk_of(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let open = self.files.caches.footers.get(&self.location);
        let metadata = self.metadata.clone().or_else(|| open.map(|o| o.metadata.metadata().clone()))?;
        metadata.row_groups().iter().flat_map(|group| group.columns()).find_map(|column| {
            let (start, length) = column.byte_range();
            (start <= range.start && range.end <= start + length).then_some(start..start + length)
        })
    }

    async fn get(&self, range: Range<u64>) -> Result<Bytes, ParquetError> {
        let external = |e: object_store::Error| ParquetError::External(Box::new(e));
        let Some(chunk) = self.chunk_of(&range) else {
            return self.files.fetch(&self.location, range).await.map_err(external);
        };
        let key = (self.location.clone(), chunk.start);
        let whole = match self.files.caches.chunks.get(&key) {
            Some(whole) => whole,
            None => {
                let fetched = self.files.fetch(&self.location, chunk.clone()).await.map_err(external)?;
                self.files.caches.chunks.insert(key, fetched.clone());
                fetched
            }
        };
        let (from, to) = ((range.start - chunk.start) as usize, (range.end - chunk.start) as usize);
        if to > whole.len() {
            return Err(ParquetError::EOF(format!("short read, file={}, bytes={}", self.location, whole.len())));
        }
        Ok(whole.slice(from..to))
    }
}

impl AsyncFileReader for ChunkReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move { self.get(range).await }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move { futures::future::try_join_all(ranges.into_iter().map(|range| self.get(range))).await }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let policy = options.map_or(PageIndexPolicy::Optional, |o| o.offset_index_policy());
            let bytes = self.bytes;
            let reader = ParquetMetaDataReader::new()
                .with_page_index_policy(policy)
                .with_prefetch_hint(Some(FOOTER_GUESS_BYTES.min(bytes) as usize));
            let metadata = Arc::new(reader.load_and_finish(&mut *self, bytes).await?);
            self.metadata = Some(metadata.clone());
            Ok(metadata)
        }
        .boxed()
    }
}
