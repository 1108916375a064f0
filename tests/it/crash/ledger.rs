//! What the clients know: which batches they sent, when, and what they heard. The independent truth of the crash tests.
//!
//! A batch is sent as *copies*, each of one version. A copy takes effect at some instant between its sending and its
//! answer. Where the answer is missing or says "later", it took effect in that time or not at all. A kill ends every copy
//! that is on its way: the process that could still apply it is gone.
//!
//! - L1 acked ⊆ visible: a batch with an acknowledged copy is there.
//! - L2 visible ⊆ sent: nothing is there that nobody sent.
//! - L3 latest wins: the version that is there is that of a copy which no acknowledged copy followed with certainty.
//! - L4 every arrival ends in one place: the visible copy and the rejected ones are together all acknowledged copies and
//!   perhaps some of the unanswered ones, each once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

pub type BatchId = u64;
pub type Version = u32;

/// A moment in the clients' own order of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(u64);

/// A copy on its way.
#[derive(Debug)]
pub struct Ticket {
    batch: BatchId,
    copy: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Pending,
    Acknowledged(Tick),
    /// No reply, or one that promises nothing: stored or not.
    Unknown(Tick),
}

#[derive(Clone, Debug)]
struct Sending {
    version: Version,
    sent: Tick,
    answer: Answer,
}

/// What a query shows of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visible {
    pub rows: u64,
    pub distinct_insert_ids: u64,
    /// The lowest and the highest version among its rows.
    pub versions: (Version, Version),
    /// The highest and lowest size that its rows claim for it.
    pub sizes: (u64, u64),
}

#[derive(Default)]
pub struct Ledger {
    now: u64,
    /// With its number of events.
    batches: BTreeMap<BatchId, (u64, Vec<Sending>)>,
    /// The same ids, for drawing one.
    ids: Vec<BatchId>,
}

impl Sending {
    fn acknowledged_by(&self, as_of: Tick) -> bool {
        matches!(self.answer, Answer::Acknowledged(at) if at <= as_of)
    }

    /// Whether it was over, one way or the other, before `other` was sent.
    fn ended_before(&self, other: &Self) -> bool {
        match self.answer {
            Answer::Pending => false,
            Answer::Acknowledged(at) | Answer::Unknown(at) => at < other.sent,
        }
    }
}

impl Ledger {
    /// This moment, after everything noted so far.
    pub fn now(&self) -> Tick {
        Tick(self.now)
    }

    /// Notes a copy before its first byte leaves.
    pub fn sends(&mut self, batch: BatchId, size: u64, version: Version) -> Ticket {
        let sent = self.tick();
        let (known, copies) = self.batches.entry(batch).or_insert_with(|| {
            self.ids.push(batch);
            (size, Vec::new())
        });
        assert_eq!(*known, size, "a batch keeps its size");
        copies.push(Sending { version, sent, answer: Answer::Pending });
        Ticket { batch, copy: copies.len() - 1 }
    }

    pub fn acknowledged(&mut self, ticket: &Ticket) {
        let at = self.tick();
        self.answer(ticket, Answer::Acknowledged(at));
    }

    /// The connection broke, or the server said that it could not.
    pub fn unanswered(&mut self, ticket: &Ticket) {
        let at = self.tick();
        self.answer(ticket, Answer::Unknown(at));
    }

