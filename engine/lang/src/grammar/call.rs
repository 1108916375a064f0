//! Function calls: name, number of arguments, and the pattern of the regular-expression functions are checked here.

use super::operators::expression;
use crate::{
    Diagnostic,
    ast::{Expr, ExprKind, Function, Literal, Span},
    function,
    parser::Parser,
    pattern,
    token::Symbol,
};

pub(super) fn call(p: &mut Parser<'_>, word: &str) -> Result<Expr, Diagnostic> {
    let name = p.peek().span.clone();
    p.enter()?;
    p.advance();
    p.expect(Symbol::ParenOpen, &format!("`(` after `{word}`"))?;
    let (args, end) = arguments(p)?;
    p.leave();
    let span = name.start..end;
    let Some(function) = Function::from_name(word) else {
        let unknown = Diagnostic::new(format!("unknown function `{word}`"), name);
        p.note(unknown.suggesting(function::suggest(word)));
        // A stand-in: a parse with a diagnostic gives no tree.
        return Ok(Expr { kind: ExprKind::Literal(Literal::Undefined), span });
    };
    if !function.arity().allows(args.len()) {
        let message = format!("`{}` takes {}, found {}", function.name(), function.arity(), args.len());
        p.note(Diagnostic::new(message, span.clone()));
    } else if let Some(problem) = pattern_problem(function, &args) {
        p.note(problem);
    }
    Ok(Expr { kind: ExprKind::Call { function, args }, span })
}

fn arguments(p: &mut Parser<'_>) -> Result<(Vec<Expr>, usize), Diagnostic> {
    let mut args = Vec::new();
    if !p.next_is(Symbol::ParenClose) {
        args.push(expression(p)?);
        while p.eat(Symbol::Comma) {
            args.push(expression(p)?);
        }
    }
    let end = p.expect(Symbol::ParenClose, "an operator, `,` or `)`")?;
    Ok((args, end))
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
