//! Opening a project: the tables say what is in segments, the log says what came after.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use chrono::NaiveDate;
use footfall_model::{ProjectId, Shard, Uid};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::sync::watch;

use super::flush::{CHECKSUM_TAG, RECEIVED_TAG};
use super::record::{PROFILES_RECORD, decode};
use super::{LiveKeys, Masks, Pending, ProjectOptions, ProjectStore, Replaced, SegmentSet, State};
use crate::columns::{Builtin, Catalog};
use crate::error::StorageError;
use crate::kept::{Kept, KeptBudget};
use crate::keys::event_key;
use crate::live::LiveRows;
use crate::log::{Log, Lsn};
use crate::recent::KeyCache;
use crate::segment::{Segment, SegmentCaches, SegmentFiles, day_of};
use crate::table::{FileEntry, Table, TableDefinition};
use crate::users::{Saved, UserDirectory, shard_of};

/// A log record that may not be in a segment yet.
#[derive(Clone)]
pub struct Recovered {
    pub lsn: Lsn,
    pub kind: u8,
    pub payload: bytes::Bytes,
}

/// What all projects of a process share.
#[derive(Clone)]
pub struct Shared {
    pub log: Arc<Log>,
    /// Names this log in the tables' transactions.
    pub log_id: uuid::Uuid,
    pub store: Arc<dyn ObjectStore>,
    pub segments: Arc<SegmentCaches>,
    pub keys: Arc<KeyCache>,
    /// Memory for flushed rows that those who follow the arrivals may still read.
    pub kept: Arc<KeptBudget>,
}

impl ProjectStore {
    /// Opens (or creates) a project's tables and replays what the log holds beyond them.
    pub async fn open(
        id: ProjectId,
        options: ProjectOptions,
        shared: &Shared,
        recovered: Vec<Recovered>,
    ) -> Result<Arc<Self>, StorageError> {
        let root = format!("{id}/events");
        let users_root = format!("{id}/users");
        let events = Table::open_or_create(shared.store.clone(), &root, events_definition(id)).await?;
        let users = Table::open_or_create(shared.store.clone(), &users_root, users_definition(id)).await?;
        let snapshot = events.snapshot();
        let log_app_id = format!("footfall-log-{}", shared.log_id);
        let flushed = Lsn(snapshot.transaction(&log_app_id).unwrap_or(0).max(0) as u64);

        let mut segments = SegmentSet::default();
        for file in &snapshot.files {
            segments.insert(Arc::new(segment_of(file)?));
        }
        // Arrival goes on where it stopped, whatever the clock says now (P2).
        let received = segments.iter().map(|s| *s.received.end()).filter(|at| *at < i64::MAX);
        let last_received_at = received.max().unwrap_or(0);
        let kept = Kept::new(options.kept, shared.kept.clone(), last_received_at);
        let users_root = Path::from(users_root);
        let mut directory = UserDirectory::new(options.shards);
        for file in &users.snapshot().files {
            load_users(shared.store.as_ref(), &users_root, file, &mut directory).await?;
        }
        let store = Arc::new(Self {
            id,
            log: shared.log.clone(),
            log_app_id,
            files: SegmentFiles::new(shared.store.clone(), Path::from(root), shared.segments.clone()),
            store: shared.store.clone(),
            users_root,
            keys: shared.keys.clone(),
            catalog: Mutex::new(Arc::new(Catalog::from_schema(&snapshot.schema))),
            state: Mutex::new(State {
                users: directory,
                live: LiveRows::new(kept),
                keys: LiveKeys::default(),
                masks: Masks::default(),
                pending: Default::default(),
                segments: Arc::new(segments),
                segments_version: 0,
                flush_cut: None,
                last_received_at,
                imports: Default::default(),
                oldest_unflushed: None,
                oldest_live_at: None,
                version: 0,
            }),
            flushing: tokio::sync::Mutex::new(None),
            arrived: watch::Sender::new(0),
            events,
            users,
            options,
        });
        for record in recovered {
            if record.lsn > flushed {
                store.replay(record).await?;
            }
        }
        Ok(store)
    }

