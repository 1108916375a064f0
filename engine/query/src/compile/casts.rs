//! `string`, `number`, `boolean`, `datetime` and their defaults.

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::expr_fn::{cast, is_not_true};
use datafusion::logical_expr::{Expr, lit};
use footfall_eval::{EvalValue as Value, parse_datetime};

use super::Clock;
use super::functions;
use super::lanes::{Errors, Instant, Lanes, NumberPart, Truth, all_of, choose, first_of, not_true, only_where};
use super::number::Comparison;

pub(super) fn string(value: &Lanes, clock: &Clock) -> Lanes {
    let text = first_of(texts(value, clock));
    Lanes { null: value.null.clone(), ..Lanes::of_text(text) }
}

/// The text of each scalar lane; at most one is non-null in a row.
pub(super) fn texts(value: &Lanes, clock: &Clock) -> Vec<Expr> {
    let bool = value.bool.as_ref().map(|truth| {
        let no_text = choose(truth.value().eq(lit(false)), lit("false"), no_text());
        choose(truth.filter(), lit("true"), no_text)
    });
    let number = value.float().map(functions::number_text);
    let datetime = value.datetime.as_ref().map(|at| functions::datetime_text(at.seconds(), clock.timezone));
    value.text.clone().into_iter().chain(number).chain(bool).chain(datetime).collect()
}

fn no_text() -> Expr {
    Expr::Literal(datafusion::common::ScalarValue::Utf8(None), None)
}

pub(super) fn number(value: &Lanes) -> Lanes {
    let bool = value.bool.as_ref().map(|truth| cast(cast(truth.value(), DataType::Int64), DataType::Float64));
    let datetime = value.datetime.as_ref().map(|at| cast(at.seconds(), DataType::Float64));
    let text = value.text.clone().map(functions::text_number);
    let cast: Vec<Expr> = bool.into_iter().chain(datetime).chain(text).collect();
    let mut lanes = Lanes { number: value.number.clone(), ..Lanes::default() };
    lanes.number.extend(cast.into_iter().map(NumberPart::Computed));
    lanes
}

/// Always a boolean.
pub(super) fn boolean(value: &Lanes) -> Lanes {
    let not_zero = |part: &NumberPart| {
        let zero = part.compare(Comparison::Equal, 0.0);
        part.expr().clone().is_not_null().and(is_not_true(zero))
    };
    let text = value.text.iter().map(|text| {
        let not_false = text.clone().not_eq(lit("")).and(text.clone().not_eq(lit("false")));
        not_false
    });
    let datetime = value.datetime.iter().map(|at| at.expr().clone().is_not_null());
    let bool = value.bool.iter().map(Truth::filter);
    let terms = bool.chain(value.number.iter().map(not_zero)).chain(text).chain(datetime);
    Lanes::of_bool(Truth::total(terms.chain(value.nested.clone()).collect()))
}

pub(super) fn datetime(value: &Lanes, clock: &Clock) -> Lanes {
    // A column stays a column, which prunes; only one that may be something else as well has to be computed.
    if value.text.is_none() && value.number.is_empty() {
        return Lanes { datetime: value.datetime.clone(), ..Lanes::default() };
    }
    let own = value.datetime.as_ref().map(Instant::seconds);
    let number = value.float().map(functions::number_datetime);
    Lanes::of_seconds(first_of(own.into_iter().chain(date_of_text(value, clock)).chain(number).collect()))
}

/// A text read as a date.
fn date_of_text(value: &Lanes, clock: &Clock) -> Option<Expr> {
    match &value.constant {
        Some(Value::Text(text)) => parse_datetime(text, value.written.then_some(clock.timezone)).map(lit),
        _ => value.text.clone().map(functions::text_datetime),
    }
}

/// A datetime, or a text that is read as one; in seconds.
pub(super) fn date(value: &Lanes, clock: &Clock) -> Option<Expr> {
    let own = value.datetime.as_ref().map(Instant::seconds);
    first_of(own.into_iter().chain(date_of_text(value, clock)).collect())
}

/// The cast, or the default where it is undefined or null.
pub(super) fn or_default(cast: Lanes, default: Lanes) -> Lanes {
    let missing = all_of(cast.defined().iter().map(not_true).collect());
    let number = match (cast.number.is_empty(), default.number.is_empty()) {
        (_, true) => cast.number.clone(),
        (true, false) => Lanes::of_number(default.float().map(|x| only_where(missing.clone(), x))).number,
        // The first non-null number is the cast's own where there is one. Where it is of another type, there is none
        // in that row, so the default must not slip in; a numeric cast has no other type.
        (false, false) => Lanes::of_number(first_of(cast.float().into_iter().chain(default.float()).collect())).number,
    };
    let merge = |own: Option<Expr>, other: Option<Expr>| match (own, other) {
        (own, None) => own,
        (None, Some(other)) => Some(only_where(missing.clone(), other)),
        (Some(own), Some(other)) => first_of(vec![own, other]),
    };
    let truth = |lanes: &Lanes| lanes.bool.as_ref().map(Truth::value);
    let seconds = |lanes: &Lanes| lanes.datetime.as_ref().map(Instant::seconds);
    let guard = |flag: &Expr| all_of(vec![missing.clone(), flag.clone()]);
    Lanes {
        bool: merge(truth(&cast), truth(&default)).map(|term| Truth::partial(vec![term])),
        number,
        text: merge(cast.text.clone(), default.text.clone()),
        datetime: merge(seconds(&cast), seconds(&default)).map(Instant::Seconds),
        // A null is replaced, so only the default's can remain.
        null: default.null.as_ref().map(guard),
        nested: default.nested.as_ref().map(guard),
        total: default.total,
        errors: Errors::default(),
        ..Lanes::default()
    }
}
