//! Equality, ordering and `in`, lane by lane.
//!
//! Values of different types are never equal and never ordered, so only the lanes that both sides have are compared.
//! Two exceptions: a datetime reads a text beside it as a date, and two undefined values (or two nulls) are equal.
//! Lists and maps are compared by the fallback; the caller asks [`needs_fallback`] first.

use datafusion::functions::string::expr_fn::contains;
use datafusion::logical_expr::expr_fn::{binary_expr, in_list, is_not_true};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, lit};
use footfall_eval::{EvalValue as Value, parse_datetime};

use super::Clock;
use super::functions;
use super::lanes::{Absent, Instant, Lanes, NumberPart, Truth, all_of, not_true, only_where};
use super::number::{Axis, Bounds, Comparison, Zeros, float_one_of};

/// Whether equality of the two may turn on the inside of lists or maps.
pub(super) fn needs_fallback(left: &Lanes, right: &Lanes) -> bool {
    left.nested.is_some() && right.nested.is_some()
}

/// `left == right`.
pub(super) fn equal(left: &Lanes, right: &Lanes, clock: &Clock) -> Truth {
    let mut terms = Vec::new();
    if let (Some(l), Some(r)) = (&left.bool, &right.bool) {
        terms.push(equal_bools(l, r, left, right));
    }
    terms.extend(scalar_terms(left, right, Comparison::Equal, clock));
    terms.extend(match (&left.constant, &right.constant) {
        (_, Some(Value::Null)) => left.null.clone(),
        (Some(Value::Null), _) => right.null.clone(),
        _ => left.null.clone().zip(right.null.clone()).map(|(l, r)| l.and(r)),
    });
    terms.extend(match (&left.constant, &right.constant) {
        (_, Some(Value::Undefined)) => left.is_undefined(),
        (Some(Value::Undefined), _) => right.is_undefined(),
        _ => left.is_undefined().zip(right.is_undefined()).map(|(l, r)| l.and(r)),
    });
    Truth::total(terms)
}

fn equal_bools(l: &Truth, r: &Truth, left: &Lanes, right: &Lanes) -> Expr {
    match (&left.constant, &right.constant) {
        (_, Some(Value::Bool(true))) => l.filter(),
        (Some(Value::Bool(true)), _) => r.filter(),
        (_, Some(Value::Bool(false))) => l.value().eq(lit(false)),
        (Some(Value::Bool(false)), _) => r.value().eq(lit(false)),
        _ => l.value().eq(r.value()),
    }
}

/// `left < right` and its kin.
pub(super) fn ordered(left: &Lanes, right: &Lanes, comparison: Comparison, clock: &Clock) -> Truth {
    Truth::partial(scalar_terms(left, right, comparison, clock))
}

/// The comparisons of numbers, texts and datetimes; at most one is non-null in a row.
fn scalar_terms(left: &Lanes, right: &Lanes, comparison: Comparison, clock: &Clock) -> Vec<Expr> {
    let mut terms = numbers(left, right, comparison);
    if let (Some(l), Some(r)) = (&left.text, &right.text) {
        terms.push(binary_expr(l.clone(), comparison.operator(), r.clone()));
    }
    if let (Some(l), Some(r)) = (&left.datetime, &right.datetime) {
        terms.push(instants(l, left, comparison, r, right));
    }
    if let (Some(l), true) = (&left.datetime, right.text.is_some()) {
        terms.extend(read_as_date(right, clock).map(|r| instants(l, left, comparison, &r.0, &r.1)));
    }
    if let (Some(r), true) = (&right.datetime, left.text.is_some()) {
        terms.extend(read_as_date(left, clock).map(|l| instants(&l.0, &l.1, comparison, r, right)));
    }
    terms
}

fn numbers(left: &Lanes, right: &Lanes, comparison: Comparison) -> Vec<Expr> {
    match (&left.constant, &right.constant) {
        (_, Some(Value::Number(x))) => left.number.iter().map(|part| part.compare(comparison, *x)).collect(),
        (Some(Value::Number(x)), _) => right.number.iter().map(|part| part.compare(comparison.flipped(), *x)).collect(),
        _ => {
            let pair = left.float().zip(right.float());
            pair.map(|(l, r)| binary_expr(l, comparison.operator(), r)).into_iter().collect()
        }
    }
}

fn instants(l: &Instant, left: &Lanes, comparison: Comparison, r: &Instant, right: &Lanes) -> Expr {
    match (&left.constant, &right.constant) {
        (_, Some(Value::Datetime(seconds))) => l.compare(comparison, *seconds),
        (Some(Value::Datetime(seconds)), _) => r.compare(comparison.flipped(), *seconds),
        _ => binary_expr(l.seconds(), comparison.operator(), r.seconds()),
    }
}

