//! The calls that bind names: `any`, `all`, `filter`, `map`, `let`. A name is visible in the body only (§7).

use super::operators::expression;
use crate::{
    ast::{Expr, ExprKind, Quantifier},
    diagnostic::Stop,
    parser::Parser,
    token::{Keyword, Symbol, TokenKind},
};

pub(super) fn quantifier(p: &mut Parser<'_>, quantifier: Quantifier) -> Result<Expr, Stop> {
    let start = p.open_call(quantifier.name())?;
    let commas = word_and_comma_follow(p) || matches!(quantifier, Quantifier::Filter | Quantifier::Map);
    let kind = if commas { with_commas(p, quantifier)? } else { with_for(p, quantifier)? };
    let end = p.close("an operator or `)`")?;
    Ok(Expr { kind, span: start..end })
}

fn with_commas(p: &mut Parser<'_>, quantifier: Quantifier) -> Result<ExprKind, Stop> {
    let variable = p.expect_variable()?;
    p.expect(Symbol::Comma, "`,` and a list")?;
    let list = boxed(p)?;
    p.expect(Symbol::Comma, "an operator, or `,` and the body")?;
    let since = p.peek().span.start;
    let body = boxed(p)?;
    p.bind_since(variable, since);
    Ok(ExprKind::Quantifier { quantifier, variable: variable.to_owned(), list, body })
}

fn with_for(p: &mut Parser<'_>, quantifier: Quantifier) -> Result<ExprKind, Stop> {
    let since = p.peek().span.start;
    let body = boxed(p)?;
    p.expect_keyword(Keyword::For, "an operator, or `for` and a variable")?;
    let variable = p.expect_variable()?;
    // Before the list is read: its names belong to the outside.
    p.bind_since(variable, since);
    p.expect_keyword(Keyword::In, "`in` and a list")?;
    let list = boxed(p)?;
    Ok(ExprKind::Quantifier { quantifier, variable: variable.to_owned(), list, body })
}

pub(super) fn let_(p: &mut Parser<'_>) -> Result<Expr, Stop> {
    let start = p.open_call("let")?;
    let mut bindings = Vec::new();
    // Where each name becomes visible: after its own value.
    let mut visible = Vec::new();
    loop {
        let (name, value) = pair(p)?;
        bindings.push((name.to_owned(), value));
        visible.push((name, p.peek().span.start));
        if !word_and_comma_follow(p) {
            break;
        }
    }
    let body = boxed(p)?;
    for (name, since) in visible.into_iter().rev() {
        p.bind_since(name, since);
    }
    let end = p.close("an operator or `)`")?;
    Ok(Expr { kind: ExprKind::Let { bindings, body }, span: start..end })
}

/// `name, value,`
fn pair<'t>(p: &mut Parser<'t>) -> Result<(&'t str, Expr), Stop> {
    let name = p.expect_variable()?;
    p.expect(Symbol::Comma, "`,` and a value")?;
    let value = expression(p)?;
    p.expect(Symbol::Comma, "an operator, or `,` and the body")?;
    Ok((name, value))
}

fn boxed(p: &mut Parser<'_>) -> Result<Box<Expr>, Stop> {
    expression(p).map(Box::new)
}

fn word_and_comma_follow(p: &Parser<'_>) -> bool {
    let word = matches!(p.peek().kind, TokenKind::Word(_) | TokenKind::Keyword(_));
    word && p.peek_at(1).kind == TokenKind::Symbol(Symbol::Comma)
}
