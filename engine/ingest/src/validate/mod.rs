//! Record → event, or the reason why not.
//!
//! The checks run in one order for everybody, so that a record with two faults always reports the same one: name,
//! properties, token, size, time, distinct_id, `$insert_id`, values. Strict import refuses what the other routes mend.
//!
//! | fault                        | strict import | elsewhere                         |
//! |------------------------------|---------------|-----------------------------------|
//! | no time                      | refused       | time of arrival                   |
//! | time > 1 h ahead             | refused       | time of arrival                   |
//! | denied distinct_id           | refused       | no user                           |
//! | denied user or device id     | refused       | as if absent                      |
//! | no `$insert_id`, or denied   | refused       | generated, never a duplicate      |
//! | malformed `$insert_id`       | refused       | replaced by its hash              |
//! | nested too deep              | refused       | deeper levels become JSON text    |
//! | list or object too long, big | refused       | the first elements that fit       |
//! | half of a surrogate pair     | refused       | U+FFFD                            |
//!
//! What was mended is told in [`Accepted::repairs`].
//!
//! Left out: what `$identify`, `$create_alias` and `$merge` do. Here they are events like any other.

mod draft;
pub(crate) mod fit;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use footfall_model::{Event, Value};
use serde::{Deserialize, Serialize};

use crate::decode::{Item, Properties};
use crate::fault::Fault;
use crate::ids::{IdSource, denied_id, hashed, truncate};
use crate::limits::{INSERT_ID_BYTES_MAX, PROPERTIES_MAX, RECORD_BYTES_MAX, TIME_AHEAD_MAX_MS, TIME_MIN_MS};
use crate::members::{Members, keep_last, put};
use crate::repairs::{Repair, Repairs};
use crate::time::{self, Given, Notation};
use draft::Draft;

/// How a project tells which ids are one user. Fixed once the project has data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MergeMode {
    /// `$user_id` and `$device_id` say it.
    #[default]
    Simplified,
    /// `$identify`, `$create_alias` and `$merge` say it.
    Original,
    /// Only `$create_alias`, and only for what comes after.
    Legacy,
}

impl fmt::Display for MergeMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Simplified => "simplified",
            Self::Original => "original",
            Self::Legacy => "legacy",
        })
    }
}

/// The text names no merge mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("merge mode must be simplified, original or legacy")]
pub struct UnknownMergeMode;

impl FromStr for MergeMode {
    type Err = UnknownMergeMode;

    fn from_str(text: &str) -> Result<Self, UnknownMergeMode> {
        match text {
            "simplified" => Ok(Self::Simplified),
            "original" => Ok(Self::Original),
            "legacy" => Ok(Self::Legacy),
            _ => Err(UnknownMergeMode),
        }
    }
}

/// The route a record came by. On `/track` the record itself must name its project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    Track,
    Import,
}

/// What the records of one request, for one project, are held to.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    pub route: Route,
    /// Refuse what could be mended. Only `/import` has it.
    pub strict: bool,
    pub merge: MergeMode,
    /// Time of arrival, milliseconds since the epoch.
    pub now_ms: i64,
    /// `/track` refuses events older than this. `None`: any age.
    pub track_window: Option<Duration>,
    /// The client's address, when it asked (`ip=1`) that events without an id be attributed to it.
    pub request_address: Option<&'a str>,
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Accepted(Accepted),
    /// The sender marked it `$ignore`: counts as accepted, is not stored.
    Ignored,
    Rejected(Rejected),
}

/// An event to store, and the token it carried.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    pub token: Option<String>,
    pub event: Event,
    /// What was changed to make it fit.
    pub repairs: Repairs,
}

/// A record that is not stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    pub fault: Fault,
    /// As sent, cut to 255 characters; empty where there was none.
    pub insert_id: String,
}

/// `$mp_api_endpoint` of events that did not bring their own: which service received them.
const API_ENDPOINT: &str = "footfall";

