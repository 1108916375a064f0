//! Requests as clients write them: where the parameters are, and where and how the data is hidden.
//!
//! Every combination here is sent by some client (`reference/mixpanel-http-api.md` §3.1, §3.2). Nothing fails early:
//! a request whose data cannot be read still has parameters, and they say in which form to complain.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use axum::body::Bytes;
use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use footfall_ingest::{DecodeError, Form};
use percent_encoding::percent_decode;

use super::body::{self, BodyError, GunzipError, UnzipLimits};
use crate::admission::Busy;

/// Where the data was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrapping {
    /// The body itself.
    Bare,
    /// The field `data` of a form, or of the query string. Clients of this age know nothing of `strict`.
    Field,
}

impl Envelope {
    pub fn of(parts: &Parts) -> Self {
        Self {
            get: parts.method == Method::GET,
            query: parts.uri.query().unwrap_or_default().to_owned(),
            content_type: ContentType::of(&parts.headers),
            encoding: Encoding::of(&parts.headers),
        }
    }
}

/// The client's address, as far as it is known.
pub(super) fn client_address(parts: &Parts) -> Option<String> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    address(&parts.headers, peer)
}

/// The first address that proxies noted, else the peer's. Anyone can forge the header; all it does is give events
/// without an id one, and an event may name any id anyway.
fn address(headers: &HeaderMap, peer: Option<IpAddr>) -> Option<String> {
    let forwarded = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
    let first = forwarded.and_then(|list| list.split(',').next()?.trim().parse().ok());
    first.or(peer).map(|ip: IpAddr| ip.to_canonical().to_string())
}

/// What decides how a body is read.
#[derive(Clone)]
pub(super) struct Envelope {
    pub get: bool,
    pub query: String,
    content_type: ContentType,
    pub encoding: Encoding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ContentType {
    Ndjson,
    Form,
    /// JSON, plain text (`sendBeacon`), nothing, or whatever else: the body tells.
    Other,
}

impl ContentType {
    fn of(headers: &HeaderMap) -> Self {
        match crate::http::content_type(headers).unwrap_or_default().to_ascii_lowercase().as_str() {
            "application/x-ndjson" => Self::Ndjson,
            "application/x-www-form-urlencoded" => Self::Form,
            _ => Self::Other,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Gzip,
    Unknown,
}

impl Encoding {
    pub fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Self::Plain };
        match value.to_str().unwrap_or("?").trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Self::Plain,
            "gzip" | "x-gzip" => Self::Gzip,
            _ => Self::Unknown,
        }
    }
}

/// A body taken apart.
pub(super) struct Unpacked {
    pub params: Params,
    pub wrapping: Wrapping,
    pub form: Form,
    /// JSON text as bytes, or why there is none.
    pub text: Result<Bytes, DecodeError>,
}

/// Unzips and unwraps a body within `limits`; `grow` counts what that makes.
pub(super) fn unpack(
    envelope: &Envelope,
    body: Bytes,
    limits: UnzipLimits,
    grow: impl FnMut(usize) -> Result<(), Busy>,
) -> Result<Unpacked, BodyError> {
    let mut params = Params::default();
    let in_query = params.extend(envelope.query.as_bytes());
    let body = match envelope.encoding {
        _ if body.is_empty() => Ok(body),
        Encoding::Plain => Ok(body),
        Encoding::Gzip => match body::gunzip(&body, limits, grow) {
            Ok(plain) => Ok(plain.into()),
            Err(GunzipError::TooLarge) => return Err(BodyError::TooLarge),
            Err(GunzipError::Busy(busy)) => return Err(BodyError::Busy(busy)),
            Err(GunzipError::Damaged) => Err(DecodeError::InvalidJson),
        },
        Encoding::Unknown => Err(DecodeError::InvalidJson),
    };
    let body = match body {
        Ok(body) => body,
        Err(e) => return Ok(Unpacked { params, wrapping: Wrapping::Bare, form: Form::Json, text: Err(e) }),
    };
    let start = body.trim_ascii_start();
    if envelope.get || start.is_empty() {
        let wrapping = if envelope.get || in_query.is_some() { Wrapping::Field } else { Wrapping::Bare };
        return Ok(Unpacked { params, wrapping, form: Form::Json, text: field(in_query) });
    }
    if is_form(envelope, start) {
        let text = field(params.extend(start).or(in_query));
        return Ok(Unpacked { params, wrapping: Wrapping::Field, form: Form::Json, text });
    }
    let wrapping = Wrapping::Bare;
    match envelope.content_type {
        ContentType::Ndjson => Ok(Unpacked { params, wrapping, form: Form::Ndjson, text: Ok(without_mark(body)) }),
        _ => Ok(Unpacked { params, wrapping, form: Form::Json, text: plain_text(body) }),
    }
}

