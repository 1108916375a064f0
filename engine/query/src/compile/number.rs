//! Comparing numbers with literals on the bare column, so that statistics prune, yet with the semantics of doubles.
//!
//! The idea: rounding to a double never reverses the order of two integers. So "the double of this integer is at least
//! L" is "this integer is at least some integer", and a literal becomes a pair of integer [`Bounds`]. The same pair
//! serves a timestamp column that is read in whole seconds.
//!
//! Arrow orders doubles totally: −0 is less than +0 there, and equal here. Literals are chosen to hide that.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr_fn::{binary_expr, in_list};
use datafusion::logical_expr::{Expr, Operator, lit};

use super::lanes::any_of;

/// A comparison that has a literal on its right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Comparison {
    /// The comparison with its operands exchanged.
    pub(super) fn flipped(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
        }
    }

    pub(super) fn operator(self) -> Operator {
        match self {
            Self::Equal => Operator::Eq,
            Self::Less => Operator::Lt,
            Self::LessEqual => Operator::LtEq,
            Self::Greater => Operator::Gt,
            Self::GreaterEqual => Operator::GtEq,
        }
    }
}

/// Where a number falls among the 64-bit integers, each taken as the double nearest to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The least integer whose double is not below the number; absent if all are below.
    least: Option<i64>,
    /// The greatest integer whose double is not above the number; absent if all are above.
    greatest: Option<i64>,
}

impl Bounds {
    pub(super) fn of(number: f64) -> Self {
        Self { least: least_where(|i| i as f64 >= number), greatest: greatest_where(|i| i as f64 <= number) }
    }

    pub(super) fn exactly(integer: i64) -> Self {
        Self { least: Some(integer), greatest: Some(integer) }
    }

    /// The one integer that equals the number, if it is one and no other integer rounds to it.
    fn single(self) -> Option<i64> {
        self.least.filter(|least| self.greatest == Some(*least))
    }
}

/// The least integer for which a predicate holds that, once true, stays true.
fn least_where(holds: impl Fn(i64) -> bool) -> Option<i64> {
    let (mut low, mut high) = (i128::from(i64::MIN), i128::from(i64::MAX) + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        match i64::try_from(middle) {
            Ok(i) if !holds(i) => low = middle + 1,
            _ => high = middle,
        }
    }
    i64::try_from(low).ok()
}

/// The greatest integer for which a predicate holds that, once false, stays false.
fn greatest_where(holds: impl Fn(i64) -> bool) -> Option<i64> {
    match least_where(|i| !holds(i)) {
        None => Some(i64::MAX),
        Some(first_false) => first_false.checked_sub(1),
    }
}

/// A column of integers, or one that is read as integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    /// Int64.
    Integer,
    /// Timestamp(Millisecond, UTC), read as whole seconds, rounded down.
    Timestamp,
}

impl Axis {
    /// `column <comparison> literal`: null where the column is null, and only there.
    pub(super) fn compare(self, column: &Expr, comparison: Comparison, bounds: Bounds) -> Expr {
        match comparison {
            Comparison::GreaterEqual => self.from(column, bounds.least),
            Comparison::Less => self.below(column, bounds.least),
            Comparison::Greater => self.from_after(column, bounds.greatest),
            Comparison::LessEqual => self.up_to(column, bounds.greatest),
            Comparison::Equal => self.equal(column, bounds),
        }
    }

    fn equal(self, column: &Expr, bounds: Bounds) -> Expr {
        match (self, bounds.single(), bounds.least, bounds.greatest) {
            (Self::Integer, Some(integer), ..) => column.clone().eq(lit(integer)),
            (_, _, Some(least), Some(greatest)) if least <= greatest => {
                self.from(column, Some(least)).and(self.up_to(column, Some(greatest)))
            }
            _ => self.never(column),
        }
    }

    fn from(self, column: &Expr, least: Option<i64>) -> Expr {
        least.map_or_else(|| self.never(column), |least| column.clone().gt_eq(self.literal(least)))
    }

