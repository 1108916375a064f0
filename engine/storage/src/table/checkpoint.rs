//! Opening a table, and the checkpoints that keep it quick however long the log is.
//!
//! A checkpoint is the whole state of one version as Parquet, in Delta's classic form, so that other readers profit
//! too. It is best-effort: written after a commit that has already succeeded, created once, announced afterwards in
//! `_last_checkpoint` together with its CRC-32C. Only an announced checkpoint whose bytes match is used; in any doubt
//! the commits are replayed from the first one, which T8 keeps around.
//!
//! Deltalake-core can write checkpoints as well, but only by reading the whole table again through the Delta kernel's
//! engine, with an operating-system thread and panics of its own. We have the state at hand.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::{LineDelimitedWriter, ReaderBuilder};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use deltalake_core::kernel::{Action, Add, Remove, Transaction};
use deltalake_core::logstore::get_actions;
use object_store::PutMode;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};

use super::entry::{LogEntry, optional};
use super::error::TableError;
use super::log::{Log, folder};
use super::replay::Replay;
use super::snapshot::{FileEntry, Tombstone};
use crate::sound::read_sound;

/// Commits between checkpoints: opening reads at most about this many small objects.
const INTERVAL: u64 = 100;
/// How long removed files are remembered; Delta's default.
const TOMBSTONE_RETENTION: TimeDelta = TimeDelta::days(7);
const ROWS_PER_BATCH: usize = 4_096;
const CHECKSUM_TAG: &str = "footfall.crc32c";

/// The state at the end of the log, `None` if there is no table.
pub(super) async fn open(log: &Log) -> Result<Option<Replay>, TableError> {
    let mut replay = match read_announced(log).await? {
        Some(replay) => replay,
        None => {
            let Some(first) = log.read(0).await? else { return Ok(None) };
            Replay::start(first)?
        }
    };
    replay.extend(log.read_from(replay.version + 1).await?)?;
    Ok(Some(replay))
}

/// The state to write a checkpoint of, if it is time for one. A checkpoint that fails is not tried again before the
/// next is due.
pub(super) fn take_due(head: &mut Replay, now: DateTime<Utc>) -> Option<Replay> {
    if head.version < head.checkpoint + INTERVAL {
        return None;
    }
    head.checkpoint = head.version;
    head.tombstones.retain(|_, gone| gone.removed_at > now - TOMBSTONE_RETENTION);
    Some(head.clone())
}

/// Writes and announces a checkpoint. A failure is logged and otherwise without consequence.
pub(super) async fn write(log: &Log, state: Replay) {
    let version = state.version;
    if let Err(error) = try_write(log, state).await {
        tracing::warn!(version, error = &error as &dyn std::error::Error, "checkpoint not written");
    }
}

async fn try_write(log: &Log, state: Replay) -> Result<(), TableError> {
    let (version, add_files) = (state.version, state.files.len());
    let size = add_files + state.tombstones.len() + state.transactions.len() + 2;
    let bytes = on_blocking_thread(version, move || encode(&state)).await?;
    let announcement = Announcement {
        version,
        size,
        size_in_bytes: Some(bytes.len()),
        num_of_add_files: Some(add_files),
        parts: None,
        tags: Some(HashMap::from([(CHECKSUM_TAG.to_owned(), crc32c::crc32c(&bytes).to_string())])),
    };
    let announcement = serde_json::to_vec(&announcement).map_err(|error| damaged(version, error))?;
    // Created, not overwritten: if two processes write the same version, the announced checksum must fit what is there.
    put(log, checkpoint_path(version), bytes, PutMode::Create).await?;
    put(log, announcement_path(), announcement.into(), PutMode::Overwrite).await
}

/// The version of the checkpoint that is announced, `None` if there is none.
pub(super) async fn announced(log: &Log) -> Result<Option<u64>, TableError> {
    let bytes = log.get(&announcement_path()).await?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice::<Announcement>(&bytes).ok()).map(|announced| announced.version))
}

