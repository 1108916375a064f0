//! Finding a resent event among the rows of segments.
//!
//! Three questions, each asked only if the one before says maybe, so that history can be imported, and new events can
//! arrive late, beside segments whose keys are never read:
//!
//! 1. the segment's filter, about 9 bits a key: 255 of 256 strangers end here;
//! 2. the times of its rows of that event name: of the strangers that are left most end here;
//! 3. the keys of all its rows, sorted, 12 bytes a row: these only propose, for they are hashes. A hit is confirmed
//!    against the row's fields, so the answer is exact at any distance in time.
//!
//! Filters and keys are read once and kept in caches bounded by bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMillisecondType;
use footfall_model::{Event, Value};
use futures::TryStreamExt;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::columns::{Builtin, RowReader};
use crate::error::StorageError;
use crate::keys::row_key;
use crate::segment::{KeyFilter, Segment, SegmentFiles};

/// Rows read at a time when only their times are looked at.
const TIME_BATCH_ROWS: usize = 8_192;

/// Rows of a segment that are read one by one before it is read whole: a page of each column is about a tenth of one.
const SINGLE_ROWS_MAX: u32 = 16;
/// Segments of which all rows are held.
const SEGMENTS_WHOLE_MAX: usize = 16;

/// Keys of one segment's rows, sorted, with their rows. Generated insert ids have no key.
pub(crate) struct SegmentKeys {
    hashes: Vec<u64>,
    rows: Vec<u32>,
}

/// Keys of a segment in the making, whose rows come a batch at a time.
#[derive(Default)]
pub(crate) struct KeyCollector {
    pairs: Vec<(u64, u32)>,
    rows: u32,
}

impl KeyCollector {
    pub fn add(&mut self, rows: &RecordBatch) -> Result<(), StorageError> {
        let reader = RowReader::try_new(rows)?;
        let hash = |row: usize| row_key(&reader, row).map(|key| (key as u64, self.rows + row as u32));
        self.pairs.extend((0..rows.num_rows()).filter_map(hash));
        self.rows += rows.num_rows() as u32;
        Ok(())
    }

    pub fn finish(mut self) -> SegmentKeys {
        self.pairs.sort_unstable();
        SegmentKeys { hashes: self.pairs.iter().map(|p| p.0).collect(), rows: self.pairs.iter().map(|p| p.1).collect() }
    }
}

impl SegmentKeys {
    pub fn of_rows(rows: &RecordBatch) -> Result<Self, StorageError> {
        let mut keys = KeyCollector::default();
        keys.add(rows)?;
        Ok(keys.finish())
    }

    /// The keys' lower halves, ascending.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Rows whose key may be this one.
    fn candidates(&self, hash: u64) -> impl Iterator<Item = u32> {
        let from = self.hashes.partition_point(|h| *h < hash);
        self.hashes.iter().zip(&self.rows).skip(from).take_while(move |(h, _)| **h == hash).map(|(_, row)| *row)
    }
}

/// A segment's row that has an event's key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub row: u32,
    /// When it arrived, in microseconds since the epoch.
    pub received_at: i64,
    /// Its properties, if they are not the event's.
    pub changed_from: Option<Vec<(String, Value)>>,
}

/// Caches of segments' filters and keys and, for segments that were hit, of whole rows. By the segments' paths, which
/// are unique for ever (S3).
pub struct KeyCache {
    filters: Cache<String, Option<Arc<KeyFilter>>, Weight>,
    keys: Cache<String, Arc<SegmentKeys>, Weight>,
    rows: Cache<String, Arc<RowReader>>,
    /// How many single rows have been read of a segment.
    hits: Cache<String, Arc<AtomicU32>>,
}

#[derive(Clone)]
struct Weight;

impl Weighter<String, Arc<SegmentKeys>> for Weight {
    fn weight(&self, path: &String, keys: &Arc<SegmentKeys>) -> u64 {
        (path.len() + keys.hashes.len() * 12 + 64) as u64
    }
}

impl Weighter<String, Option<Arc<KeyFilter>>> for Weight {
    fn weight(&self, path: &String, filter: &Option<Arc<KeyFilter>>) -> u64 {
        (path.len() + filter.as_ref().map_or(0, |filter| filter.bytes()) + 64) as u64
    }
}

