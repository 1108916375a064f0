//! Members of JSON objects: names are unique, and of a repeated name the last value counts, as in every JSON library
//! the clients use.

use std::collections::{HashMap, HashSet};

use footfall_model::Value;

/// The members of an object in the order sent.
pub(crate) type Members = Vec<(String, Value)>;

/// Leaves each name once: in its first place, with its last value.
pub(crate) fn keep_last(members: &mut Members) {
    if !has_repeat(members) {
        return;
    }
    let mut place: HashMap<String, usize> = HashMap::with_capacity(members.len());
    let mut kept: Members = Vec::with_capacity(members.len());
    for (name, value) in members.drain(..) {
        match place.get(&name).and_then(|&at| kept.get_mut(at)) {
            Some(slot) => slot.1 = value,
            None => {
                place.insert(name.clone(), kept.len());
                kept.push((name, value));
            }
        }
    }
    *members = kept;
}

/// Adds a member, or replaces the value of the one with this name.
pub(crate) fn put(members: &mut Members, name: &str, value: Value) {
    match members.iter_mut().find(|(n, _)| n == name) {
        Some(member) => member.1 = value,
        None => members.push((name.to_owned(), value)),
    }
}

/// Up to this many members a bit mask settles almost every name; above, it would be full.
const MASKED_MAX: usize = 32;

fn has_repeat(members: &[(String, Value)]) -> bool {
    if members.len() > MASKED_MAX {
        let mut seen = HashSet::with_capacity(members.len());
        return !members.iter().all(|(name, _)| seen.insert(name.as_str()));
    }
    let mut mask = 0u64;
    for (at, (name, _)) in members.iter().enumerate() {
        let bit = 1u64 << mask_bit(name);
        if mask & bit != 0 && members.iter().take(at).any(|(earlier, _)| earlier == name) {
            return true;
        }
        mask |= bit;
    }
    false
}

/// A weak hash that costs nothing: equal names have equal bits, that is all it promises.
fn mask_bit(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let end = |byte: Option<&u8>| u32::from(byte.copied().unwrap_or(0));
    (bytes.len() as u32 ^ end(bytes.last()).wrapping_mul(7) ^ end(bytes.get(1)).wrapping_mul(13)) & 63
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str], expect: &[(&str, i64)]) {
        let mut members: Vec<_> =
            names.iter().enumerate().map(|(i, n)| (n.to_string(), Value::Int(i as i64))).collect();
        keep_last(&mut members);
        let expect: Vec<_> = expect.iter().map(|(n, i)| (n.to_string(), Value::Int(*i))).collect();
        assert_eq!(members, expect);
    }

    #[test]
    fn the_last_value_of_a_name_counts_in_its_first_place() {
        check(&[], &[]);
        check(&["a", "b"], &[("a", 0), ("b", 1)]);
        check(&["a", "b", "a"], &[("a", 2), ("b", 1)]);
        check(&["", "", ""], &[("", 2)]);
    }

    #[test]
    fn many_members_are_deduplicated_alike() {
        let mut names: Vec<String> = (0..100).map(|i| format!("p{i}")).collect();
        names.push("p7".into());
        let mut members: Vec<_> = names.into_iter().zip((0..).map(Value::Int)).collect();
        keep_last(&mut members);
        assert_eq!(members.len(), 100);
        assert_eq!(members[7], ("p7".to_string(), Value::Int(100)));
    }

    #[test]
    fn putting_replaces_or_adds() {
        let mut members = vec![("a".to_string(), Value::Null)];
        put(&mut members, "a", Value::Int(1));
        put(&mut members, "b", Value::Int(2));
        assert_eq!(members, [("a".to_string(), Value::Int(1)), ("b".to_string(), Value::Int(2))]);
    }
}