/// The state of the announced checkpoint, `None` if none is announced; damage is an error, unlike for [`open`].
pub(super) async fn announced_state(log: &Log) -> Result<Option<Replay>, TableError> {
    let Some(bytes) = log.get(&announcement_path()).await? else { return Ok(None) };
    let announced: Announcement = serde_json::from_slice(&bytes).map_err(|error| damaged(0, error))?;
    read(log, &announced).await.map(Some)
}

/// Where a checkpoint is within its table.
pub(super) fn name(version: u64) -> String {
    checkpoint_path(version).to_string()
}

/// The state of the announced checkpoint, `None` if there is none to trust.
async fn read_announced(log: &Log) -> Result<Option<Replay>, TableError> {
    let Some(bytes) = log.get(&announcement_path()).await? else { return Ok(None) };
    let Ok(announced) = serde_json::from_slice::<Announcement>(&bytes) else {
        tracing::warn!("checkpoint announcement is damaged, replaying the whole log");
        return Ok(None);
    };
    let version = announced.version;
    match read(log, &announced).await {
        Ok(replay) => Ok(Some(replay)),
        Err(error @ TableError::Store { .. }) => Err(error),
        Err(error) => {
            tracing::warn!(version, error = &error as &dyn std::error::Error, "checkpoint unusable, replaying the log");
            Ok(None)
        }
    }
}

async fn read(log: &Log, announced: &Announcement) -> Result<Replay, TableError> {
    let version = announced.version;
    if announced.parts.is_some() {
        return Err(damaged(version, "written in parts by another engine"));
    }
    let checksum = announced.tags.as_ref().and_then(|tags| tags.get(CHECKSUM_TAG));
    let check = |bytes: Bytes| match checksum {
        Some(expected) if *expected != crc32c::crc32c(&bytes).to_string() => Err(damaged(version, "checksum mismatch")),
        _ => Ok(bytes),
    };
    let path = checkpoint_path(version);
    let bytes = read_sound(|| log.get(&path), check).await?.ok_or_else(|| damaged(version, "announced but missing"))?;
    let actions = on_blocking_thread(version, move || decode(version, bytes)).await?;
    Replay::start(LogEntry::from_actions(version, actions)?)
}

/// `_last_checkpoint`, as the Delta protocol defines it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Announcement {
    version: u64,
    /// Actions in the checkpoint.
    size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_in_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_of_add_files: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<HashMap<String, String>>,
}

fn encode(state: &Replay) -> Result<Bytes, ArrowError> {
    let head = [Action::Protocol(state.protocol.clone()), Action::Metadata(state.metadata.clone())];
    let transactions = state.transactions.iter().map(|(id, version)| Action::Txn(Transaction::new(id, *version)));
    let removes = state.tombstones.values().map(|gone| Action::Remove(remove(gone)));
    let adds = state.files.values().map(|file| Action::Add(add(file)));
    let mut actions = head.into_iter().chain(transactions).chain(removes).chain(adds);

    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&SCHEMA), Some(properties))?;
    let mut decoder = ReaderBuilder::new(Arc::clone(&SCHEMA)).with_batch_size(ROWS_PER_BATCH).build_decoder()?;
    loop {
        let rows: Vec<Action> = actions.by_ref().take(ROWS_PER_BATCH).collect();
        decoder.serialize(&rows)?;
        let Some(batch) = decoder.flush()? else { break };
        writer.write(&batch)?;
    }
    Ok(writer.into_inner()?.into())
}

fn decode(version: u64, bytes: Bytes) -> Result<Vec<Action>, ArrowError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let wanted: Vec<usize> =
        SCHEMA.fields().iter().filter_map(|field| builder.schema().index_of(field.name()).ok()).collect();
    let projection = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let reader = builder.with_projection(projection).with_batch_size(ROWS_PER_BATCH).build()?;
    let mut actions = Vec::new();
    for batch in reader {
        let lines = to_json_lines(&batch?)?;
        actions.extend(get_actions(version, &lines).map_err(|error| ArrowError::JsonError(error.to_string()))?);
    }
    Ok(actions)
}

