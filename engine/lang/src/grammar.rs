//! The grammar (§2), one file per area. `operators` drives: it loops over one level of operators and calls `primary` for
//! each operand; recursion happens at brackets only.

mod call;
mod list;
mod operators;
mod primary;
mod quantifier;
#[cfg(test)]
mod tests;

use crate::{ast::Expr, diagnostic::Stop, parser::Parser, token::TokenKind};

/// One expression and nothing behind it.
pub(crate) fn whole_text(p: &mut Parser<'_>) -> Result<Expr, Stop> {
    let tree = operators::expression(p)?;
    match p.peek().kind {
        TokenKind::End => Ok(tree),
        _ => Err(p.unexpected("an operator or the end of the text")),
    }
}
