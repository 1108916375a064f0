//! The envelope of events: a batch, a record, and which of its members matter.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::value::{Precision, Tally, ValueSeed, read_members};
use super::{Item, Properties, Reading, Record};
use crate::limits::PROPERTIES_READ_MAX;

/// Takes the members of an object; what they become, and what other JSON becomes, is the reader's business.
pub(crate) trait ObjectReader: Sized {
    type Output;

    fn object<'de, A: MapAccess<'de>>(self, map: A) -> Result<Self::Output, A::Error>;

    /// What JSON of another type becomes.
    fn other(self) -> Self::Output;
}

/// Reads one element of a request.
pub(crate) trait ItemReader: ObjectReader + Copy {
    /// A reader that watches for U+FFFD if asked to, because the text was mended.
    fn new(watch: bool) -> Self;

    /// What a line of NDJSON becomes that is no JSON.
    fn malformed() -> Self::Output;

    /// Bytes of an item as compact JSON, about; 0 for what is no object.
    fn bytes(item: &Self::Output) -> usize;
}

/// Reads one object or an array of items. Anything else is an error, like a batch that is too long.
pub(super) struct BatchSeed<'f, 'r, R> {
    pub reader: R,
    pub too_many: &'f mut bool,
    pub reading: &'f mut Reading<'r>,
}

impl<'de, R: ItemReader> DeserializeSeed<'de> for BatchSeed<'_, '_, R> {
    type Value = Vec<R::Output>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, R: ItemReader> Visitor<'de> for BatchSeed<'_, '_, R> {
    type Value = Vec<R::Output>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(vec![self.reader.object(map)?])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(ObjectSeed { reader: self.reader })? {
            if items.len() == self.reading.records_max {
                *self.too_many = true;
                return Err(A::Error::custom("too many records"));
            }
            self.reading.advance(R::bytes(&item));
            items.push(item);
        }
        Ok(items)
    }
}

/// Reads one value of whatever type.
pub(super) struct ObjectSeed<R> {
    pub reader: R,
}

impl<'de, R: ObjectReader> DeserializeSeed<'de> for ObjectSeed<R> {
    type Value = R::Output;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, R: ObjectReader> Visitor<'de> for ObjectSeed<R> {
    type Value = R::Output;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.reader.object(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        // Not `IgnoredAny`, which would not mind how deep it goes.
        let mut tally = Tally::default();
        ValueSeed { tally: &mut tally, precision: Precision::Double }.visit_seq(seq)?;
        Ok(self.reader.other())
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(self.reader.other())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(self.reader.other())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(self.reader.other())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(self.reader.other())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(self.reader.other())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(self.reader.other())
    }
}

/// Reads events.
#[derive(Clone, Copy)]
pub(super) struct RecordReader {
    watch: bool,
}

impl ObjectReader for RecordReader {
    type Output = Item;

    fn object<'de, A: MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
        Ok(Item::Record(read_record(map, self.watch)?))
    }

    fn other(self) -> Item {
        Item::NotAnObject
    }
}

impl ItemReader for RecordReader {
    fn new(watch: bool) -> Self {
        Self { watch }
    }

    fn malformed() -> Item {
        Item::Malformed
    }

    fn bytes(item: &Item) -> usize {
        match item {
            Item::Record(record) => record.bytes,
            Item::NotAnObject | Item::Malformed => 0,
        }
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
                record.properties =
                    map.next_value_seed(ObjectSeed { reader: PropertiesReader { tally: &mut tally } })?;
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

    fn object<'de, A: MapAccess<'de>>(self, map: A) -> Result<Properties, A::Error> {
        let (members, more) = read_members(map, self.tally, PROPERTIES_READ_MAX, precision_of)?;
        Ok(if more { Properties::TooMany } else { Properties::Members(members) })
    }

    fn other(self) -> Properties {
        Properties::NotAnObject
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
