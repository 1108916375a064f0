//! Functions (§8).

use std::cell::RefCell;
use std::collections::HashMap;

use footfall_lang::ast::{Expr, ExprKind, Function, Literal};
use regex::{Regex, RegexBuilder};

use super::{Datum, Fact, Outcome, Reference, TEXT_MAX, TypeError, cast, dates};

impl<'r> Reference<'r> {
    pub fn call(&mut self, function: Function, args: &'r [Expr]) -> Result<Datum, TypeError> {
        let values = args.iter().map(|arg| self.value(arg)).collect::<Result<Vec<Datum>, TypeError>>()?;
        let kind = values.first().unwrap_or(&Datum::Undefined).kind();
        let result = match function {
            Function::String | Function::Number | Function::Boolean | Function::Datetime | Function::List => {
                let cast = self.cast(function, args, &values);
                let missing = matches!(cast, Datum::Undefined | Datum::Null);
                let defaulted = values.get(1).map(|_| missing);
                let result = if missing { values.get(1).unwrap_or(&cast).clone() } else { cast };
                self.reach.note(Fact::Cast(function.name(), kind, defaulted, Outcome::of(&result)));
                result
            }
            _ => self.apply(function, args, &values).unwrap_or(Datum::Undefined),
        };
        self.reach.note(Fact::Call(function.name(), args.len(), kind, Outcome::of(&result)));
        match result {
            Datum::Text(text) if text.len() > TEXT_MAX => Err(TypeError),
            result => Ok(result),
        }
    }

    fn cast(&self, function: Function, args: &[Expr], values: &[Datum]) -> Datum {
        match function {
            Function::String => cast::string(&values[0], self.clock.timezone),
            Function::Number => cast::number(&values[0]),
            Function::Boolean => cast::boolean(&values[0]),
            Function::Datetime => cast::datetime(&values[0], self.zone_of(&args[0])),
            _ => cast::list(&values[0]),
        }
    }

    /// Absent is undefined.
    fn apply(&mut self, function: Function, args: &[Expr], values: &[Datum]) -> Option<Datum> {
        let zone = self.clock.timezone;
        let number = |i: usize| if let Datum::Number(x) = values[i] { Some(x) } else { None };
        let text = |i: usize| if let Datum::Text(text) = &values[i] { Some(text.as_str()) } else { None };
        let date = |i: usize| match &values[i] {
            Datum::Datetime(at) => Some(*at),
            Datum::Text(text) => dates::parse(text, self.zone_of(&args[i])),
            _ => None,
        };
        Some(match function {
            Function::Defined => (!matches!(values[0], Datum::Undefined | Datum::Null)).into(),
            Function::Floor => number(0)?.floor().into(),
            Function::Ceil => number(0)?.ceil().into(),
            Function::Round => round(number(0)?).into(),
            Function::Min => (if number(0)? < number(1)? { number(0)? } else { number(1)? }).into(),
            Function::Max => (if number(0)? > number(1)? { number(0)? } else { number(1)? }).into(),
            Function::HasPrefix => text(0)?.to_lowercase().starts_with(&text(1)?.to_lowercase()).into(),
            Function::HasSuffix => text(0)?.to_lowercase().ends_with(&text(1)?.to_lowercase()).into(),
            Function::Upper => text(0)?.to_uppercase().into(),
            Function::Lower => text(0)?.to_lowercase().into(),
            Function::Len => match &values[0] {
                Datum::Text(text) => (points(text).len() as f64).into(),
                Datum::List(items) => (items.len() as f64).into(),
                _ => return None,
            },
            Function::Left => {
                let (points, count) = (points(text(0)?), count(number(1)?)?);
                points[..count.min(points.len())].iter().collect::<String>().into()
            }
            Function::Right => {
                let (points, count) = (points(text(0)?), count(number(1)?)?);
                points[points.len() - count.min(points.len())..].iter().collect::<String>().into()
            }
            Function::Mid => {
                let (points, first, count) = (points(text(0)?), count(number(1)?)?, count(number(2)?)?);
                points.into_iter().skip(first.checked_sub(1)?).take(count).collect::<String>().into()
            }
            Function::Split => split(text(0)?, text(1)?, values.get(2).map(|_| number(2)))?,
            Function::RegexMatch => pattern(&args[1]).is_match(text(0)?).into(),
            Function::RegexExtract => {
                let group = if values.len() > 2 { count(number(2)?)? } else { 0 };
                pattern(&args[1]).captures(text(0)?)?.get(group)?.as_str().to_owned().into()
            }
            Function::RegexReplace => {
                let with = text(2)?;
                let result = pattern(&args[1]).replace_all(text(0)?, |_: &regex::Captures<'_>| with);
                result.into_owned().into()
            }
            Function::Sum => {
                let Datum::List(items) = &values[0] else { return None };
                let add = |sum: f64, item: &Datum| if let Datum::Number(x) = item { sum + x } else { sum };
                items.iter().fold(0.0, add).into()
            }
            Function::Today => Datum::Datetime(dates::today(self.clock.now, zone)),
            Function::Datedif => {
                let unit = text(2)?.to_ascii_uppercase();
                let difference = dates::difference(date(0)?, date(1)?, &unit, zone)?;
                self.reach.note(Fact::Unit(unit));
                difference.into()
            }
            Function::Year
            | Function::Month
            | Function::Day
            | Function::Hour
            | Function::Minute
            | Function::Second
            | Function::Week => dates::field(function.name(), date(0)?, zone).into(),
            other => panic!("{other:?} is no plain function"),
        })
    }
}

/// Halves away from zero.
fn round(x: f64) -> f64 {
    let whole = x.trunc();
    if (x - whole).abs() < 0.5 { whole } else { whole + x.signum() }
}

fn points(text: &str) -> Vec<char> {
    text.chars().collect()
}

/// Floored; absent if negative.
fn count(x: f64) -> Option<usize> {
    (x.floor() >= 0.0).then(|| x.floor().min(1e9) as usize)
}

/// `part`: present if the call has a third argument, which need not be a number.
fn split(text: &str, by: &str, part: Option<Option<f64>>) -> Option<Datum> {
    if by.len() != 1 {
        return None;
    }
    let parts: Vec<&str> = text.split(by).collect();
    let Some(part) = part else {
        return Some(Datum::List(parts.into_iter().map(|part| Datum::Text(part.to_owned())).collect()));
    };
    let part = part?;
    if parts.len() == 1 {
        return Some(Datum::Text(text.to_owned()));
    }
    let found = parts.get(count(part)?.checked_sub(1)?)?;
    Some(Datum::Text((*found).to_owned()))
}

/// The parser has checked that it is a literal, and valid. Kept, because the same few come again for every record.
fn pattern(expr: &Expr) -> Regex {
    thread_local!(static KNOWN: RefCell<HashMap<String, Regex>> = RefCell::default());
    let ExprKind::Literal(Literal::Text(pattern)) = &expr.kind else { panic!("a pattern is a literal") };
    let compiled = || RegexBuilder::new(pattern).case_insensitive(true).build().unwrap();
    KNOWN.with_borrow_mut(|known| known.entry(pattern.clone()).or_insert_with(compiled).clone())
}
