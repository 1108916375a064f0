//! The operators (§5) as pure functions. What is undefined in the language is `None` or [`EvalValue::Undefined`] here;
//! only the logical operators can be type errors, and those are the evaluator's.

use std::{borrow::Cow, cmp::Ordering};

use chrono_tz::Tz;
use footfall_lang::ast::{BinaryOp, Expr, ExprKind, Literal};

use crate::{EvalValue, datetime::parse_datetime};

/// Whether letter case counts when texts are compared for equality (§5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Selectors.
    Keep,
    /// Formulas: both sides lower-cased.
    Fold,
}

/// A value to compare, and how a date string in it is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'v> {
    pub value: &'v EvalValue,
    /// As in [`parse_datetime`]: the project's zone for a literal, `None` for anything else.
    pub literal_zone: Option<Tz>,
}

impl<'v> Operand<'v> {
    /// A value from a record or a computation.
    pub fn data(value: &'v EvalValue) -> Self {
        Self { value, literal_zone: None }
    }

    /// The same reading of date strings for another value: an element of this one.
    fn with<'w>(self, value: &'w EvalValue) -> Operand<'w> {
        Operand { value, literal_zone: self.literal_zone }
    }
}

/// The zone in which a date string given by `expr` is read: the project's if `expr` is itself a literal.
pub fn literal_zone(expr: &Expr, project: Tz) -> Option<Tz> {
    match &expr.kind {
        ExprKind::Literal(Literal::Text(_) | Literal::List(_)) => Some(project),
        _ => None,
    }
}

/// `+ - * / %`.
pub fn arithmetic(op: BinaryOp, left: &EvalValue, right: &EvalValue) -> EvalValue {
    match (left, right) {
        (EvalValue::Number(left), EvalValue::Number(right)) => number_arithmetic(op, *left, *right).into(),
        (EvalValue::Text(left), EvalValue::Text(right)) if op == BinaryOp::Add => [&**left, &**right].concat().into(),
        _ => EvalValue::Undefined,
    }
}

/// Arithmetic on doubles; infinite or NaN where the language has undefined (division by zero included).
pub fn number_arithmetic(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Subtract => left - right,
        BinaryOp::Multiply => left * right,
        BinaryOp::Divide => left / right,
        BinaryOp::Remainder => left % right,
        _ => f64::NAN,
    }
}

/// Prefix `-`.
pub fn negate(value: &EvalValue) -> EvalValue {
    match value {
        EvalValue::Number(number) => EvalValue::Number(-number),
        _ => EvalValue::Undefined,
    }
}

/// `not`, and what `not in` makes of `in`: undefined becomes true.
pub fn not(value: &EvalValue) -> EvalValue {
    match value {
        EvalValue::Bool(value) => EvalValue::Bool(!value),
        EvalValue::Undefined => EvalValue::Bool(true),
        _ => EvalValue::Undefined,
    }
}

/// `==`: always an answer. Recursion is as deep as the shallower value nests.
pub fn equal(left: Operand<'_>, right: Operand<'_>, case: Case) -> bool {
    match (left.value, right.value) {
        (EvalValue::Undefined, EvalValue::Undefined) | (EvalValue::Null, EvalValue::Null) => true,
        (EvalValue::Bool(a), EvalValue::Bool(b)) => a == b,
        (EvalValue::Number(a), EvalValue::Number(b)) => a == b,
        (EvalValue::Text(a), EvalValue::Text(b)) => fold(a, case) == fold(b, case),
        (EvalValue::Datetime(a), EvalValue::Datetime(b)) => a == b,
        (EvalValue::Datetime(a), EvalValue::Text(b)) => parse_datetime(b, right.literal_zone) == Some(*a),
        (EvalValue::Text(a), EvalValue::Datetime(b)) => parse_datetime(a, left.literal_zone) == Some(*b),
        (EvalValue::List(a), EvalValue::List(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| equal(left.with(a), right.with(b), case))
        }
        (EvalValue::Map(a), EvalValue::Map(b)) => {
            a.iter().len() == b.iter().len()
                && a.iter().zip(b.iter()).all(|((k, a), (l, b))| k == l && equal(left.with(a), right.with(b), case))
        }
        _ => false,
    }
}

