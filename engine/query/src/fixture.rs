//! A real project's store for tests: rows are sealed sixteen at a time.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionContext;
use footfall_model::{Event, ProjectId};
use footfall_storage::log::{Log, LogOptions, Record};
use footfall_storage::segment::SegmentCaches;
use footfall_storage::{
    Arrival, KeptBudget, KeptLimits, KeyCache, ProjectOptions, ProjectStore, Shared, StorePolicy, open_store,
};
use object_store::ObjectStore;

use crate::catalog::{Properties, Shape};
use crate::session::Sessions;

/// One project in a folder of its own.
pub(crate) struct Fixture {
    _dir: tempfile::TempDir,
    pub store: Arc<ProjectStore>,
    pub sessions: Sessions,
}

impl Fixture {
    pub async fn new() -> Self {
        Self::with_columns_max(256).await
    }

    pub async fn with_columns_max(columns_max: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open_store(dir.path(), None, &StorePolicy::default()).unwrap();
        Self::within(dir, store, columns_max).await
    }

    /// One project in a store, with a log and caches of its own.
    pub async fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self::within(tempfile::tempdir().unwrap(), store, 256).await
    }

    async fn within(dir: tempfile::TempDir, store: Arc<dyn ObjectStore>, columns_max: usize) -> Self {
        let nothing = |_: Record<'_>| -> Result<(), std::convert::Infallible> { Ok(()) };
        let (log, recovery) = Log::open(LogOptions::new(dir.path().join("log")), nothing).unwrap();
        let shared = Shared {
            log: Arc::new(log),
            log_id: recovery.node,
            log_start: recovery.next_lsn,
            store,
            segments: SegmentCaches::new(64 << 20),
            keys: KeyCache::new(1 << 20),
            kept: KeptBudget::new(0),
            nice: tokio::runtime::Handle::current(),
        };
        let options = ProjectOptions {
            shards: 4,
            seal_rows: 16,
            live_rows_max: 1_000_000,
            live_bytes_max: usize::MAX,
            columns_max,
            kept: KeptLimits { rows_max: 0, bytes_max: 0 },
        };
        let store = ProjectStore::open(ProjectId(1), options, &shared, Vec::new()).await.unwrap();
        let runtime = RuntimeEnvBuilder::new().build_arc().unwrap();
        Self { _dir: dir, store, sessions: Sessions::new(runtime, 2) }
    }

    pub async fn append(&self, events: Vec<Event>) {
        self.store.append(events, Arrival::default(), 1_700_000_000_000_000).await.unwrap();
    }

    pub fn context(&self, shape: Shape) -> SessionContext {
        self.sessions.context(&Arc::new(self.store.snapshot().unwrap()), shape, Properties::All).unwrap()
    }

    pub async fn number(&self, query: &str) -> i64 {
        let batches = self.context(Shape::Sql).sql(query).await.unwrap().collect().await.unwrap();
        batches[0].column(0).as_primitive::<Int64Type>().value(0)
    }
}
