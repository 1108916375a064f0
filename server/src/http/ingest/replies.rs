//! Replies, byte by byte as clients compare them.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use footfall_engine::{Error, ErrorKind};
use footfall_ingest::profiles::Subject;
use footfall_ingest::{DecodeError, Rejected};
use serde_json::{Value, json};

use super::body::BodyError;
use super::profiles::Failed;
use super::wire::Params;
use crate::admission::Busy;
use crate::config::IngestSettings;

/// What became of a request that was read to its end.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// At least one record was good; so many were.
    Good { records: usize },
    /// None was, for this reason.
    Bad { reason: String },
}

/// How a route calls the number of good records.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counter {
    GoodEvents,
    RecordsImported,
}

/// The reply outside of strict mode: `redirect` > `img` > `callback` > `verbose` > plain.
pub(super) fn reply(params: &Params, settings: &IngestSettings, verdict: &Verdict, counter: Counter) -> Response {
    if settings.allow_redirect
        && let Some(location) = params.get("redirect").and_then(location)
    {
        return (StatusCode::FOUND, [(header::LOCATION, location)]).into_response();
    }
    if params.flag("img") {
        let headers = [(header::CONTENT_TYPE, "image/gif"), (header::CACHE_CONTROL, "no-store")];
        return (headers, PIXEL).into_response();
    }
    let verbose = params.flag("verbose");
    if let Some(callback) = params.get("callback").filter(|name| is_callback(name)) {
        let argument = if verbose { short(verdict).to_string() } else { plain(verdict).to_owned() };
        let headers = [(header::CONTENT_TYPE, "text/javascript"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
        return (headers, format!("{callback}({argument});")).into_response();
    }
    if verbose {
        return json_reply(StatusCode::OK, &full(verdict, counter));
    }
    ([(header::CONTENT_TYPE, "text/plain")], plain(verdict)).into_response()
}

fn plain(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Good { .. } => "1",
        Verdict::Bad { .. } => "0",
    }
}

fn short(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Good { .. } => json!({"error": null, "status": 1}),
        Verdict::Bad { reason } => json!({"error": reason, "status": 0}),
    }
}

fn full(verdict: &Verdict, counter: Counter) -> Value {
    match (verdict, counter) {
        (Verdict::Bad { .. }, _) => short(verdict),
        (Verdict::Good { records }, Counter::GoodEvents) => {
            json!({"code": 200, "error": null, "num_good_events": records, "status": 1})
        }
        (Verdict::Good { records }, Counter::RecordsImported) => {
            json!({"code": 200, "error": null, "num_records_imported": records, "status": 1})
        }
    }
}

/// A target outside; `javascript:` and its like are none. As given where that can be written into a header.
fn location(target: &str) -> Option<HeaderValue> {
    let url = url::Url::parse(target).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let text = if target.bytes().all(|byte| byte.is_ascii_graphic()) { target } else { url.as_str() };
    HeaderValue::from_str(text).ok()
}

/// Names such as `mixpanel._jsc[12345]` and `(function(){})`: enough for every SDK, and not enough to be a program.
fn is_callback(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.$[]()'{} ".contains(&b))
}

/// Transparent, 1×1, GIF89a.
const PIXEL: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\
    \x00\x00\x01\x00\x01\x00\x00\x02\x01D\x00;";

/// Sentence that a sender matches to the letter.
pub(super) const SOME_FAILED: &str = "some data points in the request failed validation";

/// Strict import: all were good, or which were not.
pub(super) fn strict(imported: usize, failed: &[(usize, Rejected)]) -> Response {
    if failed.is_empty() {
        return json_reply(StatusCode::OK, &json!({"code": 200, "num_records_imported": imported, "status": "OK"}));
    }
    let records: Vec<Value> = failed
        .iter()
        .map(|(index, rejected)| {
            json!({
                "index": index,
                "insert_id": rejected.insert_id,
                "$insert_id": rejected.insert_id,
                "field": rejected.fault.field(),
                "message": rejected.fault.message(),
            })
        })
        .collect();
    strict_failure(SOME_FAILED, records, imported)
}

/// Strict import of something that holds no records at all.
pub(super) fn strict_undecodable(error: DecodeError) -> Response {
    strict_failure(&error.to_string(), Vec::new(), 0)
}

fn strict_failure(error: &str, records: Vec<Value>, imported: usize) -> Response {
    let body = json!({
        "code": 400,
        "error": error,
        "failed_records": records,
        "num_records_imported": imported,
        "status": "Bad Request",
    });
    json_reply(StatusCode::BAD_REQUEST, &body)
}

