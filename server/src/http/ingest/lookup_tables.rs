//! `/lookup-tables`: tables that people upload as CSV, listed, created, and replaced as a whole.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use footfall_engine::{LookupTable, Missing};
use footfall_ingest::lookup::{RowFault, check};
use footfall_model::ProjectId;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::body::{self, BodyError, GunzipError, UnzipLimits};
use super::offload;
use super::replies::{SOME_FAILED, failure, forbidden, invalid_credentials, json_reply, not_stored};
use super::wire::Encoding;
use crate::auth::authorize_for;
use crate::http::{ApiError, Params};
use crate::projects::{Project, Role};
use crate::state::AppState;

const DAY: Duration = Duration::from_secs(86_400);
const NAME_MAX: usize = 100;
/// Uploads in memory at once; more wait. Each may hold its text twice, zipped and not, and the hashes of its keys.
const UPLOADS_AT_ONCE: usize = 2;

/// What has been used up of the limits.
pub(super) struct Uploads {
    slots: Semaphore,
    /// When each project's calls of the last 24 hours came, oldest first.
    calls: Mutex<HashMap<ProjectId, VecDeque<Instant>>>,
}

impl Default for Uploads {
    fn default() -> Self {
        Self { slots: Semaphore::new(UPLOADS_AT_ONCE), calls: Mutex::default() }
    }
}

impl Uploads {
    /// Counts a call, or says how long to wait until one more is allowed. No limit is 0.
    fn count(&self, project: ProjectId, calls_per_day: usize, now: Instant) -> Result<(), Duration> {
        if calls_per_day == 0 {
            return Ok(());
        }
        let mut calls = self.calls.lock();
        let calls = calls.entry(project).or_default();
        while calls.front().is_some_and(|first| now.duration_since(*first) >= DAY) {
            calls.pop_front();
        }
        match calls.front() {
            Some(first) if calls.len() >= calls_per_day => Err(DAY - now.duration_since(*first)),
            _ => {
                calls.push_back(now);
                Ok(())
            }
        }
    }
}

pub(super) async fn list(State(state): State<AppState>, headers: HeaderMap, uri: Uri) -> Response {
    answer(list_all(&state, &headers, &uri).await)
}

pub(super) async fn create(
    State(state): State<AppState>,
    Extension(uploads): Extension<Arc<Uploads>>,
    request: Request,
) -> Response {
    answer(create_one(&state, &uploads, request).await)
}

pub(super) async fn replace(
    State(state): State<AppState>,
    Extension(uploads): Extension<Arc<Uploads>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    answer(replace_one(&state, &uploads, &id, request).await)
}

async fn list_all(state: &AppState, headers: &HeaderMap, uri: &Uri) -> Result<Value, Refusal> {
    let project = authorize_for(state, headers, &Params::parse(uri.query(), None, b"")?, |_| true).await?;
    let tables = state.engine.lookup_tables(project.id).await?;
    Ok(json!({"code": 200, "status": "OK", "results": tables.iter().map(described).collect::<Vec<_>>()}))
}

async fn create_one(state: &AppState, uploads: &Uploads, request: Request) -> Result<Value, Refusal> {
    let (parts, body) = request.into_parts();
    let checked = async {
        let (project, params) = admit(state, uploads, &parts.headers, &parts.uri).await?;
        Ok((project, table_name(&params)?))
    };
    let ((project, name), body) = or_discard(checked.await, &parts.headers, body).await?;
    let _slot = uploads.slots.acquire().await;
    let csv = receive(&parts.headers, body, state.intake.settings.lookup_bytes_max).await?;
    let table = state.engine.create_lookup_table(project.id, &name, csv).await?;
    Ok(json!({"code": 200, "status": "OK", "results": described(&table)}))
}

async fn replace_one(state: &AppState, uploads: &Uploads, id: &str, request: Request) -> Result<Value, Refusal> {
    let (parts, body) = request.into_parts();
    let admitted = admit(state, uploads, &parts.headers, &parts.uri).await;
    let ((project, _), body) = or_discard(admitted, &parts.headers, body).await?;
    let _slot = uploads.slots.acquire().await;
    let csv = receive(&parts.headers, body, state.intake.settings.lookup_bytes_max).await?;
    let not_found = || Refusal::NotFound(id.chars().take(NAME_MAX).collect());
    let missing = if state.intake.settings.lookup_create_missing { Missing::Create } else { Missing::Refuse };
    let id = id.parse().map_err(|_| not_found())?;
    match state.engine.replace_lookup_table(project.id, id, csv, missing).await? {
        true => Ok(json!({"code": 200, "status": "OK"})),
        false => Err(not_found()),
    }
}

/// Refuses, but not before the client has sent everything: many look for no reply before, and a connection that ends
/// under them is an error of another kind.
async fn or_discard<T>(checked: Result<T, Refusal>, headers: &HeaderMap, body: Body) -> Result<(T, Body), Refusal> {
    match checked {
        Ok(found) => Ok((found, body)),
        Err(refusal) => {
            body::discard(headers, body).await;
            Err(refusal)
        }
    }
}

