//! From a chunk of records to validated events, sorted by day and lane and packed.
//!
//! Two kinds of JSON records are understood: Mixpanel's (`{"event","properties":{…}}`, also what its raw export gives)
//! and flat ones, as generators and warehouses write them. A flat record, like a row of a table, is turned into the
//! first kind and judged by the same rules, those of a lenient `/import`.

use std::collections::HashMap;

use footfall_ingest::{Damage, Fault, IdSource, Item, MergeMode, Outcome, Route, Rules, decode_line, validate};
use footfall_model::Event;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::formats::{CellFault, Chunk, Columns, CsvRow, ParquetRow, Row};
use super::tally::{Spot, Tally};
use crate::config::ImportFormat;
use crate::packed::{self, RAW_TARGET};

/// Flat names of what Mixpanel writes with a dollar.
const RENAMED: [(&str, &str); 3] = [("insert_id", "$insert_id"), ("user_id", "$user_id"), ("device_id", "$device_id")];
/// How far ahead of us a file's clock may be. Its times are kept as they are: what `/import` does, setting the time of
/// arrival, would give another time in each run, and so another event.
const AHEAD_MAX_MS: i64 = 86_400_000;
const TIME_UNUSABLE: &str = "time, missing or more than a day in the future";
const TIME_INVALID: &str = "time, must be seconds or milliseconds since the epoch, or a date";
const LINE_TOO_LONG: &str = "data, record too big";
/// The last line of an export that the service could not finish.
const TERMINATED: &[u8] = b"terminated early";
const EXPORT_INCOMPLETE: &str = "the export is incomplete: it ends in `terminated early`; export these days again";

/// Events that load side by side: a lane waits for the disk while others compute. All events of a `distinct_id` are in
/// one lane, so versions of one event never race.
pub const LANES: u8 = 4;

/// Which days' which lane an event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bin {
    /// Days since the epoch, UTC.
    pub day: i32,
    pub lane: u8,
}

/// Packed events of one bin, in the order of their source.
pub struct Fragment {
    pub bin: Bin,
    pub raw: Vec<u8>,
    pub events: u32,
}

/// What a chunk holds.
#[derive(Default)]
pub struct Portion {
    pub fragments: Vec<Fragment>,
    pub tally: Tally,
}

/// Judges the records of one source after the other; each thread has its own.
pub struct Judge {
    format: Option<ImportFormat>,
    merge: MergeMode,
    begun_ms: i64,
    ids: IdSource,
}

/// A record that is no event.
struct Refusal {
    reason: String,
    column: Option<String>,
}

impl Judge {
    pub fn new(format: Option<ImportFormat>, merge: MergeMode, begun_ms: i64) -> Self {
        Self { format, merge, begun_ms, ids: IdSource::random() }
    }

    /// The events of a chunk of the source that is called `source`, and what became of each record.
    pub fn portion(&self, source: &str, chunk: &Chunk) -> Portion {
        let mut sorting = Sorting::default();
        match chunk {
            Chunk::Lines { text, offset, line, .. } => {
                let mut offset = *offset;
                for (number, line) in (*line..).zip(lines_of(text)) {
                    // The mark of a byte order, should the file begin with one.
                    let record = if offset == 0 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
                    if !record.trim_ascii().is_empty() {
                        let place = Spot { file: source.to_owned(), line: Some(number), row: None, column: None };
                        sorting.record(self.line(source, offset, record), || place);
                    }
                    offset += line.len() as u64 + 1;
                }
            }
            Chunk::LongLine { line } => {
                let place = Spot { file: source.to_owned(), line: Some(*line), row: None, column: None };
                sorting.record(Err(Refusal { reason: LINE_TOO_LONG.to_owned(), column: None }), || place);
            }
            Chunk::Csv { columns, rows } => {
                for row in rows {
                    let position = row.position();
                    let (line, offset) = position.map_or((0, 0), |place| (place.line(), place.byte()));
                    let made_id = |_: &Event| made_id(source, offset, row.iter());
                    let event = match CsvRow::new(row, columns) {
                        Ok(cells) => self.row(columns, &cells, made_id),
                        Err(reason) => Err(Refusal { reason, column: None }),
                    };
                    let place = || Spot { file: source.to_owned(), line: Some(line), row: None, column: None };
                    sorting.record(event, place);
                }
            }
            Chunk::Parquet { columns, rows, first } => {
                for row in 0..rows.num_rows() {
                    let number = first + row as u64;
                    let made_id = |event: &Event| {
                        let mut content = Vec::new();
                        packed::append(&mut content, event);
                        made_id(source, number, std::iter::once(content.as_slice()))
                    };
                    let event = self.row(columns, &ParquetRow { rows, row }, made_id);
                    let place = || Spot { file: source.to_owned(), line: None, row: Some(number + 1), column: None };
                    sorting.record(event, place);
                }
            }
        }
        sorting.portion
    }

    fn line(&self, source: &str, offset: u64, text: &[u8]) -> Result<Option<Event>, Refusal> {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let outcome = match self.validate(decode_line(text, Damage::Report)) {
            Outcome::Rejected(rejected)
                if self.format != Some(ImportFormat::MixpanelExport) && rejected.fault == Fault::PropertiesMissing =>
            {
                let flat = unflattened(text).map(|text| self.validate(decode_line(&text, Damage::Report)));
                flat.unwrap_or(Outcome::Rejected(rejected))
            }
            outcome => outcome,
        };
        if text.trim_ascii() == TERMINATED {
            return Err(Refusal { reason: EXPORT_INCOMPLETE.to_owned(), column: None });
        }
        self.settle(outcome, |_| None, |_| made_id(source, offset, std::iter::once(text)))
    }

