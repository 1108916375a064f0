//! The text functions (§8) as pure functions. Positions and lengths are in code points.

use crate::EvalValue;

/// `has_prefix`, letter case ignored.
pub fn has_prefix(text: &str, prefix: &str) -> bool {
    text.to_lowercase().starts_with(&prefix.to_lowercase())
}

/// `has_suffix`, letter case ignored.
pub fn has_suffix(text: &str, suffix: &str) -> bool {
    text.to_lowercase().ends_with(&suffix.to_lowercase())
}

/// `len` of a text.
pub fn length(text: &str) -> usize {
    text.chars().count()
}

/// `left`: the first `count` code points; undefined if negative.
pub fn left(text: &str, count: f64) -> Option<&str> {
    let end = byte_offset(text, whole(count)?);
    text.get(..end)
}

/// `right`: the last `count` code points; undefined if negative.
pub fn right(text: &str, count: f64) -> Option<&str> {
    let skipped = length(text).saturating_sub(whole(count)?);
    text.get(byte_offset(text, skipped)..)
}

/// `mid`: `count` code points from the `first` one on, counted from 1.
pub fn mid(text: &str, first: f64, count: f64) -> Option<&str> {
    let skipped = whole(first)?.checked_sub(1)?;
    left(text.get(byte_offset(text, skipped)..)?, count)
}

/// `split`: the parts between the occurrences of `delimiter`, which must be one ASCII character.
pub fn split<'t>(text: &'t str, delimiter: &str) -> Option<std::str::Split<'t, char>> {
    let mut chars = delimiter.chars();
    let (Some(delimiter), None) = (chars.next(), chars.next()) else { return None };
    delimiter.is_ascii().then(|| text.split(delimiter))
}

/// `split` with a number: that part, counted from 1; the whole text whatever the number if the delimiter does not occur.
pub fn split_part<'t>(text: &'t str, delimiter: &str, part: f64) -> Option<&'t str> {
    let mut parts = split(text, delimiter)?;
    if !text.contains(delimiter) {
        return Some(text);
    }
    parts.nth(whole(part)?.checked_sub(1)?)
}

/// `split` as the language has it: a list of the parts.
pub fn split_list(text: &str, delimiter: &str) -> EvalValue {
    EvalValue::or_undefined(split(text, delimiter).map(|parts| parts.map(EvalValue::from).collect::<Vec<_>>()))
}

/// A count given as a number: floored, `None` if negative, at most what a position can be.
pub(crate) fn whole(number: f64) -> Option<usize> {
    // A float-to-integer cast saturates, so a huge count means "all".
    (number >= 0.0).then_some(number as usize)
}

/// Where the code point at `position` starts; the end of the text if there are fewer.
fn byte_offset(text: &str, position: usize) -> usize {
    text.char_indices().nth(position).map_or(text.len(), |(offset, _)| offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices() {
        let check = |found: Option<&str>, expect: Option<&str>| assert_eq!(found, expect);
        check(left("é日😀", 2.9), Some("é日"));
        check(left("ab", 1e300), Some("ab"));
        check(left("ab", -0.5), None);
        check(right("é日😀", 1.0), Some("😀"));
        check(right("ab", 9.0), Some("ab"));
        check(right("ab", 0.0), Some(""));
        check(right("ab", -1.0), None);
        check(mid("Canada", 1.0, 4.0), Some("Cana"));
        check(mid("Canada", 6.0, 4.0), Some("a"));
        check(mid("Canada", 7.0, 4.0), Some(""));
        check(mid("Canada", 1e300, 1e300), Some(""));
        check(mid("Canada", 0.9, 4.0), None);
        check(mid("Canada", 1.0, -1.0), None);
    }

    #[test]
    fn parts() {
        let check = |part: f64, delimiter: &str, expect: Option<&str>| {
            assert_eq!(split_part("a//b", delimiter, part), expect, "{delimiter:?} {part}");
        };
        check(1.0, "/", Some("a"));
        check(2.0, "/", Some(""));
        check(3.9, "/", Some("b"));
        check(4.0, "/", None);
        check(0.0, "/", None);
        check(-1.0, "/", None);
        check(-1.0, "@", Some("a//b"));
        check(1.0, "//", None);
        check(1.0, "", None);
        check(1.0, "é", None);
    }

    #[test]
    fn ends() {
        assert!(has_prefix("Élan", "éL"));
        assert!(has_suffix("ABC", ""));
        assert!(!has_suffix("C", "bc"));
    }
}
