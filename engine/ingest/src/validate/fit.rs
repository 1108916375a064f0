//! Lists and objects as property values: within the limits, or made to fit.

use footfall_model::Value;

use crate::ids::{json_text, truncate};
use crate::limits::{CONTAINER_BYTES_MAX, DEPTH_MAX, NESTED_MAX, PROFILE_CONTAINER_BYTES_MAX};
use crate::members::keep_last;
use crate::repairs::{Repair, Repairs};

/// What is too much about a list or an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    TooDeep,
    TooManyMembers,
    TooBig,
}

/// Checks the list or object of an event's property, cuts its texts, and unless `strict` cuts whatever else is too much.
pub(super) fn container(value: &mut Value, strict: bool, repairs: &mut Repairs) -> Result<(), Misfit> {
    if strict {
        check(value, DEPTH_MAX, NESTED_MAX)?;
        if json_len(value) > CONTAINER_BYTES_MAX {
            return Err(Misfit::TooBig);
        }
    }
    cut(value, DEPTH_MAX, NESTED_MAX, repairs);
    if json_len(value) > CONTAINER_BYTES_MAX {
        repairs.note(Repair::ElementsCut);
        keep_what_fits(value);
    }
    Ok(())
}

/// The same for a profile's property. What is too big is refused even if not `strict`: an event with a shortened list is
/// still that event, but half of an update is another update.
pub(crate) fn profile_container(value: &mut Value, strict: bool) -> Result<(), Misfit> {
    if strict {
        check(value, DEPTH_MAX, usize::MAX)?;
    }
    cut(value, DEPTH_MAX, usize::MAX, &mut Repairs::default());
    if json_len(value) > PROFILE_CONTAINER_BYTES_MAX { Err(Misfit::TooBig) } else { Ok(()) }
}

fn check(value: &Value, levels: usize, members_max: usize) -> Result<(), Misfit> {
    let (len, mut parts): (usize, Box<dyn Iterator<Item = &Value>>) = match value {
        Value::List(items) => (items.len(), Box::new(items.iter())),
        Value::Map(members) => (members.len(), Box::new(members.iter().map(|(_, value)| value))),
        _ => return Ok(()),
    };
    if levels == 0 {
        return Err(Misfit::TooDeep);
    }
    if len > members_max {
        return Err(Misfit::TooManyMembers);
    }
    parts.try_for_each(|part| check(part, levels_below(value, part, levels), members_max))
}

/// A list of objects is one level, every other step down is a level of its own.
fn levels_below(outer: &Value, inner: &Value, levels: usize) -> usize {
    match (outer, inner) {
        (Value::List(_), Value::Map(_)) => levels,
        _ => levels.saturating_sub(1),
    }
}

