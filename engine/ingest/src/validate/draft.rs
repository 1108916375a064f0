//! A record taken apart: what becomes a column of its own on one side, the remaining properties on the other.

use footfall_model::Value;

use crate::decode::{Properties, Record, is_broken, is_broken_text};
use crate::fault::Fault;
use crate::ids::{id_text, truncate};
use crate::repairs::Repairs;

/// A record while it is judged. Each part is taken out as it is settled.
#[derive(Default)]
pub(super) struct Draft {
    pub event: Option<Value>,
    pub token: Option<String>,
    pub time: Option<Value>,
    pub distinct_id: Option<String>,
    /// Whole, however long: a hash of its beginning would make different events duplicates.
    pub insert_id: Option<String>,
    pub user_id: Option<String>,
    pub device_id: Option<String>,
    pub identified_id: Option<String>,
    pub ignore: bool,
    pub bytes: usize,
    pub broken_text: Option<Fault>,
    pub repairs: Repairs,
    /// What is left of them.
    pub properties: Properties,
}

impl Draft {
    pub fn new(record: Record) -> Self {
        let broken_text = if record.damaged { broken_text(&record) } else { None };
        let Record { event, mut properties, ignore, bytes, .. } = record;
        let mut draft = Self { event, ignore, bytes, broken_text, ..Self::default() };
        if let Properties::Members(members) = &mut properties {
            members.retain_mut(|(name, value)| !draft.takes(name, value));
        }
        draft.properties = properties;
        draft
    }

    /// Notes what a property says about the event. Tells whether that was its only purpose.
    fn takes(&mut self, name: &str, value: &mut Value) -> bool {
        match name {
            "token" => {
                self.token = match std::mem::replace(value, Value::Null) {
                    Value::Text(token) if !token.is_empty() => Some(token),
                    _ => None,
                }
            }
            "time" => self.time = Some(std::mem::replace(value, Value::Null)),
            "distinct_id" => self.distinct_id = short_id(std::mem::replace(value, Value::Null)),
            "$insert_id" => self.insert_id = id_text(std::mem::replace(value, Value::Null)),
            "$ignore" => self.ignore = true,
            // `ip` served its purpose; `bucket` is reserved upstream and hidden from every answer; the last one is
            // made from the time of arrival on export, and comes back when an export is imported again.
            "ip" | "bucket" | "$bucket" | "mp_processing_time_ms" => {}
            "$user_id" => {
                self.user_id = short_id(value.clone());
                return false;
            }
            "$device_id" => {
                self.device_id = short_id(value.clone());
                return false;
            }
            "$identified_id" => {
                self.identified_id = short_id(value.clone());
                return false;
            }
            _ => return false,
        }
        true
    }
}

/// An id, cut like the property it came from, so that both stay the same text.
fn short_id(value: Value) -> Option<String> {
    let mut id = id_text(value)?;
    truncate(&mut id);
    Some(id)
}

/// The first place that holds text which was not Unicode.
fn broken_text(record: &Record) -> Option<Fault> {
    if record.event.as_ref().is_some_and(is_broken) {
        return Some(Fault::NameNotUtf8);
    }
    let Properties::Members(members) = &record.properties else { return None };
    let (name, _) = members.iter().find(|(name, value)| is_broken_text(name) || is_broken(value))?;
    let mut name = name.clone();
    truncate(&mut name);
    Some(Fault::NotUtf8(name))
}
