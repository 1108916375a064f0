//! Sorted rows to Parquet bytes, with all that a footer says beside them. How columns are written is in
//! [`encoding`](super::encoding).

use std::ops::RangeInclusive;

use arrow::array::{ArrayRef, ArrowNumericType, AsArray, PrimitiveArray, RecordBatch, UInt32Array};
use arrow::compute::{max, min, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType, TimestampMillisecondType};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;

use super::encoding::{Effort, writer_properties};
use super::filter::{FilterPlace, KeyFilter};
use super::order::segment_order;
use super::{EventIndex, Tail, sums};
use crate::census::Census;
use crate::columns::{Builtin, RestIndex};

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
    let mut writer = SegmentWriter::new(sorted.schema(), std::slice::from_ref(sorted), Effort::Quick)?;
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
    /// For rows that are like those of `sample`, which says how columns are encoded.
    pub fn new(schema: SchemaRef, sample: &[RecordBatch], effort: Effort) -> Result<Self, ParquetError> {
        let properties = writer_properties(&schema, sample, effort)?;
        Ok(Self {
            writer: ArrowWriter::try_new(Vec::new(), schema, Some(properties))?,
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
        self.census.add(Census::of(sorted, |_| true)?);
        self.rest.add(RestIndex::of(sorted)?);
        self.rows += sorted.num_rows() as u64;
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