    /// A batch that was sent before, with the version of one of its copies and the highest of all.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> Option<(BatchId, Version, Version)> {
        if self.ids.is_empty() {
            return None;
        }
        let id = self.ids[rng.random_range(0..self.ids.len())];
        let (_, copies) = &self.batches[&id];
        let version = copies[rng.random_range(0..copies.len())].version;
        let highest = copies.iter().map(|copy| copy.version).max()?;
        Some((id, version, highest))
    }

    /// Batches of which no copy was acknowledged, with the version to send again.
    pub fn unsettled(&self) -> Vec<(BatchId, Version)> {
        let settled = |copies: &[Sending]| copies.iter().any(|copy| matches!(copy.answer, Answer::Acknowledged(_)));
        let open = self.batches.iter().filter(|(_, (_, copies))| !settled(copies));
        open.filter_map(|(id, (_, copies))| Some((*id, copies.last()?.version))).collect()
    }

    pub fn batches(&self) -> usize {
        self.batches.len()
    }

    pub fn copies(&self) -> usize {
        self.batches.values().map(|(_, copies)| copies.len()).sum()
    }

    pub fn acknowledgements(&self) -> usize {
        let copies = self.batches.values().flat_map(|(_, copies)| copies);
        copies.filter(|copy| matches!(copy.answer, Answer::Acknowledged(_))).count()
    }

    /// Events of acknowledged copies.
    pub fn acknowledged_events(&self) -> u64 {
        let of_batch = |(size, copies): &(u64, Vec<Sending>)| {
            let acknowledged = copies.iter().filter(|copy| matches!(copy.answer, Answer::Acknowledged(_)));
            *size * acknowledged.count() as u64
        };
        self.batches.values().map(of_batch).sum()
    }

    /// What is wrong with an answer of the server to a question asked after `as_of` and answered by now (L1–L3).
    pub fn faults(&self, visible: &BTreeMap<BatchId, Visible>, as_of: Tick) -> Vec<String> {
        let mut faults = Vec::new();
        for (id, (size, copies)) in &self.batches {
            match visible.get(id) {
                None if copies.iter().any(|copy| copy.acknowledged_by(as_of)) => {
                    faults.push(format!("batch {id:x} was acknowledged and is gone: {copies:?}"));
                }
                None => {}
                Some(seen) => self.check(*id, *size, copies, seen, as_of, &mut faults),
            }
        }
        for id in visible.keys().filter(|id| !self.batches.contains_key(id)) {
            faults.push(format!("batch {id:x} was never sent"));
        }
        faults
    }

    fn check(&self, id: BatchId, size: u64, copies: &[Sending], seen: &Visible, as_of: Tick, faults: &mut Vec<String>) {
        let whole = (seen.rows, seen.distinct_insert_ids, seen.sizes) == (size, size, (size, size));
        if !whole {
            faults.push(format!("batch {id:x} of {size} events is not there whole and once: {seen:?}, {copies:?}"));
        }
        let possible = possible_versions(copies, as_of);
        let (low, high) = seen.versions;
        if low != high || !possible.contains(&high) {
            faults.push(format!("batch {id:x} may be of versions {possible:?} but shows {low}..={high}: {copies:?}"));
        }
    }

    /// What is wrong with where arrivals ended up (L4): for each batch the versions of its visible and rejected copies,
    /// with how often each was seen. All copies must have been answered.
    pub fn misplaced(&self, arrivals: &BTreeMap<BatchId, BTreeMap<Version, usize>>) -> Vec<String> {
        let mut faults = Vec::new();
        let none = BTreeMap::new();
        for (id, (_, copies)) in &self.batches {
            let seen = arrivals.get(id).unwrap_or(&none);
            let versions: BTreeSet<_> = copies.iter().map(|copy| copy.version).chain(seen.keys().copied()).collect();
            for version in versions {
                let of_version = || copies.iter().filter(|copy| copy.version == version);
                let certain = of_version().filter(|copy| matches!(copy.answer, Answer::Acknowledged(_))).count();
                let found = seen.get(&version).copied().unwrap_or(0);
                if found < certain || found > of_version().count() {
                    let mut fault = format!("batch {id:x} version {version} arrived {found} times, not ");
                    let _ = write!(fault, "{certain} to {}: {copies:?}", of_version().count());
                    faults.push(fault);
                }
            }
        }
        faults
    }

    fn tick(&mut self) -> Tick {
        self.now += 1;
        Tick(self.now)
    }

    fn answer(&mut self, ticket: &Ticket, answer: Answer) {
        let (_, copies) = self.batches.get_mut(&ticket.batch).expect("a ticket's batch was sent");
        let copy = &mut copies[ticket.copy];
        assert_eq!(copy.answer, Answer::Pending, "a copy is answered once");
        copy.answer = answer;
    }
}

