//! The calls that bind names: `any`, `all`, `filter`, `map`, `let`. A name is visible in the body only (§7).

use super::operators::expression;
use crate::{
    Diagnostic,
    ast::{Expr, ExprKind, Quantifier},
    parser::Parser,
    token::{Keyword, Symbol, TokenKind},
};

pub(super) fn quantifier(p: &mut Parser<'_>, quantifier: Quantifier) -> Result<Expr, Diagnostic> {
    let start = p.peek().span.start;
    p.enter()?;
    p.advance();
    p.expect(Symbol::ParenOpen, &format!("`(` after `{}`", quantifier.name()))?;
    let commas = word_and_comma_follow(p) || matches!(quantifier, Quantifier::Filter | Quantifier::Map);
    let parts = if commas { with_commas(p)? } else { with_for(p)? };
    let end = p.expect(Symbol::ParenClose, "an operator or `)`")?;
    p.leave();
    let (variable, list, body) = parts;
    let kind =
        ExprKind::Quantifier { quantifier, variable: variable.to_owned(), list: Box::new(list), body: Box::new(body) };
    Ok(Expr { kind, span: start..end })
}

fn with_commas<'t>(p: &mut Parser<'t>) -> Result<(&'t str, Expr, Expr), Diagnostic> {
    let variable = p.expect_variable()?;
    p.expect(Symbol::Comma, "`,` and a list")?;
    let list = expression(p)?;
    p.expect(Symbol::Comma, "an operator, or `,` and the body")?;
    let since = p.peek().span.start;
    let body = expression(p)?;
    p.bind_since(variable, since);
    Ok((variable, list, body))
}

fn with_for<'t>(p: &mut Parser<'t>) -> Result<(&'t str, Expr, Expr), Diagnostic> {
    let since = p.peek().span.start;
    let body = expression(p)?;
    p.expect_keyword(Keyword::For, "an operator, or `for` and a variable")?;
    let variable = p.expect_variable()?;
    // Before the list is read: its names belong to the outside.
    p.bind_since(variable, since);
    p.expect_keyword(Keyword::In, "`in` and a list")?;
    let list = expression(p)?;
    Ok((variable, list, body))
}

pub(super) fn let_(p: &mut Parser<'_>) -> Result<Expr, Diagnostic> {
    let start = p.peek().span.start;
    p.enter()?;
    p.advance();
    p.expect(Symbol::ParenOpen, "`(` after `let`")?;
    let mut bindings: Vec<(String, Expr)> = Vec::new();
    // Where each name becomes visible: after its own value.
    let mut visible = Vec::new();
    loop {
        let name = p.expect_variable()?;
        p.expect(Symbol::Comma, "`,` and a value")?;
        bindings.push((name.to_owned(), expression(p)?));
        p.expect(Symbol::Comma, "an operator, or `,` and the body")?;
        visible.push((name, p.peek().span.start));
        if !word_and_comma_follow(p) {
            break;
        }
    }
    let body = expression(p)?;
    for (name, since) in visible.into_iter().rev() {
        p.bind_since(name, since);
    }
    let end = p.expect(Symbol::ParenClose, "an operator or `)`")?;
    p.leave();
    Ok(Expr { kind: ExprKind::Let { bindings, body: Box::new(body) }, span: start..end })
}

fn word_and_comma_follow(p: &Parser<'_>) -> bool {
    let word = matches!(p.peek().kind, TokenKind::Word(_) | TokenKind::Keyword(_));
    word && p.peek_at(1).kind == TokenKind::Symbol(Symbol::Comma)
}