/// A text beside a datetime, read as a date; absent if it is a constant and no date.
fn read_as_date(lanes: &Lanes, clock: &Clock) -> Option<(Instant, Lanes)> {
    if let Some(Value::Text(text)) = &lanes.constant {
        let seconds = parse_datetime(text, lanes.written.then_some(clock.timezone))?;
        let constant = Lanes::of_constant(Value::Datetime(seconds));
        return constant.datetime.clone().map(|instant| (instant, constant));
    }
    let seconds = functions::text_datetime(lanes.text.clone()?);
    Some((Instant::Seconds(seconds), Lanes::default()))
}

/// Whether `left in list` may turn on the inside of lists or maps.
pub(super) fn member_needs_fallback(left: &Lanes, list: &[Value]) -> bool {
    left.nested.is_some() && list.iter().any(|value| matches!(value, Value::List(_) | Value::Map(_)))
}

/// `left in [literals]`: true if some element equals it.
pub(super) fn one_of(left: &Lanes, list: &[Value], clock: &Clock) -> Truth {
    let mut terms = Vec::new();
    if let Some(bool) = &left.bool {
        let wanted = |b| list.iter().any(|value| matches!(value, Value::Bool(x) if *x == b));
        terms.extend(wanted(true).then(|| bool.filter()));
        terms.extend(wanted(false).then(|| bool.value().eq(lit(false))));
    }
    terms.extend(number_one_of(left, list));
    let texts: Vec<&str> = list.iter().filter_map(as_text).collect();
    if let (Some(text), false) = (&left.text, texts.is_empty()) {
        terms.push(in_list(text.clone(), texts.iter().map(|s| lit(*s)).collect(), false));
    }
    if let Some(datetime) = &left.datetime {
        // The elements are literals, so their dates are in the project's time zone.
        let dates = texts.iter().filter_map(|text| parse_datetime(text, Some(clock.timezone)));
        terms.extend(dates.map(|seconds| datetime.compare(Comparison::Equal, seconds)));
    }
    if list.iter().any(|value| matches!(value, Value::Null)) {
        terms.extend(left.null.clone());
    }
    if list.iter().any(|value| matches!(value, Value::Undefined)) {
        terms.extend(left.is_undefined());
    }
    Truth::total(terms)
}

fn as_text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn number_one_of(left: &Lanes, list: &[Value]) -> Vec<Expr> {
    let numbers: Vec<f64> =
        list.iter().filter_map(|v| if let Value::Number(x) = v { Some(*x) } else { None }).collect();
    if numbers.is_empty() {
        return Vec::new();
    }
    let bounds: Vec<Bounds> = numbers.iter().map(|x| Bounds::of(*x)).collect();
    let one_of = |part: &NumberPart| match part {
        NumberPart::Integer(e) => Axis::Integer.one_of(e, &bounds),
        NumberPart::UnixTime(e) => Axis::Timestamp.one_of(e, &bounds),
        NumberPart::Float(e) => float_one_of(e, Zeros::Either, &numbers),
        NumberPart::Computed(e) => float_one_of(e, Zeros::Positive, &numbers),
    };
    left.number.iter().map(one_of).collect()
}

/// `needle in haystack` where the haystack is no list: a substring test, or undefined.
pub(super) fn substring(needle: &Lanes, haystack: &Lanes) -> Option<Expr> {
    let (needle, haystack) = (needle.text.clone()?, haystack.text.clone()?);
    Some(contains(haystack, needle))
}

/// `not value`: the negation of a boolean, true for undefined, and undefined for anything else.
pub(super) fn negated(value: &Lanes) -> Truth {
    let flipped = not_equal(value).unwrap_or_else(|| is_not_true(value.filter()));
    let others = value.not_boolean();
    if others.is_empty() {
        return Truth::total(vec![flipped]);
    }
    let none = all_of(others.iter().map(not_true).collect());
    Truth::partial(vec![only_where(none, flipped)])
}

/// The negation of one comparison with a literal, in one pass.
fn not_equal(value: &Lanes) -> Option<Expr> {
    let Truth { terms, absent: Absent::False } = value.bool.as_ref()? else { return None };
    let [Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right })] = terms.as_slice() else { return None };
    let literal = matches!(**right, Expr::Literal(..));
    literal.then(|| binary_expr(left.as_ref().clone(), Operator::IsDistinctFrom, right.as_ref().clone()))
}

/// `left and right`, for any number of operands.
pub(super) fn conjunction(operands: &[Lanes]) -> Truth {
    Truth::total(vec![all_of(operands.iter().map(Lanes::filter).collect())])
}

/// `left or right`, for any number of operands.
pub(super) fn disjunction(operands: &[Lanes]) -> Truth {
    Truth::total(operands.iter().filter_map(|lanes| lanes.bool.as_ref()).flat_map(|t| t.terms.clone()).collect())
}
