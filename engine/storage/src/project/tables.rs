//! What a project's own tables are made of: events, and users.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use bytes::Bytes;
use chrono::NaiveDate;
use footfall_model::{ProjectId, Shard, Uid};
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;

use super::build::{RECEIVED_TAG, TAIL_TAG};
use crate::columns::{Builtin, Catalog};
use crate::error::StorageError;
use crate::sealed;
use crate::segment::{CHECKSUM_TAG, Segment, Tail, checksum_tag, file_format, format_entry};
use crate::sound::read_sound;
use crate::table::{FileEntry, TableDefinition};
use crate::users::{Saved, UserDirectory};

/// Application of the events table that holds the last arrival given out, in microseconds: P2 across restarts.
pub(super) const RECEIVED_APP_ID: &str = "footfall-received-at";
/// Prefix of the applications of the events table that hold the last part applied of each import (P6).
pub(super) const IMPORT_APP_ID: &str = "footfall-import-";

/// Property of the events table: what has no column in any file ([`Catalog::without_columns`]).
pub(super) const WITHOUT_COLUMNS: &str = "footfall.withoutColumns";

/// A schema of the events table: segment columns, then the partition columns.
pub(super) fn table_schema(columns: &Schema) -> SchemaRef {
    let mut fields: Vec<_> = columns.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("day", DataType::Date32, true)));
    fields.push(Arc::new(Field::new("shard", DataType::Int32, true)));
    Arc::new(Schema::new(fields))
}

pub(super) fn events_definition(id: ProjectId) -> TableDefinition {
    TableDefinition {
        name: format!("footfall project {id} events"),
        schema: table_schema(&Catalog::default().schema()),
        partition_columns: vec!["day".to_owned(), "shard".to_owned()],
        stats_columns: vec![Builtin::Time.name().to_owned()],
    }
}

pub(super) fn users_definition(id: ProjectId) -> TableDefinition {
    TableDefinition {
        name: format!("footfall project {id} users"),
        schema: users_schema(),
        partition_columns: Vec::new(),
        stats_columns: Vec::new(),
    }
}

pub(super) fn users_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("uid", DataType::Int64, false),
        Field::new("distinct_id", DataType::Utf8, false),
    ]))
}

/// Parquet bytes of users and their number.
pub(super) fn user_batch(users: &[(Uid, Arc<str>)]) -> Result<(Vec<u8>, u64), StorageError> {
    let uids = Int64Array::from_iter_values(users.iter().map(|(uid, _)| uid.0 as i64));
    let ids = StringArray::from_iter_values(users.iter().map(|(_, id)| id.as_ref()));
    let batch = RecordBatch::try_new(users_schema(), vec![Arc::new(uids), Arc::new(ids)])?;
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, users_schema(), Some(users_properties()))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok((bytes, users.len() as u64))
}

/// The bytes of a file of the users' table, checked.
pub(super) async fn read_users(
    store: &dyn ObjectStore,
    location: &Path,
    file: &FileEntry,
) -> Result<Bytes, StorageError> {
    // Files written before this was noted have no sum.
    let check = |bytes: Bytes| match file.tags.get(CHECKSUM_TAG) {
        Some(expected) if *expected != checksum_tag(crc32c::crc32c(&bytes)) => {
            Err(StorageError::corrupt(location.as_ref(), "checksum mismatch"))
        }
        _ => Ok(bytes),
    };
    let found = read_sound(|| sealed::get(store, location), check).await?;
    found.ok_or_else(|| StorageError::corrupt(location.as_ref(), "file missing"))
}

/// How files of the users' table are written.
pub(super) fn users_properties() -> WriterProperties {
    WriterProperties::builder().set_key_value_metadata(Some(vec![format_entry()])).build()
}

pub(super) async fn load_users(
    store: &dyn ObjectStore,
    root: &Path,
    file: &FileEntry,
    directory: &mut UserDirectory,
) -> Result<(), StorageError> {
    let location = Path::from(format!("{root}/{}", file.path));
    let bytes = read_users(store, &location, file).await?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    file_format(location.as_ref(), builder.metadata().file_metadata().key_value_metadata())?;
    for batch in builder.build()? {
        let batch = batch?;
        let (Some(uids), Some(ids)) = (batch.column_by_name("uid"), batch.column_by_name("distinct_id")) else {
            return Err(StorageError::corrupt(location.as_ref(), "users column missing"));
        };
        let (uids, ids) = (uids.as_primitive::<Int64Type>(), ids.as_string::<i32>());
        for row in 0..batch.num_rows() {
            directory.restore(ids.value(row), Uid(uids.value(row) as u64), Saved::Yes);
        }
    }
    Ok(())
}

/// A table entry as a segment.
pub(crate) fn segment_of(file: &FileEntry) -> Result<Segment, StorageError> {
    let corrupt = |what: &str| StorageError::CorruptSegment { path: file.path.clone(), what: what.to_owned() };
    let day = file.partition_values.get("day").and_then(|d| NaiveDate::parse_from_str(d, "%Y-%m-%d").ok());
    let day = day.ok_or_else(|| corrupt("day missing or malformed"))?;
    let shard = file.partition_values.get("shard").and_then(|s| s.parse().ok());
    let checksum = file.tags.get(CHECKSUM_TAG).and_then(|c| u32::from_str_radix(c, 16).ok());
    let received = file.tags.get(RECEIVED_TAG).and_then(|range| {
        let (first, last) = range.split_once("..")?;
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    let tail = file.tags.get(TAIL_TAG).map(|tag| Tail::from_tag(tag).ok_or_else(|| corrupt("tail malformed")));
    let tail = tail.transpose()?;
    Ok(Segment {
        path: file.path.clone(),
        day: (day - NaiveDate::default()).num_days() as i32,
        shard: Shard(shard.ok_or_else(|| corrupt("shard missing or malformed"))?),
        rows: file.rows,
        bytes: file.bytes,
        crc32c: checksum.ok_or_else(|| corrupt("checksum missing or malformed"))?,
        tail,
        // Files written before this was noted may hold any: they are never left out.
        received: received.unwrap_or(i64::MIN..=i64::MAX),
    })
}