    fn row(
        &self,
        columns: &Columns,
        row: &impl Row,
        made_id: impl FnOnce(&Event) -> String,
    ) -> Result<Option<Event>, Refusal> {
        let (event, properties) = columns
            .record(row)
            .map_err(|CellFault { column, reason }| Refusal { reason, column: columns.names.get(column).cloned() })?;
        let outcome = self.validate(Item::of(event, properties));
        self.settle(outcome, |field| columns.behind(field).map(str::to_owned), made_id)
    }

    fn validate(&self, item: Item) -> Outcome {
        let rules = Rules {
            route: Route::Import,
            strict: false,
            merge: self.merge,
            now_ms: self.time_max(),
            track_window: None,
            request_address: None,
        };
        validate(item, &rules, &self.ids)
    }

    /// The latest time that is taken; validation gives it to what has a later one, or none.
    fn time_max(&self) -> i64 {
        self.begun_ms.saturating_add(AHEAD_MAX_MS)
    }

    /// `None` is a record that its sender wants to be ignored.
    fn settle(
        &self,
        outcome: Outcome,
        column_of: impl Fn(&str) -> Option<String>,
        made_id: impl FnOnce(&Event) -> String,
    ) -> Result<Option<Event>, Refusal> {
        let mut event = match outcome {
            Outcome::Accepted(accepted) => accepted.event,
            Outcome::Ignored => return Ok(None),
            Outcome::Rejected(rejected) => {
                let reason = match &rejected.fault {
                    Fault::TimeInvalid => TIME_INVALID.to_owned(),
                    fault => fault.reason().into_owned(),
                };
                return Err(Refusal { reason, column: column_of(&rejected.fault.field()) });
            }
        };
        if event.time == self.time_max() {
            if event.name != "$merge" {
                return Err(Refusal { reason: TIME_UNUSABLE.to_owned(), column: column_of("properties.time") });
            }
            // Merges have no time of their own.
            event.time = self.begun_ms;
        }
        if event.insert_id_generated {
            event.insert_id.clear();
            event.insert_id = made_id(&event);
            event.insert_id_generated = false;
        }
        Ok(Some(event))
    }
}

/// Events on their way into fragments.
#[derive(Default)]
struct Sorting {
    portion: Portion,
    /// The fragment that a bin's next event goes to.
    open: HashMap<Bin, usize>,
    last: Option<(Bin, usize)>,
}

impl Sorting {
    fn record(&mut self, event: Result<Option<Event>, Refusal>, place: impl FnOnce() -> Spot) {
        let tally = &mut self.portion.tally;
        tally.read += 1;
        match event {
            Ok(Some(event)) => {
                tally.events += 1;
                self.add(&event);
            }
            Ok(None) => tally.ignored += 1,
            Err(Refusal { reason, column }) => tally.reject(&reason, Spot { column, ..place() }),
        }
    }

    fn add(&mut self, event: &Event) {
        let bin = bin_of(event);
        let at = match self.last {
            Some((last, at)) if last == bin => at,
            _ => self.open.get(&bin).copied().unwrap_or(usize::MAX),
        };
        let at = match self.portion.fragments.get(at) {
            Some(fragment) if fragment.raw.len() < RAW_TARGET => at,
            _ => {
                self.portion.fragments.push(Fragment { bin, raw: Vec::new(), events: 0 });
                self.open.insert(bin, self.portion.fragments.len() - 1);
                self.portion.fragments.len() - 1
            }
        };
        self.last = Some((bin, at));
        if let Some(fragment) = self.portion.fragments.get_mut(at) {
            packed::append(&mut fragment.raw, event);
            fragment.events += 1;
        }
    }
}

fn bin_of(event: &Event) -> Bin {
    // Times are of 1971 or later and not after tomorrow.
    let day = i32::try_from(event.time.div_euclid(86_400_000)).unwrap_or(i32::MAX);
    let lane = (xxh3_64(event.distinct_id.as_bytes()) % u64::from(LANES)) as u8;
    Bin { day, lane }
}

fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest);
        let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after.get(1..).unwrap_or_default();
        Some(line)
    })
}

/// A flat record as a Mixpanel one; `None` when it is not flat either.
fn unflattened(text: &[u8]) -> Option<Vec<u8>> {
    let mut members: Map<String, Value> = serde_json::from_slice(text).ok()?;
    if members.contains_key("properties") {
        return None;
    }
    let event = members.shift_remove("event")?;
    for (flat, name) in RENAMED {
        if !members.contains_key(name)
            && let Some(value) = members.shift_remove(flat)
        {
            members.insert(name.to_owned(), value);
        }
    }
    serde_json::to_vec(&serde_json::json!({"event": event, "properties": members})).ok()
}

/// The same in every run over the same file, and another one for an equal record elsewhere in it.
fn made_id<'a>(source: &str, place: u64, parts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut hasher = Xxh3::new();
    hasher.update(&(source.len() as u64).to_le_bytes());
    hasher.update(source.as_bytes());
    hasher.update(&place.to_le_bytes());
    parts.for_each(|part| hasher.update(part));
    format!("{:032x}", hasher.digest128())
}

#[cfg(test)]
mod tests;
