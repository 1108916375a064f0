//! A number for each (property, type): where its builder, its count or its column is.

use hashbrown::HashMap;

use super::PropertyType;

/// Asked for every value of every row: one look-up by name, then an array.
#[derive(Default)]
pub(crate) struct Slots {
    by_property: HashMap<String, [Option<usize>; PropertyType::ALL.len()]>,
}

impl Slots {
    pub fn has_property(&self, property: &str) -> bool {
        self.by_property.contains_key(property)
    }

    pub fn get(&self, property: &str, kind: PropertyType) -> Option<usize> {
        *self.by_property.get(property)?.get(kind as usize)?
    }

    pub fn insert(&mut self, property: &str, kind: PropertyType, slot: usize) {
        self.get_or_insert(property, kind, || slot);
    }

    pub fn get_or_insert(&mut self, property: &str, kind: PropertyType, make: impl FnOnce() -> usize) -> usize {
        let slots = match self.by_property.get_mut(property) {
            Some(slots) => slots,
            None => self.by_property.entry(property.to_owned()).or_default(),
        };
        *slots[kind as usize].get_or_insert_with(make)
    }
}
