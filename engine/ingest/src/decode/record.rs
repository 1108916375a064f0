//! The envelope of events: a batch, a record, and which of its members matter.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::value::{Precision, Tally, ValueSeed, read_members};
use super::{Item, Properties, Record};
use crate::limits::{PROPERTIES_READ_MAX, RECORDS_MAX};

/// Reads one object or an array of items. Anything else is an error, like a batch that is too long.
pub(super) struct BatchSeed<'f> {
    pub watch: bool,
    pub too_many: &'f mut bool,
}

impl<'de> DeserializeSeed<'de> for BatchSeed<'_> {
    type Value = Vec<Item>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Item>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BatchSeed<'_> {
    type Value = Vec<Item>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<Item>, A::Error> {
        Ok(vec![Item::Record(read_record(map, self.watch)?)])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Item>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(ItemSeed { watch: self.watch })? {
            if items.len() == RECORDS_MAX {
                *self.too_many = true;
                return Err(A::Error::custom("too many records"));
            }
            items.push(item);
        }
        Ok(items)
    }
}

/// Reads one element of a batch, of whatever type.
pub(super) struct ItemSeed {
    pub watch: bool,
}

impl<'de> DeserializeSeed<'de> for ItemSeed {
    type Value = Item;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Item, D::Error> {
        let watch = self.watch;
        let record = deserializer.deserialize_any(ObjectSeed { read: RecordReader { watch } })?;
        Ok(record.map_or(Item::NotAnObject, Item::Record))
    }
}

/// Takes the members of an object; what they become is the reader's business.
trait ObjectReader {
    type Output;

    fn read<'de, A: MapAccess<'de>>(self, map: A) -> Result<Self::Output, A::Error>;
}

/// Reads an object with `read`, and any other value as `None`.
struct ObjectSeed<R> {
    read: R,
}

impl<'de, R: ObjectReader> DeserializeSeed<'de> for ObjectSeed<R> {
    type Value = Option<R::Output>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, R: ObjectReader> Visitor<'de> for ObjectSeed<R> {
    type Value = Option<R::Output>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.read.read(map).map(Some)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        // Not `IgnoredAny`, which would not mind how deep it goes.
        let mut tally = Tally::default();
        ValueSeed { tally: &mut tally, precision: Precision::Double }.visit_seq(seq)?;
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}

struct RecordReader {
    watch: bool,
}

impl ObjectReader for RecordReader {
    type Output = Record;

    fn read<'de, A: MapAccess<'de>>(self, map: A) -> Result<Record, A::Error> {
        read_record(map, self.watch)
    }
}

fn read_record<'de, A: MapAccess<'de>>(mut map: A, watch: bool) -> Result<Record, A::Error> {
    let mut tally = Tally { watch, ..Tally::default() };
    let mut record = Record::default();
    while let Some(key) = map.next_key_seed(KeySeed { tally: &mut tally })? {
        match key {
            Key::Event => {
                let precision = Precision::Double;
                record.event = Some(map.next_value_seed(ValueSeed { tally: &mut tally, precision })?);
            }
            Key::Properties => {
                let reader = PropertiesReader { tally: &mut tally };
                record.properties =
                    map.next_value_seed(ObjectSeed { read: reader })?.unwrap_or(Properties::NotAnObject);
            }
            // Read as a value, not skipped: it counts towards the size, and deep nesting has to be found anywhere.
            Key::Ignore | Key::Other => {
                record.ignore |= matches!(key, Key::Ignore);
                map.next_value_seed(ValueSeed { tally: &mut tally, precision: Precision::Double })?;
            }
        }
    }
    record.bytes = tally.bytes + 2;
    record.damaged = tally.damaged;
    Ok(record)
}

struct PropertiesReader<'t> {
    tally: &'t mut Tally,
}

impl ObjectReader for PropertiesReader<'_> {
    type Output = Properties;

    fn read<'de, A: MapAccess<'de>>(self, map: A) -> Result<Properties, A::Error> {
        let (members, more) = read_members(map, self.tally, PROPERTIES_READ_MAX, precision_of)?;
        Ok(if more { Properties::TooMany } else { Properties::Members(members) })
    }
}

/// Properties that name somebody keep every digit.
fn precision_of(name: &str) -> Precision {
    match name {
        "distinct_id" | "$user_id" | "$device_id" | "$insert_id" | "$identified_id" | "$anon_id"
        | "$anon_distinct_id" | "$distinct_ids" | "alias" => Precision::Exact,
        _ => Precision::Double,
    }
}

/// The members of a record that mean something.
enum Key {
    Event,
    Properties,
    Ignore,
    Other,
}

struct KeySeed<'t> {
    tally: &'t mut Tally,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Key, E> {
        // Not `text`: a damaged name that nobody reads is no fault of the event.
        self.tally.bytes += name.len() + 3;
        Ok(match name {
            "event" => Key::Event,
            "properties" => Key::Properties,
            "$ignore" => Key::Ignore,
            _ => Key::Other,
        })
    }
}
