//! The language once more, written from `shared/reference/expression-language.md` alone: one record, one node at a time.
//!
//! This is what the compiled form *and* `footfall_eval` are tested against, because those two share their functions (dates,
//! texts, casts): what is wrong in one would be wrong in both. It takes the parser's tree, and the same tables of time
//! zones and the same engine of regular expressions; nothing else is shared, and nothing here is fast. Section numbers are
//! the reference's.
//!
//! It also notes what it came across ([`Reach`]), so that a test can tell that everything was.

mod calls;
mod cast;
mod dates;
mod datum;
mod operators;
mod reach;
mod required;
mod segments;

use chrono_tz::Tz;
use footfall_lang::ast::{BinaryOp, Expr, ExprKind, Function, Index, Literal, Quantifier, Source, UnaryOp};

pub use datum::{Datum, Kind};
pub use reach::Reach;
pub use required::OPERATORS;
pub use segments::segment_keys;

use reach::{Fact, Outcome};

use super::table::Row;
use crate::compile::Clock;

/// The one error that a record can give (§4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeError;

/// Longer texts are refused: the language has a bound on what one record may cost, and the tests know one way to pass it.
const TEXT_MAX: usize = 64 << 20;

pub fn evaluate(tree: &Expr, row: &Row, clock: &Clock, reach: &mut Reach) -> Result<Datum, TypeError> {
    Reference { row, clock: *clock, names: Vec::new(), reach }.value(tree)
}

struct Reference<'r> {
    row: &'r Row,
    clock: Clock,
    /// Names in scope, innermost last.
    names: Vec<(&'r str, Datum)>,
    reach: &'r mut Reach,
}

impl<'r> Reference<'r> {
    /// Chains of operators lean to the left without bound, so they are walked in a loop.
    fn value(&mut self, expr: &'r Expr) -> Result<Datum, TypeError> {
        let mut chain = Vec::new();
        let mut first = expr;
        while let ExprKind::Binary { op, left, right } = &first.kind {
            chain.push((*op, &**left, &**right));
            first = left;
        }
        let mut value = self.operand(first)?;
        for (op, left, right) in chain.into_iter().rev() {
            // Both sides are evaluated, whatever the first one is (§5.5).
            let other = self.value(right)?;
            value = self.binary(op, (left, value), (right, other))?;
        }
        Ok(value)
    }

    fn operand(&mut self, expr: &'r Expr) -> Result<Datum, TypeError> {
        Ok(match &expr.kind {
            ExprKind::Literal(literal) => {
                let value = Datum::from(literal);
                self.reach.note(Fact::Literal(Outcome::of(&value)));
                value
            }
            ExprKind::Now => {
                self.reach.note(Fact::Now);
                Datum::Number(self.clock.now as f64)
            }
            ExprKind::Lookup { source, key, path } => {
                let value = self.look_up(*source, key);
                self.reach.note(Fact::Source(source.name(), special(key), value != Datum::Undefined));
                self.index(value, path)
            }
            ExprKind::Variable { name, path } => {
                let bound = self.names.iter().rev().find(|(known, _)| known == name);
                let value = bound.map_or(Datum::Undefined, |(_, value)| value.clone());
                self.index(value, path)
            }
            ExprKind::Unary { op, operand } => {
                let value = self.value(operand)?;
                let (sign, result) = match op {
                    UnaryOp::Not => ("not", operators::not(&value)),
                    UnaryOp::Negate => ("-", operators::negate(&value)),
                };
                self.reach.note(Fact::Prefix(sign, value.kind(), Outcome::of(&result)));
                result
            }
            ExprKind::Binary { .. } => self.value(expr)?,
            ExprKind::Call { function: function @ (Function::If | Function::Ifs), args } => {
                let result = self.branches(args);
                self.reach.note(Fact::Call(function.name(), args.len(), Kind::Undefined, Outcome::of_result(&result)));
                result?
            }
            ExprKind::Call { function, args } => self.call(*function, args)?,
            ExprKind::Quantifier { quantifier, variable, list, body } => {
                let list = self.value(list)?;
                let kind = list.kind();
                let result = self.each(*quantifier, variable, list, body);
                self.reach.note(Fact::Quantifier(quantifier.name(), kind, Outcome::of_result(&result)));
                result?
            }
            ExprKind::Let { bindings, body } => {
                let outside = self.names.len();
                for (name, bound) in bindings {
                    let value = self.value(bound)?;
                    self.names.push((name, value));
                }
                let value = self.value(body)?;
                self.names.truncate(outside);
                self.reach.note(Fact::Let(bindings.len(), value.kind()));
                value
            }
        })
    }

