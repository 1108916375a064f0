//! What became of the records of an import.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Places that are kept of one kind of fault.
const PLACES_MAX: usize = 5;
/// Kinds of faults that are told apart; a fault that names a property has as many kinds as there are names.
const KINDS_MAX: usize = 100;
const OTHERS: &str = "other faults";

/// Of reading: every record of the sources is counted once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Records, lines without content left out.
    pub read: u64,
    /// Accepted as events.
    pub events: u64,
    /// Records that their sender marked to be ignored.
    pub ignored: u64,
    /// By reason.
    pub rejected: BTreeMap<String, Rejections>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rejections {
    pub count: u64,
    /// The first of them, in the order of the sources.
    pub places: Vec<Spot>,
}

/// Where a bad record stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spot {
    pub file: String,
    /// Of text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Of a table that is no text, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
}

/// Of loading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    pub events: u64,
    /// New rows, replacements of an earlier copy included.
    pub stored: u64,
    /// Copies that were there already.
    pub duplicates: u64,
    /// Earlier copies that a later one replaced.
    pub superseded: u64,
    /// Events that were stored, but a break came before the project could say what became of each.
    pub uncounted: u64,
}

impl Tally {
    pub fn reject(&mut self, reason: &str, spot: Spot) {
        let kinds = self.rejected.len();
        let known = self.rejected.contains_key(reason);
        let reason = if known || kinds < KINDS_MAX { reason } else { OTHERS };
        let rejections = self.rejected.entry(reason.to_owned()).or_default();
        rejections.count += 1;
        if rejections.places.len() < PLACES_MAX {
            rejections.places.push(spot);
        }
    }

    pub fn rejected(&self) -> u64 {
        self.rejected.values().map(|rejections| rejections.count).sum()
    }

    /// Adds what came after.
    pub fn add(&mut self, later: Self) {
        self.read += later.read;
        self.events += later.events;
        self.ignored += later.ignored;
        for (reason, more) in later.rejected {
            let kinds = self.rejected.len();
            let known = self.rejected.contains_key(&reason);
            let reason = if known || kinds < KINDS_MAX { reason } else { OTHERS.to_owned() };
            let rejections = self.rejected.entry(reason).or_default();
            rejections.count += more.count;
            let room = PLACES_MAX.saturating_sub(rejections.places.len());
            rejections.places.extend(more.places.into_iter().take(room));
        }
    }
}

impl Loaded {
    pub fn add(&mut self, other: Self) {
        self.events += other.events;
        self.stored += other.stored;
        self.duplicates += other.duplicates;
        self.superseded += other.superseded;
        self.uncounted += other.uncounted;
    }
}

/// `events.csv:17 (ts)`
impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(row) = self.row {
            write!(f, ", row {row}")?;
        }
        match &self.column {
            Some(column) => write!(f, ", column {column}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(line: u64) -> Spot {
        Spot { file: "f".into(), line: Some(line), row: None, column: None }
    }

    #[test]
    fn the_first_places_of_each_reason_are_kept_and_kinds_are_bounded() {
        let mut first = Tally::default();
        for line in 0..3 {
            first.reject("a", spot(line));
        }
        let mut second = Tally { read: 7, ..Tally::default() };
        for line in 3..300 {
            second.reject("a", spot(line));
            second.reject(&format!("kind {line}"), spot(line));
        }
        first.add(second);
        assert_eq!((first.read, first.rejected()), (7, 597));
        assert_eq!(first.rejected["a"].count, 300);
        assert_eq!(first.rejected["a"].places, (0..5).map(spot).collect::<Vec<_>>());
        assert!(first.rejected.len() <= KINDS_MAX + 1);
    }
}
