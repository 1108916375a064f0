//! From lines to validated events.
//!
//! Two kinds of records are understood: Mixpanel's (`{"event","properties":{…}}`, also what its raw export gives) and flat
//! ones, as generators and warehouses write them. A flat record is turned into the first kind and judged by the same rules.

use std::io;

use footfall_ingest::{Damage, Fault, Form, IdSource, Item, MergeMode, Outcome, Route, Rules, decode, validate};
use footfall_model::Event;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::Xxh3;

use super::batch::{BYTES_MAX, Batch, EVENTS_MAX, key};
use super::files::{Source, unreadable};
use super::lines::{Content, Line, Lines};
use super::tally::Tally;
use crate::commands::CommandError;
use crate::config::ImportFormat;

/// Flat names of what Mixpanel writes with a dollar.
const RENAMED: [(&str, &str); 3] = [("insert_id", "$insert_id"), ("user_id", "$user_id"), ("device_id", "$device_id")];
/// How far ahead of us a file's clock may be. Its times are kept as they are: what `/import` does, setting the time of
/// arrival, would give another time in each run, and so another event.
const AHEAD_MAX_MS: i64 = 86_400_000;
const TIME_UNUSABLE: &str = "time, missing or more than a day in the future";
const LINE_TOO_LONG: &str = "data, record too big";

pub struct Reader {
    format: ImportFormat,
    merge: MergeMode,
    /// The latest time that is taken; validation gives it to what has a later one, or none.
    time_max: i64,
    ids: IdSource,
    tally: Tally,
}

impl Reader {
    pub fn new(format: ImportFormat, merge: MergeMode, now_ms: i64) -> Self {
        Self {
            format,
            merge,
            time_max: now_ms.saturating_add(AHEAD_MAX_MS),
            ids: IdSource::random(),
            tally: Tally::default(),
        }
    }

    /// Reads all files and gives each full batch to `send`, which answers whether to go on.
    pub fn read(mut self, sources: Vec<Source>, mut send: impl FnMut(Batch) -> bool) -> Result<Tally, CommandError> {
        let mut before = 0;
        for source in sources {
            let failed = |e: io::Error| unreadable(&source.path, &e);
            let mut lines = Lines::open(&source.path).map_err(failed)?;
            let (mut events, mut bytes) = (Vec::new(), 0);
            while let Some(line) = lines.next_line().map_err(failed)? {
                if let Content::Text(text) = &line.content {
                    bytes += text.len();
                }
                events.extend(self.event(&source.name, &line));
                if events.len() >= EVENTS_MAX || bytes >= BYTES_MAX {
                    bytes = 0;
                    if !send(batch(std::mem::take(&mut events), before + lines.consumed())) {
                        return Ok(self.tally);
                    }
                }
            }
            before += source.bytes;
            if !events.is_empty() && !send(batch(events, before)) {
                return Ok(self.tally);
            }
        }
        Ok(self.tally)
    }

    /// The event of a line, if it holds a good one; the tally knows what else it was.
    fn event(&mut self, source: &str, line: &Line<'_>) -> Option<Event> {
        let text = match line.content {
            Content::Text(text) if text.trim_ascii().is_empty() => return None,
            Content::Text(text) => text,
            Content::TooLong => {
                self.tally.read += 1;
                self.tally.reject(LINE_TOO_LONG);
                return None;
            }
        };
        self.tally.read += 1;
        match self.judge(text) {
            Outcome::Accepted(accepted) if accepted.event.time == self.time_max => {
                self.tally.reject(TIME_UNUSABLE);
                None
            }
            Outcome::Accepted(accepted) => {
                let mut event = accepted.event;
                if event.insert_id_generated {
                    event.insert_id = made_id(source, line.offset, text);
                    event.insert_id_generated = false;
                }
                Some(event)
            }
            Outcome::Ignored => {
                self.tally.ignored += 1;
                None
            }
            Outcome::Rejected(rejected) => {
                self.tally.reject(&rejected.fault.reason());
                None
            }
        }
    }

    fn judge(&self, text: &[u8]) -> Outcome {
        let outcome = self.validate(text);
        match &outcome {
            Outcome::Rejected(rejected)
                if self.format == ImportFormat::Ndjson && rejected.fault == Fault::PropertiesMissing =>
            {
                unflattened(text).map_or(outcome, |text| self.validate(&text))
            }
            _ => outcome,
        }
    }

    fn validate(&self, text: &[u8]) -> Outcome {
        let rules = Rules {
            route: Route::Import,
            strict: false,
            merge: self.merge,
            now_ms: self.time_max,
            track_window: None,
            request_address: None,
        };
        let item = decode(text, Form::Ndjson, Damage::Report).ok().and_then(|items| items.into_iter().next());
        validate(item.unwrap_or(Item::Malformed), &rules, &self.ids)
    }
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

/// The same in every run over the same file, and another one for an equal line elsewhere in it.
fn made_id(source: &str, offset: u64, text: &[u8]) -> String {
    let mut hasher = Xxh3::new();
    hasher.update(&(source.len() as u64).to_le_bytes());
    hasher.update(source.as_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(text);
    format!("{:032x}", hasher.digest128())
}

fn batch(events: Vec<Event>, position: u64) -> Batch {
    let keys = events.iter().map(key).collect();
    Batch { events, keys, position }
}

#[cfg(test)]
mod tests;
