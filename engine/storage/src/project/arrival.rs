//! How a request came in: by which way, as which part of which import; and what became of it.

use std::borrow::Cow;

use hashbrown::HashMap;

/// How a request's records arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// The way in, for people who look for the origin of a record: `/track`, `/import`, `footfall import`. Empty: unknown.
    pub source: Cow<'static, str>,
    /// Set when the request is a part of an import that is applied at most once.
    pub batch: Option<ImportBatch>,
}

impl Arrival {
    /// An arrival by `source` that is no part of an import.
    pub fn from_source(source: &'static str) -> Self {
        Self { source: Cow::Borrowed(source), batch: None }
    }
}

/// A numbered part of an import. Parts of one import are sent in ascending order, each after the one before was answered;
/// a part whose number is not above the last one applied changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImportBatch {
    /// Names the import, or one of its lanes.
    pub import: String,
    pub sequence: u64,
}

/// What became of one request's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngestSummary {
    /// Events that were not resends of what was there: new ones, and later copies of earlier ones.
    pub stored: usize,
    /// Identical resends: the arriving copy lost.
    pub duplicates: usize,
    /// Earlier copies that a later one with other properties replaced.
    pub superseded: usize,
    /// The whole batch had been applied before, and nothing was changed.
    pub repeated: bool,
}

/// The position of an import before one of its parts was applied.
pub(super) struct Before {
    import: String,
    sequence: Option<u64>,
}

/// The last part applied of each import.
#[derive(Default)]
pub(super) struct Imports {
    last: HashMap<String, u64>,
}

impl Imports {
    pub fn last(&self, import: &str) -> Option<u64> {
        self.last.get(import).copied()
    }

    pub fn is_repeated(&self, batch: &ImportBatch) -> bool {
        self.last(&batch.import).is_some_and(|last| batch.sequence <= last)
    }

    /// Notes that a part is applied, and answers what there was before.
    pub fn applied(&mut self, batch: ImportBatch) -> Before {
        let sequence = self.last(&batch.import);
        let before = Before { import: batch.import.clone(), sequence };
        self.last.insert(batch.import, sequence.map_or(batch.sequence, |last| last.max(batch.sequence)));
        before
    }

    /// Takes a part back; the parts after it first.
    pub fn restore(&mut self, before: Before) {
        match before.sequence {
            Some(sequence) => self.last.insert(before.import, sequence),
            None => self.last.remove(&before.import),
        };
    }
}
