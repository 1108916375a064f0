//! Live rows become segments: freeze, sort, write, one commit, swap.
//!
//! ```text
//! rotate keys at position P ▸ wait until everything below P is durable ▸ seal
//!   ▸ rows below P, by day and shard, without masked rows
//!   ▸ a segment with masked rows is rewritten together with its successors   (copy on write)
//!   ▸ put files ▸ commit users ▸ commit events { adds, removes, schema, txn(log, lsn) } ▸ swap under the lock
//! ```
//!
//! A crash before the commit leaves orphan files and the log, which still holds every row; a crash after it leaves a
//! transaction that says how far the log has been flushed. Either way each row is there once (P1, P3).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use bytes::Bytes;
use chrono::Utc;
use footfall_model::{Shard, Uid};

use super::recover::{table_schema, user_batch};
use super::{ProjectStore, SegmentSet, State};
use crate::columns::{Builtin, Catalog};
use crate::error::StorageError;
use crate::failpoint;
use crate::live::{LiveChunk, seal};
use crate::log::Lsn;
use crate::segment::{EncodedSegment, Segment, day_of, encode, sort, union};
use crate::table::{AddFile, ColumnStats, Operation, TableCommit, TableError, Transaction};

/// What a flush has taken on.
struct Cut {
    position: u64,
    lsn: Lsn,
    chunks: Vec<Arc<LiveChunk>>,
    masks: super::Masks,
    segments: Arc<SegmentSet>,
    catalog: Arc<Catalog>,
    /// Unsaved users at the cut; all users of the rows below it are among them or saved.
    users: Vec<(Uid, Box<str>)>,
}

/// Files that are in the store and wait for the commit that lists them.
pub(super) struct Written {
    /// Live rows below this position are in the files.
    position: u64,
    commit: TableCommit,
    added: Vec<Arc<Segment>>,
    removed: Vec<String>,
}

/// What one new segment is made of: rows of live chunks, and what is left of segments that it replaces. Only row
/// numbers are held until the segment is built, so that a flush needs memory for one segment at a time.
#[derive(Default)]
struct Plan {
    live: Vec<(Arc<LiveChunk>, UInt32Array)>,
    replaces: Vec<Arc<Segment>>,
}

impl ProjectStore {
    /// Writes every row that is visible now to segments. Answers of queries do not change. Does nothing when there are
    /// no live rows.
    pub async fn flush(self: &Arc<Self>) -> Result<(), StorageError> {
        let mut unfinished = self.flushing.lock().await;
        if let Some(write) = unfinished.take() {
            self.finish(write, &mut unfinished).await?;
        }
        let Some(cut) = self.cut().await? else { return Ok(()) };
        match self.write(cut).await {
            Ok(write) => self.finish(write, &mut unfinished).await,
            Err(error) => {
                // Nothing refers to the files written so far; the rows stay live and the next flush takes them again.
                self.state.lock().flush_cut = None;
                Err(error)
            }
        }
    }

    /// Commits what was written and swaps. A commit whose outcome is unknown is kept, and the next flush repeats the
    /// very same one first: it lands once either way.
    async fn finish(&self, write: Written, unfinished: &mut Option<Written>) -> Result<(), StorageError> {
        match self.events.commit(write.commit.clone()).await {
            Ok(outcome) => {
                // Another owner of this log's name would have committed other files: its rows are not ours to swap in.
                let listed = write.added.iter().all(|segment| outcome.snapshot().file(&segment.path).is_some());
                if !listed {
                    return Err(StorageError::Fenced);
                }
                self.swap(&write);
                Ok(())
            }
            Err(error) => {
                if matches!(
                    error,
                    TableError::CommitUnknown { .. } | TableError::Store { .. } | TableError::Contended { .. }
                ) {
                    *unfinished = Some(write);
                } else {
                    // It certainly did not land: the rows stay live and the next flush takes them again.
                    self.state.lock().flush_cut = None;
                }
                Err(error.into())
            }
        }
    }

