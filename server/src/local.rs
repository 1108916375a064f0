//! How commands on this machine reach the server that holds the data directory.
//!
//! Only one process may have a data directory open. A server therefore leaves `server.json` in it, readable by its owner
//! alone: the address, and a bearer token that is valid for as long as the process lives. Whoever may read the file could
//! read the data too, so the token acts on every project.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use footfall_engine::{Arrival, IngestSummary, View, ViewRefresh};
use footfall_ingest::MergeMode;
use footfall_model::ProjectId;
use parking_lot::RwLock;
use reqwest::{Method, RequestBuilder, Response};
use serde::{Deserialize, Serialize};

use crate::commands::CommandError;
use crate::commands::backend::Attempt;
use crate::compaction::{CollectReply, CompactReply};
pub use crate::server_file::{LocalToken, ServerFile, ServerRecord, base_url};

/// Content type of [packed](crate::packed) events.
pub const PACKED_EVENTS: &str = "application/vnd.footfall.events";

/// A server that lives answers its own machine sooner than this.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// A running server, as a command talks to it.
pub struct LocalClient {
    http: reqwest::Client,
    data_dir: PathBuf,
    server: RwLock<ServerRecord>,
}

/// A project as `GET /v1/projects` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProjectInfo {
    pub project_id: u32,
    pub name: String,
    pub token: String,
    pub timezone: String,
    pub merge: MergeMode,
    pub shards: u16,
}

#[derive(Serialize, Deserialize)]
pub struct ProjectList {
    pub projects: Vec<ProjectInfo>,
}

impl LocalClient {
    /// The server that holds `data_dir`; `None` when there is none, whatever a killed one has left behind.
    pub async fn connect(data_dir: &Path) -> Option<Self> {
        let server = RwLock::new(ServerRecord::read(data_dir)?);
        let http = reqwest::Client::builder().no_proxy().connect_timeout(HELLO_TIMEOUT).build().ok()?;
        let client = Self { http, data_dir: data_dir.to_owned(), server };
        // Another server may have got the dead one's port; it does not know the token.
        let hello = client.get("/v1/local").timeout(HELLO_TIMEOUT).send().await.ok()?;
        hello.status().is_success().then_some(client)
    }

    /// Asks for a restart; `Ok` once it is under way.
    pub async fn restart(&self) -> Result<(), CommandError> {
        accepted(self.post("/v1/local/restart").send().await).await.map(drop)
    }

    /// Writes everything acknowledged so far to the tables.
    pub async fn flush(&self) -> Result<(), CommandError> {
        accepted(self.post("/v1/local/flush").send().await).await.map(drop)
    }

    pub async fn projects(&self) -> Result<Vec<ProjectInfo>, CommandError> {
        let reply = accepted(self.get("/v1/projects").send().await).await?;
        let list: ProjectList = reply.json().await.map_err(unreachable)?;
        Ok(list.projects)
    }

    /// The reply's body is the result in the form of `accept`.
    pub async fn sql(&self, project: &str, query: &str, accept: &str) -> Result<Response, CommandError> {
        let body = serde_json::json!({"query": query});
        let request = self.post("/v1/sql").query(&[("project_id", project)]).header("accept", accept).json(&body);
        accepted(request.send().await).await
    }

    /// Tries once to apply packed events.
    pub async fn ingest(&self, project: ProjectId, packed: Bytes, arrival: &Arrival) -> Result<Attempt, CommandError> {
        let mut query = vec![("project_id", project.to_string()), ("source", arrival.source.to_string())];
        if let Some(batch) = &arrival.batch {
            query.push(("import", batch.import.clone()));
            query.push(("sequence", batch.sequence.to_string()));
        }
        let request = self.post("/v1/local/ingest").query(&query).header("content-type", PACKED_EVENTS).body(packed);
        let reply = request.send().await.map_err(unreachable)?;
        if matches!(reply.status().as_u16(), 429 | 503) {
            let again_after = reply.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
            let reason = reason_of(reply).await;
            return Ok(Attempt::Busy { reason, again_after: again_after.map(Duration::from_secs) });
        }
        let counts: IngestReply = accepted(Ok(reply)).await?.json().await.map_err(unreachable)?;
        Ok(Attempt::Applied(counts.into()))
    }

    /// Looks where the server is now, after it may have been started again.
    pub fn find_again(&self) {
        if let Some(record) = ServerRecord::read(&self.data_dir) {
            *self.server.write() = record;
        }
    }

    /// The last part of an import that was applied and is durable.
    pub async fn import_position(&self, project: ProjectId, import: &str) -> Result<Option<u64>, CommandError> {
        let query = [("project_id", project.to_string()), ("import", import.to_owned())];
        let request = self.get("/v1/local/imports").query(&query);
        let position: ImportPosition = accepted(request.send().await).await?.json().await.map_err(unreachable)?;
        Ok(position.sequence)
    }

    pub async fn views(&self, project: ProjectId) -> Result<Vec<ViewInfo>, CommandError> {
        let request = self.get("/v1/views").query(&of(project));
        let list: ViewList = accepted(request.send().await).await?.json().await.map_err(unreachable)?;
        Ok(list.views)
    }

