//! Footfall's engine: open a store, ingest events, ask about users. Wiring only; it knows nothing of HTTP.

mod error;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::SendableRecordBatchStream;
use footfall_model::{Event, ProjectId};
use futures::stream::BoxStream;

pub use error::{Error, ErrorKind};
pub use footfall_query::export::ExportSpec;
pub use footfall_query::report::segmentation::{Count, Segmentation, SegmentationSpec, Unit};

/// Plain settings of an engine; see `Default` for what a laptop wants.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Local folder of the log, the lock and, unless `store` says otherwise, the tables.
    pub data_dir: PathBuf,
    /// Where the tables live: `file:///…`, `gs://bucket/prefix`, `s3://bucket/prefix`. `None`: `{data_dir}/store`.
    pub store: Option<url::Url>,
    /// Shards given to a new project; a project keeps the number it was created with.
    pub shards: u16,
    /// Live rows of a project that start a flush.
    pub flush_rows: usize,
    /// Age of the oldest live row that starts a flush.
    pub flush_age: Duration,
    /// Threads of the pool that queries run on.
    pub query_threads: usize,
}

/// What became of a batch that was accepted for a project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngestSummary {
    /// New rows, replacements of an earlier version included.
    pub stored: usize,
    /// Resent copies that changed nothing.
    pub duplicates: usize,
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

pub struct Engine {}

impl Engine {
    /// Opens (or creates) the data directory, recovers the log, and is then ready for everything.
    pub async fn open(options: EngineOptions) -> Result<Arc<Self>, Error> {
        todo!()
    }

    /// Tells the engine of a project, new or known; later calls replace the settings. Cheap.
    pub async fn attach(&self, project: ProjectConfig) -> Result<(), Error> {
        todo!()
    }

    /// Stores the events of one request, all or nothing. When this returns they are durable and every query that
    /// starts later sees them.
    pub async fn ingest(&self, project: ProjectId, events: Vec<Event>) -> Result<IngestSummary, Error> {
        todo!()
    }

    /// Runs one read-only statement. `params` fill `$1`, `$2`, … in order.
    pub async fn sql(
        &self,
        project: ProjectId,
        query: &str,
        params: &[serde_json::Value],
    ) -> Result<SendableRecordBatchStream, Error> {
        todo!()
    }

    pub async fn segmentation(&self, project: ProjectId, spec: SegmentationSpec) -> Result<Segmentation, Error> {
        todo!()
    }

    /// Raw events in ascending time as NDJSON chunks, each ending in a line feed; no chunk when no event matches.
    pub async fn export(
        &self,
        project: ProjectId,
        spec: ExportSpec,
    ) -> Result<BoxStream<'static, Result<bytes::Bytes, Error>>, Error> {
        todo!()
    }

    /// The value in the notation of the vectors: undefined `{"$undefined":true}`, datetime `{"$datetime":"…Z"}`.
    pub fn evaluate(&self, spec: &EvaluateSpec) -> Result<serde_json::Value, Error> {
        todo!()
    }

    /// Writes every live row to segments now. Answers of queries do not change.
    pub async fn flush(&self) -> Result<(), Error> {
        todo!()
    }

    /// Flushes and lets go of the data directory. Later calls answer `Unavailable`.
    pub async fn close(&self) -> Result<(), Error> {
        todo!()
    }
}