/// Versions that may be the latest arrival's (L3).
fn possible_versions(copies: &[Sending], as_of: Tick) -> BTreeSet<Version> {
    let followed = |copy: &Sending| copies.iter().any(|later| later.acknowledged_by(as_of) && copy.ended_before(later));
    copies.iter().filter(|copy| !followed(copy)).map(|copy| copy.version).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One batch of three events, whole, in one version.
    fn shows(version: Version) -> BTreeMap<BatchId, Visible> {
        let whole = Visible { rows: 3, distinct_insert_ids: 3, versions: (version, version), sizes: (3, 3) };
        BTreeMap::from([(7, whole)])
    }

    fn faults(ledger: &Ledger, visible: &BTreeMap<BatchId, Visible>) -> usize {
        ledger.faults(visible, ledger.now()).len()
    }

    #[test]
    fn lost_and_invented_batches_are_faults_and_unanswered_ones_are_not() {
        let mut ledger = Ledger::default();
        let ticket = ledger.sends(7, 3, 0);
        assert_eq!((faults(&ledger, &BTreeMap::new()), faults(&ledger, &shows(0))), (0, 0), "on its way: either");
        ledger.unanswered(&ticket);
        assert_eq!((faults(&ledger, &BTreeMap::new()), faults(&ledger, &shows(0))), (0, 0), "no answer: either");
        let ticket = ledger.sends(7, 3, 0);
        let before = ledger.now();
        ledger.acknowledged(&ticket);
        assert_eq!(ledger.faults(&BTreeMap::new(), before).len(), 0, "asked before the acknowledgement");
        assert_eq!((faults(&ledger, &BTreeMap::new()), faults(&ledger, &shows(0))), (1, 0), "acknowledged: there");
        assert_eq!(faults(&Ledger::default(), &shows(0)), 1, "never sent");
    }

    #[test]
    fn a_part_of_a_batch_a_doubled_row_and_a_mixture_of_versions_are_faults() {
        let mut ledger = Ledger::default();
        for version in [0, 1] {
            let ticket = ledger.sends(7, 3, version);
            ledger.unanswered(&ticket);
        }
        let whole = shows(1)[&7].clone();
        for damaged in [
            Visible { rows: 2, distinct_insert_ids: 2, ..whole.clone() },
            Visible { rows: 4, ..whole.clone() },
            Visible { versions: (0, 1), ..whole.clone() },
            Visible { versions: (2, 2), ..whole },
        ] {
            assert_eq!(faults(&ledger, &BTreeMap::from([(7, damaged.clone())])), 1, "{damaged:?}");
        }
    }

    #[test]
    fn the_latest_acknowledged_version_wins_and_overlapping_ones_may() {
        let mut ledger = Ledger::default();
        let first = ledger.sends(7, 3, 0);
        ledger.acknowledged(&first);
        let second = ledger.sends(7, 3, 1);
        let third = ledger.sends(7, 3, 2);
        ledger.acknowledged(&third);
        let both = [0, 1, 2].map(|version| faults(&ledger, &shows(version)));
        assert_eq!(both, [1, 0, 0], "the second may still come after the third");
        ledger.unanswered(&second);
        let fourth = ledger.sends(7, 3, 3);
        ledger.acknowledged(&fourth);
        let last = [0, 1, 2, 3].map(|version| faults(&ledger, &shows(version)));
        assert_eq!(last, [1, 1, 1, 0], "the fourth was sent when all others were over");
        let fifth = ledger.sends(7, 3, 0);
        ledger.unanswered(&fifth);
        let after = [0, 1, 2, 3].map(|version| faults(&ledger, &shows(version)));
        assert_eq!(after, [0, 1, 1, 0], "an old version sent anew may have arrived");
    }

    #[test]
    fn each_acknowledged_arrival_is_found_once() {
        let mut ledger = Ledger::default();
        for version in [0, 0, 1] {
            let ticket = ledger.sends(7, 3, version);
            ledger.acknowledged(&ticket);
        }
        let ticket = ledger.sends(7, 3, 1);
        ledger.unanswered(&ticket);
        let misplaced = |zero: usize, one: usize| {
            ledger.misplaced(&BTreeMap::from([(7, BTreeMap::from([(0, zero), (1, one)]))])).len()
        };
        assert_eq!((misplaced(2, 1), misplaced(2, 2)), (0, 0));
        assert_eq!((misplaced(1, 1), misplaced(3, 1), misplaced(2, 0), misplaced(2, 3)), (1, 1, 1, 1));
    }
}
