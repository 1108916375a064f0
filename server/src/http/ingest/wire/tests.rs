use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use footfall_ingest::{Damage, decode};
use proptest::prelude::*;

use super::*;

const MAX: usize = 1 << 20;
const EVENT: &str = r#"{"event":"G","properties":{"token":"TOK","distinct_id":"u1"}}"#;
const G1: &str = "eyJldmVudCI6IkciLCJwcm9wZXJ0aWVzIjp7InRva2VuIjoiVE9LIiwiZGlzdGluY3RfaWQiOiJ1MSJ9fQ==";
/// Holds `+` and `/`: `"s":"~~~>>>>???"`.
const G2: &str =
    "eyJldmVudCI6IkciLCJwcm9wZXJ0aWVzIjp7InRva2VuIjoiVE9LIiwiZGlzdGluY3RfaWQiOiJ1MSIsInMiOiJ+fn4+Pj4+Pz8/In19";
const EVENT2: &str = r#"{"event":"G","properties":{"token":"TOK","distinct_id":"u1","s":"~~~>>>>???"}}"#;

fn post(content_type: &str, body: impl Into<Bytes>) -> Unpacked {
    send(false, "", content_type, "", body)
}

fn get(query: &str) -> Unpacked {
    send(true, query, "", "", "")
}

fn send(get: bool, query: &str, content_type: &str, encoding: &str, body: impl Into<Bytes>) -> Unpacked {
    try_send(get, query, content_type, encoding, body).unwrap()
}

fn try_send(
    get: bool,
    query: &str,
    content_type: &str,
    encoding: &str,
    body: impl Into<Bytes>,
) -> Result<Unpacked, BodyError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
    headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
    let envelope = Envelope {
        get,
        query: query.to_owned(),
        content_type: ContentType::of(&headers),
        encoding: Encoding::of(&headers),
    };
    let limits = UnzipLimits { bytes_max: MAX, ratio_max: 10_000 };
    unpack(&envelope, body.into(), limits, |_| Ok(()))
}

