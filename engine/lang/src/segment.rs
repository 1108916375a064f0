//! The `on` role (§9): an expression, or a plain word that names a property.

use crate::{
    Parse,
    ast::{Expr, ExprKind, Source},
    parse,
};

/// Parses the value of `on`. A text that is no expression but one plain word, such as `country` or `$city`, reads the
/// property of that name. Words that are expressions (`true`, `NOW`, `5`) stay what they are.
pub fn parse_segment(text: &str) -> Parse {
    let parsed = parse(text);
    let word = text.trim_matches([' ', '\t', '\r', '\n']);
    if parsed.tree.is_some() || text.len() > crate::TEXT_BYTES_MAX || !is_plain_word(word) {
        return parsed;
    }
    let kind = ExprKind::Lookup { source: Source::Properties, key: word.to_owned(), path: Vec::new() };
    Parse { tree: Some(Expr { kind, span: 0..text.len() }), diagnostics: Vec::new() }
}

/// Letters and digits of any script, `_` and `$`: what no operator or punctuation of the language could be meant by.
fn is_plain_word(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let found = match parse_segment(text).tree {
            Some(tree) => tree.to_string(),
            None => "error".to_owned(),
        };
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn a_plain_word_is_a_property() {
        check("country", r#"properties["country"]"#);
        check(" country ", r#"properties["country"]"#);
        check("$city", r#"properties["$city"]"#);
        check("mp_lib", r#"properties["mp_lib"]"#);
        check("année", r#"properties["année"]"#);
        check("day", r#"properties["day"]"#);
        check("properties", r#"properties["properties"]"#);
        check("5x", r#"properties["5x"]"#);
    }

    #[test]
    fn an_expression_stays_one() {
        check(r#"properties["a"]"#, r#"properties["a"]"#);
        check("true", "true");
        check("5", "5");
        check("now", "NOW");
    }

    #[test]
    fn anything_else_is_an_error() {
        check("", "error");
        check("two words", "error");
        check("a-b", "error");
        check("nosuch(1)", "error");
        check("properties[", "error");
        check(&format!("country{}", " ".repeat(crate::TEXT_BYTES_MAX)), "error");
    }
}
