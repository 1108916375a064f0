//! Which blocks are loaded together, and in which order: decided once, from the journal alone, so that every run of an
//! import makes the same batches with the same numbers.
//!
//! A *step* is one day, or several days in a row that are small together. Steps are loaded one after the other; within
//! one, each lane loads its batches in order, numbered from 1 through the whole import.

use super::Block;
use crate::commands::import::judge::LANES;

/// A batch is closed at this many events: enough that a log group costs little by the event, few enough that live
/// traffic gets its turn.
const BATCH_EVENTS: u64 = 8_192;
/// Unpacked: far below what a server holds of one project's requests.
const BATCH_BYTES: u64 = 8 << 20;
/// Days are put together up to this many events: a quiet decade does not cost a log group a day, and lanes seldom wait for
/// each other.
const STEP_EVENTS: u64 = 2 * BATCH_EVENTS * LANES as u64;

/// Some blocks of one lane, with the number under which they are applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    pub sequence: u64,
    pub step: usize,
    /// The last day in it.
    pub day: i32,
    pub events: u64,
    /// With the run that each is in.
    pub blocks: Vec<(u32, Block)>,
}

#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Batches of each lane in the order of their numbers.
    pub lanes: Vec<Vec<Batch>>,
    pub steps: usize,
    pub events: u64,
    /// First and last day.
    pub days: Option<(i32, i32)>,
}

impl Plan {
    /// `blocks` by run, in the order in which they were written.
    pub fn new(blocks: impl Iterator<Item = (u32, Block)>) -> Self {
        let mut blocks: Vec<(u32, Block)> = blocks.collect();
        blocks.sort_by_key(|(run, block)| (block.day, block.lane, *run, block.offset));
        let mut plan = Self { lanes: vec![Vec::new(); usize::from(LANES)], ..Self::default() };
        plan.days = blocks.first().zip(blocks.last()).map(|((_, first), (_, last))| (first.day, last.day));
        let mut step_events = 0;
        for day in blocks.chunk_by(|(_, a), (_, b)| a.day == b.day) {
            let events: u64 = day.iter().map(|(_, block)| u64::from(block.events)).sum();
            if step_events > 0 && step_events + events > STEP_EVENTS {
                plan.steps += 1;
                step_events = 0;
            }
            step_events += events;
            plan.events += events;
            for (run, block) in day {
                if let Some(lane) = plan.lanes.get_mut(usize::from(block.lane)) {
                    add(lane, plan.steps, *run, *block);
                }
            }
        }
        plan.steps += usize::from(step_events > 0);
        plan
    }
}

fn add(lane: &mut Vec<Batch>, step: usize, run: u32, block: Block) {
    let open = lane.last_mut().filter(|batch| {
        let bytes: u64 = batch.blocks.iter().map(|(_, block)| u64::from(block.raw)).sum();
        batch.step == step && batch.events < BATCH_EVENTS && bytes < BATCH_BYTES
    });
    if let Some(batch) = open {
        batch.day = block.day;
        batch.events += u64::from(block.events);
        batch.blocks.push((run, block));
        return;
    }
    let sequence = lane.len() as u64 + 1;
    lane.push(Batch { sequence, step, day: block.day, events: u64::from(block.events), blocks: vec![(run, block)] });
}