    fn below(self, column: &Expr, least: Option<i64>) -> Expr {
        least.map_or_else(|| self.always(column), |least| column.clone().lt(self.literal(least)))
    }

    fn from_after(self, column: &Expr, greatest: Option<i64>) -> Expr {
        match (self, greatest) {
            (_, None) => self.always(column),
            (Self::Integer, Some(greatest)) => column.clone().gt(lit(greatest)),
            // The second itself lasts a thousand milliseconds.
            (Self::Timestamp, Some(greatest)) => column.clone().gt_eq(self.literal(greatest.saturating_add(1))),
        }
    }

    fn up_to(self, column: &Expr, greatest: Option<i64>) -> Expr {
        match (self, greatest) {
            (_, None) => self.never(column),
            (Self::Integer, Some(greatest)) => column.clone().lt_eq(lit(greatest)),
            (Self::Timestamp, Some(greatest)) => column.clone().lt(self.literal(greatest.saturating_add(1))),
        }
    }

    /// True where the column has a value, null elsewhere: "has a value" alone would make undefined false.
    fn always(self, column: &Expr) -> Expr {
        column.clone().gt_eq(self.literal(i64::MIN))
    }

    fn never(self, column: &Expr) -> Expr {
        column.clone().lt(self.literal(i64::MIN))
    }

    fn literal(self, integer: i64) -> Expr {
        match self {
            Self::Integer => lit(integer),
            Self::Timestamp => {
                let milliseconds = integer.saturating_mul(1000);
                Expr::Literal(ScalarValue::TimestampMillisecond(Some(milliseconds), Some("UTC".into())), None)
            }
        }
    }

    /// `column` equals one of several numbers: true or not true.
    pub(super) fn one_of(self, column: &Expr, numbers: &[Bounds]) -> Expr {
        if self == Self::Timestamp {
            return any_of(numbers.iter().map(|bounds| self.equal(column, *bounds)).collect());
        }
        let single: Vec<Expr> = numbers.iter().filter_map(|bounds| bounds.single()).map(lit).collect();
        let ranges = numbers.iter().filter(|bounds| bounds.single().is_none() && bounds.least <= bounds.greatest);
        let mut terms: Vec<Expr> = ranges.map(|bounds| self.equal(column, *bounds)).collect();
        if !single.is_empty() {
            terms.push(in_list(column.clone(), single, false));
        }
        any_of(terms)
    }
}

/// Whether a Float64 expression may give −0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zeros {
    /// As it came from JSON.
    Either,
    /// Computed here, −0 already made +0.
    Positive,
}

/// `number <comparison> literal` for a Float64 expression: null where it is null, and only there.
pub(super) fn compare_float(number: &Expr, zeros: Zeros, comparison: Comparison, literal: f64) -> Expr {
    if literal != 0.0 {
        return binary_expr(number.clone(), comparison.operator(), lit(literal));
    }
    match (zeros, comparison) {
        // Everything from −0 up is at least zero, everything below −0 is less.
        (Zeros::Either, Comparison::GreaterEqual | Comparison::Less) => {
            binary_expr(number.clone(), comparison.operator(), lit(-0.0_f64))
        }
        (Zeros::Either, Comparison::Equal) => number.clone().eq(lit(0.0_f64)).or(number.clone().eq(lit(-0.0_f64))),
        _ => binary_expr(number.clone(), comparison.operator(), lit(0.0_f64)),
    }
}

/// A Float64 expression equals one of several numbers: true or not true.
pub(super) fn float_one_of(number: &Expr, zeros: Zeros, literals: &[f64]) -> Expr {
    let mut list: Vec<Expr> = literals.iter().filter(|x| **x != 0.0).map(|x| lit(*x)).collect();
    if list.len() < literals.len() {
        list.push(lit(0.0_f64));
        if zeros == Zeros::Either {
            list.push(lit(-0.0_f64));
        }
    }
    in_list(number.clone(), list, false)
}