/// Whether a body holds fields. `curl -d '{…}'` calls everything a form.
pub(super) fn is_form(envelope: &Envelope, body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"data=") || envelope.content_type == ContentType::Form && !is_json(body)
}

/// Whether a text begins like records.
pub(super) fn is_json(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start(), [b'{' | b'[', ..])
}

/// The field `data` of a form.
pub(super) fn form_data(form: &[u8]) -> Option<Vec<u8>> {
    Params::default().extend(form.trim_ascii_start())
}

fn field(data: Option<Vec<u8>>) -> Result<Bytes, DecodeError> {
    data.map_or(Err(DecodeError::Empty), |data| plain_text(data.into()))
}

/// JSON text as it is, anything else through base64.
fn plain_text(text: Bytes) -> Result<Bytes, DecodeError> {
    let text = without_mark(text);
    match text.trim_ascii() {
        [] => Err(DecodeError::Empty),
        [b'{' | b'[', ..] => Ok(text),
        encoded => from_base64(encoded).map(|decoded| without_mark(decoded.into())),
    }
}

/// The byte order mark that some systems begin every text with.
fn without_mark(text: Bytes) -> Bytes {
    const MARK: &[u8] = b"\xEF\xBB\xBF";
    if text.starts_with(MARK) { text.slice(MARK.len()..) } else { text }
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Decodes either alphabet, padded or not. A space was a `+` before a form decoder saw it.
pub(super) fn from_base64(encoded: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut standard: Vec<u8> = encoded
        .iter()
        .filter(|byte| !matches!(byte, b'\r' | b'\n' | b'\t'))
        .map(|byte| match byte {
            b' ' | b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    while standard.last() == Some(&b'=') {
        standard.pop();
    }
    BASE64.decode(standard).map_err(|_| DecodeError::InvalidJson)
}

/// Parameters of the query string and of a form. On conflict the query wins, and of repeats the first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Params(Vec<(String, String)>);

/// No client sends a third of this; a form may hold millions.
const PARAMS_MAX: usize = 64;

impl Params {
    #[cfg(test)]
    pub fn of_query(query: &str) -> Self {
        let mut params = Self::default();
        params.extend(query.as_bytes());
        params
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// On when present and not `0`, `false` or empty.
    pub fn flag(&self, name: &str) -> bool {
        self.flag_given(name).unwrap_or(false)
    }

    /// `None` where the client did not say.
    pub fn flag_given(&self, name: &str) -> Option<bool> {
        let value = self.get(name)?.trim();
        Some(!(value.is_empty() || value == "0" || value.eq_ignore_ascii_case("false")))
    }

    /// Adds the fields of `form` and gives back its `data`, as bytes: whether they are text is decided later.
    pub fn extend(&mut self, form: &[u8]) -> Option<Vec<u8>> {
        let mut data = None;
        let room = self.0.len() + PARAMS_MAX;
        for field in form.split(|byte| *byte == b'&') {
            let at = field.iter().position(|byte| *byte == b'=').unwrap_or(field.len());
            let (name, value) = field.split_at(at);
            let value = value.strip_prefix(b"=").unwrap_or_default();
            if name == b"data" {
                data.get_or_insert_with(|| form_decode(value).into_owned());
            } else if !name.is_empty() && self.0.len() < room {
                let text = |bytes| String::from_utf8_lossy(&form_decode(bytes)).into_owned();
                self.0.push((text(name), text(value)));
            }
        }
        data
    }
}

fn form_decode(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return bytes.into();
    }
    let spaced: Vec<u8> = bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).collect::<Vec<u8>>().into()
}

#[cfg(test)]
mod tests;
