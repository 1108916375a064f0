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

/// A great many short texts, a million unless `FOOTFALL_FUZZ_TEXTS` says otherwise: too many for proptest, which takes ten
/// times as long to make a text as the parser to read it.
#[test]
fn a_million_texts() {
    let texts = std::env::var("FOOTFALL_FUZZ_TEXTS").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000_000);
    let mut random = XorShift(0x9e37_79b9_7f4a_7c15);
    let (mut text, mut trees) = (String::new(), 0u64);
    for _ in 0..texts {
        text.clear();
        for _ in 0..random.below(24) {
            match random.below(12) {
                0 => text.push(char::from_u32(random.below(0x500) as u32).unwrap_or('x')),
                1 => text.push(' '),
                _ => text.push_str(PIECES[random.below(PIECES.len() as u64) as usize]),
            }
        }
        check(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        trees += u64::from(parse(&text).tree.is_some());
    }
    println!("{texts} texts, of which {trees} are expressions");
    assert!(texts < 1_000 || trees > texts / 1_000, "hardly any text is an expression: {trees}");
}

/// Marsaglia's generator: as random as pieces of text need.
struct XorShift(u64);

impl XorShift {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
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
