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
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use bytes::Bytes;
use chrono::Utc;
use footfall_model::{Shard, Uid};

use super::recover::{table_schema, user_batch};
use super::{ProjectStore, SegmentSet};
use crate::columns::{Builtin, Catalog};
use crate::error::StorageError;
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

/// Rows for one new segment, and the old segments that it replaces.
struct Plan {
    day: i32,
    shard: Shard,
    parts: Vec<RecordBatch>,
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
        let position = {
            let mut state = self.state.lock();
            if state.oldest_unflushed.is_none() {
                return Ok(None);
            }
            let position = state.live.next_position();
            state.keys.begin_flush();
            // From here on nobody may replace a row below the cut (see `decide`).
            state.flush_cut = Some(position);
            position
        };
        // Blocks reach the disk within one group commit; a poisoned log never finishes them.
        while !self.state.lock().live.is_durable_below(position) {
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
        }
        let store = self.clone();
        let catalog = run_blocking(move || store.seal_below(position)).await?;
        let state = self.state.lock();
        let chunks = state.live.sealed_below(position);
        Ok(Some(Cut {
            position,
            lsn: chunks.last().map_or(Lsn(0), |c| c.lsns.1),
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
        for plan in self.plan(&cut).await? {
            removed.extend(plan.replaces.iter().map(|s| s.path.clone()));
            let (day, shard) = (plan.day, plan.shard);
            let Some((sorted, encoded)) = run_blocking(move || build(&plan.parts)).await? else { continue };
            let segment = new_segment(day, shard, &encoded);
            adds.push(add_file(&segment, &encoded));
            self.files.put(&segment, encoded.bytes).await?;
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

    /// Which rows go into which new segment.
    async fn plan(&self, cut: &Cut) -> Result<Vec<Plan>, StorageError> {
        let mut groups: BTreeMap<(i32, Shard), Plan> = BTreeMap::new();
        let plan_of = |groups: &mut BTreeMap<(i32, Shard), Plan>, day, shard, part: Option<RecordBatch>| {
            let plan =
                groups.entry((day, shard)).or_insert(Plan { day, shard, parts: Vec::new(), replaces: Vec::new() });
            plan.parts.extend(part);
        };
        for chunk in &cut.chunks {
            for (day, shard, rows) in rows_by_day(chunk, &cut.masks.live) {
                let part = take_record_batch(&chunk.batch, &rows)?;
                plan_of(&mut groups, day, shard, Some(part));
            }
        }
        for segment in cut.segments.iter() {
            let Some(masked) = cut.masks.segments.get(&segment.path) else { continue };
            let whole = self.files.read_all(segment).await?;
            let kept: UInt32Array =
                (0..segment.rows as u32).filter(|row| !masked.contains(*row)).collect::<Vec<_>>().into();
            plan_of(&mut groups, segment.day, segment.shard, Some(take_record_batch(&whole, &kept)?));
            if let Some(plan) = groups.get_mut(&(segment.day, segment.shard)) {
                plan.replaces.push(segment.clone());
            }
        }
        Ok(groups.into_values().collect())
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

    /// Waits until the project holds fewer live rows than `rows`, at most for `patience`.
    pub async fn live_rows_below(&self, rows: usize, patience: Duration) -> bool {
        let _ = tokio::time::timeout(patience, self.flushing.lock()).await;
        self.live_rows() < rows
    }
}

/// A chunk's rows that have not been replaced, by day and shard.
fn rows_by_day(chunk: &LiveChunk, masked: &roaring::RoaringTreemap) -> Vec<(i32, Shard, UInt32Array)> {
    let mut groups: BTreeMap<(i32, Shard), Vec<u32>> = BTreeMap::new();
    let times = chunk.batch.column_by_name(Builtin::Time.name());
    let uids = chunk.batch.column_by_name(Builtin::Uid.name());
    let (Some(times), Some(uids)) = (times, uids) else { return Vec::new() };
    let times = times.as_primitive::<TimestampMillisecondType>();
    let uids = uids.as_primitive::<Int64Type>();
    for row in 0..times.len() {
        if !masked.contains(chunk.first + row as u64) {
            let shard = Uid(uids.value(row) as u64).shard();
            groups.entry((day_of(times.value(row)), shard)).or_default().push(row as u32);
        }
    }
    groups.into_iter().map(|((day, shard), rows)| (day, shard, rows.into())).collect()
}

/// One sorted, encoded file from its parts; `None` if they hold no row.
fn build(parts: &[RecordBatch]) -> Result<Option<(RecordBatch, EncodedSegment)>, StorageError> {
    let Some(rows) = union(parts)? else { return Ok(None) };
    if rows.num_rows() == 0 {
        return Ok(None);
    }
    let sorted = sort(&rows)?;
    let encoded = encode(&sorted)?;
    Ok(Some((sorted, encoded)))
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
    }
}

/// Tag of a table entry: the file's checksum in hexadecimal.
pub(super) const CHECKSUM_TAG: &str = "footfall.crc32c";

fn add_file(segment: &Segment, encoded: &EncodedSegment) -> AddFile {
    AddFile {
        path: segment.path.clone(),
        partition_values: vec![
            ("day".to_owned(), date(segment.day)),
            ("shard".to_owned(), segment.shard.0.to_string()),
        ],
        bytes: segment.bytes,
        rows: segment.rows,
        tags: BTreeMap::from([(CHECKSUM_TAG.to_owned(), format!("{:08x}", segment.crc32c))]),
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
