//! What holds for every route, on a router that has two.

use axum::body::Body;
use axum::http::{Method, Request, header};
use axum::routing::{get, post};
use tower::ServiceExt;

use super::*;

fn router() -> Router {
    async fn echo(uri: axum::extract::OriginalUri, body: String) -> String {
        format!("{} {body}", uri.0)
    }
    async fn panics() -> Response {
        panic!("on purpose")
    }
    finish(Router::new().route("/track", post(echo)).route("/api/query/x", get(panics)))
}

async fn send(method: Method, uri: &str, headers: &[(&str, &str)]) -> (StatusCode, header::HeaderMap, String) {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router().oneshot(request.body(Body::from("b")).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_slash_at_the_end_means_nothing_and_is_no_redirect() {
    assert_eq!(send(Method::POST, "/track?x=1", &[]).await.2, "/track?x=1 b");
    assert_eq!(send(Method::POST, "/track/?x=1", &[]).await.2, "/track/?x=1 b");
}

#[tokio::test]
async fn unknown_routes_and_methods_are_answered_in_json() {
    for (method, uri, status) in [(Method::GET, "/none/", 404), (Method::GET, "/", 404), (Method::GET, "/track", 405)] {
        let (found, _, body) = send(method, uri, &[]).await;
        assert_eq!(found.as_u16(), status);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap()["status"], "error");
    }
    let (_, _, body) = send(Method::GET, "/v1/none", &[]).await;
    assert_eq!(body, r#"{"error":{"code":"not_found","message":"no such route"}}"#);
}

#[tokio::test]
async fn preflights_echo_the_origin() {
    let asked = [("origin", "https://a.example"), ("access-control-request-headers", "authorization,traceparent")];
    let (status, headers, _) = send(Method::OPTIONS, "/track/", &asked).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_HEADERS], "authorization,traceparent");
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_METHODS], "GET, POST, OPTIONS");
    assert_eq!(headers[header::VARY], "Origin");
}

#[tokio::test]
async fn replies_carry_the_origin_too_but_reading_needs_its_own_credentials() {
    let (_, headers, _) = send(Method::POST, "/track", &[("origin", "https://a.example")]).await;
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
    let (_, headers, _) = send(Method::OPTIONS, "/api/query/x", &[("origin", "https://a.example")]).await;
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
    let (_, headers, _) = send(Method::POST, "/track", &[]).await;
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
}

#[tokio::test]
async fn a_panic_is_answered_and_the_next_request_too() {
    let (status, _, body) = send(Method::GET, "/api/query/x", &[]).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!body.contains("on purpose"));
}
