//! Whether a text is one of a few.

use std::ops::Range;

use arrow::array::StringArray;

use super::kernels::{BLOCK, Bits, pack};

/// Places that a text may have in the table.
const PLACES: usize = 256;
/// Of as many texts, about the twelfth way to spread them that is tried gives each a place of its own.
const TEXTS_MAX: usize = 24;
const TRIES: u64 = 1_000;

/// Texts, each at a place of its own in a small table, so that one look tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TextSet {
    texts: Vec<String>,
    /// For each place which of the texts may be there, counted from 1.
    table: Vec<u8>,
    factor: u64,
}

impl TextSet {
    /// Absent if there are too many.
    pub(super) fn new(texts: Vec<&str>) -> Option<Self> {
        let mut texts: Vec<String> = texts.into_iter().map(str::to_owned).collect();
        texts.sort_unstable();
        texts.dedup();
        if texts.len() > TEXTS_MAX {
            return None;
        }
        let keys: Vec<u64> = texts.iter().map(|text| key(text.as_bytes())).collect();
        (0..TRIES).find_map(|nth| {
            // Odd, and with bits everywhere.
            let factor = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(2 * nth + 1);
            let mut table = vec![0; PLACES];
            for (number, key) in (1..).zip(&keys) {
                let place = table.get_mut(place(*key, factor))?;
                if *place != 0 {
                    return None;
                }
                *place = number;
            }
            Some(Self { texts: texts.clone(), table, factor })
        })
    }

    /// Of these rows, at most a block. Absent if the column is not what it says.
    pub(super) fn holds(&self, column: &StringArray, rows: &Range<usize>) -> Option<Bits> {
        let bytes = column.value_data();
        let offsets = column.value_offsets().get(rows.start..=rows.end)?;
        let mut held = [false; BLOCK];
        for ((from, to), held) in offsets.iter().zip(offsets.get(1..)?).zip(&mut held) {
            let (from, to) = (*from as usize, *to as usize);
            let text = bytes.get(from..to)?;
            // Reading eight bytes at once is quicker, if there are as many.
            let key = match bytes.get(from..from + 8).and_then(|eight| eight.first_chunk()) {
                Some(eight) => key_of(u64::from_le_bytes(*eight), text.len()),
                None => key(text),
            };
            let number = self.table.get(place(key, self.factor)).copied().unwrap_or(0);
            let candidate = usize::from(number).checked_sub(1).and_then(|number| self.texts.get(number));
            *held = candidate.is_some_and(|candidate| candidate.as_bytes() == text);
        }
        Some(pack(&held, |held| held))
    }
}

/// The first eight bytes and the length: it tells most texts apart that people put into a list.
fn key(text: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight.iter_mut().zip(text).for_each(|(into, byte)| *into = *byte);
    key_of(u64::from_le_bytes(eight), text.len())
}

fn key_of(eight: u64, length: usize) -> u64 {
    let kept = match length {
        0 => 0,
        1..8 => eight & (!0 >> (64 - 8 * length)),
        _ => eight,
    };
    kept ^ (length as u64).rotate_right(8)
}

fn place(key: u64, factor: u64) -> usize {
    (key.wrapping_mul(factor) >> 56) as usize
}

#[cfg(test)]
mod tests {
    use super::super::kernels::is_set;
    use super::*;

    #[test]
    fn only_what_is_in_the_set_is_held() {
        let words =
            ["", "a", "b", "aaaaaaa", "aaaaaaaa", "aaaaaaaab", "aaaaaaaac", "ä", "\0", "\0\0", "DE", "AT", "NL"];
        let column = StringArray::from_iter_values(words.iter().cycle().take(200));
        for picked in 0..1_u32 << words.len() {
            // Every so manieth, in any order.
            if picked % 37 != 0 {
                continue;
            }
            let set: Vec<&str> =
                words.iter().enumerate().filter(|(n, _)| picked >> n & 1 == 1).map(|(_, w)| *w).collect();
            let Some(texts) = TextSet::new(set.clone()) else {
                // The same length and beginning: no factor tells these apart.
                assert!(set.contains(&"aaaaaaaab") && set.contains(&"aaaaaaaac"), "{set:?}");
                continue;
            };
            let bits = texts.holds(&column, &(3..200)).unwrap();
            for row in 0..197 {
                let expected = set.contains(&column.value(row + 3));
                assert_eq!(is_set(&bits, row), expected, "{set:?} {row}");
            }
        }
        assert!(TextSet::new(vec!["x"; 100]).is_some() && TextSet::new(Vec::new()).is_some());
    }
}
