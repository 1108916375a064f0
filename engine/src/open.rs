//! Start and end: read the log, let the projects replay; flush and let go.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use footfall_model::ProjectId;
use footfall_query::runtime::QueryPool;
use footfall_query::session::Sessions;
use footfall_storage::log::{Log, Record};
use footfall_storage::segment::{CacheOptions, Replica, SegmentCaches};
use footfall_storage::{
    KeptBudget, KeyCache, NiceThreads, Recovered, Shared, StorageError, check_store, enter_directory, enter_store,
    open_store, probe_store, reach_store, remove_leftovers,
};
use parking_lot::{Mutex, RwLock};

use crate::live::Viewers;
use crate::log::{Announced, cannot_open, log_options};
use crate::lookup::LookupCache;
use crate::{DataDirectory, Engine, EngineOptions, Error, ErrorKind, Ownership};

/// Keys of segments kept in memory for finding resent events.
const KEY_CACHE_BYTES: u64 = 256 << 20;
/// Lookup tables kept as columns, measured by their text.
const LOOKUP_CACHE_BYTES: u64 = 256 << 20;
/// What the operators of all running queries may hold together.
const QUERY_MEMORY_BYTES: usize = 4 << 30;
/// How long a flush under way may take to end before a successor takes over.
const SUSPEND_PATIENCE: Duration = Duration::from_secs(1);

/// One for each long request that computes, and one for what is done between waits.
fn nice_threads() -> usize {
    std::thread::available_parallelism().map_or(2, |n| n.get()) + 1
}

impl Engine {
    /// Opens (or creates) the data directory and reads the log. Projects become usable as they are attached.
    pub async fn open(options: EngineOptions) -> Result<Arc<Self>, Error> {
        let directory = DataDirectory::take(&options.data_dir, Duration::ZERO).await?;
        Self::open_in(directory, options).await
    }

    /// As [`Engine::open`], in a directory that was taken before.
    pub async fn open_in(directory: DataDirectory, options: EngineOptions) -> Result<Arc<Self>, Error> {
        let unavailable = |what: &str, error: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Unavailable, "data_dir", format!("{what}: {error}"))
        };
        let data_dir = directory.path().to_owned();
        let store = open_store(&data_dir, options.store.as_ref(), &options.store_policy)?;
        match (check_store(&store).await, options.ownership) {
            // Of a store that cannot be read, trying it out says more.
            (checked, Ownership::Guest) => {
                reach_store(&*store, options.store.as_ref()).await?;
                checked?;
            }
            (Ok(_) | Err(StorageError::Store(_)), Ownership::Owner) => {
                probe_store(&*store, options.store.as_ref()).await?;
                enter_store(&store).await?;
                enter_directory(&data_dir)?;
                remove_leftovers(&data_dir, options.store.as_ref())?;
            }
            (Err(error), Ownership::Owner) => return Err(error.into()),
        }
        let mut recovered: HashMap<ProjectId, Vec<Recovered>> = HashMap::new();
        let mut announced = Announced::default();
        let collect = |record: Record<'_>| -> Result<(), Infallible> {
            if announced.replay(&record) {
                return Ok(());
            }
            let of_project = recovered.entry(ProjectId(record.project)).or_default();
            of_project.push(Recovered {
                lsn: record.lsn,
                kind: record.kind,
                payload: Bytes::copy_from_slice(record.payload),
            });
            Ok(())
        };
        let (log, recovery) =
            Log::open(log_options(&options), collect).map_err(|error| cannot_open(&data_dir, error))?;
        tracing::info!(
            records = recovery.records,
            truncated_bytes = recovery.truncated_tail_bytes,
            epoch = recovery.epoch,
            "log opened"
        );
        let log = Arc::new(log);
        let nice = NiceThreads::start(nice_threads()).map_err(|e| unavailable("threads cannot be started", &e))?;
        let replica = options
            .cache
            .heal_from
            .as_ref()
            .map(|url| open_store(&data_dir, Some(url), &options.store_policy))
            .transpose()?;
        let segments = SegmentCaches::open(&CacheOptions {
            memory_bytes: options.cache.memory_bytes,
            disk: options.disk_cache(),
            replica: replica.map(Replica::new),
        });
        let segments = segments.map_err(|e| unavailable("the cache's folder cannot be used", &e))?;
        let shared = Shared {
            log: log.clone(),
            log_id: recovery.node,
            log_start: recovery.next_lsn,
            store,
            segments,
            keys: KeyCache::new(KEY_CACHE_BYTES),
            kept: KeptBudget::new(options.live.kept_bytes_total),
            nice: nice.handle().clone(),
        };
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(QUERY_MEMORY_BYTES)))
            .build_arc()
            .map_err(|e| unavailable("query runtime cannot be built", &e))?;
        let pool =
            QueryPool::new(options.query_threads).map_err(|e| unavailable("query threads cannot be started", &e))?;
        let engine = Arc::new(Self {
            viewers: Viewers::at_most(options.live.viewers_total),
            lookup_cache: Arc::new(LookupCache::new(LOOKUP_CACHE_BYTES)),
            sessions: Arc::new(Sessions::new(runtime, options.query_threads)),
            options,
            log,
            announced,
            shared,
            recovered: Mutex::new(recovered),
            projects: RwLock::new(HashMap::new()),
            attaching: tokio::sync::Mutex::new(()),
            pool,
            nice,
            wake: Arc::new(tokio::sync::Notify::new()),
            background: Mutex::default(),
            compactor: Default::default(),
            closing: AtomicBool::new(false),
            failing_flushes: Mutex::default(),
            release_due: AtomicBool::new(false),
            _directory: directory,
        });
        engine.background.lock().push(engine.spawn_background());
        if engine.options.ownership == Ownership::Owner {
            engine.background.lock().extend(engine.spawn_compaction());
        }
        Ok(engine)
    }

    /// Flushes and stops. Later appends answer `Unavailable`; queries still run. The directory is free when the last
    /// `Arc` is dropped.
    pub async fn close(&self) -> Result<(), Error> {
        self.stop_background(Duration::MAX).await;
        let flushed = self.flush().await;
        self.close_log().await;
        flushed
    }

    /// Stops as [`Engine::close`] does, but writes nothing to the tables: what is live stays in the log, from which the
    /// next open reads it. For a successor that is to answer soon.
    pub async fn suspend(&self) {
        // A flush that is cut off here is cut off by nothing worse than a crash, which it is made for.
        self.stop_background(SUSPEND_PATIENCE).await;
        self.close_log().await;
    }

    async fn stop_background(&self, patience: Duration) {
        self.closing.store(true, Ordering::Release);
        self.compactor.stop.store(true, Ordering::Release);
        let background = std::mem::take(&mut *self.background.lock());
        self.wake.notify_one();
        let stopped = background.into_iter().map(|task| async move {
            let abort = task.abort_handle();
            if tokio::time::timeout(patience, task).await.is_err() {
                abort.abort();
            }
        });
        futures::future::join_all(stopped).await;
    }

    async fn close_log(&self) {
        let log = self.log.clone();
        let _ = tokio::task::spawn_blocking(move || log.close()).await;
    }
}
