//! The language's functions as DataFusion scalar functions: Arrow arrays in, arrays out.
//!
//! Each is null where an argument is null or where the language says undefined. None has state: a time zone or pattern
//! is a literal argument, so that a plan that names them can be read back wherever they are registered.
//! Arguments have exactly the stated types (texts: any string type); the compiler sees to it.

mod columns;
mod dates;
mod kernel;
mod numbers;
mod texts;

use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::logical_expr::{Expr, ScalarUDF, lit};
use footfall_lang::ast::BinaryOp;

pub(super) use columns::Texts;
use kernel::Op;

/// Every function a compiled expression may call by name, for a registry. The fallback is not among them: it holds a
/// tree.
pub fn all() -> Vec<Arc<ScalarUDF>> {
    Op::ALL.iter().map(|op| op.udf()).collect()
}

fn call(op: Op, args: Vec<Expr>) -> Expr {
    op.udf().call(args)
}

/// A Float64 with −0 made +0, and NaN and infinities made null.
pub(super) fn finite(number: Expr) -> Expr {
    call(Op::Finite, vec![number])
}

/// `+`, `-`, `*`, `/` and `%`; null where the result is no number. One function each, not DataFusion's operators: it is
/// one pass instead of two, and planning a deep nest of operators takes time quadratic in the depth.
pub(super) fn arithmetic(op: BinaryOp, left: Expr, right: Expr) -> Option<Expr> {
    let op = match op {
        BinaryOp::Add => Op::Add,
        BinaryOp::Subtract => Op::Subtract,
        BinaryOp::Multiply => Op::Multiply,
        BinaryOp::Divide => Op::Divide,
        BinaryOp::Remainder => Op::Remainder,
        _ => return None,
    };
    Some(call(op, vec![left, right]))
}

/// What a function of numbers does, for who computes several of them in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberFunction {
    /// [`finite`].
    Finite,
    /// [`arithmetic`].
    Arithmetic(BinaryOp),
}

impl NumberFunction {
    /// Absent for every function that is not one of these.
    pub fn of(function: &ScalarUDF) -> Option<Self> {
        Some(match Op::of(function)? {
            Op::Finite => Self::Finite,
            Op::Add => Self::Arithmetic(BinaryOp::Add),
            Op::Subtract => Self::Arithmetic(BinaryOp::Subtract),
            Op::Multiply => Self::Arithmetic(BinaryOp::Multiply),
            Op::Divide => Self::Arithmetic(BinaryOp::Divide),
            Op::Remainder => Self::Arithmetic(BinaryOp::Remainder),
            _ => return None,
        })
    }
}

/// The whole seconds of a Timestamp(Millisecond), rounded down.
pub(super) fn seconds(timestamp: Expr) -> Expr {
    call(Op::Seconds, vec![timestamp])
}

pub(super) fn floor(number: Expr) -> Expr {
    call(Op::Floor, vec![number])
}

pub(super) fn ceil(number: Expr) -> Expr {
    call(Op::Ceil, vec![number])
}

pub(super) fn round(number: Expr) -> Expr {
    call(Op::Round, vec![number])
}

pub(super) fn min(left: Expr, right: Expr) -> Expr {
    call(Op::Min, vec![left, right])
}

pub(super) fn max(left: Expr, right: Expr) -> Expr {
    call(Op::Max, vec![left, right])
}

/// The decimal text of a number.
pub(super) fn number_text(number: Expr) -> Expr {
    call(Op::NumberText, vec![number])
}

/// `number(text)`.
pub(super) fn text_number(text: Expr) -> Expr {
    call(Op::TextNumber, vec![text])
}

/// `datetime(number)`, in Int64 seconds.
pub(super) fn number_datetime(number: Expr) -> Expr {
    call(Op::NumberDatetime, vec![number])
}

/// `datetime(text)` of a text from data, in Int64 seconds.
pub(super) fn text_datetime(text: Expr) -> Expr {
    call(Op::TextDatetime, vec![text])
}

/// `string(datetime)`.
pub(super) fn datetime_text(seconds: Expr, zone: Tz) -> Expr {
    call(Op::DatetimeText, vec![seconds, lit(zone.name())])
}

/// One calendar field, by its function's name.
pub(super) fn date_part(field: &'static str, seconds: Expr, zone: Tz) -> Expr {
    call(Op::DatePart, vec![lit(field), seconds, lit(zone.name())])
}

/// `datedif(a, b, unit)`.
pub(super) fn datedif(from: Expr, to: Expr, unit: Expr, zone: Tz) -> Expr {
    call(Op::Datedif, vec![from, to, unit, lit(zone.name())])
}

pub(super) fn has_prefix(text: Expr, prefix: Expr) -> Expr {
    call(Op::HasPrefix, vec![text, prefix])
}

pub(super) fn has_suffix(text: Expr, suffix: Expr) -> Expr {
    call(Op::HasSuffix, vec![text, suffix])
}

pub(super) fn upper(text: Expr) -> Expr {
    call(Op::Upper, vec![text])
}

pub(super) fn lower(text: Expr) -> Expr {
    call(Op::Lower, vec![text])
}

/// Code points, as a Float64.
pub(super) fn length(text: Expr) -> Expr {
    call(Op::Length, vec![text])
}

pub(super) fn left(text: Expr, count: Expr) -> Expr {
    call(Op::Left, vec![text, count])
}

pub(super) fn right(text: Expr, count: Expr) -> Expr {
    call(Op::Right, vec![text, count])
}

pub(super) fn mid(text: Expr, first: Expr, count: Expr) -> Expr {
    call(Op::Mid, vec![text, first, count])
}

/// `split(text, delimiter, n)`.
pub(super) fn split_part(text: Expr, delimiter: Expr, part: Expr) -> Expr {
    call(Op::SplitPart, vec![text, delimiter, part])
}

/// A text concatenated with another.
pub(super) fn concat(left: Expr, right: Expr) -> Expr {
    call(Op::Concat, vec![left, right])
}

pub(super) fn regex_match(text: Expr, pattern: &str) -> Expr {
    call(Op::RegexMatch, vec![text, lit(pattern)])
}

pub(super) fn regex_extract(text: Expr, pattern: &str, group: Expr) -> Expr {
    call(Op::RegexExtract, vec![text, lit(pattern), group])
}