/// The order of two values; `None` where `<` and its kin are undefined.
pub fn order(left: Operand<'_>, right: Operand<'_>) -> Option<Ordering> {
    match (left.value, right.value) {
        (EvalValue::Number(a), EvalValue::Number(b)) => a.partial_cmp(b),
        // UTF-8 sorts like its code points.
        (EvalValue::Text(a), EvalValue::Text(b)) => Some(a.cmp(b)),
        (EvalValue::Datetime(a), EvalValue::Datetime(b)) => Some(a.cmp(b)),
        (EvalValue::Datetime(a), EvalValue::Text(b)) => Some(a.cmp(&parse_datetime(b, right.literal_zone)?)),
        (EvalValue::Text(a), EvalValue::Datetime(b)) => Some(parse_datetime(a, left.literal_zone)?.cmp(b)),
        _ => None,
    }
}

/// `< <= > >=`; `None` is undefined, as it is for any other operator.
pub fn compare(op: BinaryOp, left: Operand<'_>, right: Operand<'_>) -> Option<bool> {
    let order = order(left, right)?;
    match op {
        BinaryOp::Less => Some(order.is_lt()),
        BinaryOp::LessEqual => Some(order.is_le()),
        BinaryOp::Greater => Some(order.is_gt()),
        BinaryOp::GreaterEqual => Some(order.is_ge()),
        _ => None,
    }
}

/// `in`: an element of a list, or a part of a text; `None` is undefined.
pub fn is_in(left: Operand<'_>, right: Operand<'_>, case: Case) -> Option<bool> {
    match (left.value, right.value) {
        (_, EvalValue::List(items)) => Some(items.iter().any(|item| equal(left, right.with(item), case))),
        (EvalValue::Text(part), EvalValue::Text(whole)) => Some(fold(whole, case).contains(&*fold(part, case))),
        _ => None,
    }
}

fn fold(text: &str, case: Case) -> Cow<'_, str> {
    match case {
        Case::Keep => Cow::Borrowed(text),
        Case::Fold => Cow::Owned(text.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW_YORK: Option<Tz> = Some(Tz::America__New_York);

    #[test]
    fn a_date_string_meets_a_datetime() {
        let time = EvalValue::Datetime(1_704_085_200); // 2024-01-01T05:00:00Z
        let check = |text: &str, zone: Option<Tz>, expect: Option<Ordering>| {
            let value = EvalValue::from(text);
            let text_side = Operand { value: &value, literal_zone: zone };
            let time_side = Operand::data(&time);
            assert_eq!(order(time_side, text_side), expect, "{text} {zone:?}");
            assert_eq!(order(text_side, time_side), expect.map(Ordering::reverse), "{text} {zone:?}");
            assert_eq!(equal(time_side, text_side, Case::Keep), expect == Some(Ordering::Equal), "{text} {zone:?}");
            assert_eq!(equal(text_side, time_side, Case::Keep), expect == Some(Ordering::Equal), "{text} {zone:?}");
            let list = EvalValue::from(vec![value.clone()]);
            let list_side = Operand { value: &list, literal_zone: zone };
            assert_eq!(is_in(time_side, list_side, Case::Keep), Some(expect == Some(Ordering::Equal)));
        };
        check("2024-01-01", NEW_YORK, Some(Ordering::Equal));
        check("2024-01-01", None, Some(Ordering::Greater));
        check("2024-01-01T05:00:00", None, Some(Ordering::Equal));
        check("2024-01-02", None, Some(Ordering::Less));
        check("junk", None, None);
    }

    #[test]
    fn folding_is_for_formulas() {
        let (low, up) = (EvalValue::from("straße"), EvalValue::from("STRASSE ÉCOLE"));
        let (small, capital) = (EvalValue::from("école"), EvalValue::from("ÉCOLE"));
        let check = |left: &EvalValue, right: &EvalValue, equals: bool, within: bool| {
            let (left, right) = (Operand::data(left), Operand::data(right));
            assert!(!equal(left, right, Case::Keep));
            assert_eq!((equal(left, right, Case::Fold), is_in(left, right, Case::Fold)), (equals, Some(within)));
        };
        check(&small, &capital, true, true);
        check(&small, &up, false, true);
        check(&low, &up, false, false);
    }

    #[test]
    fn arithmetic_never_gives_an_infinity() {
        let check = |op, left: f64, right: f64, expect: Option<f64>| {
            let found = arithmetic(op, &left.into(), &right.into());
            assert_eq!(found, EvalValue::or_undefined(expect), "{left} {op:?} {right}");
        };
        check(BinaryOp::Divide, 1.0, 0.0, None);
        check(BinaryOp::Remainder, 1.0, 0.0, None);
        check(BinaryOp::Multiply, 1e308, 10.0, None);
        check(BinaryOp::Subtract, -1e308, 1e308, None);
        check(BinaryOp::Remainder, -7.0, 3.0, Some(-1.0));
    }
}
