//! Which call does what.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::bucket::{Bucket, Buckets, Object, Wanted};
use super::wire::{Answer, Request};

const TOKEN: &str = "a-token-of-the-metadata-server";
const TOKEN_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
/// Headers that are stored with an object.
const STORED: [&str; 6] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "x-goog-storage-class",
];

/// The metadata server's part, which meets no faults.
pub fn metadata(request: &Request) -> Option<Answer> {
    let asked = request.path == TOKEN_PATH && request.header("metadata-flavor") == Some("Google");
    let token = format!(r#"{{"access_token":"{TOKEN}","expires_in":3599,"token_type":"Bearer"}}"#);
    asked.then(|| Answer::new(200, token).with("content-type", "application/json"))
}

/// Does what is asked. `behind`: how old objects have to be to be listed.
pub fn answer(buckets: &mut Buckets, request: &Request, behind: Duration) -> Answer {
    if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
        return error(401, "AuthenticationRequired");
    }
    let Some(bucket) = buckets.get_mut(&request.bucket) else { return error(404, "NoSuchBucket") };
    let upload = request.parameter("uploadId");
    match (request.method.as_str(), upload) {
        ("GET", _) if request.key.is_empty() => list(bucket, request, behind),
        ("GET" | "HEAD", _) => get(bucket, request),
        _ if bucket.forbids_writes => error(403, "AccessDenied"),
        ("PUT", Some(id)) => put_part(bucket, request, id),
        ("PUT", None) => put(bucket, request),
        ("POST", Some(id)) => complete(bucket, request, id),
        ("POST", None) if request.parameter("uploads").is_some() => {
            let id = bucket.begin_upload(&request.key, attributes(request));
            let id = element("UploadId", &id);
            xml(&format!("<InitiateMultipartUploadResult>{id}</InitiateMultipartUploadResult>"))
        }
        ("DELETE", Some(id)) if bucket.abort_upload(id) => Answer::new(204, ""),
        ("DELETE", Some(_)) => error(404, "NoSuchUpload"),
        ("DELETE", None) if bucket.delete(&request.key) => Answer::new(204, ""),
        ("DELETE", None) => error(404, "NoSuchKey"),
        _ => error(405, "MethodNotAllowed"),
    }
}

fn put(bucket: &mut Bucket, request: &Request) -> Answer {
    let Some(condition) = request.header("x-goog-if-generation-match").map(str::parse::<u64>).transpose().ok() else {
        return error(400, "InvalidArgument");
    };
    if request.header("content-length").is_none() {
        return error(411, "MissingContentLength");
    }
    if condition.is_some_and(|generation| generation != bucket.generation(&request.key)) {
        return error(412, "PreconditionFailed");
    }
    let object = match request.header("x-goog-copy-source").map(|source| source.trim_start_matches('/')) {
        None => bucket.put(&request.key, request.body.clone().into(), attributes(request)),
        Some(source) => {
            let source = percent_encoding::percent_decode_str(source).decode_utf8_lossy().into_owned();
            let source = source.strip_prefix(&format!("{}/", request.bucket)).and_then(|key| bucket.get(key)).cloned();
            let Some(source) = source else { return error(404, "NoSuchKey") };
            bucket.put(&request.key, source.content, source.attributes)
        }
    };
    describe(Answer::new(200, ""), &object)
}

fn put_part(bucket: &mut Bucket, request: &Request, id: &str) -> Answer {
    let Some(number) = request.parameter("partNumber").and_then(|number| number.parse().ok()) else {
        return error(400, "InvalidArgument");
    };
    match bucket.put_part(&request.key, id, number, request.body.clone()) {
        Some(tag) => Answer::new(200, "").with("etag", tag),
        None => error(404, "NoSuchUpload"),
    }
}

fn complete(bucket: &mut Bucket, request: &Request, id: &str) -> Answer {
    let body = String::from_utf8_lossy(&request.body).replace("&quot;", "\"");
    let part = |text: &str| Some((between(text, "PartNumber")?.parse().ok()?, between(text, "ETag")?));
    let named: Option<Vec<(u32, String)>> = body.split("<Part>").skip(1).map(part).collect();
    let completed = named.ok_or(400).and_then(|named| bucket.complete_upload(&request.key, id, &named));
    match completed {
        Ok(object) => {
            let tag = element("ETag", &object.e_tag());
            let body = format!("<CompleteMultipartUploadResult>{tag}</CompleteMultipartUploadResult>");
            xml(&body).with("x-goog-generation", object.generation)
        }
        Err(404) => error(404, "NoSuchUpload"),
        Err(status) => error(status, "InvalidPart"),
    }
}

