//! An event as the line of JSON that serde would make of it, several times as fast: most of that is copying texts, and
//! nearly no text has anything to escape.

use footfall_model::{Event, Value};
use serde::Serialize;

/// Appends the line of an event, without a line feed.
pub(super) fn write_event(line: &mut Vec<u8>, event: &Event) {
    let Event { name, distinct_id, time, insert_id, insert_id_generated, properties } = event;
    line.extend_from_slice(b"{\"name\":");
    write_text(line, name);
    line.extend_from_slice(b",\"distinct_id\":");
    write_text(line, distinct_id);
    line.extend_from_slice(b",\"time\":");
    write_json(line, time);
    line.extend_from_slice(b",\"insert_id\":");
    write_text(line, insert_id);
    line.extend_from_slice(b",\"insert_id_generated\":");
    write_json(line, insert_id_generated);
    line.extend_from_slice(b",\"properties\":[");
    for (nth, (name, value)) in properties.iter().enumerate() {
        line.extend_from_slice(if nth == 0 { b"[" } else { b",[" });
        write_text(line, name);
        line.push(b',');
        match value {
            Value::Text(text) => write_text(line, text),
            value => write_json(line, value),
        }
        line.push(b']');
    }
    line.extend_from_slice(b"]}");
}

fn write_text(line: &mut Vec<u8>, text: &str) {
    if !is_plain(text.as_bytes()) {
        return write_json(line, text);
    }
    line.push(b'"');
    line.extend_from_slice(text.as_bytes());
    line.push(b'"');
}

/// Whether a text stands in JSON as it is. Eight bytes at a time.
fn is_plain(text: &[u8]) -> bool {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    const TOP: u64 = EACH << 7;
    // Sets the top bit of some byte if one is below `limit`, which is at most 128; of none otherwise.
    let below = |word: u64, limit: u64| word.wrapping_sub(EACH * limit) & !word & TOP;
    let (words, rest) = text.as_chunks::<8>();
    let plain = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        let quotes = below(word ^ (EACH * u64::from(b'"')), 1);
        let backslashes = below(word ^ (EACH * u64::from(b'\\')), 1);
        below(word, 0x20) | quotes | backslashes == 0
    };
    words.iter().all(plain) && rest.iter().all(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\')
}

pub(super) fn write_json(line: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(line, value).expect("plain data with text keys always serialises into memory");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![any::<String>(), "[a-z\\\\\"\\x00-\\x20]{0,20}", "[a-zé ]{0,40}"]
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            proptest::num::f64::NORMAL.prop_map(Value::Float),
            text().prop_map(Value::Text),
            prop::collection::vec(text().prop_map(Value::Text), 0..3).prop_map(Value::List),
            prop::collection::vec((text(), any::<i64>().prop_map(Value::Int)), 0..3).prop_map(Value::Map),
        ]
    }

    proptest! {
        #[test]
        fn it_is_what_serde_writes(
            name in text(),
            distinct_id in text(),
            insert_id in text(),
            time: i64,
            insert_id_generated: bool,
            properties in prop::collection::vec((text(), value()), 0..6),
        ) {
            let event = Event { name, distinct_id, time, insert_id, insert_id_generated, properties };
            let mut line = Vec::new();
            write_event(&mut line, &event);
            prop_assert_eq!(line, serde_json::to_vec(&event).unwrap());
        }
    }

    #[test]
    fn every_byte_is_found_at_every_place() {
        for byte in 0..=255u8 {
            for place in 0..19 {
                let mut text = [b'a'; 19];
                text[place] = byte;
                assert_eq!(is_plain(&text), byte >= 0x20 && byte != b'"' && byte != b'\\', "byte={byte} place={place}");
            }
        }
    }
}
