//! What an expression reads: four sources, looked up by key.

use footfall_lang::ast::Source;
use footfall_model::Value;

use crate::{EvalValue, Map};

/// One source of a record, by key. An absent key is [`EvalValue::Undefined`].
///
/// Any `Fn(&str) -> EvalValue` is a lookup, which is how columns stand behind a record. A key may be asked for many times
/// within one evaluation, in any order; the answers must not change meanwhile.
pub trait Lookup {
    fn get(&self, key: &str) -> EvalValue;
}

impl<F: Fn(&str) -> EvalValue> Lookup for F {
    fn get(&self, key: &str) -> EvalValue {
        self(key)
    }
}

/// A source without keys.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl Lookup for Nothing {
    fn get(&self, _: &str) -> EvalValue {
        EvalValue::Undefined
    }
}

/// Properties as an event carries them.
#[derive(Clone, Copy, Debug)]
pub struct Members<'a>(pub &'a [(String, Value)]);

impl Lookup for Members<'_> {
    fn get(&self, key: &str) -> EvalValue {
        self.0.iter().find(|(name, _)| name == key).map_or(EvalValue::Undefined, |(_, value)| EvalValue::from(value))
    }
}

impl Lookup for Map {
    fn get(&self, key: &str) -> EvalValue {
        self.member(key).cloned().unwrap_or(EvalValue::Undefined)
    }
}

/// The record that an expression is evaluated on (§3). Metadata such as `$time` is for the lookups to answer.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    pub properties: &'a dyn Lookup,
    pub event: &'a dyn Lookup,
    pub user: &'a dyn Lookup,
    pub behaviors: &'a dyn Lookup,
}

impl<'a> Record<'a> {
    /// An event alone: `properties` and `event` read it, `user` and `behaviors` read nothing.
    pub fn event(properties: &'a dyn Lookup) -> Self {
        Self { properties, event: properties, user: &Nothing, behaviors: &Nothing }
    }

    /// A profile, as in `/engage`: `properties` and `user` read it.
    pub fn profile(properties: &'a dyn Lookup) -> Self {
        Self { properties, event: &Nothing, user: properties, behaviors: &Nothing }
    }

    pub(crate) fn lookup(&self, source: Source, key: &str) -> EvalValue {
        match source {
            Source::Properties => self.properties.get(key),
            Source::Event => self.event.get(key),
            Source::User => self.user.get(key),
            Source::Behaviors => self.behaviors.get(key),
        }
    }
}
