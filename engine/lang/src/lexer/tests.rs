use super::lex;

/// The tokens as a diagnostic would name them, or the message where the lexer stopped.
fn check(text: &str, expect: &str) {
    let (tokens, diagnostic) = lex(text);
    let found = match diagnostic {
        Some(diagnostic) => format!("{} @{:?}", diagnostic.message, diagnostic.span),
        None => tokens.iter().map(|t| t.kind.to_string()).collect::<Vec<_>>().join(" "),
    };
    assert_eq!(found, expect, "{text}");
}

fn check_text(text: &str, expect: &str) {
    let (tokens, _) = lex(text);
    assert_eq!(tokens.first().map(|t| &t.kind), Some(&crate::token::TokenKind::Text(expect.to_owned())), "{text}");
}

#[test]
fn words_numbers_and_symbols() {
    check("a AND b", "`a` `and` `b` the end of the text");
    check("now<>x", "`now` `<` `>` `x` the end of the text");
    check("a===b", "`a` `==` `==` `b` the end of the text");
    check("1-2", "a number `-` a number the end of the text");
    check("\t\r\n ", "the end of the text");
}

#[test]
fn bad_numbers() {
    check("5x", "a number runs into a letter or a point @0..2");
    check("1_000", "a number runs into a letter or a point @0..2");
    check("1.2.3", "a number runs into a letter or a point @0..4");
    check("1é", "a number runs into a letter or a point @0..3");
    check("1.", "expected a digit after the decimal point @0..2");
    check("1e+", "expected a digit in the exponent of a number @0..3");
    check("1e999", "number too large @0..5");
}

#[test]
fn bad_characters() {
    check("a && b", "unexpected character '&'; write `and` @2..3");
    check("a\u{a0}", "unexpected character '\\u{a0}'; this is a no-break space, use a plain one @1..3");
    check("é", "unexpected character 'é' @0..2");
}

#[test]
fn strings() {
    check_text(r#""it's""#, "it's");
    check_text(r#"'say "hi"'"#, "say \"hi\"");
    check_text(r#""\"\'\\\/\n\r\t\b\f""#, "\"'\\/\n\r\t\u{8}\u{c}");
    check_text(r#""\u00E9\ud83d\ude00""#, "é😀");
    check_text("\"a\nb\"", "a\nb");
}

#[test]
fn bad_strings() {
    check("\"abc", "expected a closing \" @0..4");
    check("'abc\\", "invalid escape in a string @4..5");
    check(r#""\q""#, "invalid escape in a string @1..3");
    check(r#""\ud83d""#, "invalid escape in a string @1..7");
    check(r#""\ud83d\u0041""#, "invalid escape in a string @1..13");
    check(r#""\ude00""#, "invalid escape in a string @1..7");
    check(r#""\u12g4""#, "invalid escape in a string @1..5");
    check("\"\\é\"", "invalid escape in a string @1..4");
}
