//! What is in a Parquet file of ours, for a person who looks at it.

use bytes::Bytes;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::basic::{Compression, Encoding, Type};
use parquet::data_type::ByteArray;
use parquet::file::metadata::{
    ColumnChunkMetaData, KeyValue, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData,
};
use parquet::file::statistics::Statistics;
use serde::Serialize;

use super::filter::FilterPlace;
use super::open::value;
use super::sums::{self, Chunks};
use super::{EventIndex, FORMAT, FORMAT_KEY, SORT_ORDER, file_format};
use crate::StorageError;

/// Bounds that are texts are cut here.
const BOUND_CHARS: usize = 60;

/// All that a file's footer says, and whether the sums in it hold.
#[derive(Debug, Serialize)]
pub struct FileReport {
    /// `segment`, or `parquet` for files of other tables and of other writers.
    pub kind: &'static str,
    /// The version of our form that the file says it has; files of the first version may not say it.
    pub format: Option<u32>,
    /// The newest version that this program knows.
    pub format_known: u32,
    pub created_by: Option<String>,
    pub bytes: u64,
    pub rows: u64,
    /// Of the whole file; a table's entry has it in the tag `footfall.crc32c`.
    pub crc32c: String,
    /// Columns by which rows ascend; none if the file promises nothing.
    pub sort_order: Vec<&'static str>,
    pub row_groups: Vec<GroupReport>,
    /// Event name and its rows, `first..end`.
    pub event_index: Option<Vec<EventRows>>,
    pub key_filter: Option<FilterReport>,
    /// Where the footer's page indexes begin is not said by Parquet in one place; this is the footer alone.
    pub footer_bytes: u64,
    /// Whether every checksum in the file holds; `None` if it has none.
    pub sound: Option<bool>,
    /// Keys of further entries of the footer.
    pub other_entries: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct GroupReport {
    pub rows: u64,
    pub compressed_bytes: u64,
    pub uncompressed_bytes: u64,
    pub columns: Vec<ColumnReport>,
}

#[derive(Debug, Serialize)]
pub struct ColumnReport {
    pub name: String,
    pub r#type: String,
    pub encodings: Vec<String>,
    pub compression: String,
    /// Whether values are written once and referred to.
    pub dictionary: bool,
    pub values: u64,
    pub nulls: Option<u64>,
    pub min: Option<String>,
    pub max: Option<String>,
    pub offset: u64,
    pub compressed_bytes: u64,
    pub uncompressed_bytes: u64,
    pub pages: Option<usize>,
    pub crc32c: Option<String>,
    pub sound: Option<bool>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct EventRows {
    pub event: String,
    pub first: u64,
    pub end: u64,
}

#[derive(Debug, Serialize)]
pub struct FilterReport {
    pub offset: u64,
    pub bytes: u64,
    pub crc32c: String,
    pub sound: bool,
}

/// Describes a whole file. Fails if it is no Parquet file, or one of a newer form.
pub fn inspect(path: &str, file: &Bytes) -> Result<FileReport, StorageError> {
    let corrupt = |what: &str| StorageError::corrupt(path, what);
    let metadata = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    let metadata = metadata.parse_and_finish(file).map_err(|error| corrupt(&format!("footer: {error}")))?;
    let entries = metadata.file_metadata().key_value_metadata();
    let format = file_format(path, entries)?;
    let sums = value(entries, sums::FOOTER_KEY);
    let chunks = Chunks::of(&metadata, sums).ok_or_else(|| corrupt("checksums or places of columns malformed"))?;
    let index = value(entries, EventIndex::FOOTER_KEY).and_then(EventIndex::from_json);
    let row_groups: Vec<GroupReport> =
        (0..metadata.num_row_groups()).map(|group| group_report(file, &metadata, &chunks, group)).collect();
    let key_filter = filter_report(file, entries);
    let sums = row_groups.iter().flat_map(|group| &group.columns).filter_map(|column| column.sound);
    let sums: Vec<bool> = sums.chain(key_filter.as_ref().map(|filter| filter.sound)).collect();
    Ok(FileReport {
        kind: if index.is_some() { "segment" } else { "parquet" },
        format,
        format_known: FORMAT,
        created_by: metadata.file_metadata().created_by().map(str::to_owned),
        bytes: file.len() as u64,
        rows: u64::try_from(metadata.file_metadata().num_rows()).unwrap_or_default(),
        crc32c: format!("{:08x}", crc32c::crc32c(file)),
        sort_order: if index.is_some() { SORT_ORDER.to_vec() } else { Vec::new() },
        row_groups,
        event_index: index.as_ref().map(event_rows),
        key_filter,
        footer_bytes: footer_bytes(file),
        sound: (!sums.is_empty()).then(|| sums.iter().all(|sound| *sound)),
        other_entries: other_entries(entries),
    })
}

fn group_report(file: &Bytes, metadata: &ParquetMetaData, chunks: &Chunks, nth: usize) -> GroupReport {
    let group: &RowGroupMetaData = metadata.row_group(nth);
    let unsigned = |number: i64| u64::try_from(number).unwrap_or_default();
    let types = parquet_to_arrow_schema(metadata.file_metadata().schema_descr(), None).ok();
    let columns = group.columns().iter().enumerate().map(|(column, chunk)| {
        let described = chunks.iter().find(|found| (found.group, found.column) == (nth, column));
        let crc32c = described.and_then(|found| found.crc32c);
        let bytes = described.and_then(|found| {
            file.get(usize::try_from(found.range.start).ok()?..usize::try_from(found.range.end).ok()?)
        });
        let arrow_type =
            types.as_ref().and_then(|schema| schema.fields().get(column)).map(|f| f.data_type().to_string());
        let offsets = metadata.offset_index().and_then(|index| index.get(nth)?.get(column));
        let (min, max) = chunk.statistics().map_or((None, None), bounds);
        ColumnReport {
            name: chunk.column_path().parts().join("."),
            r#type: arrow_type.unwrap_or_else(|| chunk.column_type().to_string()),
            encodings: encodings(chunk),
            compression: compression(chunk.compression()).to_owned(),
            dictionary: chunk.dictionary_page_offset().is_some(),
            values: unsigned(chunk.num_values()),
            nulls: chunk.statistics().and_then(Statistics::null_count_opt),
            min,
            max,
            offset: described.map_or(0, |found| found.range.start),
            compressed_bytes: unsigned(chunk.compressed_size()),
            uncompressed_bytes: unsigned(chunk.uncompressed_size()),
            pages: offsets.map(|index| index.page_locations().len()),
            crc32c: crc32c.map(|crc32c| format!("{crc32c:08x}")),
            sound: crc32c.map(|crc32c| bytes.is_some_and(|bytes| crc32c::crc32c(bytes) == crc32c)),
        }
    });
    GroupReport {
        rows: unsigned(group.num_rows()),
        compressed_bytes: unsigned(group.compressed_size()),
        uncompressed_bytes: unsigned(group.total_byte_size()),
        columns: columns.collect(),
    }
}

fn compression(codec: Compression) -> &'static str {
    match codec {
        Compression::UNCOMPRESSED => "none",
        Compression::SNAPPY => "snappy",
        Compression::GZIP(_) => "gzip",
        Compression::LZO => "lzo",
        Compression::BROTLI(_) => "brotli",
        Compression::LZ4 | Compression::LZ4_RAW => "lz4",
        // The file does not say at which level.
        Compression::ZSTD(_) => "zstd",
    }
}

/// Names as Parquet has them, without those of levels that a flat column does not use.
fn encodings(chunk: &ColumnChunkMetaData) -> Vec<String> {
    let is_of_values = chunk.dictionary_page_offset().is_some() || chunk.column_type() == Type::BOOLEAN;
    let used = chunk.encodings().filter(|encoding| *encoding != Encoding::RLE || is_of_values);
    let mut names: Vec<String> = used.map(|encoding| encoding.to_string()).collect();
    names.sort_unstable();
    names
}

fn bounds(statistics: &Statistics) -> (Option<String>, Option<String>) {
    fn texts<T: ToString>(min: Option<&T>, max: Option<&T>) -> (Option<String>, Option<String>) {
        (min.map(T::to_string), max.map(T::to_string))
    }
    let text = |value: Option<&ByteArray>| value.map(|value| text(value.data()));
    match statistics {
        Statistics::Boolean(s) => texts(s.min_opt(), s.max_opt()),
        Statistics::Int32(s) => texts(s.min_opt(), s.max_opt()),
        Statistics::Int64(s) => texts(s.min_opt(), s.max_opt()),
        Statistics::Float(s) => texts(s.min_opt(), s.max_opt()),
        Statistics::Double(s) => texts(s.min_opt(), s.max_opt()),
        Statistics::ByteArray(s) => (text(s.min_opt()), text(s.max_opt())),
        Statistics::Int96(_) | Statistics::FixedLenByteArray(_) => (None, None),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(BOUND_CHARS).collect()
}

fn event_rows(index: &EventIndex) -> Vec<EventRows> {
    let rows = index.iter().map(|(event, rows)| EventRows {
        event: event.to_owned(),
        first: rows.start as u64,
        end: rows.end as u64,
    });
    rows.collect()
}

fn filter_report(file: &Bytes, entries: Option<&Vec<KeyValue>>) -> Option<FilterReport> {
    let place: FilterPlace = serde_json::from_str(value(entries, FilterPlace::FOOTER_KEY)?).ok()?;
    let end = place.offset.checked_add(place.bytes).and_then(|end| usize::try_from(end).ok());
    let bytes = end.and_then(|end| file.get(usize::try_from(place.offset).ok()?..end));
    Some(FilterReport {
        offset: place.offset,
        bytes: place.bytes,
        crc32c: format!("{:08x}", place.crc32c),
        sound: bytes.is_some_and(|bytes| crc32c::crc32c(bytes) == place.crc32c),
    })
}

fn footer_bytes(file: &Bytes) -> u64 {
    let length = file.len().checked_sub(8).and_then(|at| file.get(at..at + 4)?.try_into().ok());
    length.map_or(0, |length| u64::from(u32::from_le_bytes(length)))
}

fn other_entries(entries: Option<&Vec<KeyValue>>) -> Vec<String> {
    let ours = [FORMAT_KEY, EventIndex::FOOTER_KEY, FilterPlace::FOOTER_KEY, sums::FOOTER_KEY];
    let keys = entries.into_iter().flatten().map(|entry| entry.key.clone());
    keys.filter(|key| !ours.contains(&key.as_str())).collect()
}
