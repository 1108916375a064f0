//! Records of `/engage` and `/groups`: decoded, and held to the form that a profile's operations have.
//!
//! What an operation does to a profile is decided where profiles live. Here a record gets the one spelling that the
//! engine keeps, so that nobody behind this has to know what clients send:
//!
//! - `$increment` is `$add`; a scalar in `$union` is a list of one; `$unset` is a list of names; `$delete` is `""`.
//! - ids are texts, and stand in the target alone. `$token`, and `$ip`, which served its purpose, are gone, as is every
//!   key that means nothing.
//! - members of an operation named like the envelope's keys (`$distinct_id`, `$token`) are gone.

mod decode;
mod fault;
mod operation;

#[cfg(test)]
mod tests;

use footfall_model::{ProfileTarget, ProfileUpdate, Value};

pub use decode::{ProfileItem, ProfileRecord, decode, decode_in_slices};
pub use fault::ProfileFault;

use crate::ids::{id_text, truncate};
use crate::limits::{PROFILE_PROPERTIES_MAX, RECORD_BYTES_MAX};
use crate::members::Members;
use crate::time::{self, Given, Notation};

/// Whose profiles a route changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `/engage`
    People,
    /// `/groups`
    Groups,
}

/// A record that changes no profile.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectedProfile {
    pub fault: ProfileFault,
    /// `$distinct_id` or `$group_id` as sent, cut to 255 characters; empty where there was none.
    pub id: String,
}

/// Judges one record. `strict` refuses what is nested too deep, where otherwise deep levels become text.
pub fn validate(item: ProfileItem, subject: Subject, strict: bool) -> Result<ProfileUpdate, RejectedProfile> {
    let reject = |fault| Err(RejectedProfile { fault, id: String::new() });
    let record = match item {
        ProfileItem::Record(record) => record,
        ProfileItem::NotAnObject => return reject(ProfileFault::NotAnObject),
        ProfileItem::Malformed => return reject(ProfileFault::Malformed),
    };
    let id = record.member(subject.id_key()).and_then(|value| short_id(value.clone())).unwrap_or_default();
    judge(record, subject, strict).map_err(|fault| RejectedProfile { fault, id })
}

fn judge(record: ProfileRecord, subject: Subject, strict: bool) -> Result<ProfileUpdate, ProfileFault> {
    // First, because not all of such a record was kept.
    if record.bytes > RECORD_BYTES_MAX {
        return Err(ProfileFault::TooBig);
    }
    if record.token().is_none() {
        return Err(ProfileFault::TokenMissing);
    }
    let id_of = |key: &'static str| {
        let id = record.member(key).and_then(|value| short_id(value.clone()));
        id.filter(|id| !id.trim().is_empty()).ok_or(ProfileFault::IdMissing(key))
    };
    let target = match subject {
        Subject::People => ProfileTarget::Person { distinct_id: id_of("$distinct_id")? },
        Subject::Groups => ProfileTarget::Group { key: id_of("$group_key")?, id: id_of("$group_id")? },
    };
    // Elsewhere only half a surrogate pair gets here, and the character in its place tells of it well enough.
    if strict && let Some(place) = record.broken_text() {
        return Err(ProfileFault::NotUtf8(place));
    }
    let mut envelope = Members::new();
    let mut operations = 0;
    let mut properties = 0;
    for (name, value) in record.members {
        if let Some(operation) = operation::named(&name) {
            let (operand, named) = operation.normalized(value, strict)?;
            operations += 1;
            properties += named;
            push_operation(&mut envelope, operation.name(), operand);
        } else if let Some(value) = kept(&name, value) {
            envelope.push((name, value));
        }
    }
    if operations == 0 {
        return Err(ProfileFault::NoOperation);
    }
    if properties > PROFILE_PROPERTIES_MAX {
        return Err(ProfileFault::TooManyProperties);
    }
    Ok(ProfileUpdate { target, record: Value::Map(envelope) })
}

/// Adds an operation. `$add` beside `$increment` are one, and of a property that is in both the later counts, as it does
/// in one object.
fn push_operation(envelope: &mut Members, name: &'static str, operand: Value) {
    match envelope.iter_mut().find(|(n, _)| n == name) {
        Some((_, Value::Map(members))) => {
            if let Value::Map(more) = operand {
                members.extend(more);
                crate::members::keep_last(members);
            }
        }
        Some(_) => {}
        None => envelope.push((name.to_owned(), operand)),
    }
}

/// What the envelope says beside ids and operations, where it says something.
fn kept(name: &str, value: Value) -> Option<Value> {
    match (name, &value) {
        ("$time", _) if matches!(time::read(Some(&value), Notation::NumbersAndDates), Given::At(_)) => Some(value),
        ("$ignore_time" | "$ignore_alias", _) => truth(&value).then_some(Value::Bool(true)),
        ("$latitude" | "$longitude", Value::Int(_) | Value::Float(_)) => Some(value),
        _ => None,
    }
}

/// Flags come as JSON's, and as the numbers and texts of older clients.
fn truth(value: &Value) -> bool {
    match value {
        Value::Bool(answer) => *answer,
        Value::Int(number) => *number != 0,
        Value::Text(text) => text.eq_ignore_ascii_case("true") || text == "1",
        _ => false,
    }
}

fn short_id(value: Value) -> Option<String> {
    let mut id = id_text(value)?;
    truncate(&mut id);
    Some(id)
}

impl Subject {
    /// The envelope's key that names the profile.
    pub fn id_key(self) -> &'static str {
        match self {
            Self::People => "$distinct_id",
            Self::Groups => "$group_id",
        }
    }
}
