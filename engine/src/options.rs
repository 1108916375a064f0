//! What the engine is told: plain data.

use std::path::PathBuf;
use std::time::Duration;

use footfall_model::ProjectId;
use footfall_storage::{KeptLimits, ProjectOptions, StorePolicy};

use crate::CompactionOptions;
use crate::log::LogPolicy;

/// Plain settings of an engine; see `Default` for what a laptop wants.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Local folder of the log, the lock and, unless `store` says otherwise, the tables.
    pub data_dir: PathBuf,
    /// Where the tables live: `file:///…`, `gs://bucket/prefix`, `s3://bucket/prefix`. `None`: `{data_dir}/store`.
    pub store: Option<url::Url>,
    pub store_policy: StorePolicy,
    /// Shards given to a new project; a project keeps the number it was created with.
    pub shards: u16,
    /// Property columns of a segment at most: what is left of a row is in one column more, `rest`.
    pub columns_max: usize,
    /// Live rows of a project that start a flush.
    pub flush_rows: usize,
    /// Memory that a project's live rows take when a flush starts.
    pub flush_bytes: usize,
    /// Age of the oldest live row that starts a flush.
    pub flush_age: Duration,
    /// Threads of the pool that queries run on.
    pub query_threads: usize,
    pub live: LiveOptions,
    pub log: LogPolicy,
    pub compaction: CompactionOptions,
    pub cache: CachePolicy,
    pub ownership: Ownership,
}

/// Whose the store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ownership {
    /// Ours: leftovers of a crash are ours too.
    #[default]
    Owner,
    /// Another process may be writing to it.
    Guest,
}

/// What is kept of segments that were read: plain settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// Memory for footers and columns.
    pub memory_bytes: u64,
    /// Folder of the cache on disk; `None`: `cache` within the data directory.
    pub dir: Option<PathBuf>,
    /// Most bytes on disk; `None`: [`Self::DISK_BYTES`] in front of a bucket, none in front of a local folder.
    pub disk_bytes: Option<u64>,
    /// A replica of the store or a backup, from which damaged segments are healed.
    pub heal_from: Option<url::Url>,
}

impl CachePolicy {
    pub const DISK_BYTES: u64 = 10 << 30;
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self { memory_bytes: 1 << 30, dir: None, disk_bytes: None, heal_from: None }
    }
}

/// Bounds of live views: plain settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveOptions {
    /// Flushed rows of a project that stay in memory for viewers that are behind or come back.
    pub kept_rows: usize,
    /// Memory that these rows of one project may take.
    pub kept_bytes: usize,
    /// Memory that they may take in all projects together.
    pub kept_bytes_total: usize,
    /// Viewers of one project at once.
    pub viewers: usize,
    /// Viewers of all projects at once.
    pub viewers_total: usize,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self { kept_rows: 65_536, kept_bytes: 32 << 20, kept_bytes_total: 256 << 20, viewers: 32, viewers_total: 256 }
    }
}

impl Default for EngineOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
        Self {
            data_dir: PathBuf::from("./footfall-data"),
            store: None,
            store_policy: StorePolicy::default(),
            shards: 4,
            columns_max: 256,
            flush_rows: 500_000,
            flush_bytes: 256 << 20,
            flush_age: Duration::from_secs(600),
            query_threads: threads,
            live: LiveOptions::default(),
            log: LogPolicy::default(),
            compaction: CompactionOptions::default(),
            cache: CachePolicy::default(),
            ownership: Ownership::Owner,
        }
    }
}

impl EngineOptions {
    /// Rows that may be live before appends have to wait: room for the flush to catch up.
    fn live_rows_max(&self) -> usize {
        self.flush_rows.saturating_mul(4).max(1_000_000)
    }

    /// The same for memory.
    fn live_bytes_max(&self) -> usize {
        self.flush_bytes.saturating_mul(4).max(256 << 20)
    }

    /// Folder and most bytes of the cache on disk, if there is to be one.
    pub(crate) fn disk_cache(&self) -> Option<(PathBuf, u64)> {
        let is_far = self.store.as_ref().is_some_and(|store| store.scheme() != "file");
        let usual = if is_far { CachePolicy::DISK_BYTES } else { 0 };
        let bytes = self.cache.disk_bytes.unwrap_or(usual);
        let dir = self.cache.dir.clone().unwrap_or_else(|| self.data_dir.join("cache"));
        (bytes > 0).then_some((dir, bytes))
    }

    pub(crate) fn project(&self, shards: u16) -> ProjectOptions {
        let kept = KeptLimits { rows_max: self.live.kept_rows, bytes_max: self.live.kept_bytes };
        ProjectOptions {
            shards,
            seal_rows: 16_384,
            live_rows_max: self.live_rows_max(),
            live_bytes_max: self.live_bytes_max(),
            columns_max: self.columns_max,
            kept,
        }
    }
}

/// A project's settings that queries depend on. Credentials live in the server.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectConfig {
    pub id: ProjectId,
    pub timezone: chrono_tz::Tz,
    pub shards: u16,
}

/// `POST /v1/expressions/evaluate`: an expression and the one record it is evaluated on.
#[derive(Clone, Debug, Default)]
pub struct EvaluateSpec {
    pub expr: String,
    pub properties: serde_json::Map<String, serde_json::Value>,
    pub user: serde_json::Map<String, serde_json::Value>,
    pub behaviors: serde_json::Map<String, serde_json::Value>,
    /// Unix seconds; `None` is the clock.
    pub now: Option<i64>,
    pub timezone: Option<String>,
}