fn get(bucket: &Bucket, request: &Request) -> Answer {
    let object = match request.parameter("generation").map(str::parse) {
        None => bucket.get(&request.key),
        Some(Ok(generation)) => bucket.get_generation(&request.key, generation),
        Some(Err(_)) => return error(400, "InvalidArgument"),
    };
    let Some(object) = object else { return error(404, "NoSuchKey") };
    if let Some(status) = condition(request, object) {
        return Answer::new(status, "");
    }
    let whole = object.content.len();
    let answer = match request.header("range").map(|range| bounds(range, whole)) {
        None => Answer::new(200, object.content.to_vec()),
        Some(Some((from, to))) => {
            let part = Answer::new(206, &object.content[from..to]);
            part.with("content-range", format!("bytes {from}-{}/{whole}", to - 1))
        }
        Some(None) => return error(416, "InvalidRange").with("content-range", format!("bytes */{whole}")),
    };
    let answer = describe(answer, object);
    object.attributes.iter().fold(answer, |answer, (name, value)| answer.with(name, value))
}

/// The status that answers a condition which does not hold.
fn condition(request: &Request, object: &Object) -> Option<u16> {
    let names = |header: &str| {
        let tags = request.header(header)?;
        Some(tags == "*" || tags.split(',').any(|tag| tag.trim() == object.e_tag()))
    };
    let since = |header: &str| DateTime::parse_from_rfc2822(request.header(header)?).ok().map(|at| at.timestamp());
    let modified = object.modified.timestamp();
    let unmet = match (names("if-match"), since("if-unmodified-since")) {
        (Some(names), _) => !names,
        (None, Some(at)) => modified > at,
        (None, None) => false,
    };
    let unchanged = match (names("if-none-match"), since("if-modified-since")) {
        (Some(names), _) => names,
        (None, Some(at)) => modified <= at,
        (None, None) => false,
    };
    if unmet { Some(412) } else { unchanged.then_some(304) }
}

/// The first byte and the one after the last; `None` if there are no such bytes.
fn bounds(range: &str, whole: usize) -> Option<(usize, usize)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (from, to) = match (from.parse::<usize>(), to.parse::<usize>()) {
        (Ok(from), Ok(last)) => (from, last.checked_add(1)?.min(whole)),
        (Ok(from), Err(_)) => (from, whole),
        (Err(_), Ok(length)) => (whole.saturating_sub(length), whole),
        (Err(_), Err(_)) => return None,
    };
    (from < to).then_some((from, to))
}

fn list(bucket: &Bucket, request: &Request, behind: Duration) -> Answer {
    let page = bucket.list(&Wanted {
        prefix: request.parameter("prefix").unwrap_or_default(),
        delimiter: request.parameter("delimiter").filter(|delimiter| !delimiter.is_empty()),
        start_after: request.parameter("start-after").unwrap_or_default(),
        token: request.parameter("continuation-token"),
        page_size: request.parameter("max-keys").and_then(|number| number.parse().ok()),
        behind,
    });
    let mut body = String::from("<ListBucketResult>");
    for (key, object) in &page.objects {
        let modified = object.modified.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let fields = [("Key", key), ("LastModified", &modified), ("ETag", &object.e_tag())];
        let fields = fields.map(|(name, value)| element(name, value)).concat();
        let _ = write!(body, "<Contents>{fields}<Size>{}</Size></Contents>", object.content.len());
    }
    for prefix in &page.prefixes {
        let _ = write!(body, "<CommonPrefixes>{}</CommonPrefixes>", element("Prefix", prefix));
    }
    let _ = write!(body, "<IsTruncated>{}</IsTruncated>", page.next.is_some());
    if let Some(next) = &page.next {
        body += &element("NextContinuationToken", next);
    }
    xml(&format!("{body}</ListBucketResult>"))
}

fn describe(answer: Answer, object: &Object) -> Answer {
    let modified: DateTime<Utc> = object.modified;
    answer
        .with("etag", object.e_tag())
        .with("x-goog-generation", object.generation)
        .with("last-modified", modified.format("%a, %d %b %Y %H:%M:%S GMT"))
}

fn attributes(request: &Request) -> Vec<(String, String)> {
    let stored = |name: &str| STORED.contains(&name) || name.starts_with("x-goog-meta-");
    let headers = request.headers.iter().filter(|(name, _)| stored(name));
    headers.map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub fn error(status: u16, code: &str) -> Answer {
    let body = format!("<?xml version='1.0' encoding='UTF-8'?><Error>{}</Error>", element("Code", code));
    Answer::new(status, body).with("content-type", "application/xml")
}

fn xml(body: &str) -> Answer {
    Answer::new(200, format!("<?xml version='1.0' encoding='UTF-8'?>{body}")).with("content-type", "application/xml")
}

fn element(name: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<{name}>{text}</{name}>")
}

fn between(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
}