/// Strict profile updates: the same report under status 200, which is where clients look for it.
pub(super) fn strict_profiles(subject: Subject, good: usize, failed: &[(usize, Failed)]) -> Response {
    if failed.is_empty() {
        return json_reply(StatusCode::OK, &full(&Verdict::Good { records: good }, Counter::GoodEvents));
    }
    let id_key = subject.id_key().trim_start_matches('$');
    let records = failed.iter().map(|(index, failed)| {
        let (id, field, message) = failed.report();
        json!({"index": index, id_key: id, "field": field, "message": message})
    });
    strict_profile_failure(SOME_FAILED, records.collect(), good)
}

/// Strict profile updates of something that holds no records at all.
pub(super) fn strict_profiles_undecodable(error: DecodeError) -> Response {
    strict_profile_failure(&error.to_string(), Vec::new(), 0)
}

fn strict_profile_failure(error: &str, records: Vec<Value>, good: usize) -> Response {
    let body = json!({
        "code": 400,
        "error": error,
        "failed_records": records,
        "num_good_events": good,
        "status": 0,
    });
    json_reply(StatusCode::OK, &body)
}

/// 413: clients send smaller batches after it.
pub(super) fn too_many_records() -> Response {
    failure(StatusCode::PAYLOAD_TOO_LARGE, "too many records")
}

/// A request that was not received.
pub(super) fn not_received(error: BodyError, settings: &IngestSettings) -> Response {
    match error {
        BodyError::TooLarge => {
            let max = settings.body_bytes_max;
            failure(StatusCode::PAYLOAD_TOO_LARGE, &format!("request exceeds max limit of {max} bytes"))
        }
        BodyError::Interrupted => failure(StatusCode::BAD_REQUEST, "request body is incomplete"),
        BodyError::TooSlow => failure(StatusCode::REQUEST_TIMEOUT, "request body took too long"),
        BodyError::Busy(refused) => busy(refused),
    }
}

/// Credentials that name nobody.
pub(super) fn invalid_credentials() -> Response {
    failure(StatusCode::UNAUTHORIZED, "Invalid credentials")
}

/// Good credentials, another project.
pub(super) fn forbidden() -> Response {
    json_reply(StatusCode::FORBIDDEN, &json!({"error": "no access to this project", "status": "error"}))
}

/// 429: the same request may succeed later.
pub(super) fn busy(refused: Busy) -> Response {
    // Rounded up, since who comes too early is refused again.
    let seconds = refused.wait().as_millis().div_ceil(1000).max(1);
    retry(failure(StatusCode::TOO_MANY_REQUESTS, RATE_EXCEEDED), u64::try_from(seconds).unwrap_or(u64::MAX))
}

/// Sentence that clients know.
const RATE_EXCEEDED: &str = "Project exceeded rate limits. Please retry the request with exponential backoff.";

/// Seconds that a client should wait when the server cannot tell better.
const RETRY_AFTER_SECONDS: u64 = 1;

/// The events were not stored. What is ours to mend is told to the log, not to the client.
pub(super) fn not_stored(error: &Error) -> Response {
    let status = match error.kind {
        ErrorKind::Unavailable if is_backpressure(error) => StatusCode::TOO_MANY_REQUESTS,
        kind => crate::http::status(kind),
    };
    if status == StatusCode::TOO_MANY_REQUESTS {
        return retry(failure(status, RATE_EXCEEDED), RETRY_AFTER_SECONDS);
    }
    if status.is_server_error() {
        // A log that has stalled says so once; each of the requests that it turns away need not.
        match error.code {
            "log_full" | "read_only" | "log_failed" => tracing::debug!(code = error.code, "events were not stored"),
            code => {
                tracing::error!(code, kind = ?error.kind, message = %error.message, "events were not stored");
            }
        }
        return retry(failure(status, "a temporary failure occurred"), RETRY_AFTER_SECONDS);
    }
    failure(status, &error.message)
}

/// One project sends more than its share, as opposed to a server in trouble.
fn is_backpressure(error: &Error) -> bool {
    ["backpressure", "rate"].iter().any(|word| error.code.contains(word) || error.message.contains(word))
}

fn retry(mut response: Response, seconds: u64) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// `{"code","error","status"}`, the form of every failure that has a status of its own.
pub(super) fn failure(status: StatusCode, error: &str) -> Response {
    let word = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        other => other.canonical_reason().unwrap_or("error"),
    };
    json_reply(status, &json!({"code": status.as_u16(), "error": error, "status": word}))
}

pub(super) fn json_reply(status: StatusCode, body: &Value) -> Response {
    const JSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];
    (status, JSON, body.to_string()).into_response()
}

#[cfg(test)]
mod tests;
