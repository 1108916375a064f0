//! The regular-expression functions (§8). Letter case is ignored unless the pattern says `(?-i)`.

use std::{cell::RefCell, collections::HashMap};

use regex::{Regex, RegexBuilder};

use crate::text::whole;

/// Compiles a pattern as every function of the language uses it.
///
/// Patterns of parsed trees compile: the parser has checked syntax and size, and the limit here lies above its bound.
pub fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    const COMPILED_BYTES_MAX: usize = 128 << 20;
    RegexBuilder::new(pattern).case_insensitive(true).size_limit(COMPILED_BYTES_MAX).build()
}

/// `regex_extract`: the first match, or a group of it; `group` 0 is the whole match.
pub fn extract<'t>(regex: &Regex, text: &'t str, group: f64) -> Option<&'t str> {
    let group = regex.captures(text)?.get(whole(group)?)?;
    Some(group.as_str())
}

/// `regex_replace`: every match replaced by a literal text; `None` if the result would be longer than `bytes_max`.
pub fn replace(regex: &Regex, text: &str, with: &str, bytes_max: usize) -> Option<String> {
    let mut result = String::new();
    let mut copied = 0;
    for found in regex.find_iter(text) {
        let between = text.get(copied..found.start()).unwrap_or_default();
        if result.len() + between.len() + with.len() > bytes_max {
            return None;
        }
        result.push_str(between);
        result.push_str(with);
        copied = found.end();
    }
    result.push_str(text.get(copied..).unwrap_or_default());
    Some(result)
}

/// Runs `task` with the compiled pattern, from a small cache of this thread: a scalar evaluator sees the same few patterns
/// once for each record. `None` if the pattern does not compile.
pub(crate) fn with_compiled<T>(pattern: &str, task: impl FnOnce(&Regex) -> T) -> Option<T> {
    const PATTERNS_MAX: usize = 32;
    thread_local! {
        static COMPILED: RefCell<HashMap<String, Regex>> = RefCell::new(HashMap::new());
    }
    let regex = COMPILED.with_borrow_mut(|compiled| {
        if let Some(regex) = compiled.get(pattern) {
            return Some(regex.clone());
        }
        let regex = compile(pattern).ok()?;
        if compiled.len() == PATTERNS_MAX {
            compiled.clear();
        }
        compiled.insert(pattern.to_owned(), regex.clone());
        Some(regex)
    })?;
    Some(task(&regex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extraction() {
        let check = |pattern: &str, text: &str, group: f64, expect: Option<&str>| {
            assert_eq!(extract(&compile(pattern).unwrap(), text, group), expect, "{pattern} {text} {group}");
        };
        check("b(.)d?", "ABCD", 0.0, Some("BCD"));
        check("b(.)d?", "ABCD", 1.9, Some("C"));
        check("b(.)d?", "ABCD", 2.0, None);
        check("b(.)d?", "ABCD", -1.0, None);
        check("(x)?b", "b", 1.0, None);
        check("(?-i)b", "B", 0.0, None);
        check("a|", "b", 0.0, Some(""));
    }

    #[test]
    fn replacement_is_literal() {
        let check = |pattern: &str, text: &str, with: &str, expect: &str| {
            assert_eq!(replace(&compile(pattern).unwrap(), text, with, 100).as_deref(), Some(expect));
        };
        check("(b)", "aBb", "$1", "a$1$1");
        check("", "ab", "-", "-a-b-");
        check("x", "ab", "-", "ab");
        assert_eq!(replace(&compile("").unwrap(), "aaaa", "----", 10), None);
    }

    /// The parser's bound on patterns must be the tighter one.
    #[test]
    fn what_parses_compiles() {
        for unit in ["\\w", ".", "\\PL", "[a-z]", "(a|b|cd)", "(?:\\w|\\d\\s)", "(a{9}){9}", "\\b\\w?", "(x*)*", "é"] {
            let text = |count: usize| format!("regex_match('', \"({}){{{count}}}\")", unit.replace('\\', "\\\\"));
            let largest =
                (1..22).map(|bits| 1 << bits).rfind(|count| footfall_lang::parse(&text(*count)).tree.is_some());
            let pattern = format!("({unit}){{{}}}", largest.unwrap());
            assert!(compile(&pattern).is_ok(), "{pattern}");
        }
    }
}
