//! Halves of surrogate pairs. JSON's grammar allows `"\ud83d"` alone, Unicode and every strict parser do not.

use footfall_model::Value;

/// Replaces each lone half by `\ufffd`. `None` where there is none, so that nothing is gained by parsing again.
pub(super) fn lone_surrogates(text: &str) -> Option<String> {
    let mut mended = String::new();
    let mut copied = 0;
    let mut at = 0;
    let bytes = text.as_bytes();
    while let Some(ahead) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        at += ahead;
        at += match escaped_unit(bytes, at) {
            None => 2,
            Some(0xD800..=0xDBFF) if matches!(escaped_unit(bytes, at + 6), Some(0xDC00..=0xDFFF)) => 12,
            Some(0xD800..=0xDFFF) => {
                mended.push_str(text.get(copied..at)?);
                mended.push_str("\\ufffd");
                copied = at + 6;
                6
            }
            Some(_) => 6,
        };
    }
    if copied == 0 {
        return None;
    }
    mended.push_str(text.get(copied..)?);
    Some(mended)
}

/// The UTF-16 unit written as `\uXXXX` at `at`, if one is.
fn escaped_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at.checked_add(6)?)?.strip_prefix(b"\\u")?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Whether a value holds text that was not Unicode, as the replacement left it.
pub(crate) fn is_broken(value: &Value) -> bool {
    match value {
        Value::Text(text) => is_broken_text(text),
        Value::List(items) => items.iter().any(is_broken),
        Value::Map(members) => members.iter().any(|(name, value)| is_broken_text(name) || is_broken(value)),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => false,
    }
}

pub(crate) fn is_broken_text(text: &str) -> bool {
    text.contains(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::lone_surrogates;

    fn check(text: &str, expect: Option<&str>) {
        assert_eq!(lone_surrogates(text).as_deref(), expect, "{text}");
    }

    #[test]
    fn only_halves_are_replaced() {
        check(r#""\ud83d""#, Some(r#""\ufffd""#));
        check(r#""a\uDE00b\ud83dc""#, Some(r#""a\ufffdb\ufffdc""#));
        check(r#""\ud83d\ud83d\ude00""#, Some(r#""\ufffd\ud83d\ude00""#));
        check(r#""\ud83d\ude00""#, None);
        check(r#""\\ud83d""#, None);
        check(r#""\\\ud83d""#, Some(r#""\\\ufffd""#));
        check(r#""\u00e9 \n""#, None);
        check("\\", None);
        check("\\ud83", None);
        check("\\u+83d é", None);
        check("", None);
    }
}