    pub async fn create_view(&self, project: ProjectId, name: &str, sql: &str) -> Result<ViewCounts, CommandError> {
        let body = serde_json::json!({"name": name, "sql": sql});
        let request = self.post("/v1/views").query(&of(project)).json(&body);
        accepted(request.send().await).await?.json().await.map_err(unreachable)
    }

    pub async fn refresh_view(&self, project: ProjectId, name: &str) -> Result<ViewCounts, CommandError> {
        let request = self.post(&format!("/v1/views/{}/refresh", in_path(name))).query(&of(project));
        accepted(request.send().await).await?.json().await.map_err(unreachable)
    }

    pub async fn drop_view(&self, project: ProjectId, name: &str) -> Result<(), CommandError> {
        let request = self.request(Method::DELETE, &format!("/v1/views/{}", in_path(name))).query(&of(project));
        accepted(request.send().await).await.map(drop)
    }

    /// One step of a compaction; see [`CompactReply::step`].
    pub async fn compact(&self, project: ProjectId, arrived_by: Option<i64>) -> Result<CompactReply, CommandError> {
        let arrived_by = arrived_by.map(|at| ("arrived_by", at.to_string()));
        let request = self.post("/v1/local/compact").query(&of(project)).query(&Vec::from_iter(arrived_by));
        accepted(request.send().await).await?.json().await.map_err(unreachable)
    }

    /// Deletes dead files.
    pub async fn collect(&self, project: ProjectId) -> Result<CollectReply, CommandError> {
        let request = self.post("/v1/local/collect").query(&of(project));
        accepted(request.send().await).await?.json().await.map_err(unreachable)
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let server = self.server.read();
        self.http.request(method, format!("{}{path}", server.http)).bearer_auth(&server.token)
    }
}

/// The reply of `/v1/local/ingest`.
#[derive(Serialize, Deserialize)]
pub struct IngestReply {
    pub stored: usize,
    pub duplicates: usize,
    pub superseded: usize,
    pub repeated: bool,
}

impl From<IngestSummary> for IngestReply {
    fn from(summary: IngestSummary) -> Self {
        let IngestSummary { stored, duplicates, superseded, repeated } = summary;
        Self { stored, duplicates, superseded, repeated }
    }
}

impl From<IngestReply> for IngestSummary {
    fn from(reply: IngestReply) -> Self {
        let IngestReply { stored, duplicates, superseded, repeated } = reply;
        Self { stored, duplicates, superseded, repeated }
    }
}

/// The reply of `/v1/local/imports`.
#[derive(Serialize, Deserialize)]
pub struct ImportPosition {
    /// `None`: no part of this import has been applied.
    pub sequence: Option<u64>,
}

/// A view as `GET /v1/views` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ViewInfo {
    pub name: String,
    pub sql: String,
    pub created_at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
pub struct ViewList {
    pub views: Vec<ViewInfo>,
}

/// What was done about a view: days of shards computed, kept as they were, and old ones deleted; and what was read for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ViewCounts {
    pub name: String,
    pub computed: usize,
    pub kept: usize,
    pub swept: usize,
    pub bytes_read: u64,
}

impl From<View> for ViewInfo {
    fn from(view: View) -> Self {
        Self { name: view.name, sql: view.sql, created_at: view.created_at }
    }
}

impl ViewCounts {
    pub fn new(name: String, done: ViewRefresh) -> Self {
        let ViewRefresh { computed, kept, swept, bytes_read } = done;
        Self { name, computed, kept, swept, bytes_read }
    }
}

/// Says in a query string whose data is meant.
fn of(project: ProjectId) -> [(&'static str, String); 1] {
    [("project_id", project.to_string())]
}

/// A name as one segment of a path.
fn in_path(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}

async fn accepted(reply: reqwest::Result<Response>) -> Result<Response, CommandError> {
    let reply = reply.map_err(unreachable)?;
    if reply.status().is_success() {
        return Ok(reply);
    }
    // Each start of a server has a token of its own.
    let is_another = reply.status() == reqwest::StatusCode::UNAUTHORIZED;
    let reason = reason_of(reply).await;
    Err(if is_another { CommandError::Unreachable(reason) } else { CommandError::failed(reason) })
}

/// What a refusal says.
async fn reason_of(reply: Response) -> String {
    let status = reply.status();
    let body: serde_json::Value = reply.json().await.unwrap_or_default();
    let message = body.pointer("/error/message").and_then(|m| m.as_str());
    message.map_or_else(|| format!("the server answered {status}"), str::to_owned)
}

fn unreachable(error: reqwest::Error) -> CommandError {
    CommandError::Unreachable(format!("cannot talk to the running server: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_killed_server_left_behind_is_no_server() {
        let dir = tempfile::tempdir().unwrap();
        assert!(LocalClient::connect(dir.path()).await.is_none());
        // Port 9 (discard) is not served here.
        let file = ServerFile::write(dir.path(), "127.0.0.1:9".parse().unwrap(), &LocalToken::random(), None).unwrap();
        file.keep();
        assert!(LocalClient::connect(dir.path()).await.is_none());
    }
}
