//! `segmentation`: how often one event happened, or to how many users, per bucket and segment.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{Datelike, NaiveDate};
use footfall_engine::{Count, Segmentation, SegmentationSpec, Unit};
use serde_json::{Map, Value, json};

use super::reply;
use crate::auth::authorize;
use crate::encode::csv;
use crate::http::params::date_range;
use crate::http::{ApiError, Params, QueryRequest};
use crate::state::AppState;

const UNITS: [(&str, Unit); 5] =
    [("minute", Unit::Minute), ("hour", Unit::Hour), ("day", Unit::Day), ("week", Unit::Week), ("month", Unit::Month)];
const COUNTS: [(&str, Count); 3] =
    [("general", Count::General), ("unique", Count::Unique), ("average", Count::Average)];
const LIMIT: usize = 60;
const LIMIT_MAX: usize = 10_000;
/// Clients ask for everything from this day on; what lies before is a mistake to upstream and to us.
const YEAR_MIN: i32 = 2000;
/// A month by the minute, five years by the hour, or all days there ever were. Every segment repeats every bucket, so a
/// finer question would be answered by gigabytes.
const BUCKETS_MAX: i64 = 50_000;

#[derive(Clone, Copy)]
enum Format {
    Json,
    Csv,
}

pub async fn segmentation(State(state): State<AppState>, request: QueryRequest) -> Response {
    reply(&request, answer(&state, &request).await)
}

async fn answer(state: &AppState, request: &QueryRequest) -> Result<Response, ApiError> {
    let params = request.params.as_ref().map_err(ApiError::clone)?;
    let project = authorize(state, &request.headers, params).await?;
    let format = params.choice("format", &[("json", Format::Json), ("csv", Format::Csv)])?.unwrap_or(Format::Json);
    let found = state.engine.segmentation(project.id, spec(params)?).await?;
    Ok(match format {
        Format::Json => Json(to_json(found)).into_response(),
        Format::Csv => ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], to_csv(&found)).into_response(),
    })
}

