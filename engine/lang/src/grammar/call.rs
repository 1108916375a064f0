//! Function calls: name, number of arguments, and the pattern of the regular-expression functions are checked here.

use super::operators::expression;
use crate::{
    Diagnostic,
    ast::{Expr, ExprKind, Function, Literal, Span},
    diagnostic::Stop,
    function,
    parser::Parser,
    pattern,
    token::Symbol,
};

pub(super) fn call(p: &mut Parser<'_>, word: &str) -> Result<Expr, Stop> {
    let start = p.open_call(word)?;
    let mut args = Vec::new();
    if !p.next_is(Symbol::ParenClose) {
        args.push(expression(p)?);
        while p.eat(Symbol::Comma) {
            args.push(expression(p)?);
        }
    }
    let end = p.close("an operator, `,` or `)`")?;
    Ok(checked(p, word, args, start..end))
}

/// The node of a call, its mistakes noted.
fn checked(p: &mut Parser<'_>, word: &str, args: Vec<Expr>, span: Span) -> Expr {
    let Some(function) = Function::from_name(word) else {
        let name = span.start..span.start + word.len();
        let unknown = Diagnostic::new(format!("unknown function `{word}`"), name);
        let suggestion = p.may_suggest().then(|| function::suggest(word)).flatten();
        p.note(unknown.suggesting(suggestion));
        // A stand-in: a parse with a diagnostic gives no tree.
        return Expr { kind: ExprKind::Literal(Literal::Undefined), span };
    };
    if !function.arity().allows(args.len()) {
        let message = format!("`{}` takes {}, found {}", function.name(), function.arity(), args.len());
        p.note(Diagnostic::new(message, span.clone()));
    } else if let Some(problem) = pattern_problem(function, &args) {
        p.note(problem);
    }
    Expr { kind: ExprKind::Call { function, args }, span }
}

/// A pattern is static like a property key: a string literal, valid before any record is read.
fn pattern_problem(function: Function, args: &[Expr]) -> Option<Diagnostic> {
    if !matches!(function, Function::RegexMatch | Function::RegexExtract | Function::RegexReplace) {
        return None;
    }
    let arg = args.get(1)?;
    let span: Span = arg.span.clone();
    match &arg.kind {
        ExprKind::Literal(Literal::Text(text)) => {
            let problem = pattern::check(text).err()?;
            Some(Diagnostic::new(format!("invalid pattern: {problem}"), span))
        }
        _ => Some(Diagnostic::new(
            format!("expected a quoted pattern as second argument of `{}`", function.name()),
            span,
        )),
    }
}
