//! Values of cells that more than one kind of table has: typed text, moments, JSON objects.

use chrono::{DateTime, Utc};
use footfall_model::Value;

use crate::config::TimeUnit;

/// What is wrong with one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellFault {
    pub column: usize,
    pub reason: String,
}

impl CellFault {
    pub fn new(column: usize, reason: impl Into<String>) -> Self {
        Self { column, reason: reason.into() }
    }
}

/// A CSV cell as a property, as lookup tables are typed: nothing → no value; `true` and `false` in any case → boolean; a
/// number as JSON writes it → number; RFC 3339 → a date in UTC; a JSON list of texts → list; else text.
///
/// Numbers as JSON writes them: `007` and `+49` are text, for postcodes and telephone numbers are no numbers; so are
/// whole numbers beyond 64 bits, since an id must not become another id.
pub fn typed(text: &str) -> Option<Value> {
    let first = *text.as_bytes().first()?;
    Some(match first {
        b't' | b'T' | b'f' | b'F' => match text {
            _ if text.eq_ignore_ascii_case("true") => Value::Bool(true),
            _ if text.eq_ignore_ascii_case("false") => Value::Bool(false),
            _ => Value::Text(text.to_owned()),
        },
        b'-' | b'0'..=b'9' => number(text).or_else(|| date(text)).unwrap_or_else(|| Value::Text(text.to_owned())),
        b'[' => texts(text).unwrap_or_else(|| Value::Text(text.to_owned())),
        _ => Value::Text(text.to_owned()),
    })
}

fn number(text: &str) -> Option<Value> {
    let json: serde_json::Number = serde_json::from_str(text).ok()?;
    // serde_json passes over space around a number; in a cell it makes the number a text.
    if text.ends_with(|c: char| c.is_ascii_whitespace()) {
        return None;
    }
    if let Some(whole) = json.as_i64() {
        return Some(Value::Int(whole));
    }
    let is_whole = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
    json.as_f64().filter(|number| number.is_finite() && !is_whole).map(Value::Float)
}

fn date(text: &str) -> Option<Value> {
    let moment = DateTime::parse_from_rfc3339(text).ok()?;
    Some(Value::Text(iso(moment.to_utc())))
}

fn texts(text: &str) -> Option<Value> {
    let items: Vec<String> = serde_json::from_str(text).ok()?;
    Some(Value::List(items.into_iter().map(Value::Text).collect()))
}

/// A moment as properties of type date are written: ISO 8601 in UTC, with milliseconds where there are any.
pub fn iso(moment: DateTime<Utc>) -> String {
    let form = if moment.timestamp_subsec_millis() == 0 { "%Y-%m-%dT%H:%M:%S" } else { "%Y-%m-%dT%H:%M:%S%.3f" };
    moment.format(form).to_string()
}

/// A number in a time column. Without a unit it stays what it is, and its size decides between seconds and milliseconds.
pub fn moment(value: Value, unit: Option<TimeUnit>) -> Value {
    let Some(unit) = unit else { return value };
    let per_second = match unit {
        TimeUnit::Seconds => 1,
        TimeUnit::Milliseconds => 1_000,
        TimeUnit::Microseconds => 1_000_000,
        TimeUnit::Nanoseconds => 1_000_000_000,
    };
    match value {
        Value::Int(ticks) => from_ticks(ticks, per_second),
        Value::Float(ticks) => Value::Float(ticks / per_second as f64),
        Value::Text(text) => match text.trim().parse::<i64>() {
            Ok(ticks) => from_ticks(ticks, per_second),
            Err(_) => Value::Text(text),
        },
        other => other,
    }
}

/// Seconds with a fraction: unlike whole milliseconds they are never taken for whole seconds, whatever their size.
pub fn from_ticks(ticks: i64, per_second: i64) -> Value {
    // Downwards to the millisecond first: 2^53 of them are exact, and reach for 285,000 years.
    let ms = if per_second < 1_000 { ticks.saturating_mul(1_000) } else { ticks.div_euclid(per_second / 1_000) };
    Value::Float(ms as f64 / 1_000.0)
}