/// Judges one record. New ids come from `ids`.
pub fn validate(item: Item, rules: &Rules<'_>, ids: &IdSource) -> Outcome {
    let reject = |fault, insert_id| Outcome::Rejected(Rejected { fault, insert_id });
    let record = match item {
        Item::Record(record) => record,
        Item::NotAnObject => return reject(Fault::NotAnObject, String::new()),
        Item::Malformed => return reject(Fault::Malformed, String::new()),
    };
    let mut draft = Draft::new(record);
    match judge(&mut draft, rules, ids) {
        Ok(outcome) => outcome,
        Err(fault) => {
            let mut insert_id = draft.insert_id.take().unwrap_or_default();
            truncate(&mut insert_id);
            reject(fault, insert_id)
        }
    }
}

fn judge(draft: &mut Draft, rules: &Rules<'_>, ids: &IdSource) -> Result<Outcome, Fault> {
    let mut name = match draft.event.take() {
        Some(Value::Text(name)) if !name.trim().is_empty() => name,
        _ => return Err(Fault::EventMissing),
    };
    let mut properties = match std::mem::take(&mut draft.properties) {
        Properties::Members(members) => members,
        Properties::TooMany => return Err(Fault::TooManyProperties),
        Properties::Missing | Properties::NotAnObject => return Err(Fault::PropertiesMissing),
    };
    let token = draft.token.take();
    if rules.route == Route::Track && token.is_none() {
        return Err(Fault::TokenMissing);
    }
    if rules.route == Route::Track && name == "$merge" {
        return Err(Fault::MergeOnTrack);
    }
    if draft.ignore {
        return Ok(Outcome::Ignored);
    }
    if draft.bytes > RECORD_BYTES_MAX {
        return Err(Fault::TooBig);
    }
    if properties.len() > PROPERTIES_MAX {
        return Err(Fault::TooManyProperties);
    }
    if let Some(fault) = draft.broken_text.take() {
        // Elsewhere only half a surrogate pair gets here, and the character in its place tells of it well enough.
        if rules.strict {
            return Err(fault);
        }
        draft.repairs.note(Repair::TextMended);
    }
    let time = settle_time(draft, &name, rules)?;
    let distinct_id = attribute(draft, &name, rules)?;
    let (insert_id, insert_id_generated) = settle_insert_id(draft, &name, rules, ids)?;
    if truncate(&mut name) {
        draft.repairs.note(Repair::NameCut);
    }
    fit_properties(&mut properties, rules.strict, &mut draft.repairs)?;
    mark(&mut properties, rules.route);
    let event = Event { name, distinct_id, time, insert_id, insert_id_generated, properties };
    Ok(Outcome::Accepted(Accepted { token, event, repairs: draft.repairs }))
}

fn settle_time(draft: &mut Draft, name: &str, rules: &Rules<'_>) -> Result<i64, Fault> {
    let notation = if rules.strict { Notation::NumbersOnly } else { Notation::NumbersAndDates };
    let at = match time::read(draft.time.take().as_ref(), notation) {
        Given::At(at) => at,
        Given::Nothing if rules.strict && name != "$merge" => return Err(Fault::TimeInvalid),
        Given::Nothing => {
            draft.repairs.note(Repair::TimeMissing);
            return Ok(rules.now_ms);
        }
        Given::Nonsense => return Err(Fault::TimeInvalid),
    };
    if at > rules.now_ms {
        let ahead_ms = at.saturating_sub(rules.now_ms);
        if rules.strict && ahead_ms > TIME_AHEAD_MAX_MS {
            return Err(Fault::TimeOutOfRange);
        }
        draft.repairs.note(Repair::TimeAhead);
        draft.repairs.ahead_ms = ahead_ms;
        return Ok(rules.now_ms);
    }
    if let (Route::Track, Some(window)) = (rules.route, rules.track_window) {
        let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        if at < rules.now_ms.saturating_sub(window_ms) {
            return Err(Fault::TimeTooOld { days: window.as_secs() / 86_400 });
        }
    }
    if at < TIME_MIN_MS { Err(Fault::TimeOutOfRange) } else { Ok(at) }
}

