//! Footfall's engine: open a store, ingest events, ask about users. Wiring only; it knows nothing of HTTP.
//!
//! ```text
//! ingest ─▶ ProjectStore::append (storage)            report, sql, export ─▶ ProjectStore::snapshot ─▶ query
//!                ├─ background: flush when large or old, then release the log
//!                └─ compaction: merge small files, delete dead ones
//! ```

mod background;
pub mod care;
mod compaction;
mod directory;
mod drift;
mod error;
mod groups;
mod health;
mod live;
pub mod log;
mod lookup;
mod open;
mod options;
mod recount;
mod rejected;
mod schema;
mod statement;
mod views;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use chrono::Utc;
use footfall_model::{Event, ProfileUpdate, ProjectId};
use footfall_query::QueryError;
use footfall_query::check::check;
use footfall_query::compile::Clock;
use footfall_query::evaluate::{Sources, evaluate_json};
use footfall_query::export::Export;
use footfall_query::report::segmentation;
use footfall_query::runtime::QueryPool;
use footfall_query::session::Sessions;
use footfall_storage::log::{Log, Lsn};
use footfall_storage::{NiceThreads, ProjectStore, Recovered, Shared, Snapshot};
use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::{Mutex, RwLock};

use live::Viewers;

pub use compaction::CompactionOptions;
pub use directory::DataDirectory;
pub use drift::PropertyTypes;
pub use error::{Error, ErrorKind};
pub use footfall_query::arrivals::{ArrivalFilterSpec, LiveItem, LiveSpec, RecentSpec, Viewed};
pub use footfall_query::catalog::sql_name;
pub use footfall_query::check::{Checked, ExpressionRole, KnownExpression, ReadProperty, Remark, RemarkKind};
pub use footfall_query::compile::CostClass;
pub use footfall_query::export::ExportSpec;
pub use footfall_query::rejected::{RejectedPage, RejectedSpec};
pub use footfall_query::report::segmentation::{Count, Segmentation, SegmentationSpec, Unit};
pub use footfall_query::view::ViewRefresh;
pub use footfall_storage::census::{Census, PropertyUse, Seen, ValueType};
pub use footfall_storage::compaction::{CompactionPolicy, Grace};
pub use footfall_storage::journal::{RejectReason, RejectedEvent};
pub use footfall_storage::segment::{CacheFigures, SegmentCaches};
pub use footfall_storage::views::View;
pub use footfall_storage::{
    Arrival, Collected, Compacted, ImportBatch, IngestSummary, LiveRow, LookupTable, Missing, StorePolicy,
    check_directory, check_store, failpoint, open_store, sealed,
};
pub use live::TOO_MANY_VIEWERS;
pub use options::{CachePolicy, EngineOptions, EvaluateSpec, LiveOptions, Ownership, ProjectConfig};
pub use recount::Recount;

/// The engine of one data directory. Share it in an `Arc`; every method takes `&self`.
pub struct Engine {
    options: EngineOptions,
    log: Arc<Log>,
    announced: log::Announced,
    shared: Shared,
    /// Records of the log by project, until the project is attached. While one is here the log lets go of nothing.
    recovered: Mutex<HashMap<ProjectId, Vec<Recovered>>>,
    projects: RwLock<HashMap<ProjectId, Arc<Project>>>,
    /// One project is attached at a time: its recovered records must not be taken twice.
    attaching: tokio::sync::Mutex<()>,
    sessions: Arc<Sessions>,
    lookup_cache: Arc<lookup::LookupCache>,
    pool: QueryPool,
    nice: NiceThreads,
    /// Wakes the background task: a project has grown, or the engine closes.
    wake: Arc<tokio::sync::Notify>,
    background: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    compactor: compaction::Compactor,
    closing: AtomicBool,
    failing_flushes: Mutex<Option<(tokio::time::Instant, Error)>>,
    /// The log may hold what every project has in segments: after a start, since the last segment of the run before
    /// could not be released while it was written to.
    release_due: AtomicBool,
    /// Of all projects together.
    viewers: Viewers,
    /// Held until the engine is gone: no second process opens the same directory.
    _directory: DataDirectory,
}

