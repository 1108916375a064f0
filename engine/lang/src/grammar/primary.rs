//! Operands: constants, parentheses, lookups, variables, and the words that open a call.

use super::{call, list, operators::expression, quantifier};
use crate::{
    Diagnostic,
    ast::{Expr, ExprKind, Index, Literal, Quantifier, Source},
    diagnostic::Stop,
    function,
    parser::Parser,
    token::{Keyword, Symbol, TokenKind},
};

pub(super) fn primary(p: &mut Parser<'_>) -> Result<Expr, Stop> {
    let token = p.peek();
    let span = token.span.clone();
    let kind = match &token.kind {
        TokenKind::Number { value, .. } => ExprKind::Literal(Literal::Number(*value)),
        TokenKind::Text(text) => ExprKind::Literal(Literal::Text(text.clone())),
        TokenKind::Keyword(Keyword::True) => ExprKind::Literal(Literal::Bool(true)),
        TokenKind::Keyword(Keyword::False) => ExprKind::Literal(Literal::Bool(false)),
        TokenKind::Keyword(Keyword::Null) => ExprKind::Literal(Literal::Null),
        TokenKind::Keyword(Keyword::Undefined) => ExprKind::Literal(Literal::Undefined),
        TokenKind::Keyword(Keyword::Now) => ExprKind::Now,
        TokenKind::Symbol(Symbol::ParenOpen) => return parentheses(p),
        TokenKind::Symbol(Symbol::BracketOpen) => return list::list_literal(p),
        TokenKind::Word(word) => return named(p, word),
        _ => return Err(p.unexpected("an expression")),
    };
    p.advance();
    Ok(Expr { kind, span })
}

fn parentheses(p: &mut Parser<'_>) -> Result<Expr, Stop> {
    let start = p.peek().span.start;
    p.enter()?;
    p.advance();
    let mut inner = expression(p)?;
    let end = p.close("an operator or `)`")?;
    inner.span = start..end;
    Ok(inner)
}

/// Whatever starts with a word: what follows the word decides less than the word itself.
fn named<'t>(p: &mut Parser<'t>, word: &'t str) -> Result<Expr, Stop> {
    if let Some(source) = Source::from_name(word) {
        return lookup(p, source);
    }
    if let Some(quantifier) = Quantifier::from_name(word) {
        return quantifier::quantifier(p, quantifier);
    }
    if word.eq_ignore_ascii_case("let") {
        return quantifier::let_(p);
    }
    let called = p.peek_at(1).kind == TokenKind::Symbol(Symbol::ParenOpen);
    if called || (function::is_reserved(word) && Source::respell(word).is_none()) {
        return call::call(p, word);
    }
    match Source::respell(word) {
        Some(source) => Err(misspelt_source(p, word, source)),
        None => variable(p, word),
    }
}

fn misspelt_source(p: &Parser<'_>, word: &str, source: &str) -> Stop {
    let diagnostic = Diagnostic::new(format!("unknown source `{word}`"), p.peek().span.clone());
    Box::new(diagnostic.suggesting(Some(source)))
}

fn lookup(p: &mut Parser<'_>, source: Source) -> Result<Expr, Stop> {
    let start = p.peek().span.start;
    p.advance();
    let expected = format!("`[` and a quoted name after `{}`", source.name());
    p.expect(Symbol::BracketOpen, &expected)?;
    let TokenKind::Text(key) = &p.peek().kind else {
        return Err(p.unexpected("a quoted name"));
    };
    let key = key.clone();
    p.advance();
    let end = p.expect(Symbol::BracketClose, "`]`")?;
    let (path, end) = indexes(p, end)?;
    Ok(Expr { kind: ExprKind::Lookup { source, key, path }, span: start..end })
}

fn variable<'t>(p: &mut Parser<'t>, word: &'t str) -> Result<Expr, Stop> {
    let span = p.peek().span.clone();
    p.advance();
    p.use_name(word, span.clone());
    let (path, end) = indexes(p, span.end)?;
    Ok(Expr { kind: ExprKind::Variable { name: word.to_owned(), path }, span: span.start..end })
}

/// Any further literal indexes, and where they end.
fn indexes(p: &mut Parser<'_>, mut end: usize) -> Result<(Vec<Index>, usize), Stop> {
    let mut path = Vec::new();
    while p.eat(Symbol::BracketOpen) {
        path.push(match &p.peek().kind {
            TokenKind::Text(key) => Index::Key(key.clone()),
            TokenKind::Number { position: Some(position), .. } => Index::Position(*position),
            _ => return Err(p.unexpected("a quoted key or a whole number")),
        });
        p.advance();
        end = p.expect(Symbol::BracketClose, "`]`")?;
    }
    Ok((path, end))
}
