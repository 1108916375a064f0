//! Rows of an answer in the forms clients ask for.
//!
//! A result is never held as a whole: [`Encoder`] turns one batch at a time into bytes, [`stream::encoded`] drives it.

pub mod csv;
mod encoder;
mod json;
mod stream;
mod type_name;

use axum::http::{HeaderMap, header};

pub use encoder::{EncodeError, Encoder};
pub use stream::{EncodedStream, encoded};

/// The forms of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `{"columns":[{"name","type"}],"rows":[[…]]}`
    Json,
    /// One object per row and line.
    Ndjson,
    /// A header and a line per row; texts that a spreadsheet would run as formulas are disarmed.
    Csv,
    /// Arrow IPC stream.
    Arrow,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// The form that `Accept` likes best; JSON when it does not say. `None` when it wants none of ours.
    pub fn accepted(headers: &HeaderMap) -> Option<Self> {
        let values: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
        if values.iter().all(|value| value.trim().is_empty()) {
            return Some(Self::Json);
        }
        let mut best: Option<(f32, Self)> = None;
        for range in values.iter().flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let Some(format) = parts.next().and_then(Self::of_media_type) else { continue };
            let weight = parts.find_map(|p| p.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            if weight > 0.0 && best.is_none_or(|(most, _)| weight > most) {
                best = Some((weight, format));
            }
        }
        best.map(|(_, format)| format)
    }

    fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type.to_ascii_lowercase().as_str() {
            "application/json" | "application/*" | "*/*" => Some(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/json-lines" => {
                Some(Self::Ndjson)
            }
            "text/csv" | "text/*" => Some(Self::Csv),
            "application/vnd.apache.arrow.stream" => Some(Self::Arrow),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_known_form_is_chosen() {
        for (accept, expect) in [
            ("", Some(Format::Json)),
            ("*/*", Some(Format::Json)),
            ("text/csv", Some(Format::Csv)),
            ("text/html, application/x-ndjson;q=0.5, application/json;q=0.1", Some(Format::Ndjson)),
            ("application/vnd.apache.arrow.stream, */*;q=0.1", Some(Format::Arrow)),
            ("text/csv;q=0, */*", Some(Format::Json)),
            ("image/png", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(Format::accepted(&headers), expect, "{accept}");
        }
        assert_eq!(Format::accepted(&HeaderMap::new()), Some(Format::Json));
    }
}