/// A project as the engine has it open.
struct Project {
    config: RwLock<ProjectConfig>,
    store: Arc<ProjectStore>,
    viewers: Viewers,
}

impl Engine {
    /// Tells the engine of a project, new or known; later calls replace the settings. Cheap once it is open.
    pub async fn attach(&self, config: ProjectConfig) -> Result<(), Error> {
        let known = self.projects.read().get(&config.id).cloned();
        if let Some(project) = known {
            *project.config.write() = config;
            return Ok(());
        }
        let _one_at_a_time = self.attaching.lock().await;
        if self.projects.read().contains_key(&config.id) {
            return Ok(());
        }
        let recovered = self.recovered.lock().get(&config.id).cloned().unwrap_or_default();
        let options = self.options.project(config.shards);
        let store = ProjectStore::open(config.id, options, &self.shared, recovered).await;
        let store = store.map_err(|error| log::cannot_attach(&self.options.data_dir, config.id, error))?;
        failpoint::hit("engine::attach").map_err(footfall_storage::StorageError::from)?;
        let project = Arc::new(Project {
            config: RwLock::new(config.clone()),
            store,
            viewers: Viewers::at_most(self.options.live.viewers),
        });
        self.projects.write().insert(config.id, project);
        // Not earlier: the project now says itself what it needs of the log, and a try that failed or was given up has
        // left the records for the next.
        self.recovered.lock().remove(&config.id);
        self.release_due.store(true, Ordering::Release);
        Ok(())
    }

    /// Threads for work that nobody awaits by the millisecond. They end with the engine.
    pub fn nice(&self) -> &tokio::runtime::Handle {
        self.nice.handle()
    }

    /// Stores the events of one request, all or nothing. When this returns they are durable and every query that
    /// starts later sees them.
    pub async fn ingest(
        &self,
        project: ProjectId,
        events: Vec<Event>,
        arrival: Arrival,
    ) -> Result<IngestSummary, Error> {
        self.check_open()?;
        // An import's part counts as applied even if nothing in it was worth storing.
        if events.is_empty() && arrival.batch.is_none() {
            return Ok(IngestSummary::default());
        }
        let project = self.project(project)?;
        let summary = project.store.append(events, arrival, Utc::now().timestamp_micros()).await?;
        self.wake_if_grown(&project);
        Ok(summary)
    }

    /// Logs changes of profiles, all or none and in this order. When this returns they are durable.
    pub async fn record_profiles(
        &self,
        project: ProjectId,
        updates: Vec<ProfileUpdate>,
        arrival: Arrival,
    ) -> Result<(), Error> {
        self.check_open()?;
        if updates.is_empty() && arrival.batch.is_none() {
            return Ok(());
        }
        let project = self.project(project)?;
        project.store.record_profiles(updates, arrival, Utc::now().timestamp_micros()).await?;
        self.wake_if_grown(&project);
        Ok(())
    }

    /// The last part of an import that was applied and is durable; `None` if none was.
    pub async fn import_position(&self, project: ProjectId, import: &str) -> Result<Option<u64>, Error> {
        let project = self.project(project)?;
        Ok(project.store.import_position(import).await?)
    }

    /// Where the tables are, for what is kept beside them. All users of a process share what is known of it.
    pub fn store(&self) -> Arc<dyn object_store::ObjectStore> {
        self.shared.store.clone()
    }

    /// What is kept of segments; holds nothing else of the engine.
    pub fn caches(&self) -> Arc<SegmentCaches> {
        self.shared.segments.clone()
    }

    fn check_open(&self) -> Result<(), Error> {
        match self.closing.load(Ordering::Acquire) {
            true => Err(Error::new(ErrorKind::Unavailable, "closing", "the server is shutting down")),
            false => Ok(()),
        }
    }

    fn wake_if_grown(&self, project: &Project) {
        if self.has_grown(project) {
            self.wake.notify_one();
        }
    }