/// One line per action, as in a commit.
fn to_json_lines(batch: &RecordBatch) -> Result<Bytes, ArrowError> {
    let mut lines = Vec::new();
    let mut writer = LineDelimitedWriter::new(&mut lines);
    writer.write(batch)?;
    writer.finish()?;
    drop(writer);
    // A row of an action we did not ask for leaves an empty object.
    let named = lines.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"{}"));
    Ok(named.flatten().copied().collect::<Vec<u8>>().into())
}

fn add(file: &FileEntry) -> Add {
    Add {
        path: file.path.clone(),
        partition_values: optional(file.partition_values.iter()),
        size: file.bytes.cast_signed(), // came from an i64
        modification_time: file.modified_at_ms,
        stats: file.stats.clone(),
        tags: Some(optional(file.tags.iter())),
        ..Add::default()
    }
}

fn remove(gone: &Tombstone) -> Remove {
    Remove {
        path: gone.path.clone(),
        deletion_timestamp: Some(gone.removed_at.timestamp_millis()),
        extended_file_metadata: Some(true),
        partition_values: Some(optional(gone.partition_values.iter())),
        size: Some(gone.bytes.cast_signed()), // came from an i64
        ..Remove::default()
    }
}

/// The columns of a classic checkpoint; a row sets exactly one of them.
static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let text = |name: &str| field(name, DataType::Utf8);
    let long = |name: &str| field(name, DataType::Int64);
    let int = |name: &str| field(name, DataType::Int32);
    let flag = |name: &str| field(name, DataType::Boolean);
    let map = |name: &str| {
        Field::new_map(name, "key_value", Field::new("key", DataType::Utf8, false), text("value"), false, true)
    };
    let list = |name: &str| Field::new_list(name, text("element"), true);
    let group = |name: &str, fields: Vec<Field>| field(name, DataType::Struct(Fields::from(fields)));
    Arc::new(Schema::new(vec![
        group("txn", vec![text("appId"), long("version"), long("lastUpdated")]),
        group(
            "add",
            vec![
                text("path"),
                map("partitionValues"),
                long("size"),
                long("modificationTime"),
                flag("dataChange"),
                text("stats"),
                map("tags"),
            ],
        ),
        group(
            "remove",
            vec![
                text("path"),
                long("deletionTimestamp"),
                flag("dataChange"),
                flag("extendedFileMetadata"),
                map("partitionValues"),
                long("size"),
            ],
        ),
        group(
            "metaData",
            vec![
                text("id"),
                text("name"),
                text("description"),
                group("format", vec![text("provider"), map("options")]),
                text("schemaString"),
                list("partitionColumns"),
                map("configuration"),
                long("createdTime"),
            ],
        ),
        group("protocol", vec![int("minReaderVersion"), int("minWriterVersion")]),
    ]))
});

/// Runs work of up to seconds off the async threads; a panic of a decoder fed with damaged bytes becomes an error.
async fn on_blocking_thread<T: Send + 'static>(
    version: u64,
    work: impl FnOnce() -> Result<T, ArrowError> + Send + 'static,
) -> Result<T, TableError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| damaged(version, error)),
        Err(panic) => Err(damaged(version, panic)),
    }
}

async fn put(log: &Log, path: Path, bytes: Bytes, mode: PutMode) -> Result<(), TableError> {
    log.put(&path, bytes, mode).await.map_err(|source| TableError::Store { path: path.to_string(), source })
}

fn checkpoint_path(version: u64) -> Path {
    folder().join(format!("{version:020}.checkpoint.parquet"))
}

fn announcement_path() -> Path {
    folder().join("_last_checkpoint")
}

fn damaged(version: u64, reason: impl ToString) -> TableError {
    TableError::Corrupt { version, reason: format!("checkpoint: {}", reason.to_string()) }
}
