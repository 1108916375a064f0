//! Operators (§5).

use std::cmp::Ordering;

use chrono_tz::Tz;
use footfall_lang::ast::BinaryOp;

use super::{Datum, TypeError, condition, dates};

/// A value, and the zone of date strings in it.
type Side<'v> = (&'v Datum, Tz);

pub fn binary(op: BinaryOp, left: Side<'_>, right: Side<'_>) -> Result<Datum, TypeError> {
    let ordered = |holds: fn(Ordering) -> bool| Datum::from(order(left, right).map(holds));
    let arithmetic = |of: fn(f64, f64) -> f64| match (left.0, right.0) {
        (Datum::Number(a), Datum::Number(b)) => Datum::number(of(*a, *b)),
        _ => Datum::Undefined,
    };
    Ok(match op {
        // Both conditions are looked at, in either order.
        BinaryOp::Or => Datum::Bool(condition(left.0)?.max(condition(right.0)?)),
        BinaryOp::And => Datum::Bool(condition(left.0)?.min(condition(right.0)?)),
        BinaryOp::Equal => Datum::Bool(equal(left, right)),
        BinaryOp::NotEqual => Datum::Bool(!equal(left, right)),
        BinaryOp::Less => ordered(|order| order == Ordering::Less),
        BinaryOp::LessEqual => ordered(|order| order != Ordering::Greater),
        BinaryOp::Greater => ordered(|order| order == Ordering::Greater),
        BinaryOp::GreaterEqual => ordered(|order| order != Ordering::Less),
        BinaryOp::In => within(left, right),
        BinaryOp::NotIn => not(&within(left, right)),
        BinaryOp::Add => match (left.0, right.0) {
            (Datum::Text(a), Datum::Text(b)) => Datum::Text(format!("{a}{b}")),
            _ => arithmetic(|a, b| a + b),
        },
        BinaryOp::Subtract => arithmetic(|a, b| a - b),
        BinaryOp::Multiply => arithmetic(|a, b| a * b),
        BinaryOp::Divide => arithmetic(|a, b| if b == 0.0 { f64::NAN } else { a / b }),
        BinaryOp::Remainder => arithmetic(|a, b| if b == 0.0 { f64::NAN } else { a % b }),
    })
}

pub fn not(value: &Datum) -> Datum {
    match value {
        Datum::Bool(value) => Datum::Bool(!value),
        Datum::Undefined => Datum::Bool(true),
        _ => Datum::Undefined,
    }
}

pub fn negate(value: &Datum) -> Datum {
    if let Datum::Number(x) = value { Datum::Number(0.0 - x) } else { Datum::Undefined }
}

/// §5.2.
fn equal((left, left_zone): Side<'_>, (right, right_zone): Side<'_>) -> bool {
    match (left, right) {
        (Datum::Datetime(at), Datum::Text(text)) => dates::parse(text, right_zone) == Some(*at),
        (Datum::Text(text), Datum::Datetime(at)) => dates::parse(text, left_zone) == Some(*at),
        (Datum::List(a), Datum::List(b)) => {
            a.len() == b.len() && (0..a.len()).all(|i| equal((&a[i], left_zone), (&b[i], right_zone)))
        }
        (Datum::Map(a), Datum::Map(b)) => {
            let same = |key| b.get(key).is_some_and(|other| equal((&a[key], left_zone), (other, right_zone)));
            a.len() == b.len() && a.keys().all(same)
        }
        (Datum::Number(a), Datum::Number(b)) => a == b,
        (Datum::Undefined, Datum::Undefined) | (Datum::Null, Datum::Null) => true,
        (Datum::Bool(a), Datum::Bool(b)) => a == b,
        (Datum::Text(a), Datum::Text(b)) => a.chars().eq(b.chars()),
        (Datum::Datetime(a), Datum::Datetime(b)) => a == b,
        _ => false,
    }
}

/// §5.3.
fn order((left, left_zone): Side<'_>, (right, right_zone): Side<'_>) -> Option<Ordering> {
    match (left, right) {
        (Datum::Number(a), Datum::Number(b)) => a.partial_cmp(b),
        (Datum::Text(a), Datum::Text(b)) => Some(a.chars().cmp(b.chars())),
        (Datum::Datetime(a), Datum::Datetime(b)) => Some(a.cmp(b)),
        (Datum::Datetime(a), Datum::Text(b)) => Some(a.cmp(&dates::parse(b, right_zone)?)),
        (Datum::Text(a), Datum::Datetime(b)) => Some(dates::parse(a, left_zone)?.cmp(b)),
        _ => None,
    }
}

/// §5.4.
fn within(left: Side<'_>, (right, zone): Side<'_>) -> Datum {
    match (left.0, right) {
        (_, Datum::List(items)) => Datum::Bool(items.iter().any(|item| equal(left, (item, zone)))),
        (Datum::Text(part), Datum::Text(whole)) => {
            Datum::Bool(part.is_empty() || whole.split(part.as_str()).count() > 1)
        }
        _ => Datum::Undefined,
    }
}