fn zip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn percent(text: &str) -> String {
    percent_encoding::percent_encode(text.as_bytes(), percent_encoding::NON_ALPHANUMERIC).to_string()
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

#[test]
fn data_is_found_in_every_form_that_clients_send() {
    let check = |unpacked: Unpacked, text: &str, wrapping: Wrapping| {
        assert_eq!(unpacked.text.as_deref(), Ok(text.as_bytes()));
        assert_eq!((unpacked.wrapping, unpacked.form), (wrapping, Form::Json));
    };
    let (bare, field) = (Wrapping::Bare, Wrapping::Field);
    check(get(&format!("data={G1}")), EVENT, field);
    check(get(&format!("data={}&verbose=1", percent(G1))), EVENT, field);
    check(get(&format!("data={}", percent(EVENT))), EVENT, field);
    check(post(FORM, format!("data={G2}")), EVENT2, field);
    check(post(FORM, format!("data={}", percent(G2))), EVENT2, field);
    check(post(FORM, format!("data={}", G2.replace('+', "-").replace('/', "_"))), EVENT2, field);
    check(post(FORM, format!("verbose=1&data={}&ip=0", G1.trim_end_matches('='))), EVENT, field);
    check(post(FORM, format!("data={}", percent(EVENT))), EVENT, field);
    check(post("text/plain;charset=UTF-8", format!("data={G1}")), EVENT, field);
    check(post(JSON, format!("data={G1}")), EVENT, field);
    check(post("", format!("data={G1}\r\n")), EVENT, field);
    check(post("application/json; charset=utf8", EVENT), EVENT, bare);
    check(post("", EVENT), EVENT, bare);
    check(post("application/octet-stream", G1), EVENT, bare);
    check(post(FORM, EVENT), EVENT, bare);
    check(post(JSON, format!("\u{feff}{EVENT}")), EVENT, bare);
    check(send(false, "", JSON, "gzip", zip(EVENT.as_bytes())), EVENT, bare);
    check(send(false, "", FORM, "GZIP", zip(format!("data={G1}").as_bytes())), EVENT, field);
    check(send(false, "", JSON, "identity", EVENT), EVENT, bare);
    check(send(false, &format!("data={G1}"), FORM, "", ""), EVENT, field);
}

#[test]
fn lines_stay_lines() {
    let lines = "{}\n{}\n";
    let unpacked = post("Application/X-NDJSON; charset=utf-8", lines);
    assert_eq!((unpacked.text.as_deref(), unpacked.form), (Ok(lines.as_bytes()), Form::Ndjson));
    assert_eq!(unpacked.wrapping, Wrapping::Bare);
}

#[test]
fn unreadable_data_says_why() {
    let check = |unpacked: Unpacked, error: DecodeError| assert_eq!(unpacked.text, Err(error));
    check(post(FORM, "data=%%%"), DecodeError::InvalidJson);
    check(post(FORM, "data="), DecodeError::Empty);
    check(post(FORM, "verbose=1"), DecodeError::Empty);
    check(post(JSON, ""), DecodeError::Empty);
    check(post(JSON, "  \n"), DecodeError::Empty);
    check(get("verbose=1"), DecodeError::Empty);
    check(post(JSON, "\"text\""), DecodeError::InvalidJson);
    check(send(false, "", JSON, "br", EVENT), DecodeError::InvalidJson);
    check(send(false, "", JSON, "gzip", EVENT), DecodeError::InvalidJson);
    let zipped = zip(EVENT.as_bytes());
    check(send(false, "", JSON, "gzip", zipped[..zipped.len() - 3].to_vec()), DecodeError::InvalidJson);
}

#[test]
fn an_empty_list_is_left_to_the_decoder() {
    let unpacked = post(FORM, "data=W10=");
    assert_eq!(unpacked.text.as_deref(), Ok(&b"[]"[..]));
}

#[test]
fn parameters_come_from_query_and_form_and_the_query_wins() {
    let params = send(false, "ip=1&_=1735689600000", FORM, "", "data=e30&verbose=1&ip=0&strict=").params;
    assert_eq!(params.get("ip"), Some("1"));
    assert_eq!(params.get("verbose"), Some("1"));
    assert_eq!(params.get("data"), None);
    assert_eq!(params.flag_given("strict"), Some(false));
    assert_eq!(params.flag_given("test"), None);
    let params = get("a=1&b=0&c=&d&e=false&f=2&g=true&callback=mixpanel._jsc%5B7%5D&x=a+b").params;
    let on: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h"].into_iter().filter(|name| params.flag(name)).collect();
    assert_eq!(on, ["a", "f", "g"]);
    assert_eq!(params.get("callback"), Some("mixpanel._jsc[7]"));
    assert_eq!(params.get("x"), Some("a b"));
}

#[test]
fn parameters_survive_data_that_does_not() {
    assert!(send(false, "verbose=1", JSON, "gzip", "nonsense").params.flag("verbose"));
    assert!(post(FORM, "data=%%%&verbose=1").params.flag("verbose"));
}

#[test]
fn sizes_are_bounded() {
    let bomb = zip(&vec![b' '; MAX + 1]);
    assert!(bomb.len() < MAX / 100);
    assert_eq!(try_send(false, "", JSON, "gzip", bomb).err(), Some(BodyError::TooLarge));
    let fields = "a=1&".repeat(200_000);
    assert_eq!(post(FORM, format!("{fields}data=e30")).params.0.len(), PARAMS_MAX);
    assert_eq!(post(FORM, format!("{fields}data=e30")).text.as_deref(), Ok(&b"{}"[..]));
}

#[test]
fn the_address_is_the_first_that_is_known() {
    let peer: Option<IpAddr> = Some("203.0.113.7".parse().unwrap());
    let mut headers = HeaderMap::new();
    assert_eq!(address(&headers, None), None);
    assert_eq!(address(&headers, peer).as_deref(), Some("203.0.113.7"));
    headers.insert("x-forwarded-for", "::ffff:198.51.100.1, 10.0.0.1".parse().unwrap());
    assert_eq!(address(&headers, peer).as_deref(), Some("198.51.100.1"));
    headers.insert("x-forwarded-for", "unknown".parse().unwrap());
    assert_eq!(address(&headers, peer).as_deref(), Some("203.0.113.7"));
}

/// `FOOTFALL_FUZZ_CASES` asks for the long form.
fn config() -> ProptestConfig {
    let cases = std::env::var("FOOTFALL_FUZZ_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(500);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// A payload in one of the wrappers, and the headers that go with it.
fn wrap(kind: u8, payload: &[u8]) -> (&'static str, &'static str, Vec<u8>) {
    let base64 = base64::engine::general_purpose::STANDARD.encode(payload);
    let encoded = percent_encoding::percent_encode(payload, percent_encoding::NON_ALPHANUMERIC).to_string();
    match kind % 6 {
        0 => (JSON, "", payload.to_vec()),
        1 => (JSON, "gzip", zip(payload)),
        2 => (FORM, "", format!("data={base64}&verbose=1").into_bytes()),
        3 => (FORM, "gzip", zip(format!("data={encoded}").as_bytes())),
        4 => ("application/x-ndjson", "gzip", zip(payload)),
        _ => ("text/plain", "", format!("data={}", percent(&base64)).into_bytes()),
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_are_unpacked_or_refused(
        get: bool,
        kind: u8,
        query in "[a-z=&%+0-9{}]{0,60}",
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let (content_type, encoding, _) = wrap(kind, b"");
        if let Ok(Unpacked { text: Ok(text), form, .. }) = try_send(get, &query, content_type, encoding, body) {
            drop(decode(&text, form, Damage::Report));
        }
    }

    // Texts end as JSON does. Others could end in a `+` of base64, which cannot be told from a space at the end.
    #[test]
    fn every_wrapper_gives_back_what_it_wraps(kind: u8, text in "[{\\[][ -~é]{0,80}[}\\]]") {
        let (content_type, encoding, body) = wrap(kind, text.as_bytes());
        let unpacked = send(false, "", content_type, encoding, body);
        prop_assert_eq!(unpacked.text.as_deref(), Ok(text.as_bytes()));
    }

    #[test]
    fn damaged_wrappers_never_panic(kind: u8, at: usize, byte: u8, cut: bool) {
        let (content_type, encoding, mut body) = wrap(kind, EVENT2.as_bytes());
        let at = at % body.len();
        if cut { body.truncate(at) } else { body[at] = byte }
        if let Ok(Unpacked { text: Ok(text), form, .. }) = try_send(false, "", content_type, encoding, body) {
            drop(decode(&text, form, Damage::Refuse));
        }
    }
}
