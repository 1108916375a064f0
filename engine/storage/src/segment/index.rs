//! Which rows of a segment belong to which event name.

use std::ops::Range;

use arrow::array::{Array, AsArray};

/// Event names in ascending order with the rows that hold them, contiguous from row 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EventIndex {
    /// Name and the row after its last.
    entries: Vec<(String, u64)>,
}

impl EventIndex {
    /// Key of the index in the Parquet footer.
    pub const FOOTER_KEY: &'static str = "footfall.event_index";

    /// The index of a sorted column of names.
    pub fn of_sorted(names: &dyn Array) -> Self {
        let mut index = Self::default();
        index.append_sorted(names);
        index
    }

    /// Adds the rows that follow: a sorted column of names, none below the last one.
    pub fn append_sorted(&mut self, names: &dyn Array) {
        for (end, name) in (self.total() + 1..).zip(names.as_string::<i32>()) {
            let name = name.unwrap_or_default();
            match self.entries.last_mut() {
                Some((last, last_end)) if last == name => *last_end = end,
                _ => self.entries.push((name.to_owned(), end)),
            }
        }
    }

    pub fn to_json(&self) -> String {
        // A list of strings and numbers always serialises.
        serde_json::to_string(&self.entries).unwrap_or_default()
    }

    pub fn from_json(text: &str) -> Option<Self> {
        let entries: Vec<(String, u64)> = serde_json::from_str(text).ok()?;
        let ordered = entries.windows(2).all(|w| matches!(w, [a, b] if a.0 < b.0 && a.1 < b.1));
        ordered.then_some(Self { entries })
    }

    /// The rows of one event, if it occurs.
    pub fn rows(&self, event: &str) -> Option<Range<usize>> {
        let at = self.entries.binary_search_by(|(name, _)| name.as_str().cmp(event)).ok()?;
        let start = at.checked_sub(1).and_then(|before| self.entries.get(before)).map_or(0, |(_, end)| *end);
        let end = self.entries.get(at)?.1;
        Some(start as usize..end as usize)
    }

    /// All names with their rows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.entries.iter().scan(0u64, |start, (name, end)| {
            let rows = *start as usize..*end as usize;
            *start = *end;
            Some((name.as_str(), rows))
        })
    }

    /// Total rows.
    pub fn total(&self) -> u64 {
        self.entries.last().map_or(0, |(_, end)| *end)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::*;

    #[test]
    fn ranges_are_contiguous_and_found_by_name() {
        let mut index = EventIndex::of_sorted(&StringArray::from(vec!["A", "A", "B", "D"]));
        index.append_sorted(&StringArray::from(vec!["D", "D"]));
        assert_eq!(index.rows("A"), Some(0..2));
        assert_eq!(index.rows("B"), Some(2..3));
        assert_eq!(index.rows("C"), None);
        assert_eq!(index.rows("D"), Some(3..6));
        assert_eq!(index.total(), 6);
        assert_eq!(EventIndex::from_json(&index.to_json()).as_ref(), Some(&index));
        assert_eq!(EventIndex::from_json(r#"[["B",3],["A",4]]"#), None);
    }
}
