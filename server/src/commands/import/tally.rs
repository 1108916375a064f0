//! What became of the records of an import.

use std::collections::BTreeMap;
use std::fmt;

use footfall_engine::IngestSummary;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Lines that are not empty.
    pub read: u64,
    /// Records that their sender marked to be ignored.
    pub ignored: u64,
    /// By reason.
    pub rejected: BTreeMap<String, u64>,
    stored: u64,
    duplicates: u64,
}

impl Tally {
    pub fn reject(&mut self, reason: &str) {
        match self.rejected.get_mut(reason) {
            Some(count) => *count += 1,
            None => drop(self.rejected.insert(reason.to_owned(), 1)),
        }
    }

    pub fn with(mut self, summary: IngestSummary) -> Self {
        self.stored = summary.stored as u64;
        self.duplicates = summary.duplicates as u64;
        self
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rejected: u64 = self.rejected.values().sum();
        write!(f, "read {}  stored {}  duplicates {}  rejected {rejected}", self.read, self.stored, self.duplicates)?;
        if self.ignored > 0 {
            write!(f, "  ignored {}", self.ignored)?;
        }
        for (reason, count) in &self.rejected {
            write!(f, "\n  rejected {count}: {reason}")?;
        }
        Ok(())
    }
}
