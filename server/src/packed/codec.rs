//! One event as bytes.
//!
//! ```text
//! event = generated u8 | time | name | distinct_id | insert_id | count | (name, value) × count
//! value = tag u8 | nothing, an integer, 8 bytes of a double, a text, or count and parts
//! text  = length, UTF-8        lengths, counts, integers: LEB128, integers zigzag
//! ```
//!
//! Reading never trusts a length: what is not there is an error, and nothing is reserved beyond what is there.

use footfall_model::{Event, Value};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const TEXT: u8 = 5;
const LIST: u8 = 6;
const MAP: u8 = 7;

/// Validated values are nested four levels deep at most; a forged one must not exhaust the stack.
const DEPTH_MAX: usize = 64;

/// Writes an event behind what `out` holds.
pub fn append(out: &mut Vec<u8>, event: &Event) {
    // Taken apart by name, so that a field that is added to events cannot be forgotten here.
    let Event { name, distinct_id, time, insert_id, insert_id_generated, properties } = event;
    out.push(u8::from(*insert_id_generated));
    put_int(out, *time);
    put_text(out, name);
    put_text(out, distinct_id);
    put_text(out, insert_id);
    put_members(out, properties);
}

/// Reads exactly `count` events that fill `raw`.
pub(super) fn read_all(raw: &[u8], count: u32, events: &mut Vec<Event>) -> Option<()> {
    let mut input = Input(raw);
    events.reserve((count as usize).min(raw.len()));
    for _ in 0..count {
        events.push(input.event()?);
    }
    input.0.is_empty().then_some(())
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_int(out: &mut Vec<u8>, number: i64) {
    put_number(out, (number << 1 ^ number >> 63) as u64);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn put_members(out: &mut Vec<u8>, members: &[(String, Value)]) {
    put_number(out, members.len() as u64);
    for (name, value) in members {
        put_text(out, name);
        put_value(out, value);
    }
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(answer) => out.push(if *answer { TRUE } else { FALSE }),
        Value::Int(number) => {
            out.push(INT);
            put_int(out, *number);
        }
        Value::Float(number) => {
            out.push(FLOAT);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Value::Text(text) => {
            out.push(TEXT);
            put_text(out, text);
        }
        Value::List(items) => {
            out.push(LIST);
            put_number(out, items.len() as u64);
            for item in items {
                put_value(out, item);
            }
        }
        Value::Map(members) => {
            out.push(MAP);
            put_members(out, members);
        }
    }
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn event(&mut self) -> Option<Event> {
        let insert_id_generated = match self.byte()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Event {
            insert_id_generated,
            time: self.int()?,
            name: self.text()?,
            distinct_id: self.text()?,
            insert_id: self.text()?,
            properties: self.members(0)?,
        })
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn int(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// How many parts follow. Each takes a byte at least, so more than there are bytes is a lie.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    fn text(&mut self) -> Option<String> {
        let len = self.count()?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(std::str::from_utf8(text).ok()?.to_owned())
    }

    fn members(&mut self, depth: usize) -> Option<Vec<(String, Value)>> {
        let count = self.count()?;
        // A member takes two bytes here and 56 in memory: nothing large is reserved on a promise.
        let mut members = Vec::with_capacity(count.min(256));
        for _ in 0..count {
            members.push((self.text()?, self.value(depth)?));
        }
        Some(members)
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        Some(match self.byte()? {
            NULL => Value::Null,
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            INT => Value::Int(self.int()?),
            FLOAT => {
                let (bytes, rest) = self.0.split_first_chunk()?;
                self.0 = rest;
                let number = f64::from_le_bytes(*bytes);
                Value::Float(number.is_finite().then_some(number)?)
            }
            TEXT => Value::Text(self.text()?),
            LIST if depth < DEPTH_MAX => {
                let count = self.count()?;
                let mut items = Vec::with_capacity(count.min(256));
                for _ in 0..count {
                    items.push(self.value(depth + 1)?);
                }
                Value::List(items)
            }
            MAP if depth < DEPTH_MAX => Value::Map(self.members(depth + 1)?),
            _ => return None,
        })
    }
}
