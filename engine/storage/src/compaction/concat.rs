//! Files whose rows follow one another, as one file: for tables whose order is that of arrival.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::Pace;
use crate::error::StorageError;

/// One Parquet file of these batches, and how many rows it has.
pub(crate) fn concat(
    schema: SchemaRef,
    properties: Option<WriterProperties>,
    batches: impl Iterator<Item = Result<RecordBatch, StorageError>>,
    pace: &mut Pace,
) -> Result<(Bytes, u64), StorageError> {
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, properties)?;
    let mut rows = 0;
    for batch in batches {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        writer.write(&batch)?;
        pace.breathe()?;
    }
    Ok((writer.into_inner()?.into(), rows))
}
