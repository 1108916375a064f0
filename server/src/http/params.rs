//! Parameters of a query request, wherever the client put them.
//!
//! Clients send the same parameter in the query string, in a form or in a JSON body, as text or as a number. Here they
//! become one map; the body wins. A parameter that is present but empty counts as absent.

use std::borrow::Cow;

use axum::body::Bytes;
use axum::extract::{FromRequest, OriginalUri, Request};
use axum::http::{HeaderMap, StatusCode, header};
use chrono::{Datelike, NaiveDate};
use serde_json::{Map, Value};

use super::error::ApiError;

/// A request to a route of the query family, with everything its handler may look at.
pub struct QueryRequest {
    /// Path and query as asked, for error replies.
    pub request: String,
    pub headers: HeaderMap,
    pub params: Result<Params, ApiError>,
}

impl<S: Send + Sync> FromRequest<S> for QueryRequest {
    type Rejection = std::convert::Infallible;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let uri = request.extensions().get::<OriginalUri>().map_or_else(|| request.uri().clone(), |o| o.0.clone());
        let headers = request.headers().clone();
        let params = match Bytes::from_request(request, state).await {
            Ok(body) => Params::parse(uri.query(), content_type(&headers), &body),
            Err(rejection) => Err(ApiError::new(rejection.status(), "invalid", rejection.body_text())),
        };
        let request = uri.path_and_query().map_or_else(|| uri.path().to_owned(), |p| p.as_str().to_owned());
        Ok(Self { request, headers, params })
    }
}

/// Media type without its parameters, as sent.
pub fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim)
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params(Map<String, Value>);

impl Params {
    pub fn parse(query: Option<&str>, content_type: Option<&str>, body: &[u8]) -> Result<Self, ApiError> {
        let mut params = Self::default();
        params.extend_form(query.unwrap_or_default().as_bytes());
        let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
        let body = body.trim_ascii();
        match content_type.as_str() {
            _ if body.is_empty() => {}
            "application/json" => params.extend_json(body)?,
            "application/x-www-form-urlencoded" => params.extend_form(body),
            _ if body.starts_with(b"{") => params.extend_json(body)?,
            _ => params.extend_form(body),
        }
        Ok(params)
    }

    pub fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// The parameter as text: numbers and flags as JSON writes them, lists and objects as JSON text.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.0.get(name)? {
            Value::Null => None,
            Value::String(text) if text.trim().is_empty() => None,
            Value::String(text) => Some(Cow::Borrowed(text)),
            other => Some(Cow::Owned(other.to_string())),
        }
    }

    pub fn required(&self, name: &str) -> Result<Cow<'_, str>, ApiError> {
        self.text(name).ok_or_else(|| ApiError::parameter(name, "missing or empty"))
    }

    /// On when present and neither `0` nor `false`.
    pub fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| !matches!(text.trim(), "0" | "false" | "False"))
    }

    /// A whole number within `range`.
    pub fn whole(&self, name: &str, range: std::ops::RangeInclusive<usize>) -> Result<Option<usize>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.trim().parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let problem = format!("must be a whole number from {} to {}", range.start(), range.end());
                Err(ApiError::parameter(name, &problem))
            }
        }
    }

    /// A required calendar date `YYYY-MM-DD`; a time part behind it is ignored.
    pub fn date(&self, name: &str) -> Result<NaiveDate, ApiError> {
        let text = self.required(name)?;
        parse_date(text.trim()).ok_or_else(|| ApiError::parameter(name, "invalid date"))
    }

    /// One of the listed words.
    pub fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match choices.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
                Err(ApiError::parameter(name, &format!("must be one of {}", words.join(", "))))
            }
        }
    }

    /// A JSON list of names, or one bare name. An empty list asks for nothing in particular, as if it were absent.
    pub fn names(&self, name: &str) -> Result<Option<Vec<String>>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let trimmed = text.trim();
        if !trimmed.starts_with(['[', '"']) {
            return Ok(Some(vec![text.into_owned()]));
        }
        let names = match serde_json::from_str(trimmed) {
            Ok(Value::String(name)) => Ok(vec![name]),
            Ok(value) => serde_json::from_value(value),
            Err(e) => Err(e),
        };
        let names: Vec<String> = names.map_err(|_| ApiError::parameter(name, "must be a JSON list of names"))?;
        Ok((!names.is_empty()).then_some(names))
    }

    fn extend_form(&mut self, form: &[u8]) {
        for (name, value) in form_urlencoded::parse(form) {
            self.0.insert(name.into_owned(), Value::String(value.into_owned()));
        }
    }

    fn extend_json(&mut self, body: &[u8]) -> Result<(), ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => self.0.extend(members),
            Ok(_) => return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid", "body, must be a JSON object")),
            Err(e) => {
                return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid", format!("body, invalid json: {e}")));
            }
        }
        Ok(())
    }
}

