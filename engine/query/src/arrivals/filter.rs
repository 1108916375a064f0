//! Which arrivals somebody wants to see: compiled once, then asked of each row.

use footfall_eval::{Clock, EvalValue, Lookup, Record, matches};
use footfall_lang::ast::Expr;
use footfall_lang::parse_expression;
use footfall_storage::LiveRow;
use footfall_storage::columns::Catalog;

use crate::compile::compile_where;
use crate::error::QueryError;
use crate::resolver::EventResolver;

/// What is asked for; nothing asked for is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArrivalFilterSpec {
    /// Event names to keep.
    pub events: Option<Vec<String>>,
    /// Keep one user's events.
    pub distinct_id: Option<String>,
    /// Expression that keeps an event.
    pub filter: Option<String>,
}

/// An [`ArrivalFilterSpec`] whose expression has been read.
#[derive(Clone, Debug)]
pub struct ArrivalFilter {
    events: Option<Vec<String>>,
    distinct_id: Option<String>,
    condition: Option<Expr>,
}

impl ArrivalFilter {
    /// Fails on an expression that is none, or that no event can satisfy without a type error.
    pub fn new(spec: ArrivalFilterSpec, clock: &Clock) -> Result<Self, QueryError> {
        let condition = match &spec.filter {
            None => None,
            Some(text) => {
                let tree = parse_expression(text).map_err(|e| QueryError::parse("where", e))?;
                // For its errors alone, which do not depend on what is stored.
                let nothing_stored = EventResolver::new(Catalog::default().into());
                compile_where(&tree, &nothing_stored, clock).map_err(|e| QueryError::compile("where", e))?;
                Some(tree)
            }
        };
        Ok(Self { events: spec.events, distinct_id: spec.distinct_id, condition })
    }

    /// Whether a row is wanted. One that gives a type error is not, as in every report.
    pub fn keeps(&self, row: &LiveRow<'_>, clock: &Clock) -> bool {
        self.events.as_ref().is_none_or(|events| events.iter().any(|event| event == row.event()))
            && self.distinct_id.as_ref().is_none_or(|id| id == row.distinct_id())
            && self
                .condition
                .as_ref()
                .is_none_or(|condition| matches(condition, &Record::event(&Properties(row)), clock).unwrap_or(false))
    }

    pub(super) fn events(&self) -> Option<&[String]> {
        self.events.as_deref()
    }

    pub(super) fn distinct_id(&self) -> Option<&str> {
        self.distinct_id.as_deref()
    }

    pub(super) fn condition(&self) -> Option<&Expr> {
        self.condition.as_ref()
    }
}

/// A row's properties and metadata, under the names that [`EventResolver`] gives the columns.
struct Properties<'a>(&'a LiveRow<'a>);

impl Lookup for Properties<'_> {
    fn get(&self, key: &str) -> EvalValue {
        let row = self.0;
        let user = || match row.distinct_id() {
            "" => EvalValue::Undefined,
            id => EvalValue::from(id),
        };
        match key {
            "$event_name" => EvalValue::from(row.event()),
            "$distinct_id" => user(),
            "$insert_id" => EvalValue::from(row.insert_id()),
            "$time" => EvalValue::Datetime(row.time().div_euclid(1000)),
            "time" => EvalValue::number(row.time().div_euclid(1000) as f64),
            "mp_processing_time_ms" => EvalValue::number((row.received_at() / 1000) as f64),
            _ => match row.property(key) {
                Some(value) => EvalValue::from(&value),
                None if key == "distinct_id" => user(),
                None => EvalValue::Undefined,
            },
        }
    }
}
