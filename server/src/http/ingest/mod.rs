//! `/track`, `/import`, `/engage` and `/groups`: what clients send, in every form that real ones use, becomes events and
//! profile changes of the engine.
//!
//! receive (bounded, `body`) → unpack (`wire`) → whose is it → decode and validate (footfall-ingest) → one
//! `Engine::ingest` per project (`store`) → reply. `visit` takes each step through admission and the books. A success is
//! only ever said after the engine said that the events are durable. Here live wire forms, credentials and reply texts;
//! what makes a record valid is footfall-ingest's business.
//!
//! Cross-origin headers and the slash at the end of a path are added for all routes alike, outside of this module.

mod body;
mod import;
mod lookup_tables;
mod peek;
mod profiles;
mod replies;
mod senders;
pub(crate) mod store;
mod track;
mod visit;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::HeaderMap;
use axum::routing::{MethodRouter, get, put};
use axum::{Extension, Router};
use footfall_engine::{Error, ErrorKind, failpoint};
use footfall_ingest::{Fault, IdSource};

use lookup_tables::Uploads;

use crate::quality::Refused;
use crate::state::AppState;

/// All ingestion routes, by GET and POST.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/track", both(get(track::track).post(track::track)))
        .route("/import", both(get(import::import).post(import::import)))
        .route("/engage", both(get(profiles::engage).post(profiles::engage)))
        .route("/groups", both(get(profiles::groups).post(profiles::groups)))
        .merge(lookup_table_routes())
}

/// `/lookup-tables`, whose bodies have a limit of their own.
fn lookup_table_routes() -> Router<AppState> {
    Router::new()
        .route("/lookup-tables", get(lookup_tables::list).post(lookup_tables::create))
        .route("/lookup-tables/{id}", put(lookup_tables::replace))
        .layer(Extension(Arc::new(Uploads::default())))
}

/// axum answers HEAD by running the GET handler. Link checkers send HEAD, and that is no visit.
fn both(methods: MethodRouter<AppState>) -> MethodRouter<AppState> {
    methods.head(async || axum::http::StatusCode::OK)
}

/// Reads a body that nobody wants. Tells whether it came to its end.
pub(super) async fn discard(headers: &HeaderMap, body: Body) -> bool {
    body::discard(headers, body).await
}

/// Everything of a request is stored; the next thing to happen is the reply.
fn stored() -> Result<(), Error> {
    failpoint::hit("http::before_ack")
        .map_err(|injected| Error::new(ErrorKind::Unavailable, "storage", injected.to_string()))
}

/// One source for the process, so that no two requests are given the same id.
static IDS: LazyLock<IdSource> = LazyLock::new(IdSource::random);

/// The clock, read once per request. Milliseconds since the epoch.
pub(crate) fn arrival_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Text above this takes longer to read than other connections should wait for this thread (1 µs is about 400 bytes).
const OFFLOAD_BYTES_MIN: usize = 128 << 10;

/// Runs `work` on `bytes` of input here when that is quick, else on a thread of its own.
async fn offload<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes < OFFLOAD_BYTES_MIN {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // The runtime cancels blocking work only while it shuts down; a panic goes on where it would have been.
        Err(stopped) => match stopped.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => std::future::pending().await,
        },
    }
}

/// Records that are judged in one turn: about half a millisecond's worth.
const SLICE_RECORDS: usize = 256;

/// A refused event, for the report on its project's data.
fn refused(fault: &Fault, insert_id: &str) -> Refused {
    Refused {
        reason: fault.code(),
        field: fault.field().into_owned(),
        message: fault.message().into_owned(),
        id: insert_id.to_owned(),
    }
}
