//! What a segment's tail says: where its columns, events and keys are, and by which sums they are checked.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::filter::FilterPlace;
use super::sums::{self, Chunk, Chunks};
use super::{EventIndex, Segment, file_format};
use crate::StorageError;
use crate::census::Census;
use crate::columns::{Catalog, RestIndex};

/// A segment whose footer has been read.
pub struct OpenSegment {
    pub metadata: ArrowReaderMetadata,
    pub index: EventIndex,
    /// The property columns that occur in this file.
    pub catalog: Catalog,
    pub chunks: Chunks,
    /// Where it says which properties are in its `rest` column; nowhere if it has none.
    pub(super) rest: Option<FilterPlace>,
    pub(super) rest_index: OnceLock<Arc<RestIndex>>,
    /// Files written before there were filters have none.
    pub filter: Option<FilterPlace>,
    /// Files written before there were censuses have none.
    pub(super) census: Option<FilterPlace>,
    pub(super) census_bytes: OnceLock<Bytes>,
}

impl OpenSegment {
    /// The name of a chunk's column.
    pub fn column_of(&self, chunk: &Chunk) -> &str {
        let columns = self.metadata.metadata().row_groups().get(chunk.group).map(|group| group.columns());
        let path = columns.and_then(|columns| columns.get(chunk.column)).map(|column| column.column_path().parts());
        path.and_then(|parts| parts.first()).map_or("", String::as_str)
    }

    /// Memory it takes, about.
    pub(super) fn bytes(&self) -> usize {
        // The names are in the metadata, in the schema and in the catalog.
        2 * self.metadata.metadata().memory_size()
    }
}

/// What a look at a file's end can come to.
pub(super) enum Opened {
    Open(Box<OpenSegment>),
    /// So many bytes of the end are needed.
    Short(u64),
}

/// Reads the footer in `tail`, the last bytes of the segment's file.
pub(super) fn open(segment: &Segment, tail: &Bytes) -> Result<Opened, StorageError> {
    let corrupt = |what: &str| StorageError::corrupt(&segment.path, what);
    let metadata = match parse(tail, segment.bytes) {
        Ok(metadata) => metadata,
        Err(ParquetError::NeedMoreData(bytes)) => return Ok(Opened::Short(bytes as u64)),
        Err(error) => return Err(corrupt(&format!("footer: {error}"))),
    };
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), options)?;
    let file = metadata.metadata().file_metadata();
    file_format(&segment.path, file.key_value_metadata())?;
    let index = value(file.key_value_metadata(), EventIndex::FOOTER_KEY)
        .and_then(EventIndex::from_json)
        .ok_or_else(|| corrupt("event index missing or malformed"))?;
    let place = |key: &str, what: &str| {
        FilterPlace::of(file.key_value_metadata(), key).map_err(|_| corrupt(&format!("place of the {what} malformed")))
    };
    let filter = place(FilterPlace::FOOTER_KEY, "key filter")?;
    let census = place(Census::FOOTER_KEY, "census")?;
    let rest = place(RestIndex::FOOTER_KEY, "index of rest")?;
    let sums = value(file.key_value_metadata(), sums::FOOTER_KEY);
    let chunks = Chunks::of(metadata.metadata(), sums).ok_or_else(|| corrupt("checksums of columns malformed"))?;
    if index.total() != segment.rows || file.num_rows() as u64 != segment.rows {
        return Err(corrupt("row count differs from the table's"));
    }
    let catalog = Catalog::from_schema(metadata.schema());
    Ok(Opened::Open(Box::new(OpenSegment {
        metadata,
        index,
        catalog,
        chunks,
        rest,
        rest_index: OnceLock::new(),
        filter,
        census,
        census_bytes: OnceLock::new(),
    })))
}

fn parse(tail: &Bytes, file_bytes: u64) -> Result<ParquetMetaData, ParquetError> {
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    reader.try_parse_sized(tail, file_bytes)?;
    reader.finish()
}

/// An entry of the footer by its key.
pub(super) fn value<'a>(entries: Option<&'a Vec<KeyValue>>, key: &str) -> Option<&'a str> {
    entries?.iter().find(|entry| entry.key == key)?.value.as_deref()
}
