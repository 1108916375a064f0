//! Rows in order of arrival, shared with the live rows and never copied: what live views and recent events read.
//!
//! A row is still an event as it came, or already a row of a sealed chunk; [`LiveRow`] reads both alike.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use footfall_model::{StoredEvent, Value};

use crate::columns::RowReader;
use crate::keys::{EventKey, event_key, row_key};
use crate::live::{Block, LiveChunk};

/// Neighbouring rows of one block or chunk. Cloning it shares them.
#[derive(Clone)]
pub struct ArrivedRows {
    /// Position of the first row of the whole block or chunk.
    origin: u64,
    rows: Range<usize>,
    source: Source,
}

impl From<&Arc<LiveChunk>> for ArrivedRows {
    fn from(chunk: &Arc<LiveChunk>) -> Self {
        Self::of_chunk(chunk)
    }
}

#[derive(Clone)]
enum Source {
    Events(Arc<Vec<StoredEvent>>),
    Sealed(Arc<LiveChunk>),
}

impl ArrivedRows {
    pub(crate) fn of_block(block: &Block) -> Self {
        Self { origin: block.first, rows: 0..block.rows.len(), source: Source::Events(block.rows.clone()) }
    }

    pub(crate) fn of_chunk(chunk: &Arc<LiveChunk>) -> Self {
        Self { origin: chunk.first, rows: 0..chunk.rows(), source: Source::Sealed(chunk.clone()) }
    }

    /// Position of the first row.
    pub fn first(&self) -> u64 {
        self.origin + self.rows.start as u64
    }

    /// Position after the last row.
    pub fn end(&self) -> u64 {
        self.origin + self.rows.end as u64
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether they are part of a chunk, which they keep in memory as a whole.
    pub fn is_sealed(&self) -> bool {
        matches!(self.source, Source::Sealed(_))
    }

    /// The rows with their positions, in order of arrival.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, LiveRow<'_>)> {
        self.rows.clone().filter_map(|row| Some((self.origin + row as u64, self.row(row)?)))
    }

    /// The row at a position, if it is one of these.
    pub fn at(&self, position: u64) -> Option<LiveRow<'_>> {
        let row = usize::try_from(position.checked_sub(self.origin)?).ok()?;
        self.rows.contains(&row).then(|| self.row(row))?
    }

    /// Without the rows before a position.
    pub(crate) fn from_position(mut self, position: u64) -> Self {
        let skipped = position.saturating_sub(self.origin).min(self.rows.end as u64) as usize;
        self.rows.start = self.rows.start.max(skipped);
        self
    }

    pub(crate) fn first_rows(mut self, rows_max: usize) -> Self {
        self.rows.end = self.rows.end.min(self.rows.start.saturating_add(rows_max));
        self
    }

    /// The position of the first row that came after an instant.
    pub(crate) fn first_after(&self, received_at: i64) -> Option<u64> {
        let (mut low, mut high) = (self.rows.start, self.rows.end);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.row(middle).is_some_and(|row| row.received_at() <= received_at) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low < self.rows.end).then_some(self.origin + low as u64)
    }

    fn row(&self, row: usize) -> Option<LiveRow<'_>> {
        match &self.source {
            Source::Events(events) => events.get(row).map(LiveRow::Plain),
            Source::Sealed(chunk) => (row < chunk.rows()).then(|| LiveRow::Sealed(chunk.reader(), row)),
        }
    }
}

/// One row, wherever it is.
#[derive(Clone, Copy)]
pub enum LiveRow<'a> {
    Plain(&'a StoredEvent),
    /// A row of a batch; the number is within it.
    Sealed(&'a RowReader, usize),
}

impl LiveRow<'_> {
    /// The row's key; `None` if its insert id was generated.
    pub(crate) fn key(&self) -> Option<EventKey> {
        match self {
            Self::Plain(stored) => event_key(&stored.event),
            Self::Sealed(reader, row) => row_key(reader, *row),
        }
    }

    pub fn event(&self) -> &str {
        match self {
            Self::Plain(stored) => &stored.event.name,
            Self::Sealed(reader, row) => reader.event(*row),
        }
    }

    /// As sent; empty for an event of nobody.
    pub fn distinct_id(&self) -> &str {
        match self {
            Self::Plain(stored) => &stored.event.distinct_id,
            Self::Sealed(reader, row) => reader.distinct_id(*row),
        }
    }

    pub fn insert_id(&self) -> &str {
        match self {
            Self::Plain(stored) => &stored.event.insert_id,
            Self::Sealed(reader, row) => reader.insert_id(*row),
        }
    }

    /// Milliseconds since the epoch.
    pub fn time(&self) -> i64 {
        match self {
            Self::Plain(stored) => stored.event.time,
            Self::Sealed(reader, row) => reader.time(*row),
        }
    }

    /// Microseconds since the epoch; orders a project's arrivals.
    pub fn received_at(&self) -> i64 {
        match self {
            Self::Plain(stored) => stored.received_at,
            Self::Sealed(reader, row) => reader.received_at(*row),
        }
    }

    /// The property's value, if the row has it.
    pub fn property(&self, name: &str) -> Option<Value> {
        match self {
            Self::Plain(stored) => stored.event.properties.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()),
            Self::Sealed(reader, row) => reader.property(*row, name),
        }
    }

    /// Names and values of the properties that the row has.
    pub fn properties(&self) -> Vec<(Cow<'_, str>, Cow<'_, Value>)> {
        match self {
            Self::Plain(stored) => {
                let properties = stored.event.properties.iter();
                properties.map(|(name, value)| (Cow::Borrowed(name.as_str()), Cow::Borrowed(value))).collect()
            }
            Self::Sealed(reader, row) => {
                reader.properties(*row).into_iter().map(|(name, value)| (name, Cow::Owned(value))).collect()
            }
        }
    }

    /// The row as an event of its own.
    pub fn to_stored(&self) -> StoredEvent {
        match self {
            Self::Plain(stored) => (*stored).clone(),
            Self::Sealed(reader, row) => reader.stored_event(*row),
        }
    }

    pub(crate) fn to_properties(&self) -> Vec<(String, Value)> {
        match self {
            Self::Plain(stored) => stored.event.properties.clone(),
            Self::Sealed(reader, row) => reader.owned_properties(*row),
        }
    }

    pub(crate) fn has_properties(&self, expected: &[(String, Value)]) -> bool {
        match self {
            Self::Sealed(reader, row) => reader.has_properties(*row, expected),
            Self::Plain(stored) => {
                let held = &stored.event.properties;
                held.len() == expected.len()
                    && expected.iter().all(|(name, value)| held.iter().any(|(n, v)| n == name && v == value))
            }
        }
    }
}
