//! How a request came in: by which way, as which part of which import; and what became of it.

use std::borrow::Cow;
use std::collections::VecDeque;

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

    pub(super) fn source_if_known(&self) -> Option<Cow<'static, str>> {
        (!self.source.is_empty()).then(|| self.source.clone())
    }
}

/// A numbered part of an import. Parts of one import are sent in ascending order, each after the one before was answered;
/// a part whose number is not above the last one applied changes nothing. Events and profile updates of one import share
/// its numbers.
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
    /// Earlier copies that a later one with other properties replaced, of this request or of an earlier one.
    pub superseded: usize,
    /// The whole batch had been applied before, and nothing was changed.
    pub repeated: bool,
}

/// The last part applied of each import.
#[derive(Default)]
pub(super) struct Imports {
    last: HashMap<String, u64>,
    /// Moved since the last flush, by records that are durable: only these may be named by a table.
    unsaved: HashMap<String, u64>,
}

/// A part of an import that was just applied.
pub(super) struct Part {
    import: String,
    sequence: u64,
    /// The last one before it.
    before: Option<u64>,
}

impl Imports {
    /// An import's place as the events table knows it.
    pub fn restore(&mut self, import: &str, sequence: u64) {
        self.last.insert(import.to_owned(), sequence);
    }

    pub fn last(&self, import: &str) -> Option<u64> {
        self.last.get(import).copied()
    }

    pub fn is_repeated(&self, batch: Option<&ImportBatch>) -> bool {
        batch.is_some_and(|batch| self.last(&batch.import).is_some_and(|last| batch.sequence <= last))
    }

    /// Notes that a part is applied; its record is on its way to the disk.
    pub fn applied(&mut self, batch: Option<&ImportBatch>) -> Option<Part> {
        let ImportBatch { import, sequence } = batch?.clone();
        let before = self.last.insert(import.clone(), sequence);
        Some(Part { import, sequence, before })
    }

    /// Its record is durable.
    pub fn durable(&mut self, part: Option<Part>) {
        if let Some(Part { import, sequence, .. }) = part {
            self.unsaved.insert(import, sequence);
        }
    }

    /// Its record failed. Parts are taken back in the reverse of the order in which they were applied.
    pub fn take_back(&mut self, part: Option<Part>) {
        let Some(Part { import, before, .. }) = part else { return };
        match before {
            Some(before) => self.last.insert(import, before),
            None => self.last.remove(&import),
        };
    }

    /// What the next commit of the events table has to record.
    pub fn unsaved(&self) -> impl Iterator<Item = (&str, u64)> {
        self.unsaved.iter().map(|(import, sequence)| (import.as_str(), *sequence))
    }

    /// The table has recorded these.
    pub fn saved(&mut self, positions: &[(String, u64)]) {
        for (import, sequence) in positions {
            if self.unsaved.get(import) == Some(sequence) {
                self.unsaved.remove(import);
            }
        }
    }
}

/// By which way the live rows came: one entry wherever it changes from a row to the next.
#[derive(Default)]
pub(super) struct Sources {
    runs: VecDeque<(u64, Cow<'static, str>)>,
}

impl Sources {
    /// Rows from `first` on came by `source`.
    pub fn note(&mut self, first: u64, source: &Cow<'static, str>) {
        if self.runs.back().is_none_or(|(_, last)| last != source) {
            self.runs.push_back((first, source.clone()));
        }
    }

    /// The way in of the row at a position; `None` where it is not known.
    pub fn of(&self, position: u64) -> Option<Cow<'static, str>> {
        let run = self.runs.partition_point(|(first, _)| *first <= position).checked_sub(1)?;
        self.runs.get(run).map(|(_, source)| source.clone()).filter(|source| !source.is_empty())
    }

    /// Rows from a position on have never been.
    pub fn forget_from(&mut self, position: u64) {
        while self.runs.back().is_some_and(|(first, _)| *first >= position) {
            self.runs.pop_back();
        }
    }

    /// Rows below a position are not live any more.
    pub fn forget_below(&mut self, position: u64) {
        while self.runs.get(1).is_some_and(|(second, _)| *second <= position) {
            self.runs.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_in_is_known_row_by_row_until_rows_are_forgotten() {
        let mut sources = Sources::default();
        for (first, source) in [(0, "a"), (3, "a"), (5, "b"), (9, ""), (12, "a")] {
            sources.note(first, &Cow::Borrowed(source));
        }
        let known =
            |sources: &Sources| [0, 4, 5, 8, 9, 12, 99].map(|position| sources.of(position).unwrap_or_default());
        assert_eq!(known(&sources), ["a", "a", "b", "b", "", "a", "a"]);
        sources.forget_below(9);
        assert_eq!(known(&sources), ["", "", "", "", "", "a", "a"]);
        sources.note(13, &Cow::Borrowed("a"));
        assert_eq!(sources.runs.len(), 2);
        sources.forget_from(12);
        sources.note(12, &Cow::Borrowed("c"));
        assert_eq!(known(&sources), ["", "", "", "", "", "c", "c"]);
    }

    #[test]
    fn a_part_is_repeated_until_the_next_number() {
        let mut imports = Imports::default();
        let batch = |sequence| Some(ImportBatch { import: "x".into(), sequence });
        assert!(!imports.is_repeated(batch(0).as_ref()) && !imports.is_repeated(None));
        let part = imports.applied(batch(7).as_ref());
        assert_eq!(imports.unsaved().count(), 0, "a table may not name what is not durable");
        imports.durable(part);
        assert!(imports.is_repeated(batch(7).as_ref()) && imports.is_repeated(batch(0).as_ref()));
        assert!(!imports.is_repeated(batch(8).as_ref()));
        let cut: Vec<_> = imports.unsaved().map(|(import, sequence)| (import.to_owned(), sequence)).collect();
        let part = imports.applied(batch(8).as_ref());
        imports.durable(part);
        imports.saved(&cut);
        assert_eq!(imports.unsaved().collect::<Vec<_>>(), [("x", 8)], "it moved on while the flush ran");
        let failed = [imports.applied(batch(9).as_ref()), imports.applied(batch(12).as_ref())];
        failed.into_iter().rev().for_each(|part| imports.take_back(part));
        assert_eq!(imports.last("x"), Some(8));
    }
}