/// `from_date` and `to_date`, in order.
pub fn date_range(params: &Params) -> Result<(NaiveDate, NaiveDate), ApiError> {
    let (from, to) = (params.date("from_date")?, params.date("to_date")?);
    if from > to {
        return Err(ApiError::sentence("to_date", "to_date cannot be before from_date"));
    }
    Ok((from, to))
}

fn parse_date(text: &str) -> Option<NaiveDate> {
    let (day, rest) = text.split_at_checked(10)?;
    if !(rest.is_empty() || rest.starts_with(['T', ' '])) {
        return None;
    }
    // chrono would also take `+2024-1-01`; only digits and dashes in their places are dates here.
    let shaped = day.bytes().enumerate().all(|(i, b)| if matches!(i, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
    let date = shaped.then(|| NaiveDate::parse_from_str(day, "%Y-%m-%d").ok())??;
    (date.year() >= 1).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, content_type: &str, body: &str, name: &str, expect: Option<&str>) {
        let params = Params::parse(Some(query), Some(content_type), body.as_bytes()).unwrap();
        assert_eq!(params.text(name).as_deref(), expect, "{query} {content_type} {body}");
    }

    #[test]
    fn parameters_come_from_everywhere_and_the_body_wins() {
        check("event=A&unit=day", "", "", "event", Some("A"));
        check("event=A", "application/x-www-form-urlencoded", "event=B+C", "event", Some("B C"));
        check("event=A", "application/json", r#"{"event":"B"}"#, "event", Some("B"));
        check("event=A", "application/json", "", "event", Some("A"));
        check("", "text/plain", r#"{"event":"B"}"#, "event", Some("B"));
        check("", "application/json", r#"{"project_id":42}"#, "project_id", Some("42"));
        check("", "application/json", r#"{"event":["A","B"]}"#, "event", Some(r#"["A","B"]"#));
    }

    #[test]
    fn present_but_empty_is_absent() {
        check("on=&where=%20", "", "", "on", None);
        check("on=&where=%20", "", "", "where", None);
        check("", "application/json", r#"{"on":null}"#, "on", None);
    }

    #[test]
    fn dates_are_strict_but_may_carry_a_time() {
        let date = |text: &str| parse_date(text).map(|d| d.to_string());
        assert_eq!(date("2024-02-29").as_deref(), Some("2024-02-29"));
        assert_eq!(date("2024-02-29T12:00:00").as_deref(), Some("2024-02-29"));
        assert_eq!(date("2024-02-29 12:00").as_deref(), Some("2024-02-29"));
        for bad in ["2023-02-29", "2024-2-9", "2024-02-29x", "", "today", "0000-01-01", "+202-01-01", "2024-02-2é"] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }

    #[test]
    fn errors_name_the_parameter() {
        let params = Params::parse(Some("limit=x&unit=year&from_date=1"), None, b"").unwrap();
        let message = |r: Result<(), ApiError>| r.unwrap_err().message;
        assert_eq!(message(params.whole("limit", 1..=9).map(drop)), "limit, must be a whole number from 1 to 9");
        assert_eq!(
            message(params.choice("unit", &[("day", 1), ("hour", 2)]).map(drop)),
            "unit, must be one of day, hour"
        );
        assert_eq!(message(params.date("from_date").map(drop)), "from_date, invalid date");
        assert_eq!(message(params.required("event").map(drop)), "event, missing or empty");
    }
}
