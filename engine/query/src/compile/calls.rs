//! Function calls: which lanes of the arguments matter, and which lanes the result has. The kernels are in
//! [`functions`].

use datafusion::logical_expr::{Expr, lit};
use footfall_eval::EvalValue as Value;
use footfall_lang::ast::{self, Function};

use super::compiler::{Compiler, either};
use super::lanes::{Errors, Lanes, NumberPart, Truth, not_true, only_where};
use super::nested::Reduction;
use super::{casts, functions};

impl<'a> Compiler<'a> {
    pub(super) fn call(
        &mut self,
        node: &'a ast::Expr,
        function: Function,
        args: &'a [ast::Expr],
        level: usize,
    ) -> Lanes {
        let args: Vec<Lanes> = args.iter().map(|arg| self.compile(arg, level + 1)).collect();
        match function {
            Function::If | Function::Ifs => cases(args),
            _ => match self.apply(function, &args) {
                Some(mut result) => {
                    let mut errors = Errors::of(&args);
                    errors.add(std::mem::take(&mut result.errors).all);
                    result.with_errors(errors)
                }
                None => self.enter(node, level),
            },
        }
    }

    /// The result without the arguments' errors; absent if it has to be computed from within the lists, or not at all.
    fn apply(&mut self, function: Function, args: &[Lanes]) -> Option<Lanes> {
        let clock = &self.clock.clone();
        let first = args.first()?;
        let text = || first.text.clone();
        let float = |position: usize| args.get(position).and_then(Lanes::float);
        let text_at = |position: usize| args.get(position).and_then(|lanes| lanes.text.clone());
        Some(match function {
            Function::Defined => Lanes::of_bool(Truth::total(first.defined())),
            Function::String => default(casts::string(first, clock), args),
            Function::Number => default(casts::number(first), args),
            Function::Boolean => casts::boolean(first),
            Function::Datetime => default(casts::datetime(first, clock), args),
            Function::Sum if first.nested.is_none() => Lanes::default(),
            Function::Sum => self.is_inside().then(|| self.fold_list(Reduction::Sum, first))??,
            Function::List => self.is_inside().then(|| self.listed(first))??,
            Function::Floor => Lanes::of_number(float(0).map(functions::floor)),
            Function::Ceil => Lanes::of_number(float(0).map(functions::ceil)),
            Function::Round => Lanes::of_number(float(0).map(functions::round)),
            Function::Min => Lanes::of_number(float(0).zip(float(1)).map(|(a, b)| functions::min(a, b))),
            Function::Max => Lanes::of_number(float(0).zip(float(1)).map(|(a, b)| functions::max(a, b))),
            Function::HasPrefix => truth(text().zip(text_at(1)).map(|(s, p)| functions::has_prefix(s, p))),
            Function::HasSuffix => truth(text().zip(text_at(1)).map(|(s, p)| functions::has_suffix(s, p))),
            Function::Upper => Lanes::of_text(text().map(functions::upper)),
            Function::Lower => Lanes::of_text(text().map(functions::lower)),
            Function::Len if first.nested.is_some() => {
                let mut lanes = self.is_inside().then(|| self.fold_list(Reduction::Len, first))??;
                lanes.number.extend(text().map(functions::length).map(NumberPart::Computed));
                lanes
            }
            Function::Len => Lanes::of_number(text().map(functions::length)),
            Function::Left => Lanes::of_text(text().zip(float(1)).map(|(s, n)| functions::left(s, n))),
            Function::Right => Lanes::of_text(text().zip(float(1)).map(|(s, n)| functions::right(s, n))),
            Function::Mid => {
                let range = float(1).zip(float(2));
                Lanes::of_text(text().zip(range).map(|(s, (from, count))| functions::mid(s, from, count)))
            }
            Function::Split => {
                let part = args.get(2).is_some().then(|| float(2))?;
                let wanted = text_at(1).zip(part);
                Lanes::of_text(text().zip(wanted).map(|(s, (by, part))| functions::split_part(s, by, part)))
            }
            Function::RegexMatch | Function::RegexExtract | Function::RegexReplace => regex(function, args)?,
            Function::Datedif => {
                let date = |position: usize| args.get(position).and_then(|lanes| casts::date(lanes, clock));
                let dates = date(0).zip(date(1)).zip(text_at(2));
                Lanes::of_number(dates.map(|((from, to), unit)| functions::datedif(from, to, unit, clock.timezone)))
            }
            Function::If | Function::Ifs | Function::Today => return None,
            Function::Year => self.date_part("year", first),
            Function::Month => self.date_part("month", first),
            Function::Day => self.date_part("day", first),
            Function::Hour => self.date_part("hour", first),
            Function::Minute => self.date_part("minute", first),
            Function::Second => self.date_part("second", first),
            Function::Week => self.date_part("week", first),
        })
    }

    fn date_part(&self, field: &'static str, value: &Lanes) -> Lanes {
        let date = casts::date(value, &self.clock);
        Lanes::of_number(date.map(|seconds| functions::date_part(field, seconds, self.clock.timezone)))
    }
}

fn truth(term: Option<Expr>) -> Lanes {
    Lanes::of_bool(Truth::partial(term.into_iter().collect()))
}

/// Applies a cast's second argument, if it has one.
fn default(cast: Lanes, args: &[Lanes]) -> Lanes {
    match args.get(1) {
        Some(default) => casts::or_default(cast, default.clone()),
        None => cast,
    }
}

/// The parser has checked that a pattern is a literal.
fn regex(function: Function, args: &[Lanes]) -> Option<Lanes> {
    let text = args.first()?.text.clone();
    let Some(Value::Text(pattern)) = args.get(1)?.constant.clone() else { return None };
    let argument = args.get(2);
    Some(match (function, text) {
        (_, None) => Lanes::default(),
        (Function::RegexMatch, Some(text)) => truth(Some(functions::regex_match(text, &pattern))),
        (Function::RegexExtract, Some(text)) => {
            // Without a group the whole match, which is group 0.
            let group = argument.map_or_else(|| Some(lit(0.0_f64)), Lanes::float);
            Lanes::of_text(group.map(|group| functions::regex_extract(text, &pattern, group)))
        }
        // A replacement can multiply a text, nested ones without bound: the evaluator has a budget for that.
        (_, Some(_)) => return None,
    })
}

/// `if(c, a, b)` and `ifs(c1, v1, c2, v2, …)`: the value beside the first true condition, else the last one, else
/// undefined. What is not evaluated cannot fail.
fn cases(args: Vec<Lanes>) -> Lanes {
    let mut args = args;
    let mut result = if args.len() % 2 == 1 { args.pop().unwrap_or_default() } else { Lanes::undefined() };
    while let (Some(value), Some(condition)) = (args.pop(), args.pop()) {
        let chosen = condition.filter();
        let mut errors = condition.errors.clone();
        errors.add(condition.not_boolean());
        let of_branch = |lanes: &Lanes, when: Expr| {
            Errors::flag(&lanes.errors.all).map(|flag| only_where(when, flag)).into_iter().collect()
        };
        errors.add(of_branch(&value, chosen.clone()));
        errors.add(of_branch(&result, not_true(&chosen)));
        errors.open = errors.all.clone();
        result = either(&chosen, value, result).with_errors(errors);
    }
    result
}