    pub async fn segmentation(&self, project: ProjectId, spec: SegmentationSpec) -> Result<Segmentation, Error> {
        let project = self.project(project)?;
        let sessions = self.sessions.clone();
        let report = self.pool.run(async move {
            let snapshot = snapshot_of(&project)?;
            let clock = project.clock();
            segmentation::run(&sessions, &snapshot, &spec, &clock).await
        });
        Ok(report.await?)
    }

    /// Raw events in ascending time as NDJSON chunks, each ending in a line feed; no chunk when no event matches.
    pub async fn export(
        &self,
        project: ProjectId,
        spec: ExportSpec,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let project = self.project(project)?;
        let sessions = self.sessions.clone();
        let export = self
            .pool
            .run(async move {
                let snapshot = snapshot_of(&project)?;
                Export::new(&sessions, &snapshot, &spec, &project.clock())
            })
            .await?;
        let chunks = self.pool.produce(|sender| async move {
            let mut export = export;
            while let Some(chunk) = export.next_chunk().await.transpose() {
                let failed = chunk.is_err();
                if sender.send(chunk.map_err(Error::from)).await.is_err() || failed {
                    break;
                }
            }
        });
        Ok(chunks.boxed())
    }

    /// The value in the notation of the vectors: undefined `{"$undefined":true}`, datetime `{"$datetime":"…Z"}`.
    pub fn evaluate(&self, spec: &EvaluateSpec) -> Result<serde_json::Value, Error> {
        let timezone = match &spec.timezone {
            None => chrono_tz::Tz::UTC,
            Some(name) => name.parse().map_err(|_| {
                Error::invalid("timezone", format!("timezone, not an IANA time zone: {name}")).with_field("timezone")
            })?,
        };
        let sources = Sources { properties: &spec.properties, user: &spec.user, behaviors: &spec.behaviors };
        let now = spec.now.unwrap_or_else(|| Utc::now().timestamp());
        Ok(evaluate_json(&spec.expr, &sources, now, timezone)?)
    }

    /// What is known of an expression before it is used.
    pub async fn check_expression(
        &self,
        project: ProjectId,
        text: String,
        role: ExpressionRole,
    ) -> Result<Checked, Error> {
        let project = self.project(project)?;
        let checked = self.pool.run(async move { Ok(check(&*snapshot_of(&project)?, &text, role, &project.clock())) });
        Ok(checked.await?)
    }

    fn project(&self, id: ProjectId) -> Result<Arc<Project>, Error> {
        let found = self.projects.read().get(&id).cloned();
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, "project", format!("no project {id}")))
    }

    /// Lets go of the log below what every project has in segments.
    async fn release_log(&self) {
        // A project that is not attached has not said what it needs.
        if !self.recovered.lock().is_empty() {
            return;
        }
        // Fixed before the projects are asked: one that needs nothing when it is asked may need what comes later, and
        // another one's answer must not speak for that.
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let log = self.log.clone();
        let queued = tokio::task::spawn_blocking(move || {
            log.barrier(Box::new(move |result| {
                let _ = sender.send(result);
            }))
        });
        if let (Ok(Ok(())), Ok(Ok(last))) = (queued.await, receiver.await) {
            let needed = self.projects.read().values().filter_map(|p| p.store.oldest_unflushed()).min();
            self.release(needed.map_or(last, |oldest| Lsn(oldest.0.saturating_sub(1)).min(last))).await;
        }
    }

    async fn release(&self, up_to: Lsn) {
        let log = self.log.clone();
        match tokio::task::spawn_blocking(move || log.release(up_to)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "log segments could not be released"),
            Err(error) => tracing::warn!(%error, "log release was interrupted"),
        }
    }
}

impl Project {
    fn clock(&self) -> Clock {
        Clock { now: Utc::now().timestamp(), timezone: self.config.read().timezone }
    }
}

fn snapshot_of(project: &Project) -> Result<Arc<Snapshot>, QueryError> {
    Ok(Arc::new(project.store.snapshot()?))
}
