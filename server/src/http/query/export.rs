//! `/api/2.0/export`: stored events back, one JSON object per line, streamed.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{NaiveDate, Utc};
use footfall_engine::{Error, ExportSpec};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};

use super::reply;
use crate::auth::authorize;
use crate::http::params::date_range;
use crate::http::{ApiError, Params, QueryRequest};
use crate::state::AppState;

const LIMIT_MAX: usize = 100_000;
/// A stream whose beginning is gone cannot turn into an error reply any more; readers look for this line instead.
const TERMINATED: &[u8] = b"terminated early\n";
/// Replies up to this size are sent whole, with their length, and never compressed.
const WHOLE_MAX: usize = 1400;

type Lines = BoxStream<'static, Result<Bytes, Error>>;

pub async fn export(State(state): State<AppState>, request: QueryRequest) -> Response {
    reply(&request, answer(&state, &request).await)
}

async fn answer(state: &AppState, request: &QueryRequest) -> Result<Response, ApiError> {
    let params = request.params.as_ref().map_err(ApiError::clone)?;
    let project = authorize(state, &request.headers, params).await?;
    let spec = spec(params, Utc::now().date_naive())?;
    let lines = state.engine.export(project.id, spec).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain")], body(lines).await?).into_response())
}

fn spec(params: &Params, today: NaiveDate) -> Result<ExportSpec, ApiError> {
    let (from, to) = date_range(params)?;
    if to > today {
        return Err(ApiError::sentence("to_date", "to_date cannot be later than today"));
    }
    Ok(ExportSpec {
        from,
        to,
        events: params.names("event")?,
        filter: params.text("where").map(Into::into),
        limit: params.whole("limit", 1..=LIMIT_MAX)?,
        time_in_ms: params.flag("time_in_ms"),
    })
}

/// A short reply is sent whole: nothing at all where no event matches, because clients parse every line they get.
/// An error before the first [`WHOLE_MAX`] bytes is still an error reply.
async fn body(mut lines: Lines) -> Result<Body, ApiError> {
    let mut head = Vec::new();
    while head.len() <= WHOLE_MAX {
        match lines.next().await {
            Some(chunk) => head.extend_from_slice(&chunk?),
            None => return Ok(Body::from(head)),
        }
    }
    // A compressor asks once more after the end, which most streams do not take; a fused one does.
    Ok(Body::from_stream(stream::once(async { Ok(Bytes::from(head)) }).chain(until_error(lines)).fuse()))
}

/// The lines, and after an error one line that says so.
fn until_error(lines: Lines) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    lines.fuse().scan(false, |failed, chunk| {
        let item = match chunk {
            _ if *failed => None,
            Ok(chunk) => Some(Ok(chunk)),
            Err(error) => {
                tracing::error!(kind = ?error.kind, message = %error.message, "export terminated early");
                *failed = true;
                Some(Ok(Bytes::from_static(TERMINATED)))
            }
        };
        futures::future::ready(item)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use footfall_engine::ErrorKind;

    fn read(query: &str) -> Result<ExportSpec, String> {
        let today = NaiveDate::from_ymd_opt(2024, 3, 1).unwrap();
        spec(&Params::parse(Some(query), None, b"").unwrap(), today).map_err(|e| e.message)
    }

    #[test]
    fn one_name_a_text_and_a_list_are_the_same() {
        let dates = "from_date=2024-02-01&to_date=2024-03-01";
        for event in ["A", "[\"A\"]", "\"A\""] {
            assert_eq!(read(&format!("{dates}&event={event}")).unwrap().events, Some(vec!["A".to_owned()]), "{event}");
        }
        for event in ["", "[]"] {
            assert_eq!(read(&format!("{dates}&event={event}")).unwrap().events, None, "{event}");
        }
        for event in ["[1]", "[\"A\""] {
            assert_eq!(read(&format!("{dates}&event={event}")).unwrap_err(), "event, must be a JSON list of names");
        }
    }

    #[test]
    fn errors_have_the_texts_that_clients_match() {
        for (query, message) in [
            ("to_date=2024-03-01", "from_date, missing or empty"),
            ("from_date=2024-02-30&to_date=2024-03-01", "from_date, invalid date"),
            ("from_date=2024-03-01&to_date=2024-03-02", "to_date cannot be later than today"),
            ("from_date=2024-03-01&to_date=2024-02-28", "to_date cannot be before from_date"),
            ("from_date=2024-02-01&to_date=2024-02-01&limit=0", "limit, must be a whole number from 1 to 100000"),
        ] {
            assert_eq!(read(query).unwrap_err(), message, "{query}");
        }
    }

    async fn sent(chunks: Vec<Result<&'static str, Error>>) -> Result<String, ApiError> {
        let lines = stream::iter(chunks).map(|c| c.map(|text| Bytes::from_static(text.as_bytes()))).boxed();
        let bytes = axum::body::to_bytes(body(lines).await?, 1 << 20).await.unwrap();
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn nothing_found_is_a_body_without_a_byte() {
        assert_eq!(sent(vec![]).await.unwrap(), "");
    }

    #[tokio::test]
    async fn the_end_may_be_asked_for_twice() {
        let chunks =
            stream::unfold(0, |n| async move { (n < 3).then(|| (Ok(Bytes::from("x".repeat(WHOLE_MAX))), n + 1)) });
        let mut sent = body(chunks.boxed()).await.unwrap().into_data_stream();
        while let Some(chunk) = sent.next().await {
            chunk.unwrap();
        }
        assert!(sent.next().await.is_none());
    }

    #[tokio::test]
    async fn an_early_error_is_a_reply_and_a_late_one_a_last_line() {
        let error = || Error::new(ErrorKind::Unavailable, "unavailable", "gone");
        assert_eq!(sent(vec![Ok("{}\n"), Err(error())]).await.unwrap_err().message, "gone");
        let long: &'static str = Box::leak(format!("{}\n", "x".repeat(WHOLE_MAX)).into_boxed_str());
        let text = sent(vec![Ok(long), Err(error()), Ok("never\n")]).await.unwrap();
        assert_eq!(text, format!("{long}terminated early\n"));
    }
}
