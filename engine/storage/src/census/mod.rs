//! What rows say about a project's schema: which events carry which properties, of which types, how often, since when.
//!
//! Counted once for each segment when it is written, and kept in its file like the key filter: a small block between
//! the last row group and the footer (`footfall.census` in the footer says where). So the schema of years is the sum of
//! such blocks, one small read for each segment, and no scan.

mod codec;
mod count;
mod snapshot;

use std::collections::BTreeMap;

use crate::columns::PropertyType;

/// Examples kept of one (property, type) when censuses are added up.
const EXAMPLES_MAX: usize = 5;

/// Events and properties of some rows. Adding censuses up gives that of all their rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// By name.
    pub events: BTreeMap<String, Seen>,
    /// By property and type.
    pub properties: BTreeMap<(String, ValueType), PropertyUse>,
}

/// How often something was seen, and when, by the events' own times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub rows: u64,
    pub first: i64,
    pub last: i64,
}

/// Where one type of one property was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertyUse {
    pub by_event: BTreeMap<String, Seen>,
    /// A few values as JSON, shortened where they are long.
    pub examples: Vec<String>,
}

/// What JSON calls types, with integers apart from other numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    Boolean,
    Integer,
    Double,
    String,
    List,
    Object,
    Null,
}

impl ValueType {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::String => "string",
            Self::List => "list",
            Self::Object => "object",
            Self::Null => "null",
        }
    }

    /// The type of a value that is written as `json`, in a column of a kind.
    fn of(kind: PropertyType, json: &str) -> Self {
        match kind {
            PropertyType::Boolean => Self::Boolean,
            PropertyType::Integer => Self::Integer,
            PropertyType::Double => Self::Double,
            PropertyType::String => Self::String,
            PropertyType::Texts => Self::List,
            PropertyType::Json if json.starts_with('[') => Self::List,
            PropertyType::Json => Self::Object,
            PropertyType::Null => Self::Null,
        }
    }
}

impl Seen {
    const fn once(at: i64) -> Self {
        Self { rows: 1, first: at, last: at }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

impl Census {
    /// Adds the rows of another one.
    pub fn add(&mut self, other: Self) {
        for (event, seen) in other.events {
            add(&mut self.events, event, seen);
        }
        for (property, used) in other.properties {
            let sum = self.properties.entry(property).or_default();
            for (event, seen) in used.by_event {
                add(&mut sum.by_event, event, seen);
            }
            for example in used.examples {
                if sum.examples.len() < EXAMPLES_MAX && !sum.examples.contains(&example) {
                    sum.examples.push(example);
                }
            }
        }
    }
}

fn add(seen: &mut BTreeMap<String, Seen>, event: String, more: Seen) {
    seen.entry(event).and_modify(|seen| *seen = seen.and(more)).or_insert(more);
}

#[cfg(test)]
mod tests;
