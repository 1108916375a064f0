//! Which keys a segment can hold: a binary fuse filter over the 64-bit halves of its event keys.
//!
//! It lies within the segment's own file, between the last row group and the footer, and an entry of the footer says
//! where:
//!
//! ```text
//! "PAR1" row groups │ filter │ page indexes, footer { footfall.key_filter: {"offset","bytes","crc32c"} } "PAR1"
//!                   └ descriptor (20 bytes), then one byte a fingerprint: 1.1 to 1.3 bytes a key
//! ```
//!
//! So it comes and goes with the segment, in one object under one checksum, and nobody pays for it who does not want
//! it: other engines read what the footer lists as columns, and our own scans read footers by their length from the
//! end. In the footer itself it would be read by everyone who opens the file, at four thirds of its size; beside the
//! file it would be one more object to write, and to lose to an engine that deletes what the table does not list.
//!
//! A filter only says no for certain. 1 in 256 strangers passes it.

use bytes::Bytes;
use parquet::file::metadata::KeyValue;
use serde::{Deserialize, Serialize};
use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable, Filter, FilterRef};

const DESCRIPTOR_BYTES: usize = BinaryFuse8::DESCRIPTOR_LEN;

/// The keys that a segment can hold.
pub struct KeyFilter {
    descriptor: [u8; DESCRIPTOR_BYTES],
    fingerprints: Bytes,
}

/// Where a file's filter is, as its footer says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterPlace {
    pub offset: u64,
    pub bytes: u64,
    pub crc32c: u32,
}

impl FilterPlace {
    /// The place among a footer's entries, under a key.
    pub fn of(entries: Option<&Vec<KeyValue>>, key: &str) -> serde_json::Result<Option<Self>> {
        let entry = entries.into_iter().flatten().find(|entry| entry.key == key);
        entry.and_then(|entry| entry.value.as_deref()).map(serde_json::from_str).transpose()
    }

    /// Its bytes in a file that is in memory, if they are sound.
    pub fn bytes_in<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        let start = usize::try_from(self.offset).ok()?;
        let end = start.checked_add(usize::try_from(self.bytes).ok()?)?;
        file.get(start..end).filter(|bytes| crc32c::crc32c(bytes) == self.crc32c)
    }

    /// Key of the place in the Parquet footer.
    pub const FOOTER_KEY: &'static str = "footfall.key_filter";
}

impl KeyFilter {
    /// The bytes of the filter of these hashes, which are ascending; none if there are no hashes. `None` if no filter
    /// could be made of them, which is possible and does not happen.
    pub fn encode(hashes: &[u64]) -> Option<Vec<u8>> {
        let mut distinct = hashes.to_vec();
        distinct.dedup();
        if distinct.is_empty() {
            return Some(Vec::new());
        }
        let filter = BinaryFuse8::try_from(&distinct).ok()?;
        let mut bytes = vec![0; DESCRIPTOR_BYTES];
        filter.dma_copy_descriptor_to(&mut bytes);
        bytes.extend_from_slice(filter.dma_fingerprints());
        Some(bytes)
    }

    /// The filter of [`Self::encode`]'s bytes; `None` if they are not one.
    pub fn decode(bytes: Bytes) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self { descriptor: [0; DESCRIPTOR_BYTES], fingerprints: bytes });
        }
        let descriptor: [u8; DESCRIPTOR_BYTES] = bytes.get(..DESCRIPTOR_BYTES)?.try_into().ok()?;
        let fingerprints = bytes.slice(DESCRIPTOR_BYTES..);
        // seed 8 │ segment length 4 │ its mask 4 │ length of all segments but the last two 4: lookups index by these.
        let number = |at: usize| Some(u32::from_le_bytes(descriptor.get(at..at + 4)?.try_into().ok()?));
        let (length, mask, count_length) = (number(8)?, number(12)?, number(16)?);
        let fits = length.is_power_of_two()
            && mask == length - 1
            && count_length % length == 0
            && u64::from(count_length) + 2 * u64::from(length) == fingerprints.len() as u64;
        fits.then_some(Self { descriptor, fingerprints })
    }

    /// Whether the key may be there.
    pub fn may_hold(&self, hash: u64) -> bool {
        !self.fingerprints.is_empty() && BinaryFuse8Ref::from_dma(&self.descriptor, &self.fingerprints).contains(&hash)
    }

    /// Memory it takes.
    pub fn bytes(&self) -> usize {
        DESCRIPTOR_BYTES + self.fingerprints.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    fn hashes(count: u64) -> Vec<u64> {
        let mut hashes: Vec<u64> = (0..count).map(|i| xxh3_64(&i.to_le_bytes())).collect();
        hashes.sort_unstable();
        hashes
    }

    #[test]
    fn every_key_passes_and_few_strangers_do() {
        for count in [0, 1, 2, 3, 10, 100, 1_000, 50_000] {
            let keys = hashes(count);
            let filter = KeyFilter::decode(KeyFilter::encode(&keys).unwrap().into()).unwrap();
            assert!(keys.iter().all(|key| filter.may_hold(*key)), "{count} keys");
            let strangers = (0..20_000u64).filter(|i| filter.may_hold(xxh3_64(&(i + (1 << 40)).to_le_bytes()))).count();
            assert!(strangers < 200, "{strangers} of 20000 pass a filter of {count} keys");
        }
        let mut twice = hashes(100);
        twice.extend(hashes(100));
        twice.sort_unstable();
        assert!(KeyFilter::encode(&twice).is_some(), "a hash that two keys share is no obstacle");
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let bytes = KeyFilter::encode(&hashes(500)).unwrap();
        for cut in 1..bytes.len() {
            assert!(KeyFilter::decode(Bytes::copy_from_slice(&bytes[..cut])).is_none(), "cut={cut}");
        }
        for at in 8..DESCRIPTOR_BYTES {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(KeyFilter::decode(damaged.into()).is_none(), "at={at}");
        }
    }
}
