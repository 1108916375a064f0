use std::collections::BTreeMap;

use footfall_model::Event;
use proptest::prelude::*;

use super::*;
use crate::commands::import::judge::{Bin, Fragment, LANES};
use crate::packed;

fn event(number: usize, day: i32) -> Event {
    Event {
        name: format!("e{number}"),
        distinct_id: String::new(),
        time: i64::from(day) * 86_400_000,
        insert_id: number.to_string(),
        insert_id_generated: false,
        properties: Vec::new(),
    }
}

fn fragment(bin: Bin, events: &[Event]) -> Fragment {
    let mut raw = Vec::new();
    events.iter().for_each(|event| packed::append(&mut raw, event));
    Fragment { bin, raw, events: events.len() as u32 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Whatever the order in which days and checkpoints come, every bin's events come back once and in their order,
    /// days in theirs, and a lane's numbers without a gap.
    #[test]
    fn events_come_back_by_day_in_the_order_they_came(
        fragments in prop::collection::vec((0..40i32, 0..LANES, 1..2_000usize, any::<bool>()), 0..60),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(dir.path(), 1).unwrap();
        let mut expect: BTreeMap<(i32, u8), Vec<Event>> = BTreeMap::new();
        let (mut blocks, mut number) = (Vec::new(), 0);
        let mut checkpoint = |writer: &mut Writer| {
            let (run, of_run) = writer.checkpoint().unwrap();
            blocks.extend(of_run.into_iter().map(|block| (run, block)));
        };
        for (day, lane, count, end_run) in fragments {
            let events: Vec<Event> = (number..number + count).map(|number| event(number, day)).collect();
            number += count;
            writer.add(fragment(Bin { day, lane }, &events)).unwrap();
            expect.entry((day, lane)).or_default().extend(events);
            if end_run {
                checkpoint(&mut writer);
            }
        }
        checkpoint(&mut writer);

        let plan = Plan::new(blocks.into_iter());
        prop_assert_eq!(plan.events, number as u64);
        let mut reader = Reader::new(dir.path());
        let mut days_of_step: BTreeMap<usize, Vec<i32>> = BTreeMap::new();
        for (lane, batches) in plan.lanes.iter().enumerate() {
            let mut found = Vec::new();
            for (number, batch) in batches.iter().enumerate() {
                prop_assert_eq!(batch.sequence, number as u64 + 1);
                prop_assert!(batch.step < plan.steps);
                let events = packed::unpack(&reader.read(batch).unwrap()).unwrap();
                prop_assert_eq!(events.len() as u64, batch.events);
                days_of_step.entry(batch.step).or_default().extend(batch.blocks.iter().map(|(_, block)| block.day));
                found.extend(events);
            }
            let of_lane = expect.iter().filter(|((_, other), _)| usize::from(*other) == lane);
            prop_assert_eq!(found, of_lane.flat_map(|(_, events)| events.clone()).collect::<Vec<_>>());
        }
        let days: Vec<(i32, i32)> =
            days_of_step.values().map(|days| (*days.iter().min().unwrap(), *days.iter().max().unwrap())).collect();
        prop_assert!(days.windows(2).all(|pair| pair[0].1 < pair[1].0), "a step is over before the next begins: {:?}", days);
    }
}

#[test]
fn a_large_day_is_cut_into_batches_and_small_days_are_put_together() {
    let block = |day, lane, events| Block { day, lane, offset: 0, bytes: 1, raw: 1, events };
    let plan = Plan::new([(1, block(1, 0, 100)), (1, block(2, 1, 100)), (1, block(3, 0, 100_000))].into_iter());
    assert_eq!(plan.steps, 2);
    assert_eq!(plan.lanes[0].iter().map(|batch| (batch.sequence, batch.step)).collect::<Vec<_>>(), [(1, 0), (2, 1)]);
    assert_eq!(plan.lanes[1].len(), 1);
    let plan = Plan::new((0..100).map(|at| (1, Block { offset: at, ..block(7, 0, 1_300) })));
    assert_eq!((plan.steps, plan.lanes[0].len(), plan.days), (1, 15, Some((7, 7))));
}
