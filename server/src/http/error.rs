//! One error for all handlers, and its form in each protocol.
//!
//! A handler says what is wrong; the route's protocol says how that looks: `IntoResponse` is the native form,
//! [`ApiError::into_mixpanel`] that of the Mixpanel query and export routes, [`ApiError::into_app`] that of the app routes.

use std::ops::Range;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use footfall_engine::{Error, ErrorKind};
use serde_json::{Value, json};

/// Text that clients of the query API match on.
const UNAUTHENTICATED: &str = "Unable to authenticate request";
/// How long a client should wait before it tries again when we cannot tell better.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    pub status: StatusCode,
    /// Stable word for programs.
    pub code: &'static str,
    pub message: String,
    /// The request's field at fault, where one is.
    pub field: Option<String>,
    /// Byte offsets into the expression at fault.
    pub span: Option<Range<usize>>,
    pub retry_after: Option<Duration>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), field: None, span: None, retry_after: None }
    }

    /// A parameter is wrong. The message starts with its name, as upstream's do: `unit, must be one of …`.
    pub fn parameter(name: &str, problem: &str) -> Self {
        Self::sentence(name, format!("{name}, {problem}"))
    }

    /// As [`Self::parameter`], where upstream writes a whole sentence: `to_date cannot be later than today`.
    pub fn sentence(name: &str, message: impl Into<String>) -> Self {
        Self { field: Some(name.to_owned()), ..Self::new(StatusCode::BAD_REQUEST, "invalid", message) }
    }

    pub fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", UNAUTHENTICATED)
    }

    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "no access to this project")
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// The form of `/api/query/*`, `/api/2.0/*` and the export. `request` is the path and query that was asked for.
    pub fn into_mixpanel(self, request: &str) -> Response {
        let message = self.mixpanel_message();
        let body = match self.status {
            StatusCode::FORBIDDEN => json!({"error": message, "status": "error"}),
            _ => json!({"request": request, "error": message, "status": "error"}),
        };
        let mut response = self.respond(body);
        // Not on native routes, where a page's failed request would make the browser ask for a password.
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"footfall\""));
        }
        response
    }

    /// The form of `/api/app/*`.
    pub fn into_app(self) -> Response {
        self.respond(json!({"status": "error", "error": self.mixpanel_message()}))
    }

    /// This form has no place for the parameter at fault, nor for the place in an expression, so the text names both, unless
    /// it does already.
    fn mixpanel_message(&self) -> String {
        let mut message = match &self.field {
            Some(name) if !self.message.starts_with(name.as_str()) && !self.message.starts_with("Error in ") => {
                format!("{name}, {}", self.message)
            }
            _ => self.message.clone(),
        };
        if let Some(span) = self.span.as_ref().filter(|_| !message.contains("offset=")) {
            message.push_str(&format!(", offset={}", span.start));
        }
        if self.code == "parse" { format!("Unable to parse expression: {message}") } else { message }
    }

    fn respond(&self, body: Value) -> Response {
        let mut response = (self.status, Json(body)).into_response();
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        response
    }
}

/// The native form: `{"error":{"code","message","field","span"}}`, the last two where they are known.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(field) = &self.field {
            error["field"] = json!(field);
        }
        if let Some(span) = &self.span {
            error["span"] = json!([span.start, span.end]);
        }
        self.respond(json!({"error": error}))
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let status = status(error.kind);
        if status.is_server_error() {
            tracing::error!(code = error.code, kind = ?error.kind, message = %error.message, "request failed");
        }
        Self {
            status,
            code: error.code,
            message: error.message,
            field: error.field.map(str::to_owned),
            span: error.span,
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER),
        }
    }
}

/// What a kind of engine error is in HTTP.
pub fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(response: Response) -> Value {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn one_error_has_a_form_in_each_protocol() {
        let error = ApiError::parameter("unit", "must be one of day, hour");
        assert_eq!(
            body(error.clone().into_mixpanel("/api/2.0/segmentation?unit=x")).await,
            json!({"request": "/api/2.0/segmentation?unit=x", "error": "unit, must be one of day, hour", "status": "error"})
        );
        assert_eq!(
            body(error.into_response()).await,
            json!({"error": {"code": "invalid", "message": "unit, must be one of day, hour", "field": "unit"}})
        );
    }

    #[tokio::test]
    async fn spans_are_pairs_of_offsets() {
        let response = ApiError::from(Error::invalid("parse", "unexpected end").with_span(3..4)).into_response();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(
            body(response).await,
            json!({"error": {"code": "parse", "message": "unexpected end", "span": [3, 4]}})
        );
    }

    #[test]
    fn mixpanel_texts_name_the_parameter() {
        let parse = ApiError::from(Error::invalid("parse", "unexpected end").with_field("where"));
        assert_eq!(parse.mixpanel_message(), "Unable to parse expression: where, unexpected end");
        let of_type = ApiError::from(Error::invalid("type", "no number").with_field("on").with_span(3..4));
        assert_eq!(of_type.mixpanel_message(), "on, no number, offset=3");
        for named in [
            ApiError::sentence("to_date", "to_date cannot be later than today"),
            ApiError::sentence("from_date", "Error in from_date: invalid date, bad year"),
            ApiError::unauthenticated(),
        ] {
            assert_eq!(named.mixpanel_message(), named.message);
        }
    }

    #[test]
    fn unavailable_says_when_to_come_back() {
        let response = ApiError::from(Error::new(ErrorKind::Unavailable, "unavailable", "busy")).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }
}
