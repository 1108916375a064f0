//! Sorted rows to Parquet bytes. Encodings are chosen by column, not left to defaults: `stack.md` §4 measured the
//! difference at 10 × in speed and 2–8 × in size.

use std::ops::RangeInclusive;

use arrow::array::{Array, ArrayRef, ArrowNumericType, AsArray, PrimitiveArray, RecordBatch, UInt32Array};
use arrow::compute::{max, min, take_record_batch};
use arrow::datatypes::{
    DataType, Float64Type, Int64Type, SchemaRef, TimestampMicrosecondType, TimestampMillisecondType,
};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::ColumnPath;
use xxhash_rust::xxh3::xxh3_64;

use super::filter::{FilterPlace, KeyFilter};
use super::order::segment_order;
use super::{EventIndex, Tail, format_entry, sums};
use crate::census::Census;
use crate::columns::{Builtin, RestIndex};

/// Rows per row group: large enough that a column chunk is one read, small enough to bound decode memory.
const ROW_GROUP_ROWS: usize = 1 << 20;
/// Rows per page: what a read of one event's range may decode in vain at either end. 20,000 cost 1.5–2 × on questions that
/// name events, 1,024 slow full scans (ARCHITECTURE.md, finding d).
const PAGE_ROWS: usize = 1 << 12;
/// Values of a column that are looked at for repetitions.
const DICTIONARY_SAMPLE: usize = 4_096;
/// Ids repeat in runs; a dictionary that falls back half-way costs more than it saves.
const ID_DICTIONARY_BYTES: usize = 8 << 20;

/// A finished file, not yet stored.
pub struct EncodedSegment {
    pub bytes: bytes::Bytes,
    pub rows: u64,
    pub crc32c: u32,
    pub tail: Option<Tail>,
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
    let mut writer = SegmentWriter::new(sorted.schema());
    writer.write(sorted)?;
    writer.finish(hashes)
}

/// A file in the making: batches of one schema that follow each other in segment order (S2).
pub(crate) struct SegmentWriter {
    schema: SchemaRef,
    /// Made with the first batch: its values say which columns get dictionaries.
    writer: Option<ArrowWriter<Vec<u8>>>,
    index: EventIndex,
    rows: u64,
    time: Option<(i64, i64)>,
    received: Option<(i64, i64)>,
    census: Census,
    rest: RestIndex,
}

impl SegmentWriter {
    pub fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            writer: None,
            index: EventIndex::default(),
            rows: 0,
            time: None,
            received: None,
            census: Census::default(),
            rest: RestIndex::default(),
        }
    }

    pub fn write(&mut self, sorted: &RecordBatch) -> Result<(), ParquetError> {
        self.index.append_sorted(&column(sorted, Builtin::Event)?);
        let times = column(sorted, Builtin::Time)?;
        self.time = wider(self.time, times.as_primitive::<TimestampMillisecondType>());
        let received = column(sorted, Builtin::ReceivedAt)?;
        self.received = wider(self.received, received.as_primitive::<TimestampMicrosecondType>());
        self.census.add(Census::of(sorted, |_| true)?);
        self.rest.add(RestIndex::of(sorted)?);
        self.rows += sorted.num_rows() as u64;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(begun(sorted)?),
        };
        writer.write(sorted)
    }

    /// Ends the file. `hashes`: of all rows' keys, ascending.
    pub fn finish(self, hashes: &[u64]) -> Result<EncodedSegment, ParquetError> {
        let Self { schema, writer, index, rows, time, received, census, rest } = self;
        let mut writer = writer.map_or_else(|| begun(&RecordBatch::new_empty(schema)), Ok)?;
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
        // So that all row groups are in the file as we see it.
        writer.sync()?;
        if let Some(sums) = sums::of_groups(writer.inner(), writer.flushed_row_groups()) {
            writer.append_key_value_metadata(KeyValue::new(sums::FOOTER_KEY.to_owned(), sums));
        }
        let tail_start = writer.bytes_written();
        let file = writer.into_inner()?;
        let (time_min, time_max) = time.unwrap_or_default();
        let (first, last) = received.unwrap_or_default();
        Ok(EncodedSegment {
            rows,
            crc32c: crc32c::crc32c(&file),
            tail: Tail::of(&file, tail_start),
            bytes: file.into(),
            time_min,
            time_max,
            received: first..=last,
        })
    }
}

/// A file without rows, which will be like those of `sample`.
fn begun(sample: &RecordBatch) -> Result<ArrowWriter<Vec<u8>>, ParquetError> {
    ArrowWriter::try_new(Vec::new(), sample.schema(), Some(writer_properties(sample)?))
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

fn writer_properties(sample: &RecordBatch) -> Result<WriterProperties, ParquetError> {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1)?);
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_created_by("footfall".to_owned())
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(4096)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_compression(zstd)
        .set_key_value_metadata(Some(vec![format_entry()]));
    for (field, values) in sample.schema().fields().iter().zip(sample.columns()) {
        let path = ColumnPath::from(field.name().as_str());
        if !Builtin::ALL.iter().any(|builtin| builtin.name() == field.name()) && !repeats(values) {
            builder = builder.set_column_dictionary_enabled(path.clone(), false);
        }
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

/// Whether values repeat so much that writing each once and referring to it is shorter. Looked at in a sample from all
/// over the column.
fn repeats(values: &ArrayRef) -> bool {
    let step = (values.len() / DICTIONARY_SAMPLE).max(1);
    let sample = (0..values.len()).step_by(step).filter(|row| values.is_valid(*row));
    let (mut seen, mut distinct) = (0_usize, hashbrown::HashSet::new());
    for row in sample {
        let hash = match values.data_type() {
            DataType::Utf8 => xxh3_64(values.as_string::<i32>().value(row).as_bytes()),
            DataType::Int64 => values.as_primitive::<Int64Type>().value(row) as u64,
            DataType::Float64 => values.as_primitive::<Float64Type>().value(row).to_bits(),
            _ => return true,
        };
        seen += 1;
        distinct.insert(hash);
    }
    distinct.len() * 2 <= seen
}

/// Small differences between neighbours: packed deltas without compression decode at memory speed.
fn delta(builder: WriterPropertiesBuilder, path: ColumnPath) -> WriterPropertiesBuilder {
    builder
        .set_column_dictionary_enabled(path.clone(), false)
        .set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED)
        .set_column_compression(path, Compression::UNCOMPRESSED)
}