    /// Puts a logged group back in place. Every row of it was new or replaced an older one when it was logged; which
    /// one is found again by its key.
    async fn replay(&self, record: Recovered) -> Result<(), StorageError> {
        if record.kind == PROFILES_RECORD {
            self.state.lock().oldest_unflushed.get_or_insert(record.lsn);
            return Ok(());
        }
        let corrupt = |what: String| StorageError::CorruptRecord { lsn: record.lsn.0, what };
        let rows = decode(&record.payload).map_err(corrupt)?;
        let segments = self.state.lock().segments.clone();
        let mut replaced = Vec::new();
        for row in &rows {
            let Some(key) = event_key(&row.event) else { continue };
            for segment in segments.runs(day_of(row.event.time), shard_of(&row.event.distinct_id, self.options.shards))
            {
                if let Some(found) = self.keys.find(&self.files, segment, key as u64, &row.event).await? {
                    replaced.push(Replaced::Segment(segment.path.clone(), found.row()));
                }
            }
        }
        let mut state = self.state.lock();
        let first = state.live.next_position();
        for (i, row) in rows.iter().enumerate() {
            state.users.restore(&row.event.distinct_id, row.uid, Saved::No);
            state.last_received_at = state.last_received_at.max(row.received_at);
            let Some(key) = event_key(&row.event) else { continue };
            if let Some(earlier) = state.keys.get(key) {
                replaced.push(Replaced::Live(earlier));
            }
            state.keys.insert(key, first + i as u64);
        }
        let received_at = rows.first().map_or(0, |r| r.received_at);
        state.enqueue(Pending { lsn: record.lsn, replaced, import: None }, rows, received_at);
        state.publish(record.lsn);
        Ok(())
    }
}

/// The schema of the events table: segment columns, then the partition columns.
pub(super) fn table_schema(catalog: &Catalog) -> SchemaRef {
    let mut fields: Vec<_> = catalog.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("day", DataType::Date32, true)));
    fields.push(Arc::new(Field::new("shard", DataType::Int32, true)));
    Arc::new(Schema::new(fields))
}

fn events_definition(id: ProjectId) -> TableDefinition {
    TableDefinition {
        name: format!("footfall project {id} events"),
        schema: table_schema(&Catalog::default()),
        partition_columns: vec!["day".to_owned(), "shard".to_owned()],
        stats_columns: vec![Builtin::Time.name().to_owned()],
    }
}

fn users_definition(id: ProjectId) -> TableDefinition {
    TableDefinition {
        name: format!("footfall project {id} users"),
        schema: users_schema(),
        partition_columns: Vec::new(),
        stats_columns: Vec::new(),
    }
}

fn users_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("uid", DataType::Int64, false),
        Field::new("distinct_id", DataType::Utf8, false),
    ]))
}

/// Parquet bytes of users and their number.
pub(super) fn user_batch(users: &[(Uid, Box<str>)]) -> Result<(Vec<u8>, u64), StorageError> {
    let uids = Int64Array::from_iter_values(users.iter().map(|(uid, _)| uid.0 as i64));
    let ids = StringArray::from_iter_values(users.iter().map(|(_, id)| id.as_ref()));
    let batch = RecordBatch::try_new(users_schema(), vec![Arc::new(uids), Arc::new(ids)])?;
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, users_schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok((bytes, users.len() as u64))
}

async fn load_users(
    store: &dyn ObjectStore,
    root: &Path,
    file: &FileEntry,
    directory: &mut UserDirectory,
) -> Result<(), StorageError> {
    let location = Path::from(format!("{root}/{}", file.path));
    let chunks: Vec<bytes::Bytes> = store.get(&location).await?.into_stream().try_collect().await?;
    let bytes = bytes::Bytes::from(chunks.concat());
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
        let batch = batch?;
        let (Some(uids), Some(ids)) = (batch.column_by_name("uid"), batch.column_by_name("distinct_id")) else {
            return Err(StorageError::CorruptSegment { path: file.path.clone(), what: "users column missing".into() });
        };
        let (uids, ids) = (uids.as_primitive::<Int64Type>(), ids.as_string::<i32>());
        for row in 0..batch.num_rows() {
            directory.restore(ids.value(row), Uid(uids.value(row) as u64), Saved::Yes);
        }
    }
    Ok(())
}

/// A table entry as a segment.
fn segment_of(file: &FileEntry) -> Result<Segment, StorageError> {
    let corrupt = |what: &str| StorageError::CorruptSegment { path: file.path.clone(), what: what.to_owned() };
    let day = file.partition_values.get("day").and_then(|d| NaiveDate::parse_from_str(d, "%Y-%m-%d").ok());
    let day = day.ok_or_else(|| corrupt("day missing or malformed"))?;
    let shard = file.partition_values.get("shard").and_then(|s| s.parse().ok());
    let checksum = file.tags.get(CHECKSUM_TAG).and_then(|c| u32::from_str_radix(c, 16).ok());
    let received = file.tags.get(RECEIVED_TAG).and_then(|range| {
        let (first, last) = range.split_once("..")?;
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    Ok(Segment {
        path: file.path.clone(),
        day: (day - NaiveDate::default()).num_days() as i32,
        shard: Shard(shard.ok_or_else(|| corrupt("shard missing or malformed"))?),
        rows: file.rows,
        bytes: file.bytes,
        crc32c: checksum.ok_or_else(|| corrupt("checksum missing or malformed"))?,
        // Files written before this was noted may hold any: they are never left out.
        received: received.unwrap_or(i64::MIN..=i64::MAX),
    })
}