impl KeyCache {
    /// `bytes` bounds filters and keys together; filters get half, which is room for ten times as many rows.
    pub fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            filters: Cache::with_weighter(16_384, bytes / 2, Weight),
            keys: Cache::with_weighter(16_384, bytes / 2, Weight),
            rows: Cache::new(SEGMENTS_WHOLE_MAX),
            hits: Cache::new(16_384),
        })
    }

    /// Remembers the keys of a segment that was just written.
    pub(crate) fn remember(&self, segment: &Segment, keys: SegmentKeys) {
        self.keys.insert(segment.path.clone(), Arc::new(keys));
    }

    /// Looks an event up in one segment. Two rows of one key in a segment cannot be: the later one superseded the
    /// earlier before the segment was written.
    pub(crate) async fn find(
        &self,
        files: &SegmentFiles,
        segment: &Segment,
        hash: u64,
        event: &Event,
    ) -> Result<Option<Found>, StorageError> {
        let keys = match self.keys.get(segment.path.as_str()) {
            Some(keys) => keys,
            None if !self.may_hold(files, segment, hash, event).await? => return Ok(None),
            None => {
                let keys = Arc::new(SegmentKeys::of_rows(&files.read_builtin(segment).await?)?);
                self.keys.insert(segment.path.clone(), keys.clone());
                keys
            }
        };
        for row in keys.candidates(hash) {
            let (reader, at) = self.row(files, segment, row as usize).await?;
            let same = reader.event(at) == event.name
                && reader.distinct_id(at) == event.distinct_id
                && reader.time(at) == event.time
                && reader.insert_id(at) == event.insert_id;
            if same {
                let changed_from = (!reader.has_properties(at, &event.properties)).then(|| reader.owned_properties(at));
                return Ok(Some(Found { row, received_at: reader.received_at(at), changed_from }));
            }
        }
        Ok(None)
    }

    /// What can be said without the keys.
    async fn may_hold(
        &self,
        files: &SegmentFiles,
        segment: &Segment,
        hash: u64,
        event: &Event,
    ) -> Result<bool, StorageError> {
        let filter = match self.filters.get(segment.path.as_str()) {
            Some(filter) => filter,
            None => {
                let filter = files.read_filter(segment).await?.map(Arc::new);
                self.filters.insert(segment.path.clone(), filter.clone());
                filter
            }
        };
        match filter {
            Some(filter) => Ok(filter.may_hold(hash) && has_time(files, segment, event).await?),
            // Written before there were filters: its keys tell all strangers apart at once, times one by one.
            None => Ok(true),
        }
    }

    /// A row and its place in what was read: by itself for the first hits of a segment, which may be the only ones, then
    /// out of the whole segment, for somebody seems to send it again.
    async fn row(
        &self,
        files: &SegmentFiles,
        segment: &Segment,
        row: usize,
    ) -> Result<(Arc<RowReader>, usize), StorageError> {
        let path = segment.path.as_str();
        if let Some(reader) = self.rows.get(path) {
            return Ok((reader, row));
        }
        let hits = match self.hits.get(path) {
            Some(hits) => hits,
            None => {
                let hits = Arc::new(AtomicU32::new(0));
                self.hits.insert(path.to_owned(), hits.clone());
                hits
            }
        };
        if hits.fetch_add(1, Ordering::Relaxed) < SINGLE_ROWS_MAX {
            return Ok((Arc::new(RowReader::try_new(&files.read_row(segment, row).await?)?), 0));
        }
        hits.store(0, Ordering::Relaxed);
        let reader = Arc::new(RowReader::try_new(&files.read_all(segment).await?)?);
        self.rows.insert(path.to_owned(), reader.clone());
        Ok((reader, row))
    }
}

/// Whether a row of the event's name has the event's time.
async fn has_time(files: &SegmentFiles, segment: &Segment, event: &Event) -> Result<bool, StorageError> {
    let open = files.open(segment).await?;
    let Some(rows) = open.index.rows(&event.name) else { return Ok(false) };
    let mut batches = files.read(segment, &open, &[Builtin::Time.name()], Some(&[rows]), TIME_BATCH_ROWS)?;
    while let Some(batch) = batches.try_next().await? {
        let times =
            batch.column_by_name(Builtin::Time.name()).and_then(|c| c.as_primitive_opt::<TimestampMillisecondType>());
        // A column of another type has not been written by us: the keys decide.
        if times.is_none_or(|times| times.values().contains(&event.time)) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
