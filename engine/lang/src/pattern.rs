//! Checks a regular expression before any record is read (§8): syntax, and a bound on what it expands to.
//!
//! The bound is here, not in the evaluator, because a pattern that does not compile must be a parse error. The evaluator
//! compiles under a limit that every pattern within this bound stays below.

use regex_syntax::{
    ParserBuilder,
    hir::{Class, Hir, HirKind},
};

/// Upper bound on the literals and class ranges of a pattern, repetitions written out. `\w` has about 800 ranges.
const SIZE_MAX: u64 = 200_000;

/// Why `pattern` cannot be used, in one line.
pub(crate) fn check(pattern: &str) -> Result<(), String> {
    let hir = ParserBuilder::new().case_insensitive(true).build().parse(pattern).map_err(|error| match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        _ => "unsupported".to_owned(),
    })?;
    if size(&hir) > SIZE_MAX { Err("it repeats too much".to_owned()) } else { Ok(()) }
}

/// Recursion is as deep as the pattern nests, which `regex_syntax` limits to 250.
fn size(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(Class::Unicode(class)) => class.ranges().len() as u64,
        HirKind::Class(Class::Bytes(class)) => class.ranges().len() as u64,
        HirKind::Capture(capture) => size(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(size).fold(parts.len() as u64, u64::saturating_add)
        }
        HirKind::Repetition(repetition) => {
            let copies = repetition.max.unwrap_or(repetition.min).max(1);
            size(&repetition.sub).saturating_add(1).saturating_mul(u64::from(copies))
        }
    }
}

#[cfg(test)]
mod tests {
    fn check(pattern: &str, valid: bool) {
        assert_eq!(super::check(pattern).is_ok(), valid, "{pattern}");
    }

    #[test]
    fn patterns() {
        check("", true);
        check("iPhone(...)", true);
        check("(?-i)Ha+y", true);
        check(r"[^.0-9]\w{1,100}", true);
        check("(", false);
        check("a{2,1}", false);
        check("(?=look)ahead", false);
        check(r"(a)\1", false);
        check(r"\w{1000}", false);
        check("(((a{1000}){1000}){1000}){1000}", false);
        check(&"(".repeat(300), false);
    }
}
