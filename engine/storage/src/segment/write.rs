//! Sorted rows to Parquet bytes. Encodings are chosen by column, not left to defaults: `stack.md` §4 measured the
//! difference at 10 × in speed and 2–8 × in size.

use std::ops::RangeInclusive;

use arrow::array::{ArrayRef, ArrowNumericType, AsArray, PrimitiveArray, RecordBatch, UInt32Array};
use arrow::compute::{max, min, take_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef, TimestampMicrosecondType, TimestampMillisecondType};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::EventIndex;
use super::filter::{FilterPlace, KeyFilter};
use super::order::segment_order;
use crate::census::Census;
use crate::columns::{Builtin, RestIndex};

/// Rows per row group: large enough that a column chunk is one read, small enough to bound decode memory.
const ROW_GROUP_ROWS: usize = 1 << 20;
/// Rows per page: what a read of one event's range may decode in vain at either end. 20,000 cost 1.5–2 × on questions that
/// name events, 1,024 slow full scans (ARCHITECTURE.md, finding d).
const PAGE_ROWS: usize = 1 << 12;
/// Ids repeat in runs; a dictionary that falls back half-way costs more than it saves.
const ID_DICTIONARY_BYTES: usize = 8 << 20;

/// A finished file, not yet stored.
pub struct EncodedSegment {
    pub bytes: bytes::Bytes,
    pub rows: u64,
    pub crc32c: u32,
    /// Milliseconds of the first and last event.
    pub time_min: i64,
    pub time_max: i64,
    /// When the first and last rows arrived, in microseconds.
    pub received: RangeInclusive<i64>,
}

/// Puts rows in segment order: (event, uid, time, received_at), S2.
pub fn sort(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let order = UInt32Array::from(segment_order(batch)?);
    take_record_batch(batch, &order)
}

/// Encodes rows that [`sort`] has ordered. The batch must not be empty. `hashes`: of the rows' keys, ascending.
pub fn encode(sorted: &RecordBatch, hashes: &[u64]) -> Result<EncodedSegment, ParquetError> {
    let mut writer = SegmentWriter::new(sorted.schema())?;
    writer.write(sorted)?;
    writer.finish(hashes)
}

/// A file in the making: batches of one schema that follow each other in segment order (S2).
pub(crate) struct SegmentWriter {
    writer: ArrowWriter<Vec<u8>>,
    index: EventIndex,
    rows: u64,
    time: Option<(i64, i64)>,
    received: Option<(i64, i64)>,
    census: Census,
    rest: RestIndex,
}

impl SegmentWriter {
    pub fn new(schema: SchemaRef) -> Result<Self, ParquetError> {
        let properties = writer_properties(&schema)?;
        let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))?;
        Ok(Self {
            writer,
            index: EventIndex::default(),
            rows: 0,
            time: None,
            received: None,
            census: Census::default(),
            rest: RestIndex::default(),
        })
    }

    pub fn write(&mut self, sorted: &RecordBatch) -> Result<(), ParquetError> {
        self.index.append_sorted(&column(sorted, Builtin::Event)?);
        let times = column(sorted, Builtin::Time)?;
        self.time = wider(self.time, times.as_primitive::<TimestampMillisecondType>());
        let received = column(sorted, Builtin::ReceivedAt)?;
        self.received = wider(self.received, received.as_primitive::<TimestampMicrosecondType>());
        self.rows += sorted.num_rows() as u64;
        self.census.add(Census::of(sorted, |_| true)?);
        self.rest.add(RestIndex::of(sorted)?);
        self.writer.write(sorted)
    }

    /// Ends the file. `hashes`: of all rows' keys, ascending.
    pub fn finish(self, hashes: &[u64]) -> Result<EncodedSegment, ParquetError> {
        let Self { mut writer, index, rows, time, received, census, rest } = self;
        writer.append_key_value_metadata(KeyValue::new(EventIndex::FOOTER_KEY.to_owned(), index.to_json()));
        // What comes now lies behind the last row group.
        writer.flush()?;
        if let Some(filter) = KeyFilter::encode(hashes) {
            append_block(&mut writer, FilterPlace::FOOTER_KEY, &filter)?;
        }
        append_block(&mut writer, Census::FOOTER_KEY, &census.encode())?;
        if !rest.is_empty() {
            append_block(&mut writer, RestIndex::FOOTER_KEY, &rest.encode())?;
        }
        let file = writer.into_inner()?;
        let (time_min, time_max) = time.unwrap_or_default();
        let (first, last) = received.unwrap_or_default();
        Ok(EncodedSegment {
            rows,
            crc32c: crc32c::crc32c(&file),
            bytes: file.into(),
            time_min,
            time_max,
            received: first..=last,
        })
    }
}

/// The bounds of what was seen so far and of these values.
fn wider<T: ArrowNumericType<Native = i64>>(
    seen: Option<(i64, i64)>,
    values: &PrimitiveArray<T>,
) -> Option<(i64, i64)> {
    let Some((low, high)) = min(values).zip(max(values)) else { return seen };
    Some(seen.map_or((low, high), |(lowest, highest)| (lowest.min(low), highest.max(high))))
}

/// Writes bytes behind the last row group, and their place into the footer.
fn append_block(writer: &mut ArrowWriter<Vec<u8>>, key: &str, block: &[u8]) -> Result<(), ParquetError> {
    let place =
        FilterPlace { offset: writer.bytes_written() as u64, bytes: block.len() as u64, crc32c: crc32c::crc32c(block) };
    writer.write_all(block)?;
    let place = serde_json::to_string(&place).map_err(|e| ParquetError::External(Box::new(e)))?;
    writer.append_key_value_metadata(KeyValue::new(key.to_owned(), place));
    Ok(())
}

pub(super) fn column(batch: &RecordBatch, builtin: Builtin) -> Result<ArrayRef, ArrowError> {
    batch
        .column_by_name(builtin.name())
        .cloned()
        .ok_or_else(|| ArrowError::SchemaError(format!("column missing, column={}", builtin.name())))
}

fn writer_properties(schema: &Schema) -> Result<WriterProperties, ParquetError> {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1)?);
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_created_by("footfall".to_owned())
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(4096)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_compression(zstd);
    for field in schema.fields() {
        let path = ColumnPath::from(field.name().as_str());
        builder = match (field.name().as_str(), field.data_type()) {
            ("uid" | "time" | "received_at", _) => delta(builder, path),
            ("event", _) => builder.set_column_compression(path, Compression::UNCOMPRESSED),
            ("insert_id", _) => builder.set_column_dictionary_enabled(path, false),
            ("distinct_id" | "user_id", _) => builder.set_column_dictionary_page_size_limit(path, ID_DICTIONARY_BYTES),
            // Low-cardinality integers and strings stay in the dictionary; the rest falls back to this.
            (_, DataType::Int64) => builder.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
            (_, DataType::Utf8) => builder.set_column_encoding(path, Encoding::DELTA_LENGTH_BYTE_ARRAY),
            _ => builder,
        };
    }
    Ok(builder.build())
}

/// Small differences between neighbours: packed deltas without compression decode at memory speed.
fn delta(builder: WriterPropertiesBuilder, path: ColumnPath) -> WriterPropertiesBuilder {
    builder
        .set_column_dictionary_enabled(path.clone(), false)
        .set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED)
        .set_column_compression(path, Compression::UNCOMPRESSED)
}