/// The members of a JSON object that stands in a cell.
pub fn object(column: usize, text: &str) -> Result<Option<Vec<(String, Value)>>, CellFault> {
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    match serde_json::from_str(text) {
        Ok(Value::Map(members)) => Ok(Some(members)),
        Ok(Value::Null) => Ok(None),
        Ok(_) => Err(CellFault::new(column, "must be a JSON object")),
        Err(_) => Err(CellFault::new(column, "must be a JSON object, but is not JSON")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, json: &str) {
        let expect: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(typed(text), Some(expect.into()), "{text}");
    }

    #[test]
    fn cells_are_typed_as_in_lookup_tables() {
        assert_eq!(typed(""), None);
        for (text, json) in [
            ("12", "12"),
            ("-0.5", "-0.5"),
            ("1e3", "1e3"),
            ("9223372036854775807", "9223372036854775807"),
            ("True", "true"),
            ("FALSE", "false"),
            (r#"["a","b"]"#, r#"["a","b"]"#),
            ("[]", "[]"),
            ("2024-02-29T12:00:00Z", r#""2024-02-29T12:00:00""#),
            ("2024-02-29T12:00:00.125+02:00", r#""2024-02-29T10:00:00.125""#),
        ] {
            check(text, json);
        }
        for text in [
            "007",
            "+49",
            "1 000",
            "1,5",
            "12 ",
            " 12",
            "0x1f",
            "NaN",
            "-",
            "1.",
            ".5",
            "1e999",
            "9223372036854775808",
            "truely",
            "tru",
            "[1,2]",
            "[a]",
            "2024-02-30T12:00:00Z",
            "2024-02-29",
            "-Infinity",
            "null",
            "é",
        ] {
            assert_eq!(typed(text), Some(Value::Text(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn units_of_time_are_what_they_are_said_to_be() {
        let check = |value: Value, unit: Option<TimeUnit>, expect: Value| {
            assert_eq!(moment(value.clone(), unit), expect, "{value:?} {unit:?}");
        };
        check(Value::Int(5), None, Value::Int(5));
        check(Value::Int(5), Some(TimeUnit::Seconds), Value::Float(5.0));
        check(Value::Int(31_536_000_001), Some(TimeUnit::Milliseconds), Value::Float(31_536_000.001));
        check(Value::Text(" 1700000000123456".into()), Some(TimeUnit::Microseconds), Value::Float(1_700_000_000.123));
        check(Value::Int(-1), Some(TimeUnit::Nanoseconds), Value::Float(-0.001));
        check(Value::Text("2024-01-01".into()), Some(TimeUnit::Seconds), Value::Text("2024-01-01".into()));
    }

    proptest::proptest! {
        /// Text that is not a number, a date or a list comes through as it is; nothing panics.
        #[test]
        fn typing_never_loses_a_text(text in "\\PC{1,20}") {
            match typed(&text).unwrap() {
                Value::Text(kept) => proptest::prop_assert!(kept == text || date(&text).is_some()),
                Value::Bool(answer) => proptest::prop_assert_eq!(answer.to_string(), text.to_ascii_lowercase()),
                Value::Int(number) => proptest::prop_assert!(number.to_string() == text || text == "-0"),
                Value::Float(number) => proptest::prop_assert_eq!(Ok(number), text.parse::<f64>()),
                Value::List(items) => proptest::prop_assert!(text.starts_with('[') && items.len() <= text.len()),
                Value::Null | Value::Map(_) => proptest::prop_assert!(false),
            }
        }

        #[test]
        fn numbers_survive(whole: i64, float in proptest::num::f64::NORMAL) {
            proptest::prop_assert_eq!(typed(&whole.to_string()), Some(Value::Int(whole)));
            let text = serde_json::to_string(&float).unwrap();
            proptest::prop_assert_eq!(typed(&text), Some(Value::Float(float)));
        }

        /// A moment in milliseconds comes to validation as seconds that round to the same millisecond.
        #[test]
        fn milliseconds_survive(ms in 31_536_000_000i64..4_102_444_800_000) {
            let Value::Float(seconds) = from_ticks(ms, 1_000) else { unreachable!() };
            proptest::prop_assert_eq!((seconds * 1_000.0).round() as i64, ms);
        }
    }
}