fn table_name(params: &Params) -> Result<String, ApiError> {
    let name = params.required("name")?;
    let name = name.trim();
    if name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(ApiError::parameter("name", "must not exceed 100 characters or hold control characters"));
    }
    Ok(name.to_owned())
}

fn described(table: &LookupTable) -> Value {
    json!({"id": table.id.to_string(), "name": table.name})
}

/// Before a body of a hundred megabytes is read: who sends it, and whether they may.
async fn admit(
    state: &AppState,
    uploads: &Uploads,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<(Arc<Project>, Params), Refusal> {
    let params = Params::parse(uri.query(), None, b"")?;
    let project = authorize_for(state, headers, &params, Role::may_ingest).await?;
    let calls_per_day = state.intake.settings.lookup_calls_per_day;
    uploads.count(project.id, calls_per_day, Instant::now()).map_err(Refusal::TooOften)?;
    Ok((project, params))
}

/// The body's text, checked.
async fn receive(headers: &HeaderMap, body: Body, max: usize) -> Result<Bytes, Refusal> {
    let zipped = match Encoding::of(headers) {
        Encoding::Plain => false,
        Encoding::Gzip => true,
        Encoding::Unknown => {
            body::discard(headers, body).await;
            return Err(ApiError::sentence("Content-Encoding", "content encoding must be gzip or absent").into());
        }
    };
    let body = body::read_uncounted(headers, body, max).await.map_err(|error| match error {
        BodyError::TooLarge => Refusal::TooLarge { max },
        BodyError::Interrupted => ApiError::sentence("body", "request body is incomplete").into(),
        BodyError::TooSlow => ApiError::sentence("body", "request body took too long").into(),
        BodyError::Busy(_) => Refusal::TooLarge { max },
    })?;
    // Whoever uploads a table has proved who it is, and few do at once: the ratio is no concern.
    let limits = UnzipLimits { bytes_max: max, ratio_max: usize::MAX };
    let checked = offload(body.len(), move || {
        let csv = if zipped { Bytes::from(body::gunzip(&body, limits, |_| Ok(()))?) } else { body };
        Ok(check(&csv).map(|()| csv))
    });
    match checked.await {
        Ok(Ok(csv)) => Ok(csv),
        Ok(Err(faults)) => Err(Refusal::Rows(faults)),
        Err(GunzipError::TooLarge | GunzipError::Busy(_)) => Err(Refusal::TooLarge { max }),
        Err(GunzipError::Damaged) => Err(ApiError::sentence("body", "request body is not valid gzip").into()),
    }
}

/// Why there is no success.
enum Refusal {
    Api(ApiError),
    Engine(footfall_engine::Error),
    NotFound(String),
    TooLarge { max: usize },
    TooOften(Duration),
    Rows(Vec<RowFault>),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<footfall_engine::Error> for Refusal {
    fn from(error: footfall_engine::Error) -> Self {
        Self::Engine(error)
    }
}

fn answer(result: Result<Value, Refusal>) -> Response {
    let refusal = match result {
        Ok(body) => return json_reply(StatusCode::OK, &body),
        Err(refusal) => refusal,
    };
    match refusal {
        Refusal::Api(error) if error.status == StatusCode::UNAUTHORIZED => invalid_credentials(),
        Refusal::Api(error) if error.status == StatusCode::FORBIDDEN => forbidden(),
        Refusal::Api(error) => failure(error.status, &error.message),
        Refusal::Engine(error) => not_stored(&error),
        Refusal::NotFound(id) => failure(StatusCode::NOT_FOUND, &format!("Lookup table with id '{id}' was not found.")),
        Refusal::TooLarge { max } => {
            failure(StatusCode::PAYLOAD_TOO_LARGE, &format!("request exceeds max limit of {max} bytes"))
        }
        Refusal::TooOften(wait) => {
            let text = "too many lookup tables were created or replaced in the last 24 hours";
            let mut response = failure(StatusCode::TOO_MANY_REQUESTS, text);
            response.headers_mut().insert(header::RETRY_AFTER, (wait.as_secs() + 1).into());
            response
        }
        Refusal::Rows(faults) => {
            let rows: Vec<_> = faults.iter().map(|f| json!({"index": f.index, "message": f.message})).collect();
            let body = json!({"code": 400, "error": SOME_FAILED, "status": "Bad Request", "failed_records": rows});
            json_reply(StatusCode::BAD_REQUEST, &body)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_over_a_rolling_day_and_by_project() {
        const HOUR: Duration = Duration::from_secs(3_600);
        let uploads = Uploads::default();
        let start = Instant::now();
        let call = |project, hour: u32| uploads.count(ProjectId(project), 2, start + HOUR * hour);
        assert_eq!((call(1, 0), call(1, 1)), (Ok(()), Ok(())));
        assert_eq!(call(1, 1), Err(DAY - HOUR));
        assert_eq!(call(2, 1), Ok(()));
        assert_eq!(call(1, 24), Ok(()));
        assert_eq!(call(1, 24), Err(HOUR));
        assert!((0..1_000).all(|_| uploads.count(ProjectId(3), 0, start).is_ok()));
    }
}
