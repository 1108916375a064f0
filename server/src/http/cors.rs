//! Cross-origin requests: the browser SDK runs on other people's pages.
//!
//! It sends credentials, so a reply must name the page's origin and never `*`. That is harmless where a request can only
//! add data. On routes that answer with data no credentials are allowed: a page elsewhere could otherwise read with what
//! the visitor's browser remembers; one that knows a secret can still send it in the header itself.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// First segments of the paths that SDKs call.
const SDK_ROUTES: [&str; 8] = ["track", "import", "engage", "groups", "flags", "settings", "record", "decide"];

pub async fn cors(request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let sdk = request.uri().path().split('/').nth(1).is_some_and(|first| SDK_ROUTES.contains(&first));
    let asked_headers = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let mut response =
        if request.method() == Method::OPTIONS { preflight(asked_headers) } else { next.run(request).await };
    if let Some(origin) = origin {
        allow(response.headers_mut(), origin, sdk);
    }
    response
}

fn preflight(asked_headers: Option<HeaderValue>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    set(headers, header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS");
    set(headers, header::ACCESS_CONTROL_MAX_AGE, "86400");
    if let Some(asked) = asked_headers {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
    }
    response
}

fn allow(headers: &mut HeaderMap, origin: HeaderValue, credentials: bool) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    set(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, "Retry-After");
    if credentials {
        set(headers, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
