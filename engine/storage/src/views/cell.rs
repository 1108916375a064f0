//! One cell as bytes.
//!
//! ```text
//! "FFCELL" | version u16 | crc32c of the rest u32 | Arrow IPC stream, zstd        integers little-endian
//! ```

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;

use crate::error::StorageError;

const MAGIC: &[u8; 6] = b"FFCELL";
const VERSION: u16 = 1;
const HEADER: usize = MAGIC.len() + 2 + 4;
const COMPRESSION: i32 = 1;

pub(super) fn encode(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Bytes, StorageError> {
    let mut stream = Vec::new();
    let mut writer = StreamWriter::try_new(&mut stream, schema)?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    let packed = zstd::encode_all(stream.as_slice(), COMPRESSION).map_err(ArrowError::from)?;
    let mut bytes = Vec::with_capacity(HEADER + packed.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&packed).to_le_bytes());
    bytes.extend_from_slice(&packed);
    Ok(bytes.into())
}

/// The batches of a cell under a schema; what is wrong with it otherwise.
pub(super) fn decode(bytes: &[u8], schema: &SchemaRef) -> Result<Vec<RecordBatch>, String> {
    let (magic, rest) = bytes.split_first_chunk::<6>().ok_or("too short")?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or("too short")?;
    let (checksum, packed) = rest.split_first_chunk::<4>().ok_or("too short")?;
    if magic != MAGIC || u16::from_le_bytes(*version) != VERSION {
        return Err("not a cell of this version".to_owned());
    }
    if crc32c::crc32c(packed) != u32::from_le_bytes(*checksum) {
        return Err("checksum mismatch".to_owned());
    }
    let stream = zstd::decode_all(packed).map_err(|e| e.to_string())?;
    let reader = StreamReader::try_new(stream.as_slice(), None).map_err(|e| e.to_string())?;
    let same = |batch: RecordBatch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec());
    reader.map(|batch| batch.and_then(same)).collect::<Result<_, _>>().map_err(|e| e.to_string())
}
