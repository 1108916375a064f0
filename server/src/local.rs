//! How commands on this machine reach the server that holds the data directory.
//!
//! Only one process may have a data directory open. A server therefore leaves `server.json` in it, readable by its owner
//! alone: the address, and a bearer token that is valid for as long as the process lives. Whoever may read the file could
//! read the data too, so the token acts on every project.

use std::path::Path;
use std::time::Duration;

use footfall_engine::{Arrival, IngestSummary};
use footfall_ingest::MergeMode;
use footfall_model::Event;
use reqwest::{RequestBuilder, Response};
use serde::{Deserialize, Serialize};

use crate::commands::CommandError;
use crate::commands::patience::Patience;
pub use crate::server_file::{LocalToken, ServerFile, ServerRecord, base_url};

/// A server that lives answers its own machine sooner than this.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// A running server, as a command talks to it.
pub struct LocalClient {
    http: reqwest::Client,
    base: String,
    token: String,
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
        let record = ServerRecord::read(data_dir)?;
        let http = reqwest::Client::builder().no_proxy().connect_timeout(HELLO_TIMEOUT).build().ok()?;
        let client = Self { http, base: record.http, token: record.token };
        // Another server may have got the dead one's port; it does not know the token.
        let hello = client.get("/v1/projects").timeout(HELLO_TIMEOUT).send().await.ok()?;
        hello.status().is_success().then_some(client)
    }

    /// Asks for a restart; `Ok` once it is under way.
    pub async fn restart(&self) -> Result<(), CommandError> {
        accepted(self.post("/v1/local/restart").send().await).await.map(drop)
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

    /// Stores a batch. It is sent again when the server is busy: events that are there already count as duplicates.
    pub async fn ingest(
        &self,
        project: &str,
        events: &[Event],
        arrival: &Arrival,
    ) -> Result<IngestSummary, CommandError> {
        let mut query = vec![("project_id", project.to_owned()), ("source", arrival.source.to_string())];
        if let Some(batch) = &arrival.batch {
            query.push(("import", batch.import.clone()));
            query.push(("sequence", batch.sequence.to_string()));
        }
        let body = bytes::Bytes::from(serde_json::to_vec(events).map_err(|e| CommandError::failed(e.to_string()))?);
        let mut patience = Patience::fresh();
        loop {
            let request = self.post("/v1/local/ingest").query(&query);
            let request = request.header("content-type", "application/json").body(body.clone());
            let reply = request.send().await.map_err(unreachable)?;
            if matches!(reply.status().as_u16(), 429 | 503) && patience.wait().await {
                continue;
            }
            let counts: IngestReply = accepted(Ok(reply)).await?.json().await.map_err(unreachable)?;
            return Ok(counts.into());
        }
    }

    /// The last part of an import that was applied and is durable.
    pub async fn import_position(&self, project: &str, import: &str) -> Result<Option<u64>, CommandError> {
        let request = self.get("/v1/local/imports").query(&[("project_id", project), ("import", import)]);
        let position: ImportPosition = accepted(request.send().await).await?.json().await.map_err(unreachable)?;
        Ok(position.sequence)
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.token)
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

async fn accepted(reply: reqwest::Result<Response>) -> Result<Response, CommandError> {
    let reply = reply.map_err(unreachable)?;
    if reply.status().is_success() {
        return Ok(reply);
    }
    let status = reply.status();
    let body: serde_json::Value = reply.json().await.unwrap_or_default();
    let message = body.pointer("/error/message").and_then(|m| m.as_str());
    Err(CommandError::failed(message.map_or_else(|| format!("the server answered {status}"), str::to_owned)))
}

fn unreachable(error: reqwest::Error) -> CommandError {
    CommandError::failed(format!("cannot talk to the running server: {error}"))
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
