//! How each column of a segment is encoded: built-in columns by what they are, properties by what a sample of their values
//! says. Parquet's defaults are 10 × slower to read and 2–8 × larger (`stack.md` §4).

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::ColumnPath;
use xxhash_rust::xxh3::xxh3_64;

use super::format_entry;
use crate::columns::Builtin;

/// Rows per row group: large enough that a column chunk is one read, small enough to bound decode memory.
const ROW_GROUP_ROWS: usize = 1 << 20;
/// Rows per page: what a read of one event's range may decode in vain at either end. 20,000 cost 1.5–2 × on questions that
/// name events, 1,024 slow full scans (ARCHITECTURE.md, finding d).
const PAGE_ROWS: usize = 1 << 12;
/// Values of a column that are looked at.
const SAMPLE: usize = 4_096;
/// Ids repeat in runs; a dictionary that falls back half-way costs more than it saves.
const ID_DICTIONARY_BYTES: usize = 8 << 20;

/// Levels of zstd: of all columns, and of texts for which a rewrite finds that more work pays.
const LEVEL: i32 = 1;
const LEVEL_HIGH: i32 = 6;
/// Text that is compressed at either level to find that out.
const TEXT_SAMPLE_BYTES: usize = 256 << 10;

/// How much computing smaller files are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Of a flush: rows wait in memory, and its files will be merged.
    Quick,
    /// Of a rewrite: its file stays.
    Thorough,
}

/// How a file of rows like these is written.
pub(super) fn writer_properties(
    schema: &Schema,
    sample: &[RecordBatch],
    effort: Effort,
) -> Result<WriterProperties, ParquetError> {
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_created_by("footfall".to_owned())
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(4096)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL)?))
        .set_key_value_metadata(Some(vec![format_entry()]));
    for (place, field) in schema.fields().iter().enumerate() {
        let values = &Values(sample.iter().filter_map(|batch| batch.columns().get(place)).collect());
        let path = ColumnPath::from(field.name().as_str());
        let builtin = Builtin::ALL.into_iter().find(|builtin| builtin.name() == field.name());
        let encoding = || values.plain_encoding(field.data_type(), effort);
        builder = match builtin {
            Some(Builtin::Uid | Builtin::Time | Builtin::ReceivedAt) => delta(builder, path),
            Some(Builtin::Event) => builder.set_column_compression(path, Compression::UNCOMPRESSED),
            Some(Builtin::DistinctId | Builtin::UserId) => {
                builder.set_column_dictionary_page_size_limit(path, ID_DICTIONARY_BYTES)
            }
            // What a dictionary becomes too large for goes on in the other encoding.
            None if values.repeat() => with_encoding(builder, path, encoding()),
            Some(Builtin::InsertId) | None => {
                if effort == Effort::Thorough && values.are_worth_work() {
                    let high = Compression::ZSTD(ZstdLevel::try_new(LEVEL_HIGH)?);
                    builder = builder.set_column_compression(path.clone(), high);
                }
                let builder = builder.set_column_dictionary_enabled(path.clone(), false);
                with_encoding(builder, path, encoding())
            }
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

/// `None` leaves the encoding to the writer.
fn with_encoding(
    builder: WriterPropertiesBuilder,
    path: ColumnPath,
    encoding: Option<Encoding>,
) -> WriterPropertiesBuilder {
    match encoding {
        Some(encoding) => builder.set_column_encoding(path, encoding),
        None => builder,
    }
}

/// The size of bytes after compression.
fn compressed(bytes: &[u8], level: i32) -> usize {
    zstd::bulk::compress(bytes, level).map_or(usize::MAX, |compressed| compressed.len())
}

/// Some values of one column, in pieces.
struct Values<'a>(Vec<&'a ArrayRef>);

impl<'a> Values<'a> {
    /// What suits values that are not in a dictionary; `None` leaves it to the writer.
    fn plain_encoding(&self, data_type: &DataType, effort: Effort) -> Option<Encoding> {
        match data_type {
            DataType::Utf8 if self.begin_alike() => Some(Encoding::DELTA_BYTE_ARRAY),
            DataType::Utf8 => Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
            DataType::Int64 => Some(Encoding::DELTA_BINARY_PACKED),
            DataType::Float64 if effort == Effort::Thorough && self.split_well() => Some(Encoding::BYTE_STREAM_SPLIT),
            _ => None,
        }
    }

    /// Values from all over the sample that are set: their piece and row.
    fn some(&self) -> impl Iterator<Item = (&'a ArrayRef, usize)> {
        let step = (self.0.iter().map(|piece| piece.len()).sum::<usize>() / SAMPLE).max(1);
        let rows = move |piece: &'a ArrayRef| (0..piece.len()).step_by(step).filter(|row| piece.is_valid(*row));
        self.0.iter().flat_map(move |piece| rows(piece).map(|row| (*piece, row)))
    }

    /// Whether values repeat so much that writing each once and referring to it is shorter.
    fn repeat(&self) -> bool {
        let (mut seen, mut distinct) = (0_usize, hashbrown::HashSet::new());
        for (piece, row) in self.some() {
            let hash = match piece.data_type() {
                DataType::Utf8 => xxh3_64(piece.as_string::<i32>().value(row).as_bytes()),
                DataType::Int64 => piece.as_primitive::<Int64Type>().value(row) as u64,
                DataType::Float64 => piece.as_primitive::<Float64Type>().value(row).to_bits(),
                _ => return true,
            };
            seen += 1;
            distinct.insert(hash);
        }
        distinct.len() * 2 <= seen
    }

    /// Whether neighbours have most of their text in common, from its start: then what each adds to the one before is
    /// shorter. Otherwise it is longer, and slower to read.
    fn begin_alike(&self) -> bool {
        let (mut all, mut shared) = (0_usize, 0_usize);
        for (piece, row) in self.some() {
            let (texts, next) = (piece.as_string::<i32>(), row + 1);
            if next < texts.len() && texts.is_valid(next) {
                let (text, next) = (texts.value(row).as_bytes(), texts.value(next).as_bytes());
                shared += text.iter().zip(next).take_while(|(a, b)| a == b).count();
                all += next.len();
            }
        }
        shared * 2 > all
    }

    /// Whether numbers are smaller with their first bytes together, then their second ones, and so on: measurements are,
    /// amounts with few decimals mostly are not.
    fn split_well(&self) -> bool {
        let number = |(piece, row): (&ArrayRef, usize)| piece.as_primitive::<Float64Type>().value(row).to_le_bytes();
        let sample: Vec<[u8; 8]> = self.some().map(number).collect();
        let split: Vec<u8> = (0..8).flat_map(|byte| sample.iter().map(move |bytes| bytes[byte])).collect();
        compressed(&split, LEVEL) < compressed(sample.as_flattened(), LEVEL)
    }

    /// Whether texts become clearly smaller with more work: prose, addresses and JSON do, random ids even grow.
    fn are_worth_work(&self) -> bool {
        let mut text = Vec::new();
        for (piece, row) in self.some() {
            match piece.as_string_opt::<i32>() {
                Some(texts) if text.len() < TEXT_SAMPLE_BYTES => text.extend_from_slice(texts.value(row).as_bytes()),
                _ => break,
            }
        }
        compressed(&text, LEVEL_HIGH) * 32 < compressed(&text, LEVEL) * 31
    }
}
