//! The keys of the segments that a value of `on` falls into (§9): always text, one or more.

use std::collections::HashSet;

use chrono_tz::Tz;

use crate::{
    EvalValue,
    cast::{bool_to_text, number_to_text},
    datetime::datetime_to_text,
};

/// The key of undefined, of an empty list, and of a record with a type error.
pub const UNDEFINED_KEY: &str = "undefined";

/// A list gives one key for each distinct element, in the order of the list; anything else gives one key.
///
/// `timezone` is the project's: datetimes are written in it.
pub fn segment_keys(value: &EvalValue, timezone: Tz) -> Vec<String> {
    let EvalValue::List(items) = value else { return vec![key(value, timezone)] };
    if items.is_empty() {
        return vec![UNDEFINED_KEY.to_owned()];
    }
    let mut seen = HashSet::new();
    items.iter().map(|item| key(item, timezone)).filter(|key| seen.insert(key.clone())).collect()
}

/// A value that came from JSON as JSON again: compact, keys sorted, numbers in their decimal text. Equal values give the
/// same text, others another one.
pub fn json_text(value: &EvalValue) -> String {
    value_json(value, Tz::UTC)
}

/// Any value as compact JSON with sorted keys; datetimes are written in the time zone.
pub fn value_json(value: &EvalValue, timezone: Tz) -> String {
    let mut json = String::new();
    write_json(&mut json, value, timezone);
    json
}

fn key(value: &EvalValue, timezone: Tz) -> String {
    match value {
        EvalValue::Undefined => UNDEFINED_KEY.to_owned(),
        EvalValue::Null => "null".to_owned(),
        EvalValue::Bool(value) => bool_to_text(*value).to_owned(),
        EvalValue::Number(number) => number_to_text(*number),
        EvalValue::Text(text) => text.to_string(),
        EvalValue::Datetime(seconds) => {
            datetime_to_text(*seconds, timezone).unwrap_or_else(|| UNDEFINED_KEY.to_owned())
        }
        EvalValue::List(_) | EvalValue::Map(_) => value_json(value, timezone),
    }
}

/// Compact JSON with sorted keys. Undefined, which JSON lacks, is null; a datetime is its text.
fn write_json(json: &mut String, value: &EvalValue, timezone: Tz) {
    match value {
        EvalValue::Undefined => json.push_str("null"),
        EvalValue::Text(text) => write_json_text(json, text),
        EvalValue::Datetime(_) => write_json_text(json, &key(value, timezone)),
        EvalValue::Null | EvalValue::Bool(_) | EvalValue::Number(_) => json.push_str(&key(value, timezone)),
        EvalValue::List(items) => {
            write_joined(json, ['[', ']'], items.iter(), |json, item| write_json(json, item, timezone));
        }
        EvalValue::Map(map) => write_joined(json, ['{', '}'], map.iter(), |json, (name, member)| {
            write_json_text(json, name);
            json.push(':');
            write_json(json, member, timezone);
        }),
    }
}

fn write_joined<T>(
    json: &mut String,
    [open, close]: [char; 2],
    parts: impl Iterator<Item = T>,
    write: impl Fn(&mut String, T),
) {
    json.push(open);
    for (i, part) in parts.enumerate() {
        if i > 0 {
            json.push(',');
        }
        write(json, part);
    }
    json.push(close);
}

fn write_json_text(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            c if c < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use footfall_model::Value;

    use super::*;

    fn check(json: &str, expect: &[&str]) {
        let value = Value::from(serde_json::from_str::<serde_json::Value>(json).unwrap());
        assert_eq!(segment_keys(&EvalValue::from(&value), Tz::UTC), expect, "{json}");
    }

    #[test]
    fn keys() {
        check("\"a\"", &["a"]);
        check("5.0", &["5"]);
        check("1e21", &["1000000000000000000000"]);
        check("-0.0", &["0"]);
        check("true", &["true"]);
        check("null", &["null"]);
        check("[]", &["undefined"]);
        check("[\"b\", 5, \"5\", \"b\", null]", &["b", "5", "null"]);
        check("[[1, \"x\"], {}]", &["[1,\"x\"]", "{}"]);
        check(r#"{"b": [1.50, null], "a": {"k\n\u0001\"": "é/"}}"#, &[r#"{"a":{"k\n\u0001\"":"é/"},"b":[1.5,null]}"#]);
    }

    #[test]
    fn times_are_local() {
        let keys = segment_keys(&EvalValue::Datetime(1_704_085_200), Tz::America__New_York);
        assert_eq!(keys, ["2024-01-01T00:00:00"]);
        assert_eq!(segment_keys(&EvalValue::Undefined, Tz::UTC), ["undefined"]);
    }
}