    /// §3, with an event's time as its two names have it.
    fn look_up(&self, source: Source, key: &str) -> Datum {
        let of = match source {
            Source::Properties | Source::Event => &self.row.properties,
            Source::User => &self.row.user,
            Source::Behaviors => return Datum::Undefined,
        };
        let seconds = self.row.time.filter(|_| source != Source::User).map(|ms| ms.div_euclid(1000));
        match (key, seconds) {
            ("$time", Some(seconds)) => Datum::Datetime(seconds),
            ("time", Some(seconds)) => Datum::Number(seconds as f64),
            _ => of.get(key).map_or(Datum::Undefined, Datum::from),
        }
    }

    fn index(&mut self, value: Datum, path: &[Index]) -> Datum {
        path.iter().fold(value, |value, index| {
            let (how, inner) = match (index, &value) {
                (Index::Key(key), Datum::Map(members)) => ("key", members.get(key)),
                (Index::Position(position), Datum::List(items)) => ("position", items.get(*position)),
                (Index::Key(_), _) => ("key", None),
                (Index::Position(_), _) => ("position", None),
            };
            let inner = inner.cloned().unwrap_or(Datum::Undefined);
            self.reach.note(Fact::Index(how, value.kind(), inner != Datum::Undefined));
            inner
        })
    }

    fn binary(
        &mut self,
        op: BinaryOp,
        (left_expr, left): (&Expr, Datum),
        (right_expr, right): (&Expr, Datum),
    ) -> Result<Datum, TypeError> {
        let zones = (self.zone_of(left_expr), self.zone_of(right_expr));
        let result = operators::binary(op, (&left, zones.0), (&right, zones.1));
        self.reach.note(Fact::Operator(op.symbol(), left.kind(), right.kind(), Outcome::of_result(&result)));
        match result {
            Ok(Datum::Text(text)) if text.len() > TEXT_MAX => Err(TypeError),
            result => result,
        }
    }

    /// Where a date string without an offset is: a literal in the project's zone, anything else in UTC (§6).
    fn zone_of(&self, expr: &Expr) -> Tz {
        match &expr.kind {
            ExprKind::Literal(Literal::Text(_) | Literal::List(_)) => self.clock.timezone,
            _ => Tz::UTC,
        }
    }

    /// §7: the body for every element, whatever the first ones give.
    fn each(
        &mut self,
        quantifier: Quantifier,
        variable: &'r str,
        list: Datum,
        body: &'r Expr,
    ) -> Result<Datum, TypeError> {
        let Datum::List(items) = list else { return Ok(Datum::Undefined) };
        if items.is_empty() {
            self.reach.note(Fact::Empty(quantifier.name()));
        }
        let mut results = Vec::new();
        for item in &items {
            self.names.push((variable, item.clone()));
            let result = self.value(body)?;
            self.names.pop();
            self.reach.note(Fact::Body(quantifier.name(), result.kind()));
            results.push(result);
        }
        if quantifier == Quantifier::Map {
            return Ok(Datum::List(results));
        }
        let truths = results.iter().map(condition).collect::<Result<Vec<bool>, TypeError>>()?;
        Ok(match quantifier {
            Quantifier::Any => Datum::Bool(truths.iter().any(|holds| *holds)),
            Quantifier::All => Datum::Bool(truths.iter().all(|holds| *holds)),
            _ => Datum::List(items.into_iter().zip(truths).filter(|(_, holds)| *holds).map(|(item, _)| item).collect()),
        })
    }

    /// `if` and `ifs`: only what is chosen is evaluated, and of the conditions those up to the first true one.
    fn branches(&mut self, args: &'r [Expr]) -> Result<Datum, TypeError> {
        let mut rest = args;
        while let [test, value, others @ ..] = rest {
            let found = self.value(test)?;
            if condition(&found)? {
                return self.value(value);
            }
            rest = others;
        }
        match rest {
            [otherwise] => self.value(otherwise),
            _ => Ok(Datum::Undefined),
        }
    }
}

/// Boolean or undefined, which counts as false; anything else is the type error.
fn condition(value: &Datum) -> Result<bool, TypeError> {
    match value {
        Datum::Bool(holds) => Ok(*holds),
        Datum::Undefined => Ok(false),
        _ => Err(TypeError),
    }
}

/// A `where`: whether the record is kept (§9).
pub fn keeps(value: &Result<Datum, TypeError>) -> Result<bool, TypeError> {
    condition(value.as_ref().map_err(|error| *error)?)
}

fn special(key: &str) -> &'static str {
    match key {
        "$time" => "$time",
        "time" => "time",
        _ => "",
    }
}
