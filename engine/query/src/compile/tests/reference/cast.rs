//! Casts (§6).

use std::sync::LazyLock;

use chrono_tz::Tz;
use regex::Regex;

use super::{Datum, dates};

pub fn string(value: &Datum, zone: Tz) -> Datum {
    match value {
        Datum::Text(text) => Datum::Text(text.clone()),
        Datum::Number(x) => Datum::Text(decimal(*x)),
        Datum::Bool(true) => Datum::Text("true".into()),
        Datum::Bool(false) => Datum::Text("false".into()),
        Datum::Null => Datum::Null,
        Datum::Datetime(at) => Datum::Text(dates::text(*at, zone)),
        Datum::Undefined | Datum::List(_) | Datum::Map(_) => Datum::Undefined,
    }
}

pub fn number(value: &Datum) -> Datum {
    match value {
        Datum::Text(text) => read_number(text).into(),
        Datum::Number(x) => Datum::Number(*x),
        Datum::Bool(value) => Datum::Number(if *value { 1.0 } else { 0.0 }),
        Datum::Datetime(at) => Datum::Number(*at as f64),
        Datum::Null | Datum::Undefined | Datum::List(_) | Datum::Map(_) => Datum::Undefined,
    }
}

pub fn boolean(value: &Datum) -> Datum {
    Datum::Bool(match value {
        Datum::Text(text) => text != "" && text != "false",
        Datum::Number(x) => *x != 0.0,
        Datum::Bool(value) => *value,
        Datum::Null | Datum::Undefined => false,
        Datum::Datetime(_) | Datum::List(_) | Datum::Map(_) => true,
    })
}

/// `zone` is that of a date string without an offset.
pub fn datetime(value: &Datum, zone: Tz) -> Datum {
    let seconds = match value {
        Datum::Text(text) => dates::parse(text, zone),
        Datum::Datetime(at) => Some(*at),
        Datum::Number(x) => {
            const LAST: f64 = 4_294_967_295.0;
            let seconds = if *x > LAST { *x / 1000.0 } else { *x }.floor();
            (1.0 <= seconds && seconds <= LAST).then_some(seconds as i64)
        }
        _ => None,
    };
    seconds.map_or(Datum::Undefined, Datum::Datetime)
}

pub fn list(value: &Datum) -> Datum {
    match value {
        Datum::Undefined | Datum::Null => Datum::Undefined,
        Datum::List(items) => Datum::List(items.clone()),
        other => Datum::List(vec![other.clone()]),
    }
}

/// The shortest digits that read back, written without an exponent.
pub fn decimal(x: f64) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{:e}", x.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap();
    let digits = mantissa.replace('.', "");
    let point = 1 + exponent.parse::<i32>().unwrap();
    let plain = if point <= 0 {
        format!("0.{}{digits}", "0".repeat(point.unsigned_abs() as usize))
    } else if point as usize >= digits.len() {
        format!("{digits}{}", "0".repeat(point as usize - digits.len()))
    } else {
        format!("{}.{}", &digits[..point as usize], &digits[point as usize..])
    };
    if x < 0.0 { format!("-{plain}") } else { plain }
}

fn read_number(text: &str) -> Option<f64> {
    static FORM: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\A[ \t\r\n]*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[ \t\r\n]*\z").unwrap()
    });
    let number: f64 = FORM.captures(text)?.get(1)?.as_str().parse().unwrap();
    number.is_finite().then_some(number)
}