/// The distinct_id at arrival. In simplified projects `$user_id`, then `$device_id`, override the one that was sent.
fn attribute(draft: &mut Draft, name: &str, rules: &Rules<'_>) -> Result<String, Fault> {
    let given = match draft.distinct_id.take() {
        Some(id) if denied_id(&id) && rules.strict => return Err(Fault::IdDenied("distinct_id")),
        Some(id) if denied_id(&id) => {
            draft.repairs.note(Repair::DistinctIdDenied);
            Some(String::new())
        }
        given => given,
    };
    if rules.merge == MergeMode::Simplified {
        if let Some(user) = usable(draft.user_id.take(), "$user_id", rules, &mut draft.repairs)? {
            return Ok(user);
        }
        if let Some(device) = usable(draft.device_id.take(), "$device_id", rules, &mut draft.repairs)? {
            return Ok(format!("$device:{device}"));
        }
    }
    if let Some(given) = given {
        return Ok(given);
    }
    if name == "$identify"
        && let Some(identified) = usable(draft.identified_id.take(), "$identified_id", rules, &mut draft.repairs)?
    {
        return Ok(identified);
    }
    if rules.strict && rules.merge != MergeMode::Simplified && name != "$merge" {
        return Err(Fault::DistinctIdMissing);
    }
    Ok(rules.request_address.map(hashed).unwrap_or_default())
}

/// An id that names somebody: not empty and not denied.
fn usable(
    id: Option<String>,
    property: &'static str,
    rules: &Rules<'_>,
    repairs: &mut Repairs,
) -> Result<Option<String>, Fault> {
    match id {
        Some(id) if denied_id(&id) => {
            if rules.strict {
                return Err(Fault::IdDenied(property));
            }
            repairs.note(Repair::IdDenied);
            Ok(None)
        }
        other => Ok(other.filter(|id| !id.is_empty())),
    }
}

fn settle_insert_id(draft: &mut Draft, name: &str, rules: &Rules<'_>, ids: &IdSource) -> Result<(String, bool), Fault> {
    let fault = match draft.insert_id.as_deref() {
        None => Some(Fault::InsertIdMissing),
        Some(id) if id.trim().is_empty() => Some(Fault::InsertIdMissing),
        Some(id) if !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => Some(Fault::InsertIdCharacters),
        Some(id) if id.len() > INSERT_ID_BYTES_MAX => Some(Fault::InsertIdTooLong),
        Some(id) if denied_id(id) => Some(Fault::InsertIdDenied),
        Some(_) => None,
    };
    match fault {
        None => return Ok((draft.insert_id.take().unwrap_or_default(), false)),
        Some(Fault::InsertIdMissing) if name == "$merge" => return Ok((ids.next_id(), true)),
        Some(fault) if rules.strict => return Err(fault),
        Some(Fault::InsertIdCharacters | Fault::InsertIdTooLong) => {
            let sent = draft.insert_id.take().unwrap_or_default();
            // Some denied values, like "[]", fail as malformed first; as hashes they would make strangers duplicates.
            if !denied_id(&sent) {
                draft.repairs.note(Repair::InsertIdHashed);
                return Ok((hashed(&sent), false));
            }
        }
        Some(_) => {}
    }
    draft.repairs.note(Repair::InsertIdMade);
    Ok((ids.next_id(), true))
}

fn fit_properties(properties: &mut Members, strict: bool, repairs: &mut Repairs) -> Result<(), Fault> {
    let mut cut = false;
    for (name, value) in properties.iter_mut() {
        cut |= truncate(name);
        match value {
            Value::Text(text) => {
                if truncate(text) {
                    repairs.note(Repair::TextCut);
                }
            }
            Value::List(_) | Value::Map(_) => {
                fit::container(value, strict, repairs).map_err(|misfit| Fault::of_container(misfit, name))?;
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {}
        }
    }
    if cut {
        repairs.note(Repair::NameCut);
        keep_last(properties);
    }
    Ok(())
}

/// Adds the properties that tell how an event came here.
fn mark(properties: &mut Members, route: Route) {
    if route == Route::Import {
        put(properties, "$import", Value::Bool(true));
    }
    if !properties.iter().any(|(name, _)| name == "$mp_api_endpoint") {
        properties.push(("$mp_api_endpoint".to_owned(), Value::Text(API_ENDPOINT.to_owned())));
    }
}