fn cut(value: &mut Value, levels: usize, members_max: usize, repairs: &mut Repairs) {
    match value {
        Value::Text(text) => {
            if truncate(text) {
                repairs.note(Repair::TextCut);
            }
        }
        Value::List(_) | Value::Map(_) if levels == 0 => {
            repairs.note(Repair::DepthFlattened);
            let mut text = json_text(value);
            truncate(&mut text);
            *value = Value::Text(text);
        }
        Value::List(items) => {
            if items.len() > members_max {
                repairs.note(Repair::ElementsCut);
                items.truncate(members_max);
            }
            for item in items {
                // As `levels_below`, which cannot look at the list while it lends an item.
                let levels = if matches!(item, Value::Map(_)) { levels } else { levels.saturating_sub(1) };
                cut(item, levels, members_max, repairs);
            }
        }
        Value::Map(members) => {
            if members.len() > members_max {
                repairs.note(Repair::ElementsCut);
                members.truncate(members_max);
            }
            let mut renamed = false;
            for (name, value) in members.iter_mut() {
                renamed |= truncate(name);
                cut(value, levels.saturating_sub(1), members_max, repairs);
            }
            if renamed {
                repairs.note(Repair::NameCut);
                keep_last(members);
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {}
    }
}

fn keep_what_fits(value: &mut Value) {
    let mut room = CONTAINER_BYTES_MAX.saturating_sub(2);
    let mut fits = |bytes: usize| match room.checked_sub(bytes + 1) {
        Some(rest) => {
            room = rest;
            true
        }
        None => false,
    };
    match value {
        Value::List(items) => {
            let kept = items.iter().take_while(|item| fits(json_len(item))).count();
            items.truncate(kept);
        }
        Value::Map(members) => {
            let kept = members.iter().take_while(|(name, value)| fits(text_len(name) + 1 + json_len(value))).count();
            members.truncate(kept);
        }
        _ => {}
    }
}

/// Bytes of a value as compact JSON.
fn json_len(value: &Value) -> usize {
    match value {
        Value::Null => 4,
        Value::Bool(answer) => 5 - usize::from(*answer),
        Value::Int(number) => {
            number.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1 + usize::from(*number < 0)
        }
        Value::Float(_) => json_text(value).len(),
        Value::Text(text) => text_len(text),
        Value::List(items) => 1 + items.len().max(1) + items.iter().map(json_len).sum::<usize>(),
        Value::Map(members) => {
            let inner = members.iter().map(|(name, value)| text_len(name) + 1 + json_len(value));
            1 + members.len().max(1) + inner.sum::<usize>()
        }
    }
}

fn text_len(text: &str) -> usize {
    let escapes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 1,
        0..0x20 => 5,
        _ => 0,
    });
    text.len() + 2 + escapes.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        serde_json::from_str::<serde_json::Value>(json).unwrap().into()
    }

    fn check_strict(json: &str, expect: Option<Misfit>) {
        assert_eq!(container(&mut value(json), true, &mut Repairs::default()).err(), expect, "{json}");
    }

    fn check_cut(json: &str, expect: &str) {
        let mut cut = value(json);
        container(&mut cut, false, &mut Repairs::default()).unwrap();
        assert_eq!(json_text(&cut), expect);
    }

    #[test]
    fn lengths_are_those_of_the_json_text() {
        for json in [
            "null",
            "true",
            "false",
            "0",
            "-1",
            "1234567890",
            "-9223372036854775808",
            "1.5",
            "[]",
            "{}",
            r#""a\"\\\n""#,
            r#"["a",[1,2],{"k":null,"m":{}}]"#,
            "\"\\u0001\u{e9}\"",
        ] {
            let value = value(json);
            assert_eq!(json_len(&value), json_text(&value).len(), "{json}");
        }
    }

    #[test]
    fn three_levels_are_kept_and_deeper_ones_become_text() {
        for kept in [r#"{"a":{"b":{"c":1}}}"#, "[[[1]]]", r#"[{"a":[{"b":[1,2]}]}]"#, r#"{"tracks":[{"t":["x"]}]}"#] {
            check_strict(kept, None);
            check_cut(kept, kept);
        }
        let too_deep = Some(Misfit::TooDeep);
        check_strict(r#"{"a":{"b":{"c":{}}}}"#, too_deep);
        check_strict("[[[[]]]]", too_deep);
        check_cut(r#"{"a":{"b":{"c":{"d":[1]}}}}"#, r#"{"a":{"b":{"c":"{\"d\":[1]}"}}}"#);
        check_cut("[[[[1]]]]", r#"[[["[1]"]]]"#);
    }

    #[test]
    fn lists_and_objects_have_fewer_than_255_elements() {
        let list = |n: usize| format!("[{}]", vec!["1"; n].join(","));
        check_strict(&list(254), None);
        check_strict(&list(255), Some(Misfit::TooManyMembers));
        check_cut(&list(255), &list(254));
        let object = |n: usize| format!("{{{}}}", (0..n).map(|i| format!("\"{i}\":1")).collect::<Vec<_>>().join(","));
        check_strict(&object(254), None);
        check_strict(&object(255), Some(Misfit::TooManyMembers));
        check_cut(&object(255), &object(254));
    }

    #[test]
    fn what_exceeds_eight_kilobytes_keeps_its_beginning() {
        let list = |n: usize| format!("[{}]", vec![format!("\"{}\"", "x".repeat(97)); n].join(","));
        check_strict(&list(81), None);
        check_strict(&list(82), Some(Misfit::TooBig));
        check_cut(&list(254), &list(81));
        check_strict(&format!("[\"{}\"]", "x".repeat(9000)), Some(Misfit::TooBig));
        check_cut(&format!("[\"{}\"]", "x".repeat(9000)), &format!("[\"{}\"]", "x".repeat(255)));
    }

    #[test]
    fn lists_of_profiles_are_bounded_by_their_size_alone() {
        let list = |n: usize| format!("[{}]", vec![format!("\"{}\"", "x".repeat(97)); n].join(","));
        let check = |json: &str, strict: bool, expect: Result<(), Misfit>| {
            let mut fitted = value(json);
            assert_eq!(profile_container(&mut fitted, strict), expect);
            if expect.is_ok() {
                assert_eq!(json_text(&fitted), json);
            }
        };
        for strict in [true, false] {
            check(&list(2_621), strict, Ok(()));
            check(&list(2_622), strict, Err(Misfit::TooBig));
        }
        check("[[[[1]]]]", true, Err(Misfit::TooDeep));
        let mut deep = value("[[[[1]]]]");
        assert_eq!(profile_container(&mut deep, false), Ok(()));
        assert_eq!(json_text(&deep), r#"[[["[1]"]]]"#);
    }

    #[test]
    fn names_that_become_equal_when_cut_are_one() {
        let long = "n".repeat(255);
        check_cut(&format!("{{\"{long}1\":1,\"{long}2\":2}}"), &format!("{{\"{long}\":2}}"));
    }
}
