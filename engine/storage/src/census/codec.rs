//! A census as bytes: JSON, compressed. Events are named once; times count from the first of them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Census, PropertyUse, Seen, ValueType};
use crate::columns::decompressed;

#[derive(Serialize, Deserialize)]
struct Encoded {
    base: i64,
    events: Vec<(String, Counted)>,
    properties: Vec<(String, ValueType, Vec<String>, Vec<(usize, Counted)>)>,
}

/// Rows, and the times of the first and last of them.
type Counted = (u64, i64, i64);

impl Census {
    /// Key of its place in the Parquet footer.
    pub(crate) const FOOTER_KEY: &'static str = "footfall.census";

    pub(crate) fn encode(&self) -> Vec<u8> {
        let base = self.events.values().map(|seen| seen.first).min().unwrap_or_default();
        let counted = |seen: &Seen| (seen.rows, seen.first - base, seen.last - base);
        let names: Vec<&String> = self.events.keys().collect();
        let by_number = |used: &PropertyUse| {
            let by_event = used.by_event.iter();
            by_event.filter_map(|(name, seen)| Some((names.binary_search(&name).ok()?, counted(seen)))).collect()
        };
        let encoded = Encoded {
            base,
            events: self.events.iter().map(|(name, seen)| (name.clone(), counted(seen))).collect(),
            properties: self
                .properties
                .iter()
                .map(|((name, kind), used)| (name.clone(), *kind, used.examples.clone(), by_number(used)))
                .collect(),
        };
        // Texts and numbers always serialise, and compressing into memory does not fail.
        let json = serde_json::to_vec(&encoded).unwrap_or_default();
        zstd::bulk::compress(&json, 3).unwrap_or_default()
    }

    /// The census of [`Self::encode`]'s bytes; `None` if they are not one.
    pub(crate) fn decode(bytes: &Bytes) -> Option<Self> {
        let encoded: Encoded = serde_json::from_slice(&decompressed(bytes)?).ok()?;
        let seen = |(rows, first, last): Counted| Seen {
            rows,
            first: encoded.base.saturating_add(first),
            last: encoded.base.saturating_add(last),
        };
        let name = |number: usize| encoded.events.get(number).map(|(name, _)| name.clone());
        let mut census = Self::default();
        for (property, kind, examples, by_event) in &encoded.properties {
            let by_event = by_event.iter().map(|(number, counted)| Some((name(*number)?, seen(*counted))));
            let used = PropertyUse { by_event: by_event.collect::<Option<_>>()?, examples: examples.clone() };
            census.properties.insert((property.clone(), *kind), used);
        }
        census.events = encoded.events.iter().map(|(name, counted)| (name.clone(), seen(*counted))).collect();
        Some(census)
    }
}
