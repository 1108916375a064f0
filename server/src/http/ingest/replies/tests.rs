use footfall_ingest::Fault;

use super::super::wire;
use super::*;

async fn parts(response: Response) -> (u16, String, Vec<u8>) {
    let (parts, body) = response.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned());
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (parts.status.as_u16(), kind.unwrap_or_default(), body.to_vec())
}

fn good() -> Verdict {
    Verdict::Good { records: 3 }
}

fn bad() -> Verdict {
    Verdict::Bad { reason: "token, missing or empty".into() }
}

async fn check(query: &str, verdict: Verdict, kind: &str, body: &str) {
    let params = wire::Params::of_query(query);
    let found = parts(reply(&params, &IngestSettings::default(), &verdict, Counter::GoodEvents)).await;
    assert_eq!(found, (200, kind.to_owned(), body.as_bytes().to_vec()), "{query}");
}

#[tokio::test]
async fn replies_are_exact() {
    check("", good(), "text/plain", "1").await;
    check("", bad(), "text/plain", "0").await;
    let json = "application/json";
    check("verbose=1", good(), json, r#"{"code":200,"error":null,"num_good_events":3,"status":1}"#).await;
    check("verbose=2", bad(), json, r#"{"error":"token, missing or empty","status":0}"#).await;
    let script = "text/javascript";
    check("callback=mixpanel._jsc%5B7%5D", good(), script, "mixpanel._jsc[7](1);").await;
    check("callback=(function()%7B%7D)", bad(), script, "(function(){})(0);").await;
    check("callback=f&verbose=1", good(), script, r#"f({"error":null,"status":1});"#).await;
    check("callback=alert%3C1%3E", good(), "text/plain", "1").await;
    check(&format!("callback={}", "f".repeat(129)), good(), "text/plain", "1").await;
    check("callback=", good(), "text/plain", "1").await;
}

#[tokio::test]
async fn the_pixel_is_a_gif() {
    let params = wire::Params::of_query("img=1&callback=f&verbose=1");
    let (_, kind, body) = parts(reply(&params, &IngestSettings::default(), &good(), Counter::GoodEvents)).await;
    use base64::Engine as _;
    let expect = base64::engine::general_purpose::STANDARD
        .decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
        .unwrap();
    assert_eq!((kind.as_str(), body), ("image/gif", expect));
}

#[test]
fn redirects_go_to_pages_only() {
    let check = |query: &str, allow_redirect: bool, expect: Option<&str>| {
        let settings = IngestSettings { allow_redirect, ..IngestSettings::default() };
        let response = reply(&wire::Params::of_query(query), &settings, &bad(), Counter::GoodEvents);
        let location = response.headers().get(header::LOCATION).map(|value| value.to_str().unwrap());
        assert_eq!(location, expect, "{query}");
        assert_eq!(response.status() == StatusCode::FOUND, expect.is_some());
    };
    let target = "https://example.com/x";
    check("redirect=https%3A%2F%2Fexample.com%2Fx&img=1&verbose=1", true, Some(target));
    check("redirect=https%3A%2F%2Fexample.com%2Fx", false, None);
    check("redirect=http%3A%2F%2Fexample.com", true, Some("http://example.com"));
    check("redirect=https%3A%2F%2Fexample.com%2F%C3%A9", true, Some("https://example.com/%C3%A9"));
    for nowhere in ["javascript%3Aalert(1)", "%2Frelative", "", "https%3A%2F%2F", "data%3Atext%2Fhtml,x"] {
        check(&format!("redirect={nowhere}"), true, None);
    }
    // Line breaks are dropped by the URL standard, so they cannot begin a header of their own.
    check(
        "redirect=https%3A%2F%2Fexample.com%2Fa%0D%0ASet-Cookie%3Ab",
        true,
        Some("https://example.com/aSet-Cookie:b"),
    );
}

#[tokio::test]
async fn strict_import_reports_each_failure() {
    let (status, kind, body) = parts(strict(2, &[])).await;
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    assert_eq!(body, br#"{"code":200,"num_records_imported":2,"status":"OK"}"#);
    let rejected = Rejected { fault: Fault::TimeInvalid, insert_id: "ord-0003".into() };
    let (status, _, body) = parts(strict(1, &[(4, rejected)])).await;
    assert_eq!(status, 400);
    let expect = json!({
        "code": 400,
        "error": "some data points in the request failed validation",
        "failed_records": [{
            "index": 4, "insert_id": "ord-0003", "$insert_id": "ord-0003", "field": "properties.time",
            "message": "'properties.time' is invalid: must be specified as seconds since epoch",
        }],
        "num_records_imported": 1,
        "status": "Bad Request",
    });
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expect);
}

#[tokio::test]
async fn failures_have_a_status_of_their_own() {
    let check = async |response: Response, status: u16, body: &str| {
        let (found, _, text) = parts(response).await;
        assert_eq!((found, String::from_utf8(text).unwrap()), (status, body.to_owned()));
    };
    let settings = IngestSettings::default();
    let text =
        r#"{"code":413,"error":"request exceeds max limit of 10485760 bytes","status":"Request Entity Too Large"}"#;
    check(not_received(BodyError::TooLarge, &settings), 413, text).await;
    check(too_many_records(), 413, r#"{"code":413,"error":"too many records","status":"Request Entity Too Large"}"#)
        .await;
    check(invalid_credentials(), 401, r#"{"code":401,"error":"Invalid credentials","status":"Unauthorized"}"#).await;
    check(forbidden(), 403, r#"{"error":"no access to this project","status":"error"}"#).await;

    let unavailable = |code| Error::new(ErrorKind::Unavailable, code, "disk /secret/path is full");
    let text = r#"{"code":503,"error":"a temporary failure occurred","status":"Service Unavailable"}"#;
    check(not_stored(&unavailable("unavailable")), 503, text).await;
    let response = not_stored(&unavailable("backpressure"));
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    let text = r#"{"code":429,"error":"Project exceeded rate limits. Please retry the request with exponential backoff.","status":"Too Many Requests"}"#;
    check(response, 429, text).await;
    let (status, ..) = parts(not_stored(&Error::new(ErrorKind::Internal, "internal", "x"))).await;
    assert_eq!(status, 500);
}
