use footfall_model::Value;
use proptest::prelude::*;

use super::*;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        proptest::num::f64::NORMAL.prop_map(Value::Float),
        ".{0,12}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec((".{0,4}", inner), 0..4).prop_map(Value::Map),
        ]
    })
}

fn event() -> impl Strategy<Value = Event> {
    let properties = prop::collection::vec((".{0,8}", value()), 0..6);
    let parts = (".{1,9}", ".{0,9}", any::<i64>(), "[a-z0-9-]{0,36}", any::<bool>(), properties);
    parts.prop_map(|(name, distinct_id, time, insert_id, insert_id_generated, properties)| Event {
        name,
        distinct_id,
        time,
        insert_id,
        insert_id_generated,
        properties,
    })
}

fn block(events: &[Event]) -> Vec<u8> {
    let mut raw = Vec::new();
    events.iter().for_each(|event| append(&mut raw, event));
    Packer::new().unwrap().block(&raw, events.len() as u32).unwrap()
}

proptest! {
    #[test]
    fn events_come_back_from_one_block_or_several(
        first in prop::collection::vec(event(), 0..8),
        second in prop::collection::vec(event(), 0..8),
    ) {
        let blocks = [block(&first), block(&second)].concat();
        let events = [first, second].concat();
        let mut raw = Vec::new();
        events.iter().for_each(|event| append(&mut raw, event));
        prop_assert_eq!(raw_len(&blocks), Ok(raw.len()));
        prop_assert_eq!(unpack(&blocks).unwrap(), events);
    }

    /// A flipped bit in the bytes is found; one in a length or a count is an error or, at worst, no block at all.
    #[test]
    fn damage_is_an_error(events in prop::collection::vec(event(), 1..5), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = block(&events);
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        prop_assert!(unpack(&bytes).is_err(), "byte {}", at);
    }

    #[test]
    fn a_cut_block_is_an_error(events in prop::collection::vec(event(), 1..5), at in any::<prop::sample::Index>()) {
        let bytes = block(&events);
        let at = 1 + at.index(bytes.len() - 1);
        prop_assert!(unpack(&bytes[..at]).is_err());
    }

    /// Behind a right checksum, whatever the bytes: no panic, and no more memory than the bytes account for.
    #[test]
    fn forged_events_are_an_error_or_events(raw in prop::collection::vec(any::<u8>(), 0..200), count in 0..5u32) {
        let forged = Packer::new().unwrap().block(&raw, count).unwrap();
        if let Ok(events) = unpack(&forged) {
            prop_assert_eq!(events.len() as u32, count);
        }
    }
}

#[test]
fn depth_is_bounded() {
    let mut deep = Value::Null;
    for _ in 0..100 {
        deep = Value::List(vec![deep]);
    }
    let event = Event {
        name: "A".into(),
        distinct_id: String::new(),
        time: 0,
        insert_id: String::new(),
        insert_id_generated: false,
        properties: vec![("p".into(), deep)],
    };
    assert_eq!(unpack(&block(&[event])), Err(PackedError::Events));
}
