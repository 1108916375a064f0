//! List literals. They hold constants only, so that an `in` list is a constant set.

use crate::{
    ast::{Expr, ExprKind, Literal},
    diagnostic::Stop,
    parser::Parser,
    token::{Keyword, Symbol, TokenKind},
};

pub(super) fn list_literal(p: &mut Parser<'_>) -> Result<Expr, Stop> {
    let start = p.peek().span.start;
    let (items, end) = items(p)?;
    Ok(Expr { kind: ExprKind::Literal(Literal::List(items)), span: start..end })
}

/// The elements from `[` to `]`, and where that ends.
fn items(p: &mut Parser<'_>) -> Result<(Vec<Literal>, usize), Stop> {
    p.enter()?;
    p.advance();
    let mut items = Vec::new();
    if !p.next_is(Symbol::BracketClose) {
        items.push(literal(p)?);
        while p.eat(Symbol::Comma) {
            items.push(literal(p)?);
        }
    }
    let end = p.expect(Symbol::BracketClose, "`,` or `]`")?;
    p.leave();
    Ok((items, end))
}

fn literal(p: &mut Parser<'_>) -> Result<Literal, Stop> {
    let negative = p.eat(Symbol::Minus);
    let literal = match &p.peek().kind {
        TokenKind::Number { value, .. } => Literal::Number(if negative { -value } else { *value }),
        _ if negative => return Err(p.unexpected("a number after `-`")),
        TokenKind::Text(text) => Literal::Text(text.clone()),
        TokenKind::Keyword(Keyword::True) => Literal::Bool(true),
        TokenKind::Keyword(Keyword::False) => Literal::Bool(false),
        TokenKind::Keyword(Keyword::Null) => Literal::Null,
        TokenKind::Keyword(Keyword::Undefined) => Literal::Undefined,
        TokenKind::Symbol(Symbol::BracketOpen) => return items(p).map(|(items, _)| Literal::List(items)),
        _ => return Err(p.unexpected("a constant (lists hold constants only)")),
    };
    p.advance();
    Ok(literal)
}
