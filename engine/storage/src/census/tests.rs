use std::sync::Arc;

use bytes::Bytes;
use footfall_model::{Event, Shard, StoredEvent, Uid, Value};

use super::*;
use crate::columns::{Catalog, ColumnBudget, to_batch};

const START: i64 = 1_700_000_000_000;

fn stored(i: usize, name: &str, properties: &[(&str, Value)]) -> StoredEvent {
    StoredEvent {
        event: Event {
            name: name.into(),
            distinct_id: "u".into(),
            time: START + i as i64,
            insert_id: format!("i{i}"),
            insert_id_generated: false,
            properties: properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        },
        uid: Uid::new(Shard(0), 1),
        received_at: i as i64,
    }
}

fn rows() -> Vec<StoredEvent> {
    let text = |text: &str| Value::Text(text.into());
    let list = Value::List(vec![Value::Int(1)]);
    vec![
        stored(0, "A", &[("p", Value::Int(1)), ("q", Value::Null)]),
        stored(1, "B", &[("p", text("x"))]),
        stored(2, "A", &[("p", Value::Int(2)), ("q", list)]),
        stored(3, "A", &[("p", Value::Int(3)), ("q", Value::Map(vec![]))]),
        stored(4, "C", &[]),
        stored(5, "B", &[("p", text(&"y".repeat(200)))]),
    ]
}

fn census(columns_max: usize, rows: &[StoredEvent], keeps: impl Fn(usize) -> bool) -> Census {
    let budget = ColumnBudget::of_live_rows(columns_max);
    let (batch, _) = to_batch(rows.iter(), &mut Arc::new(Catalog::default()), &budget).unwrap();
    Census::of(&batch, keeps).unwrap()
}

fn seen(rows: u64, first: i64, last: i64) -> Seen {
    Seen { rows, first: START + first, last: START + last }
}

#[test]
fn it_says_the_same_wherever_properties_are() {
    let all = census(256, &rows(), |_| true);
    assert_eq!(all.events["A"], seen(3, 0, 3));
    assert_eq!(all.events["C"], seen(1, 4, 4));
    let used = |property: &str, kind| &all.properties[&(property.to_owned(), kind)];
    assert_eq!(used("p", ValueType::Integer).by_event, BTreeMap::from([("A".to_owned(), seen(3, 0, 3))]));
    assert_eq!(used("p", ValueType::Integer).examples, ["1"]);
    assert_eq!(used("p", ValueType::String).by_event, BTreeMap::from([("B".to_owned(), seen(2, 1, 5))]));
    assert_eq!(used("q", ValueType::List).examples, ["[1]"]);
    assert_eq!(used("q", ValueType::Object).by_event["A"], seen(1, 3, 3));
    assert_eq!(used("q", ValueType::Null).by_event["A"], seen(1, 0, 0));
    assert_eq!(all.properties.len(), 5);
    for columns_max in 0..4 {
        assert_eq!(census(columns_max, &rows(), |_| true), all, "{columns_max} columns");
    }
}

#[test]
fn parts_add_up_and_survive_their_bytes() {
    let all = rows();
    let mut sum = census(1, &all[..2], |_| true);
    sum.add(census(2, &all[2..], |_| true));
    assert_eq!(sum.events, census(9, &all, |_| true).events);
    assert_eq!(sum.properties[&("p".to_owned(), ValueType::String)].by_event["B"], seen(2, 1, 5));
    assert_eq!(sum.properties[&("p".to_owned(), ValueType::String)].examples.len(), 2);
    assert!(sum.properties[&("p".to_owned(), ValueType::String)].examples[1].ends_with("yy…\""));
    assert_eq!(Census::decode(&Bytes::from(sum.encode())), Some(sum));
    assert_eq!(Census::decode(&Bytes::from_static(b"no census")), None);
}

#[test]
fn rows_left_out_leave_nothing() {
    let some = census(1, &rows(), |row| row == 1);
    assert_eq!(some.events.keys().collect::<Vec<_>>(), ["B"]);
    assert_eq!(some.properties.len(), 1);
}
