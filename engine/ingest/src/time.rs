//! An event's `time`: what clients send for it, and what the clock of arrival makes of it.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use footfall_model::Value;

/// Numbers from here on are milliseconds, below they are seconds: 1e11 s is the year 5138, 1e11 ms is 1973.
const MILLISECONDS_FROM: f64 = 1e11;

/// Whether dates written out are understood beside numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    NumbersOnly,
    NumbersAndDates,
}

/// What was given for `time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    Nothing,
    /// Milliseconds since the epoch, of any size.
    At(i64),
    Nonsense,
}

/// Reads a `time` value: seconds or milliseconds, whole or not, as a number or as text.
pub(crate) fn read(value: Option<&Value>, notation: Notation) -> Given {
    match value {
        None | Some(Value::Null) => Given::Nothing,
        Some(Value::Int(number)) => Given::At(from_whole(*number)),
        Some(Value::Float(number)) => from_fraction(*number),
        Some(Value::Text(text)) => from_text(text.trim(), notation),
        Some(Value::Bool(_) | Value::List(_) | Value::Map(_)) => Given::Nonsense,
    }
}

fn from_whole(number: i64) -> i64 {
    if number >= MILLISECONDS_FROM as i64 { number } else { number.saturating_mul(1000) }
}

fn from_fraction(number: f64) -> Given {
    if !number.is_finite() {
        return Given::Nonsense;
    }
    let ms = if number >= MILLISECONDS_FROM { number } else { number * 1000.0 };
    // A cast saturates, and both ends are outside any range that is accepted.
    Given::At(ms.round() as i64)
}

fn from_text(text: &str, notation: Notation) -> Given {
    if text.is_empty() {
        return Given::Nothing;
    }
    if let Ok(number) = text.parse::<i64>() {
        return Given::At(from_whole(number));
    }
    // `parse` also knows "inf" and "nan", which start like no number.
    if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && let Ok(number) = text.parse::<f64>()
    {
        return from_fraction(number);
    }
    match notation {
        Notation::NumbersOnly => Given::Nonsense,
        Notation::NumbersAndDates => from_date(text).map_or(Given::Nonsense, Given::At),
    }
}

/// ISO 8601 in the forms clients write: a day, or a moment with or without fraction and offset. No offset means UTC.
fn from_date(text: &str) -> Option<i64> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Some(moment.timestamp_millis());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"] {
        if let Ok(moment) = NaiveDateTime::parse_from_str(text, format) {
            return Some(moment.and_utc().timestamp_millis());
        }
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z"] {
        if let Ok(moment) = DateTime::parse_from_str(text, format) {
            return Some(moment.timestamp_millis());
        }
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(day.and_time(NaiveTime::MIN).and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expect: Given) {
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(read(Some(&value.into()), Notation::NumbersAndDates), expect, "{json}");
    }

    #[test]
    fn seconds_and_milliseconds_are_told_apart_by_size() {
        check("1700000000", Given::At(1_700_000_000_000));
        check("1700000000000", Given::At(1_700_000_000_000));
        check("1700000000.5", Given::At(1_700_000_000_500));
        check("1735689600.123", Given::At(1_735_689_600_123));
        check("1700000000000.4", Given::At(1_700_000_000_000));
        check("99999999999", Given::At(99_999_999_999_000));
        check("100000000000", Given::At(100_000_000_000));
        check("-5", Given::At(-5000));
        check("0", Given::At(0));
        check("9223372036854775807", Given::At(i64::MAX));
        check("-9223372036854775808", Given::At(i64::MIN));
        check("1e300", Given::At(i64::MAX));
    }

    #[test]
    fn texts_are_numbers_or_dates() {
        check(r#""1700000000""#, Given::At(1_700_000_000_000));
        check(r#"" 1700000000.25 ""#, Given::At(1_700_000_000_250));
        check(r#""2023-11-14""#, Given::At(1_699_920_000_000));
        check(r#""2023-11-14T22:13:20""#, Given::At(1_700_000_000_000));
        check(r#""2023-11-14 22:13:20.5""#, Given::At(1_700_000_000_500));
        check(r#""2023-11-14T22:13:20Z""#, Given::At(1_700_000_000_000));
        check(r#""2023-11-14T23:13:20+01:00""#, Given::At(1_700_000_000_000));
        check(r#""2023-11-14T23:13:20.000+0100""#, Given::At(1_700_000_000_000));
        for nonsense in [r#""x""#, r#""nan""#, r#""inf""#, r#""1e999""#, r#""2023-13-40""#, "true", "[]", "{}"] {
            check(nonsense, Given::Nonsense);
        }
        check(r#""""#, Given::Nothing);
        check("null", Given::Nothing);
    }

    #[test]
    fn dates_are_nonsense_where_only_numbers_count() {
        let date = Value::Text("2023-11-14".into());
        assert_eq!(read(Some(&date), Notation::NumbersOnly), Given::Nonsense);
        let number = Value::Text("1700000000".into());
        assert_eq!(read(Some(&number), Notation::NumbersOnly), Given::At(1_700_000_000_000));
        assert_eq!(read(None, Notation::NumbersOnly), Given::Nothing);
    }
}
