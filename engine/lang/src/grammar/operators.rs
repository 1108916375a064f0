//! One level of operators, by precedence climbing with the climb on an explicit stack: operators that wait for their
//! right operand. A level of any length uses one stack frame.
//!
//! A prefix `not` waits with its own binding, so everything tighter than `and` joins its operand wherever it stands:
//! `1 + not true == false` is `1 + (not (true == false))`.

use super::primary::primary;
use crate::{
    ast::{BinaryOp, Expr, ExprKind, UnaryOp},
    diagnostic::Stop,
    operator::Binding,
    parser::Parser,
    token::{Keyword, Symbol, TokenKind},
};

pub(super) fn expression(p: &mut Parser<'_>) -> Result<Expr, Stop> {
    let mut waiting = Vec::new();
    loop {
        prefixes(p, &mut waiting)?;
        let mut value = primary(p)?;
        let Some(op) = infix(p)? else {
            return Ok(settle(p, &mut waiting, value, 0));
        };
        value = settle(p, &mut waiting, value, op.binding());
        waiting.push(Waiting::Infix { left: value, op });
    }
}

/// An operator whose right operand is still being read.
enum Waiting {
    Prefix { op: UnaryOp, start: usize },
    Infix { left: Expr, op: BinaryOp },
}

impl Waiting {
    fn binding(&self) -> Binding {
        match self {
            Self::Prefix { op, .. } => op.binding(),
            Self::Infix { op, .. } => op.binding(),
        }
    }
}

/// Gives `value` to every waiting operator that binds at least as tightly as the one that follows it.
fn settle(p: &mut Parser<'_>, waiting: &mut Vec<Waiting>, mut value: Expr, follows: Binding) -> Expr {
    while let Some(top) = waiting.pop_if(|top| top.binding() >= follows) {
        let end = value.span.end;
        value = match top {
            Waiting::Prefix { op, start } => {
                p.leave();
                Expr { kind: ExprKind::Unary { op, operand: Box::new(value) }, span: start..end }
            }
            Waiting::Infix { left, op } => {
                let start = left.span.start;
                let kind = ExprKind::Binary { op, left: Box::new(left), right: Box::new(value) };
                Expr { kind, span: start..end }
            }
        };
    }
    value
}

fn prefixes(p: &mut Parser<'_>, waiting: &mut Vec<Waiting>) -> Result<(), Stop> {
    loop {
        let op = match p.peek().kind {
            TokenKind::Symbol(Symbol::Minus) => UnaryOp::Negate,
            TokenKind::Keyword(Keyword::Not) => UnaryOp::Not,
            _ => return Ok(()),
        };
        p.enter()?;
        waiting.push(Waiting::Prefix { op, start: p.peek().span.start });
        p.advance();
    }
}

/// The operator that comes next, if one does.
fn infix(p: &mut Parser<'_>) -> Result<Option<BinaryOp>, Stop> {
    let op = match p.peek().kind {
        TokenKind::Keyword(Keyword::Or) => BinaryOp::Or,
        TokenKind::Keyword(Keyword::And) => BinaryOp::And,
        TokenKind::Keyword(Keyword::In) => BinaryOp::In,
        TokenKind::Keyword(Keyword::Not) => {
            p.advance();
            p.expect_keyword(Keyword::In, "`in` after `not`")?;
            return Ok(Some(BinaryOp::NotIn));
        }
        TokenKind::Symbol(symbol) => match symbol_op(symbol) {
            Some(op) => op,
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    p.advance();
    Ok(Some(op))
}

fn symbol_op(symbol: Symbol) -> Option<BinaryOp> {
    Some(match symbol {
        Symbol::Equal => BinaryOp::Equal,
        Symbol::NotEqual => BinaryOp::NotEqual,
        Symbol::Less => BinaryOp::Less,
        Symbol::LessEqual => BinaryOp::LessEqual,
        Symbol::Greater => BinaryOp::Greater,
        Symbol::GreaterEqual => BinaryOp::GreaterEqual,
        Symbol::Plus => BinaryOp::Add,
        Symbol::Minus => BinaryOp::Subtract,
        Symbol::Star => BinaryOp::Multiply,
        Symbol::Slash => BinaryOp::Divide,
        Symbol::Percent => BinaryOp::Remainder,
        Symbol::ParenOpen | Symbol::ParenClose | Symbol::BracketOpen | Symbol::BracketClose | Symbol::Comma => {
            return None;
        }
    })
}