fn spec(params: &Params) -> Result<SegmentationSpec, ApiError> {
    let event = params.required("event")?.into_owned();
    let (from, to) = date_range(params)?;
    check_year("from_date", from)?;
    check_year("to_date", to)?;
    let count = params.choice("type", &COUNTS)?.unwrap_or(Count::General);
    // Days in which unlike units are put together; only the one that equals a unit can be answered.
    if params.whole("interval", 1..=1)?.is_some() && params.text("unit").is_some_and(|unit| unit != "day") {
        return Err(ApiError::parameter("interval", "cannot be combined with unit"));
    }
    if params.text("group_key").is_some() {
        return Err(ApiError::parameter("group_key", "is not supported yet"));
    }
    let unit = params.choice("unit", &UNITS)?.unwrap_or(Unit::Day);
    check_buckets(from, to, unit)?;
    Ok(SegmentationSpec {
        event,
        from,
        to,
        unit,
        count,
        on: params.text("on").map(Into::into),
        filter: params.text("where").map(Into::into),
        limit: params.whole("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT),
    })
}

fn check_year(name: &str, date: NaiveDate) -> Result<(), ApiError> {
    if date.year() < YEAR_MIN {
        return Err(ApiError::sentence(name, format!("Error in {name}: invalid date, bad year")));
    }
    Ok(())
}

fn check_buckets(from: NaiveDate, to: NaiveDate, unit: Unit) -> Result<(), ApiError> {
    let per_day = match unit {
        Unit::Minute => 24 * 60,
        Unit::Hour => 24,
        Unit::Day | Unit::Week | Unit::Month => 1,
    };
    let days = (to - from).num_days() + 1;
    if days.saturating_mul(per_day) > BUCKETS_MAX {
        return Err(ApiError::parameter("unit", &format!("too fine for {days} days, at most {BUCKETS_MAX} buckets")));
    }
    Ok(())
}

fn to_json(found: Segmentation) -> Value {
    let legend_size = found.segments.len();
    let values: Map<String, Value> = found
        .segments
        .into_iter()
        .map(|(segment, numbers)| {
            let cells = found.buckets.iter().cloned().zip(numbers.into_iter().map(Value::Number));
            (segment, Value::Object(cells.collect()))
        })
        .collect();
    let mut reply = json!({"data": {"series": found.buckets, "values": values}, "legend_size": legend_size});
    if !found.warnings.is_empty() {
        reply["warnings"] = json!(found.warnings);
    }
    reply
}

fn to_csv(found: &Segmentation) -> String {
    let mut out = String::from("date");
    for (segment, _) in &found.segments {
        out.push(',');
        csv::push_text(&mut out, segment);
    }
    out.push('\n');
    for (row, bucket) in found.buckets.iter().enumerate() {
        out.push_str(bucket);
        for (_, numbers) in &found.segments {
            out.push(',');
            if let Some(number) = numbers.get(row) {
                out.push_str(&number.to_string());
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<SegmentationSpec, String> {
        spec(&Params::parse(Some(query), None, b"").unwrap()).map_err(|e| e.message)
    }

    #[test]
    fn defaults_are_upstreams() {
        let spec = read("event=A&from_date=2024-01-01&to_date=2024-01-02&on=&where=").unwrap();
        assert_eq!((spec.unit, spec.count, spec.limit), (Unit::Day, Count::General, 60));
        assert_eq!((spec.on, spec.filter), (None, None));
    }

    #[test]
    fn messages_name_the_parameter() {
        let dates = "from_date=2024-01-01&to_date=2024-01-02";
        for (query, message) in [
            (dates.to_owned(), "event, missing or empty"),
            ("event=A&from_date=2024-01-01".to_owned(), "to_date, missing or empty"),
            ("event=A&from_date=x&to_date=2024-01-01".to_owned(), "from_date, invalid date"),
            ("event=A&from_date=2024-01-02&to_date=2024-01-01".to_owned(), "to_date cannot be before from_date"),
            (
                "event=A&from_date=1999-12-31&to_date=2024-01-01".to_owned(),
                "Error in from_date: invalid date, bad year",
            ),
            (format!("event=A&{dates}&unit=year"), "unit, must be one of minute, hour, day, week, month"),
            (format!("event=A&{dates}&type=x"), "type, must be one of general, unique, average"),
            (
                "event=A&from_date=2000-01-01&to_date=2024-01-01&unit=minute".to_owned(),
                "unit, too fine for 8767 days, at most 50000 buckets",
            ),
            (format!("event=A&{dates}&limit=10001"), "limit, must be a whole number from 1 to 10000"),
        ] {
            assert_eq!(read(&query).unwrap_err(), message, "{query}");
        }
        assert!(read("event=A&from_date=2000-01-01&to_date=2024-01-01&interval=1&unit=day").is_ok());
    }

    fn found() -> Segmentation {
        Segmentation {
            buckets: vec!["2024-01-01".into(), "2024-01-02".into()],
            segments: vec![("=x,y".into(), vec![1.into(), 0.into()]), ("b".into(), vec![0.into(), 2.into()])],
            warnings: vec![],
        }
    }

    #[test]
    fn json_has_every_bucket_in_every_segment() {
        assert_eq!(
            to_json(found()).to_string(),
            r#"{"data":{"series":["2024-01-01","2024-01-02"],"values":{"=x,y":{"2024-01-01":1,"2024-01-02":0},"b":{"2024-01-01":0,"2024-01-02":2}}},"legend_size":2}"#
        );
    }

    #[test]
    fn csv_has_a_row_per_bucket_and_no_formulas() {
        assert_eq!(to_csv(&found()), "date,\"'=x,y\",b\n2024-01-01,1,0\n2024-01-02,0,2\n");
    }
}
