//! `GET /v1/live`: events as they become queryable, as server-sent events.
//!
//! Messages without a name are events, in order of arrival; the id of each is its `received_at`. A browser that lost its
//! connection sends the last id back and misses nothing, as long as the rows since then are still in memory. `gap` says
//! that something was missed: `{"dropped": n, "until": received_at}`, `n` of the project's events or null where nobody
//! counted; what is missing can be had from `/v1/events/recent?before=until`. A comment with an id comes first (after the
//! gap, if there is one) and after silences, so that a filter that lets nothing pass does not make the last id old.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use footfall_engine::{Error, LiveItem, LiveRow, LiveSpec, TOO_MANY_VIEWERS, Viewed};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use serde_json::json;

use super::events::{EventJson, cursor, filter};
use crate::auth::authorize;
use crate::http::{ApiError, QueryRequest};
use crate::state::AppState;

/// Sent by clients that connect again; it goes before `since`, which is still in their address.
const LAST_EVENT_ID: &str = "last-event-id";
/// How long a browser waits before it connects again.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);
/// Told to those who find no place.
const RETRY_AFTER: Duration = Duration::from_secs(5);

pub async fn live(State(state): State<AppState>, request: QueryRequest) -> Result<Response, ApiError> {
    let params = request.params?;
    let project = authorize(&state, &request.headers, &params).await?;
    let since = match last_event_id(&request.headers) {
        Some(id) => Some(cursor(LAST_EVENT_ID, id)?),
        None => params.text("since").map(|text| cursor("since", &text)).transpose()?,
    };
    let items = state.engine.live(project.id, LiveSpec { filter: filter(&params)?, since }).map_err(refused)?;
    let messages = messages(items).take_until(state.phase.stopping());
    // Proxies must pass each message on at once.
    Ok(([("x-accel-buffering", "no")], Sse::new(messages)).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    headers.get(LAST_EVENT_ID)?.to_str().ok().filter(|id| !id.trim().is_empty())
}

fn refused(error: Error) -> ApiError {
    let full = error.code == TOO_MANY_VIEWERS;
    let error = ApiError::from(error);
    if !full {
        return error;
    }
    ApiError { status: StatusCode::TOO_MANY_REQUESTS, retry_after: Some(RETRY_AFTER), ..error }
}

fn messages(items: BoxStream<'static, LiveItem>) -> impl Stream<Item = Result<Event, Infallible>> {
    let hello = stream::once(async { Ok(Event::default().retry(RECONNECT_AFTER)) });
    hello.chain(items.flat_map(|item| match item {
        LiveItem::Seen { received_at } => {
            one(Event::default().id(received_at.to_string()).comment("all before has been looked at"))
        }
        LiveItem::Gap { dropped, until } => {
            one(Event::default().event("gap").data(json!({"dropped": dropped, "until": until}).to_string()))
        }
        // One at a time, as the reader takes them: what it has not taken is not in memory as text.
        LiveItem::Events(viewed) => {
            stream::iter((0..viewed.len()).filter_map(move |number| message(&viewed, number)).map(Ok)).boxed()
        }
    }))
}

fn one(event: Event) -> BoxStream<'static, Result<Event, Infallible>> {
    stream::iter([Ok(event)]).boxed()
}

fn message(viewed: &Viewed, number: usize) -> Option<Event> {
    let row: LiveRow<'_> = viewed.row(number)?;
    let id = row.received_at().to_string();
    // Names are texts and numbers finite: there is nothing in an event that JSON cannot say.
    let data = serde_json::to_string(&EventJson(row)).ok()?;
    Some(Event::default().id(id).data(data))
}
