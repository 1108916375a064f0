//! What is sent at a time.

use std::collections::HashMap;

use footfall_model::Event;
use xxhash_rust::xxh3::Xxh3;

/// As many as one request of the API may hold.
pub const EVENTS_MAX: usize = 2000;
/// Bytes of lines in one batch; a quarter of what the server takes, since its form is longer than the file's.
pub const BYTES_MAX: usize = 16 << 20;

#[derive(Debug)]
pub struct Batch {
    pub events: Vec<Event>,
    /// [`key`] of each event.
    pub keys: Vec<u64>,
    /// Bytes of all files read up to the end of this batch, as they are on disk.
    pub position: u64,
}

/// A number that is equal for versions of one event: same name, sender, time and insert id.
pub fn key(event: &Event) -> u64 {
    let mut hasher = Xxh3::new();
    for text in [&event.name, &event.distinct_id, &event.insert_id] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.update(&event.time.to_le_bytes());
    hasher.digest()
}

/// Keys on their way, with how often.
#[derive(Default)]
pub struct Keys(HashMap<u64, u32>);

impl Keys {
    pub fn intersects(&self, keys: &[u64]) -> bool {
        keys.iter().any(|key| self.0.contains_key(key))
    }

    pub fn insert_all(&mut self, keys: &[u64]) {
        for key in keys {
            *self.0.entry(*key).or_default() += 1;
        }
    }

    pub fn remove_all(&mut self, keys: &[u64]) {
        for key in keys {
            if let Some(count) = self.0.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(key);
                }
            }
        }
    }
}
