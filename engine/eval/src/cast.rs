//! The casts (§6), each a pure function of a value.

use chrono_tz::Tz;

use crate::{EvalValue, datetime};

/// `string(x)`. `timezone` is the project's: a datetime is written in it.
pub fn to_text(value: &EvalValue, timezone: Tz) -> EvalValue {
    match value {
        EvalValue::Text(_) | EvalValue::Null => value.clone(),
        EvalValue::Number(number) => number_to_text(*number).into(),
        EvalValue::Bool(value) => bool_to_text(*value).into(),
        EvalValue::Datetime(seconds) => EvalValue::or_undefined(datetime::datetime_to_text(*seconds, timezone)),
        EvalValue::Undefined | EvalValue::List(_) | EvalValue::Map(_) => EvalValue::Undefined,
    }
}

/// `number(x)`.
pub fn to_number(value: &EvalValue) -> EvalValue {
    match value {
        EvalValue::Number(_) => value.clone(),
        EvalValue::Text(text) => EvalValue::or_undefined(parse_number(text)),
        EvalValue::Bool(value) => EvalValue::Number(f64::from(u8::from(*value))),
        EvalValue::Datetime(seconds) => EvalValue::Number(*seconds as f64),
        EvalValue::Undefined | EvalValue::Null | EvalValue::List(_) | EvalValue::Map(_) => EvalValue::Undefined,
    }
}

/// `boolean(x)`: every set value is true but 0, the empty text, `"false"` and false itself.
pub fn to_boolean(value: &EvalValue) -> bool {
    match value {
        EvalValue::Undefined | EvalValue::Null => false,
        EvalValue::Bool(value) => *value,
        EvalValue::Number(number) => *number != 0.0,
        EvalValue::Text(text) => text_to_boolean(text),
        EvalValue::Datetime(_) | EvalValue::List(_) | EvalValue::Map(_) => true,
    }
}

/// `datetime(x)`. `literal_zone` as in [`datetime::parse_datetime`].
pub fn to_datetime(value: &EvalValue, literal_zone: Option<Tz>) -> EvalValue {
    let seconds = match value {
        EvalValue::Datetime(seconds) => Some(*seconds),
        EvalValue::Text(text) => datetime::parse_datetime(text, literal_zone),
        EvalValue::Number(number) => number_to_datetime(*number),
        _ => None,
    };
    seconds.map_or(EvalValue::Undefined, EvalValue::Datetime)
}

/// `list(x)`: a list as it is, any other set value as a list of one.
pub fn to_list(value: &EvalValue) -> EvalValue {
    match value {
        EvalValue::List(_) => value.clone(),
        EvalValue::Undefined | EvalValue::Null => EvalValue::Undefined,
        _ => vec![value.clone()].into(),
    }
}

/// A number's decimal text: the shortest digits that read back as the same number, never an exponent, no `.0`, no `-0`.
pub fn number_to_text(number: f64) -> String {
    // Adding zero turns -0 into 0 and changes nothing else.
    (number + 0.0).to_string()
}

/// `true` or `false`.
pub fn bool_to_text(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// `boolean` of a text: exact, so `"False"` and `"0"` are true.
pub fn text_to_boolean(text: &str) -> bool {
    !matches!(text, "" | "false")
}

/// `number` of a text: `[+-]? ( D+ [. D*] | . D+ ) [ (e|E) [+-]? D+ ]` between white space, within a double's range.
pub fn parse_number(text: &str) -> Option<f64> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let shaped = digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| digits(exponent) && !exponent.is_empty());
    // The shape is checked first because `f64::from_str` also takes `inf` and `nan`.
    if shaped { text.parse().ok().filter(|number: &f64| number.is_finite()) } else { None }
}

/// `datetime` of a number: seconds up to 4294967295, milliseconds above; seconds from 1 to that bound are times.
pub fn number_to_datetime(number: f64) -> Option<i64> {
    const SECONDS_MAX: f64 = 4_294_967_295.0;
    let seconds = if number <= SECONDS_MAX { number.floor() } else { (number / 1000.0).floor() };
    (1.0..=SECONDS_MAX).contains(&seconds).then_some(seconds as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read() {
        let check = |text: &str, expect: Option<f64>| assert_eq!(parse_number(text), expect, "{text:?}");
        check("3.5", Some(3.5));
        check(" \t42\r\n", Some(42.0));
        check("+.5", Some(0.5));
        check("5.", Some(5.0));
        check("-1e+2", Some(-100.0));
        check("007", Some(7.0));
        check("1e-400", Some(0.0));
        for bad in [
            "", "+", ".", "e5", "1e", "1e+", "--1", "1 2", "1_0", "0x1", "inf", "nan", "1e999", "\u{a0}1", "1é",
            "1.2.3",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn numbers_written() {
        let check = |number: f64, expect: &str| assert_eq!(number_to_text(number), expect);
        check(5.0, "5");
        check(-0.0, "0");
        check(-0.5, "-0.5");
        check(0.1 + 0.2, "0.30000000000000004");
        check(1e21, "1000000000000000000000");
        check(1e-7, "0.0000001");
        check(9007199254740993.0, "9007199254740992");
    }

    #[test]
    fn numbers_as_times() {
        let check = |number: f64, expect: Option<i64>| assert_eq!(number_to_datetime(number), expect, "{number}");
        check(1.9, Some(1));
        check(0.9, None);
        check(4294967295.0, Some(4294967295));
        check(4294967296.0, Some(4294967));
        check(1704164645999.0, Some(1704164645));
        check(4294967295999.0, Some(4294967295));
        check(4294967296000.0, None);
        check(-1e300, None);
        check(1e300, None);
    }
}
