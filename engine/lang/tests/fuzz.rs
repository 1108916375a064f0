//! Whatever the text: no panic, a tree exactly when there are no diagnostics, every span within the text, and a tree
//! that survives printing. `FOOTFALL_FUZZ_CASES` sets the number of cases.

use footfall_lang::{Parse, parse, parse_expression, parse_segment};
use proptest::prelude::*;

/// Pieces that make nearly valid texts far more often than random characters do.
const PIECES: [&str; 64] = [
    "properties",
    "event",
    "user",
    "behaviors",
    "[",
    "]",
    "(",
    ")",
    ",",
    "\"a\"",
    "'b'",
    "\"",
    "'",
    "\\",
    "\\u",
    "0",
    "1",
    "1.5",
    "1e5",
    "1e",
    ".",
    "==",
    "=",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "and",
    "or",
    "not",
    "in",
    "for",
    "true",
    "null",
    "undefined",
    "NOW",
    "any",
    "all",
    "filter",
    "map",
    "let",
    "x",
    "y",
    "floor",
    "defined",
    "if",
    "ifs",
    "string",
    "regex_match",
    "split",
    "today",
    " ",
    "\n",
    "é",
    "\u{a0}",
    "[0]",
    "(1)",
    "any(x for x in [1])",
];

fn check(text: &str) -> Result<(), TestCaseError> {
    for Parse { tree, diagnostics } in [parse(text), parse_segment(text)] {
        prop_assert_eq!(tree.is_some(), diagnostics.is_empty());
        for diagnostic in &diagnostics {
            prop_assert!(text.get(diagnostic.span.clone()).is_some(), "{:?} outside of {:?}", diagnostic, text);
            prop_assert!(!diagnostic.message.is_empty());
        }
        if let Some(tree) = tree {
            prop_assert!(tree.walk().all(|expr| text.get(expr.span.clone()).is_some()));
            let printed = tree.to_string();
            let back = parse_expression(&printed);
            prop_assert!(back.is_ok_and(|back| back.same_tree(&tree)), "{text:?} printed as {printed:?}");
        }
    }
    Ok(())
}

fn cases() -> u32 {
    std::env::var("FOOTFALL_FUZZ_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(1000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn random_text(text in "\\PC{0,100}") {
        check(&text)?;
    }

    #[test]
    fn random_pieces(pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..40)) {
        check(&pieces.concat())?;
        check(&pieces.join(" "))?;
    }

    #[test]
    fn valid_text_with_one_change(at in 0usize..200, piece in prop::sample::select(PIECES.to_vec())) {
        const VALID: &str = r#"any(x["k"] > 5 and not "a" in x[0] for x in properties["l"]) or let(a, -1, a * 2 == len([1, "b"]))"#;
        let at = at % VALID.len();
        check(&format!("{}{piece}{}", &VALID[..at], &VALID[at..]))?;
        check(&format!("{}{piece}{}", &VALID[..at], VALID.get(at + piece.len()..).unwrap_or_default()))?;
    }
}

/// Repeating any piece up to the size limit must neither overflow the stack nor take more than linear time.
#[test]
fn long_repetitions() {
    for piece in PIECES {
        for text in [piece.repeat(65_536 / piece.len()), format!("{piece} ").repeat(65_536 / (piece.len() + 1))] {
            let _ = parse(&text);
            let _ = parse(&format!("1 {}", text.get(2..).unwrap_or_default()));
        }
    }
}
