//! `POST /v1/local/ingest`: events that a command on this machine has already validated, [packed](crate::packed).
//!
//! Not part of the public surface: it takes the bearer token of `server.json` and nothing else. `source` says by which way
//! the events came; `import` and `sequence`, together, number a part of an import that is applied at most once.
//!
//! `GET /v1/local/imports?import=…`: how far an import has got. `POST /v1/local/restart`: the server makes way for its
//! successor. `POST /v1/local/flush`: what is live is written to the tables, for a backup. `POST /v1/local/compact`: one
//! merge of small files; `POST /v1/local/collect`: dead files are deleted. `GET /v1/local`: whether this is the server whose
//! token that is.

use std::borrow::Cow;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use bytes::Bytes;
use footfall_engine::{Arrival, ImportBatch};

use crate::admission::{Busy, Tenant};
use crate::auth::{Principal, authenticate, authorize};
use crate::compaction::{CollectReply, CompactReply};
use crate::http::ingest::arrival_ms;
use crate::http::ingest::store::{Batch, NotStored, Records, Storing, store};
use crate::http::{ApiError, Params};
use crate::ledger::{Kind, Settled, Source};
use crate::local::{ImportPosition, IngestReply};
use crate::packed;
use crate::quality::Observed;
use crate::state::AppState;

pub async fn ingest(
    State(state): State<AppState>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Json<IngestReply>, ApiError> {
    if !matches!(authenticate(&state, &headers).await?, Principal::Local) {
        return Err(ApiError::forbidden());
    }
    let params = Params::parse(uri.query(), None, b"")?;
    let project = authorize(&state, &headers, &params).await?;
    let arrival = arrival(&params)?;
    let (intake, now_ms) = (&state.intake, arrival_ms());
    // What the log will get is about as long as the unpacked events, and many times as long as the body.
    let bytes = packed::raw_len(&body).unwrap_or(body.len());
    let source = Source { route: "/v1/local/ingest", known: true };
    intake.ledger.count_request(source, body.len());
    let refuse = |error: ApiError, reason| {
        intake.ledger.count_refused(source, reason);
        intake.quality.add_refused_request(project.id, now_ms, source.route, reason);
        error
    };
    let unpacking =
        intake.admission.compute(None, Tenant::Project(project.id), bytes, move |_| packed::unpack(&body)).await;
    let (unpacked, turn) = unpacking.map_err(|refused| refuse(busy(refused), refused.reason()))?;
    let invalid = |reason| ApiError::new(StatusCode::BAD_REQUEST, "invalid", format!("body, {reason}"));
    let events = unpacked.map_err(|e| refuse(invalid(e.to_string()), "invalid"))?;
    let receipt = intake.ledger.receive(Kind::Event, events.len());
    let mut observed = Observed::default();
    events.iter().for_each(|event| observed.aged(now_ms.saturating_sub(event.time)));
    let storing = Storing { state: state.clone(), source, arrival, now_ms, bytes, rated: false };
    let batch = Batch { project, records: Records::Events(events), observed, settled: Settled::default() };
    match store(storing, Some(turn), receipt, vec![batch]).await {
        Ok(summaries) => Ok(Json(summaries.into_iter().next().unwrap_or_default().into())),
        Err(NotStored::Engine(error)) => Err(error.into()),
        Err(NotStored::Busy(refused)) => Err(busy(refused)),
    }
}

/// As the engine says it when a project sends more than can be stored at once.
fn busy(refused: Busy) -> ApiError {
    let message = "more events than can be stored at once; please retry";
    let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "backpressure", message);
    ApiError { retry_after: Some(refused.wait()), ..error }
}

pub async fn import_position(
    State(state): State<AppState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<ImportPosition>, ApiError> {
    if !matches!(authenticate(&state, &headers).await?, Principal::Local) {
        return Err(ApiError::forbidden());
    }
    let params = Params::parse(uri.query(), None, b"")?;
    let project = authorize(&state, &headers, &params).await?;
    let import = params.required("import")?;
    let sequence = state.engine.import_position(project.id, &import).await?;
    Ok(Json(ImportPosition { sequence }))
}

/// 204 once all that was acknowledged before is in the tables.
pub async fn flush(State(state): State<AppState>, headers: HeaderMap) -> Result<StatusCode, ApiError> {
    if !matches!(authenticate(&state, &headers).await?, Principal::Local) {
        return Err(ApiError::forbidden());
    }
    state.engine.flush().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// 204 for who has the token of this data directory. Asks nothing of the store, which may be away.
pub async fn hello(State(state): State<AppState>, headers: HeaderMap) -> Result<StatusCode, ApiError> {
    match authenticate(&state, &headers).await? {
        Principal::Local => Ok(StatusCode::NO_CONTENT),
        _ => Err(ApiError::forbidden()),
    }
}

/// 202 once the restart is under way, 409 with the reason if it is not to be.
pub async fn restart(State(state): State<AppState>, headers: HeaderMap) -> Result<StatusCode, ApiError> {
    if !matches!(authenticate(&state, &headers).await?, Principal::Local) {
        return Err(ApiError::forbidden());
    }
    let refused = |reason| ApiError::new(StatusCode::CONFLICT, "restart", reason);
    state.phase.restart().await.map(|()| StatusCode::ACCEPTED).map_err(refused)
}

pub async fn compact(
    State(state): State<AppState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<CompactReply>, ApiError> {
    if !matches!(authenticate(&state, &headers).await?, Principal::Local) {
        return Err(ApiError::forbidden());
    }
    let params = Params::parse(uri.query(), None, b"")?;
    let project = authorize(&state, &headers, &params).await?;
    let number = |text: Cow<'_, str>| text.parse().map_err(|_| ApiError::parameter("arrived_by", "must be a number"));
    let arrived_by = params.text("arrived_by").map(number).transpose()?;
    Ok(Json(CompactReply::step(&state.engine, project.id, arrived_by).await?))
}

pub async fn collect(
    State(state): State<AppState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<CollectReply>, ApiError> {
    if !matches!(authenticate(&state, &headers).await?, Principal::Local) {
        return Err(ApiError::forbidden());
    }
    let project = authorize(&state, &headers, &Params::parse(uri.query(), None, b"")?).await?;
    Ok(Json(state.engine.collect(project.id).await?.into()))
}

fn arrival(params: &Params) -> Result<Arrival, ApiError> {
    let source = params.text("source").map_or(Cow::Borrowed("footfall"), |source| Cow::Owned(source.into_owned()));
    let batch = match (params.text("import"), params.text("sequence")) {
        (None, None) => None,
        (Some(import), Some(sequence)) => {
            let sequence = sequence.parse().map_err(|_| ApiError::parameter("sequence", "must be a number from 0"))?;
            Some(ImportBatch { import: import.into_owned(), sequence })
        }
        (Some(_), None) => return Err(ApiError::parameter("sequence", "missing beside import")),
        (None, Some(_)) => return Err(ApiError::parameter("import", "missing beside sequence")),
    };
    Ok(Arrival { source, batch })
}