    /// Fixes which rows this flush writes, and waits until they are durable and sealed.
    async fn cut(self: &Arc<Self>) -> Result<Option<Cut>, StorageError> {
        {
            let mut state = self.state.lock();
            if state.oldest_unflushed.is_none() {
                return Ok(None);
            }
            state.keys.begin_flush();
            // From here on nobody may replace a row below the cut (see `decide`).
            state.flush_cut = Some(state.live.next_position());
        }
        // Blocks reach the disk within one group commit, or fail with it and take the cut back to where they began.
        let position = loop {
            if let Some(position) = self.state.lock().durable_cut() {
                break position;
            }
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let queued = self.log.barrier(Box::new(move |result| {
                let _ = sender.send(result.map(|_| ()));
            }));
            let outcome = match queued {
                Ok(()) => receiver.await.map_err(|_| StorageError::Closed).and_then(|r| r.map_err(Into::into)),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = outcome {
                self.state.lock().flush_cut = None;
                return Err(error);
            }
        };
        let store = self.clone();
        let catalog = run_blocking(move || store.seal_below(position)).await?;
        let mut state = self.state.lock();
        let chunks = state.live.sealed_below(position);
        let Some(lsn) = chunks.last().map(|chunk| chunk.lsns.1) else {
            // All that there was has failed.
            state.flush_cut = None;
            return Ok(None);
        };
        Ok(Some(Cut {
            position,
            lsn,
            chunks,
            masks: state.masks.clone(),
            segments: state.segments.clone(),
            catalog,
            users: state.users.unsaved().to_vec(),
        }))
    }

    /// Seals what is visible below a position; answers the catalog that knows all its columns.
    fn seal_below(&self, position: u64) -> Result<Arc<Catalog>, StorageError> {
        let mut catalog = self.catalog.lock();
        let blocks = self.state.lock().live.tail_below(position);
        if !blocks.is_empty() {
            let chunk = seal(&blocks, &mut catalog)?;
            self.state.lock().live.install(chunk);
        }
        Ok(catalog.clone())
    }

    /// Puts the new files and saves the users; what is left to do is one commit.
    async fn write(self: &Arc<Self>, cut: Cut) -> Result<Written, StorageError> {
        let mut added = Vec::new();
        let mut adds = Vec::new();
        let mut removed = Vec::new();
        for ((day, shard), plan) in plans(&cut) {
            removed.extend(plan.replaces.iter().map(|s| s.path.clone()));
            let kept = self.kept_rows(&plan.replaces, &cut).await?;
            let Some((sorted, encoded)) = run_blocking(move || build(&plan.live, kept)).await? else { continue };
            let segment = new_segment(day, shard, &encoded);
            adds.push(add_file(&segment, &encoded));
            self.files.put(&segment, encoded.bytes).await?;
            failpoint::hit("flush::after_put")?;
            self.keys.remember(self.files.location(&segment).to_string(), &sorted)?;
            added.push(Arc::new(segment));
        }
        self.save_users(&cut.users, cut.lsn).await?;
        let commit = TableCommit {
            operation: Operation::Append,
            at: Utc::now(),
            adds,
            removes: removed.clone(),
            schema: Some(table_schema(&cut.catalog)),
            transaction: Some(Transaction {
                app_id: self.log_app_id.clone(),
                from: self.events.snapshot().transaction(&self.log_app_id),
                to: cut.lsn.0 as i64,
            }),
        };
        Ok(Written { position: cut.position, commit, added, removed })
    }

    /// The rows of segments that nothing has replaced.
    async fn kept_rows(&self, segments: &[Arc<Segment>], cut: &Cut) -> Result<Vec<RecordBatch>, StorageError> {
        let mut kept = Vec::with_capacity(segments.len());
        for segment in segments {
            let whole = self.files.read_all(segment).await?;
            let masked = cut.masks.segments.get(&segment.path);
            let rows = (0..segment.rows as u32).filter(|row| masked.is_none_or(|masked| !masked.contains(*row)));
            kept.push(take_record_batch(&whole, &UInt32Array::from_iter_values(rows))?);
        }
        Ok(kept)
    }

    /// Adds users to the `users` table. Repeating it after a crash adds a user twice with the same number, which
    /// readers of the table take as one.
    async fn save_users(&self, users: &[(Uid, Box<str>)], lsn: Lsn) -> Result<(), StorageError> {
        if users.is_empty() {
            return Ok(());
        }
        let (bytes, rows) = user_batch(users)?;
        let path = format!("{}.parquet", uuid::Uuid::now_v7());
        let length = bytes.len() as u64;
        let location = object_store::path::Path::from(format!("{}/{path}", self.users_root));
        object_store::ObjectStoreExt::put(&self.store, &location, Bytes::from(bytes).into()).await?;
        let from = self.users.snapshot().transaction(&self.log_app_id);
        self.users
            .commit(TableCommit {
                operation: Operation::Append,
                at: Utc::now(),
                adds: vec![AddFile {
                    path,
                    partition_values: Vec::new(),
                    bytes: length,
                    rows,
                    tags: BTreeMap::new(),
                    stats: Vec::new(),
                }],
                removes: Vec::new(),
                schema: None,
                transaction: Some(Transaction { app_id: self.log_app_id.clone(), from, to: lsn.0 as i64 }),
            })
            .await?;
        let mut state = self.state.lock();
        state.users.forget_saved(users.len());
        Ok(())
    }

    /// From here on queries read the segments instead of the live rows, in one step (P1).
    fn swap(&self, write: &Written) {
        let _ = failpoint::hit("flush::swap");
        let mut state = self.state.lock();
        state.segments = Arc::new(state.segments.with_changes(&write.added, &write.removed));
        state.segments_version += 1;
        state.version += 1;
        state.live.drop_below(write.position);
        state.keys.end_flush();
        state.flush_cut = None;
        let mut live = (*state.masks.live).clone();
        live.remove_range(..write.position);
        state.masks.live = Arc::new(live);
        let segments = Arc::make_mut(&mut state.masks.segments);
        for path in &write.removed {
            segments.remove(path);
        }
        state.oldest_unflushed = state.live.oldest_lsn();
        state.oldest_live_at = state.oldest_unflushed.map(|_| Utc::now().timestamp_micros());
    }
}

impl State {
    /// The cut of the flush, once nothing below it is on its way to the disk.
    fn durable_cut(&self) -> Option<u64> {
        self.flush_cut.filter(|cut| self.live.is_durable_below(*cut))
    }
}

/// Which rows go into which new segment, by day and shard.
fn plans(cut: &Cut) -> BTreeMap<(i32, Shard), Plan> {
    let mut plans: BTreeMap<(i32, Shard), Plan> = BTreeMap::new();
    for chunk in &cut.chunks {
        for (place, rows) in rows_by_place(chunk, &cut.masks.live) {
            plans.entry(place).or_default().live.push((chunk.clone(), rows));
        }
    }
    for segment in cut.segments.iter().filter(|s| cut.masks.segments.contains_key(&s.path)) {
        plans.entry((segment.day, segment.shard)).or_default().replaces.push(segment.clone());
    }
    plans
}

/// A chunk's rows that have not been replaced, by day and shard.
fn rows_by_place(chunk: &LiveChunk, masked: &roaring::RoaringTreemap) -> BTreeMap<(i32, Shard), UInt32Array> {
    let mut places: BTreeMap<(i32, Shard), Vec<u32>> = BTreeMap::new();
    let times = chunk.batch.column_by_name(Builtin::Time.name());
    let uids = chunk.batch.column_by_name(Builtin::Uid.name());
    let (Some(times), Some(uids)) = (times, uids) else { return BTreeMap::new() };
    let times = times.as_primitive::<TimestampMillisecondType>();
    let uids = uids.as_primitive::<Int64Type>();
    for (row, (time, uid)) in times.values().iter().zip(uids.values()).enumerate() {
        if !masked.contains(chunk.first + row as u64) {
            places.entry((day_of(*time), Uid(*uid as u64).shard())).or_default().push(row as u32);
        }
    }
    places.into_iter().map(|(place, rows)| (place, rows.into())).collect()
}

/// One sorted, encoded file from its parts; `None` if they hold no row.
fn build(
    live: &[(Arc<LiveChunk>, UInt32Array)],
    kept: Vec<RecordBatch>,
) -> Result<Option<(RecordBatch, EncodedSegment)>, StorageError> {
    let mut parts = kept;
    for (chunk, rows) in live {
        parts.push(take_record_batch(&chunk.batch, rows)?);
    }
    let Some(rows) = union(&parts)? else { return Ok(None) };
    if rows.num_rows() == 0 {
        return Ok(None);
    }
    let sorted = sort(&without_empty_columns(&rows)?)?;
    let encoded = encode(&sorted)?;
    Ok(Some((sorted, encoded)))
}

/// A property has a column only in the segments where it occurs.
fn without_empty_columns(rows: &RecordBatch) -> Result<RecordBatch, StorageError> {
    let occurs = |index: &usize| {
        let builtin = Builtin::ALL.len();
        *index < builtin || rows.column(*index).null_count() < rows.num_rows()
    };
    let kept: Vec<usize> = (0..rows.num_columns()).filter(occurs).collect();
    Ok(rows.project(&kept)?)
}

fn new_segment(day: i32, shard: Shard, encoded: &EncodedSegment) -> Segment {
    let name = uuid::Uuid::now_v7();
    Segment {
        path: format!("day={}/shard={}/{name}.parquet", date(day), shard.0),
        day,
        shard,
        rows: encoded.rows,
        bytes: encoded.bytes.len() as u64,
        crc32c: encoded.crc32c,
        received: encoded.received.clone(),
    }
}

/// Tag of a table entry: the file's checksum in hexadecimal.
pub(super) const CHECKSUM_TAG: &str = "footfall.crc32c";
/// Tag of a table entry: arrival of the file's first and last rows, `MIN..MAX` in microseconds since the epoch.
pub(super) const RECEIVED_TAG: &str = "footfall.received";

fn add_file(segment: &Segment, encoded: &EncodedSegment) -> AddFile {
    AddFile {
        path: segment.path.clone(),
        partition_values: vec![
            ("day".to_owned(), date(segment.day)),
            ("shard".to_owned(), segment.shard.0.to_string()),
        ],
        bytes: segment.bytes,
        rows: segment.rows,
        tags: BTreeMap::from([
            (CHECKSUM_TAG.to_owned(), format!("{:08x}", segment.crc32c)),
            (RECEIVED_TAG.to_owned(), format!("{}..{}", segment.received.start(), segment.received.end())),
        ]),
        stats: vec![ColumnStats::timestamp_millis(Builtin::Time.name(), encoded.time_min, encoded.time_max, 0)],
    }
}

/// `YYYY-MM-DD` of a day number.
pub(super) fn date(day: i32) -> String {
    let epoch = chrono::NaiveDate::default();
    let date = epoch.checked_add_signed(chrono::TimeDelta::days(i64::from(day)));
    date.unwrap_or(epoch).format("%Y-%m-%d").to_string()
}

/// CPU work off the async threads.
pub(super) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| StorageError::Closed)?
}
