//! Finding a resent event among the rows of segments.
//!
//! A segment's keys are read once and kept, sorted, in a cache bounded by bytes. The hash only proposes: a hit is
//! confirmed against the row's fields, so the answer is exact at any distance in time.

use std::sync::Arc;

use arrow::array::RecordBatch;
use footfall_model::Event;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::columns::RowReader;
use crate::error::StorageError;
use crate::keys::row_key;
use crate::segment::{Segment, SegmentFiles};

/// Keys of one segment's rows, sorted, with their rows. Generated insert ids have no key.
pub(crate) struct SegmentKeys {
    hashes: Vec<u64>,
    rows: Vec<u32>,
}

impl SegmentKeys {
    pub fn of(reader: &RowReader, rows: usize) -> Self {
        let mut pairs: Vec<(u64, u32)> =
            (0..rows).filter_map(|row| row_key(reader, row).map(|key| (key as u64, row as u32))).collect();
        pairs.sort_unstable();
        Self { hashes: pairs.iter().map(|p| p.0).collect(), rows: pairs.iter().map(|p| p.1).collect() }
    }

    /// Rows whose key may be this one.
    fn candidates(&self, hash: u64) -> impl Iterator<Item = u32> {
        let from = self.hashes.partition_point(|h| *h < hash);
        self.hashes.iter().zip(&self.rows).skip(from).take_while(move |(h, _)| **h == hash).map(|(_, row)| *row)
    }
}

/// What a segment says about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The same key and the same properties.
    Identical { row: u32 },
    /// The same key, other properties.
    Changed { row: u32 },
}

impl Found {
    pub fn row(self) -> u32 {
        match self {
            Self::Identical { row } | Self::Changed { row } => row,
        }
    }
}

/// Caches of segment keys and, for segments that were hit, of whole rows.
pub struct KeyCache {
    keys: Cache<String, Arc<SegmentKeys>, KeyWeight>,
    rows: Cache<String, Arc<RowReader>>,
}

#[derive(Clone)]
struct KeyWeight;

impl Weighter<String, Arc<SegmentKeys>> for KeyWeight {
    fn weight(&self, path: &String, keys: &Arc<SegmentKeys>) -> u64 {
        (path.len() + keys.hashes.len() * 12 + 64) as u64
    }
}

impl KeyCache {
    pub fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { keys: Cache::with_weighter(16_384, bytes, KeyWeight), rows: Cache::new(16) })
    }

    /// Remembers the keys of a segment that was just written.
    pub(crate) fn remember(&self, location: String, sorted: &RecordBatch) -> Result<(), StorageError> {
        let keys = SegmentKeys::of(&RowReader::try_new(sorted)?, sorted.num_rows());
        self.keys.insert(location, Arc::new(keys));
        Ok(())
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
        let location = files.location(segment).to_string();
        let keys = match self.keys.get(&location) {
            Some(keys) => keys,
            None => {
                let reader = RowReader::try_new(&files.read_builtin(segment).await?)?;
                let keys = Arc::new(SegmentKeys::of(&reader, segment.rows as usize));
                self.keys.insert(location.clone(), keys.clone());
                keys
            }
        };
        for row in keys.candidates(hash) {
            let reader = self.rows(files, segment, &location).await?;
            let at = row as usize;
            let same = reader.event(at) == event.name
                && reader.distinct_id(at) == event.distinct_id
                && reader.time(at) == event.time
                && reader.insert_id(at) == event.insert_id;
            if same {
                let identical = reader.has_properties(at, &event.properties);
                return Ok(Some(if identical { Found::Identical { row } } else { Found::Changed { row } }));
            }
        }
        Ok(None)
    }

    async fn rows(
        &self,
        files: &SegmentFiles,
        segment: &Segment,
        location: &str,
    ) -> Result<Arc<RowReader>, StorageError> {
        if let Some(reader) = self.rows.get(location) {
            return Ok(reader);
        }
        let reader = Arc::new(RowReader::try_new(&files.read_all(segment).await?)?);
        self.rows.insert(location.to_owned(), reader.clone());
        Ok(reader)
    }
}
