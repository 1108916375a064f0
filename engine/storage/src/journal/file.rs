//! One file of a journal: Parquet bytes, and what its table entry says of them.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use bytes::Bytes;
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::JournalRow;
use crate::compaction::Pace;
use crate::compaction::concat::concat;
use crate::error::StorageError;
use crate::sealed;
use crate::segment::{CHECKSUM_TAG, checksum_tag, file_format, format_entry};
use crate::sound::read_sound;
use crate::table::{AddFile, ColumnStats, FileEntry};

/// Rows turned into columns at a time, and rows that a reader is given at a time.
const BATCH_ROWS: usize = 8_192;

/// Tags of a table entry: the first and last value of the order column.
const FIRST_TAG: &str = "footfall.first";
const LAST_TAG: &str = "footfall.last";

/// A listed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalFile {
    pub path: String,
    /// The range of the order column, inclusive (J2).
    pub first: i64,
    pub last: i64,
    pub crc32c: u32,
}

impl JournalFile {
    pub fn of(entry: &FileEntry) -> Result<Self, StorageError> {
        let number = |tag: &str| entry.tags.get(tag).and_then(|text| text.parse().ok());
        let checksum = entry.tags.get(CHECKSUM_TAG).and_then(|text| u32::from_str_radix(text, 16).ok());
        match (number(FIRST_TAG), number(LAST_TAG), checksum) {
            (Some(first), Some(last), Some(crc32c)) => Ok(Self { path: entry.path.clone(), first, last, crc32c }),
            _ => Err(corrupt(&entry.path, "range or checksum missing or malformed")),
        }
    }

    /// The file's bytes, in the store of the table at `root`, as they were written.
    pub async fn read(&self, store: &dyn ObjectStore, root: &Path) -> Result<Bytes, StorageError> {
        let location = location(root, &self.path);
        let check = |bytes: Bytes| match crc32c::crc32c(&bytes) == self.crc32c {
            true => Ok(bytes),
            false => Err(corrupt(location.as_ref(), "checksum mismatch")),
        };
        let found = read_sound(|| sealed::get(store, &location), check).await?;
        found.ok_or_else(|| corrupt(location.as_ref(), "file missing"))
    }

    /// The rows of [`Self::read`], a batch at a time.
    pub fn decode(
        &self,
        bytes: Bytes,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, StorageError>> + Send + use<>, StorageError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
        file_format(&self.path, builder.metadata().file_metadata().key_value_metadata())?;
        let reader = builder.with_batch_size(BATCH_ROWS).build()?;
        Ok(reader.map(|batch| batch.map_err(StorageError::from)))
    }
}

/// A finished file, not yet stored.
pub(super) struct EncodedFile {
    pub bytes: Bytes,
    pub add: AddFile,
}

/// The file of `rows`, which are ascending by their order column (J1) and at least one.
pub(super) fn encode<R: JournalRow>(rows: &[R]) -> Result<EncodedFile, StorageError> {
    let batches = rows.chunks(BATCH_ROWS).map(|rows| Ok(R::to_batch(rows.iter())?));
    let (bytes, count) = concat(R::schema(), Some(properties()?), batches, &mut Pace::unbounded())?;
    let (first, last) = (rows.first().map_or(0, R::order), rows.last().map_or(0, R::order));
    Ok(encoded::<R>(bytes, count, first, last))
}

/// One file of the rows of neighbours, in their order.
pub(super) fn merge<R: JournalRow>(
    files: Vec<(JournalFile, Bytes)>,
    pace: &mut Pace,
) -> Result<EncodedFile, StorageError> {
    let ranges: Vec<(i64, i64)> = files.iter().map(|(file, _)| (file.first, file.last)).collect();
    let is_ordered = ranges.windows(2).all(|two| matches!(two, [before, after] if before.1 < after.0));
    let (Some((first, _)), Some((_, last)), true) = (ranges.first(), ranges.last(), is_ordered) else {
        let path = files.first().map_or("", |(file, _)| file.path.as_str());
        return Err(corrupt(path, "ranges of a journal's files overlap"));
    };
    let mut batches = Vec::with_capacity(files.len());
    for (file, bytes) in files {
        batches.push(file.decode(bytes)?);
    }
    let (bytes, rows) = concat(R::schema(), Some(properties()?), batches.into_iter().flatten(), pace)?;
    Ok(encoded::<R>(bytes, rows, *first, *last))
}

fn properties() -> Result<WriterProperties, StorageError> {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1)?);
    Ok(WriterProperties::builder()
        .set_created_by("footfall".to_owned())
        .set_compression(zstd)
        .set_key_value_metadata(Some(vec![format_entry()]))
        .build())
}

/// `first` and `last` are those of the order column.
fn encoded<R: JournalRow>(bytes: Bytes, rows: u64, first: i64, last: i64) -> EncodedFile {
    // Statistics have milliseconds: bounds must not cut off the microseconds of the last row.
    let (min, max) = (first.div_euclid(1_000), last.div_euclid(1_000).saturating_add(1));
    let add = AddFile {
        path: format!("{}.parquet", uuid::Uuid::now_v7()),
        partition_values: Vec::new(),
        bytes: bytes.len() as u64,
        rows,
        tags: BTreeMap::from([
            (CHECKSUM_TAG.to_owned(), checksum_tag(crc32c::crc32c(&bytes))),
            (FIRST_TAG.to_owned(), first.to_string()),
            (LAST_TAG.to_owned(), last.to_string()),
        ]),
        stats: vec![ColumnStats::timestamp_millis(R::ORDER, min, max, 0)],
    };
    EncodedFile { bytes, add }
}

/// Where a file of the table at `root` is.
pub(super) fn location(root: &Path, path: &str) -> Path {
    Path::from(format!("{root}/{path}"))
}

/// A microsecond column's values. `None` if there is no such column.
pub(super) fn micros<'a>(batch: &'a RecordBatch, column: &str) -> Option<&'a [i64]> {
    let values = batch.column_by_name(column)?.as_primitive_opt::<TimestampMicrosecondType>()?;
    (values.null_count() == 0).then(|| values.values().as_ref())
}

fn corrupt(path: &str, what: &str) -> StorageError {
    StorageError::CorruptSegment { path: path.to_owned(), what: what.to_owned() }
}
