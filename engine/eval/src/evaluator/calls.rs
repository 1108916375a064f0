//! Function calls (§6, §8): the two lazy ones, then all others on evaluated arguments. A wrong type gives undefined.

use footfall_lang::ast::{Expr, ExprKind, Function, Literal};

use super::Evaluator;
use crate::{
    EvalValue, TypeError, cast,
    datetime::{CalendarField, DateUnit, calendar_field, date_difference, instant, today},
    operators::literal_zone,
    pattern, text,
};

impl<'e> Evaluator<'e> {
    /// `if` and `ifs`: conditions in order up to the first true one, whose value alone is evaluated. The last argument
    /// of `if` is the value when none holds.
    pub(super) fn branches(&mut self, function: Function, args: &'e [Expr]) -> Result<EvalValue, TypeError> {
        let mut pairs = args.chunks_exact(2);
        for pair in pairs.by_ref() {
            let [condition, value] = pair else { continue };
            let found = self.eval(condition)?;
            if condition_truth(function, condition, &found)? {
                return self.eval(value);
            }
        }
        match pairs.remainder() {
            [otherwise] => self.eval(otherwise),
            _ => Ok(EvalValue::Undefined),
        }
    }

    /// Any other function, on evaluated arguments; `None` if the result is more than the budget allows.
    pub(super) fn call(&self, function: Function, exprs: &[Expr], values: &[EvalValue]) -> Option<EvalValue> {
        let args = Args { exprs, values };
        Some(match function {
            Function::String | Function::Number | Function::Boolean | Function::Datetime | Function::List => {
                self.cast(function, args)
            }
            Function::RegexMatch | Function::RegexExtract | Function::RegexReplace => {
                return self.regex(function, args);
            }
            Function::Today => {
                today(self.clock.now, self.clock.timezone).map_or(EvalValue::Undefined, EvalValue::Datetime)
            }
            Function::Datedif => EvalValue::or_undefined(self.datedif(args)),
            _ => match CalendarField::from_function(function) {
                Some(field) => EvalValue::or_undefined(self.calendar(field, args)),
                None => pure(function, args).unwrap_or(EvalValue::Undefined),
            },
        })
    }

    /// A second argument stands in for a result that is undefined or null.
    fn cast(&self, function: Function, args: Args<'_>) -> EvalValue {
        let timezone = self.clock.timezone;
        let value = args.value(0);
        let cast = match function {
            Function::String => cast::to_text(value, timezone),
            Function::Number => cast::to_number(value),
            Function::Boolean => cast::to_boolean(value).into(),
            Function::Datetime => {
                cast::to_datetime(value, args.exprs.first().and_then(|expr| literal_zone(expr, timezone)))
            }
            _ => cast::to_list(value),
        };
        match args.values.get(1) {
            Some(default) if !cast.is_defined() => default.clone(),
            _ => cast,
        }
    }

    /// `None` if the result is more than the budget allows.
    fn regex(&self, function: Function, args: Args<'_>) -> Option<EvalValue> {
        let (Some(text), Some(pattern)) = (args.text(0), args.literal_text(1)) else {
            return Some(EvalValue::Undefined);
        };
        let result = pattern::with_compiled(pattern, |regex| match function {
            Function::RegexMatch => Some(regex.is_match(text).into()),
            Function::RegexExtract if args.values.len() < 3 => {
                Some(EvalValue::or_undefined(pattern::extract(regex, text, 0.0)))
            }
            Function::RegexExtract => {
                let group = args.number(2).and_then(|group| pattern::extract(regex, text, group));
                Some(EvalValue::or_undefined(group))
            }
            _ => match args.text(2) {
                Some(with) => pattern::replace(regex, text, with, self.budget.bytes_max()).map(EvalValue::from),
                None => Some(EvalValue::Undefined),
            },
        });
        result.unwrap_or(Some(EvalValue::Undefined))
    }

