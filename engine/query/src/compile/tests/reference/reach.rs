//! What an evaluation came across, counted.

use std::collections::HashMap;

use super::{Datum, Kind, TypeError};

/// What came of a node: the type of its value, booleans apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    Undefined,
    Null,
    True,
    False,
    Number,
    Text,
    Datetime,
    List,
    Map,
    TypeError,
}

impl Outcome {
    pub fn of(value: &Datum) -> Self {
        match value {
            Datum::Undefined => Self::Undefined,
            Datum::Null => Self::Null,
            Datum::Bool(true) => Self::True,
            Datum::Bool(false) => Self::False,
            Datum::Number(_) => Self::Number,
            Datum::Text(_) => Self::Text,
            Datum::Datetime(_) => Self::Datetime,
            Datum::List(_) => Self::List,
            Datum::Map(_) => Self::Map,
        }
    }

    pub fn of_result(result: &Result<Datum, TypeError>) -> Self {
        result.as_ref().map_or(Self::TypeError, Self::of)
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fact {
    Literal(Outcome),
    Now,
    /// A source, the name if it is one of the record's own, and whether there was something.
    Source(&'static str, &'static str, bool),
    /// By key or by position, into what, and whether there was something.
    Index(&'static str, Kind, bool),
    Prefix(&'static str, Kind, Outcome),
    Operator(&'static str, Kind, Kind, Outcome),
    /// A function, its number of arguments, and the type of the first (undefined where that is not looked at).
    Call(&'static str, usize, Kind, Outcome),
    /// A cast of a type; whether its second argument was used, if it had one.
    Cast(&'static str, Kind, Option<bool>, Outcome),
    /// A unit of `datedif` that gave a number.
    Unit(String),
    /// Over what, and what came of it.
    Quantifier(&'static str, Kind, Outcome),
    Empty(&'static str),
    /// What a body gave.
    Body(&'static str, Kind),
    /// Pairs, and the type of the body's value.
    Let(usize, Kind),
}

/// How often each thing happened.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    facts: HashMap<Fact, u64>,
}

impl Reach {
    pub fn note(&mut self, fact: Fact) {
        *self.facts.entry(fact).or_default() += 1;
    }

    pub fn add(&mut self, other: Self) {
        other.facts.into_iter().for_each(|(fact, count)| *self.facts.entry(fact).or_default() += count);
    }

    pub fn len(&self) -> usize {
        self.facts.len()
    }

    pub(super) fn has(&self, fact: &Fact) -> bool {
        self.facts.contains_key(fact)
    }

    pub(super) fn any(&self, holds: impl Fn(&Fact) -> bool) -> bool {
        self.facts.keys().any(holds)
    }
}