    fn datedif(&self, args: Args<'_>) -> Option<f64> {
        let (from, to) = (self.instant(args, 0)?, self.instant(args, 1)?);
        let unit = DateUnit::from_name(args.text(2)?)?;
        Some(date_difference(from, to, unit, self.clock.timezone)? as f64)
    }

    fn calendar(&self, field: CalendarField, args: Args<'_>) -> Option<f64> {
        calendar_field(field, self.instant(args, 0)?, self.clock.timezone)
    }

    fn instant(&self, args: Args<'_>, position: usize) -> Option<i64> {
        let zone = literal_zone(args.exprs.get(position)?, self.clock.timezone);
        instant(args.value(position), zone)
    }
}

fn condition_truth(function: Function, condition: &Expr, value: &EvalValue) -> Result<bool, TypeError> {
    let place = || format!("a condition of `{}`", function.name());
    value.truth().ok_or_else(|| TypeError::condition(&place(), value, &condition.span))
}

/// The functions that need nothing but their arguments; `None` is undefined.
fn pure(function: Function, args: Args<'_>) -> Option<EvalValue> {
    Some(match function {
        Function::Defined => args.value(0).is_defined().into(),
        Function::Floor => args.number(0)?.floor().into(),
        Function::Ceil => args.number(0)?.ceil().into(),
        // Halves go away from zero, as the language wants.
        Function::Round => args.number(0)?.round().into(),
        Function::Min => args.number(0)?.min(args.number(1)?).into(),
        Function::Max => args.number(0)?.max(args.number(1)?).into(),
        Function::HasPrefix => text::has_prefix(args.text(0)?, args.text(1)?).into(),
        Function::HasSuffix => text::has_suffix(args.text(0)?, args.text(1)?).into(),
        Function::Upper => args.text(0)?.to_uppercase().into(),
        Function::Lower => args.text(0)?.to_lowercase().into(),
        Function::Len => match args.value(0) {
            EvalValue::Text(text) => (text::length(text) as f64).into(),
            EvalValue::List(items) => (items.len() as f64).into(),
            _ => return None,
        },
        Function::Left => text::left(args.text(0)?, args.number(1)?)?.into(),
        Function::Right => text::right(args.text(0)?, args.number(1)?)?.into(),
        Function::Mid => text::mid(args.text(0)?, args.number(1)?, args.number(2)?)?.into(),
        Function::Split if args.values.len() < 3 => text::split_list(args.text(0)?, args.text(1)?),
        Function::Split => text::split_part(args.text(0)?, args.text(1)?, args.number(2)?)?.into(),
        Function::Sum => sum(args.value(0))?.into(),
        _ => return None,
    })
}

/// The numbers of a list added up, other elements ignored.
fn sum(list: &EvalValue) -> Option<f64> {
    let EvalValue::List(items) = list else { return None };
    let numbers = items.iter().filter_map(|item| match item {
        EvalValue::Number(number) => Some(*number),
        _ => None,
    });
    // Not `Iterator::sum`, whose empty sum is -0.
    Some(numbers.fold(0.0, |sum, number| sum + number))
}

/// Arguments with their values. Reading past the end gives undefined, which the parser's arity check rules out.
#[derive(Clone, Copy)]
struct Args<'a> {
    exprs: &'a [Expr],
    values: &'a [EvalValue],
}

impl<'a> Args<'a> {
    fn value(self, position: usize) -> &'a EvalValue {
        self.values.get(position).unwrap_or(&EvalValue::Undefined)
    }

    fn text(self, position: usize) -> Option<&'a str> {
        match self.value(position) {
            EvalValue::Text(text) => Some(text),
            _ => None,
        }
    }

    fn number(self, position: usize) -> Option<f64> {
        match self.value(position) {
            EvalValue::Number(number) => Some(*number),
            _ => None,
        }
    }

    fn literal_text(self, position: usize) -> Option<&'a str> {
        match &self.exprs.get(position)?.kind {
            ExprKind::Literal(Literal::Text(text)) => Some(text),
            _ => None,
        }
    }
}
