use footfall_model::{Event, Uid, Value};
use proptest::prelude::*;

use super::*;
use crate::columns::ColumnBudget;
use crate::kept::{KeptBudget, KeptLimits};

const FOLLOWERS: usize = 3;

/// What may happen to live rows and to those who follow them, in any order.
#[derive(Clone, Debug)]
enum Step {
    Append {
        rows: usize,
    },
    /// The oldest blocks become durable.
    Publish {
        blocks: usize,
    },
    Seal,
    /// What is sealed is in segments from now on.
    Flush,
    /// A follower starts, at the end or after the row at this share of all that ever came.
    Follow {
        follower: usize,
        from: Option<f64>,
    },
    Look {
        follower: usize,
        rows_max: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1usize..30).prop_map(|rows| Step::Append { rows }),
        4 => (1usize..4).prop_map(|blocks| Step::Publish { blocks }),
        2 => Just(Step::Seal),
        1 => Just(Step::Flush),
        1 => (0..FOLLOWERS, prop::option::of(0.0..1.0)).prop_map(|(follower, from)| Step::Follow { follower, from }),
        4 => (0..FOLLOWERS, 1usize..40).prop_map(|(follower, rows_max)| Step::Look { follower, rows_max }),
    ]
}

/// The row number `n` of a project; arrival times leave gaps between rows.
fn row(n: u64) -> StoredEvent {
    let event = Event {
        name: "E".into(),
        distinct_id: format!("u{}", n % 5),
        time: n as i64,
        insert_id: n.to_string(),
        insert_id_generated: false,
        properties: vec![("n".into(), Value::Int(n as i64))],
    };
    StoredEvent { event, uid: Uid(n % 5 + 1), received_at: received_at(n) }
}

fn received_at(n: u64) -> i64 {
    1_000 + 10 * n as i64
}

struct Model {
    live: LiveRows,
    catalog: Arc<Catalog>,
    next_lsn: u64,
    blocks: VecDeque<Lsn>,
    visible: u64,
    appended: VecDeque<u64>,
    followers: [u64; FOLLOWERS],
}

impl Model {
    fn new(limits: KeptLimits) -> Self {
        Self {
            live: LiveRows::new(Kept::new(limits, KeptBudget::new(usize::MAX), 0)),
            catalog: Arc::default(),
            next_lsn: 1,
            blocks: VecDeque::new(),
            visible: 0,
            appended: VecDeque::new(),
            followers: [0; FOLLOWERS],
        }
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Append { rows } => {
                let first = self.live.next_position();
                let rows: Vec<_> = (first..first + *rows as u64).map(row).collect();
                self.appended.push_back(rows.len() as u64);
                self.live.append(Lsn(self.next_lsn), Arc::new(rows), 0);
                self.blocks.push_back(Lsn(self.next_lsn));
                self.next_lsn += 1;
            }
            Step::Publish { blocks } => {
                for _ in 0..*blocks {
                    let (Some(lsn), Some(rows)) = (self.blocks.pop_front(), self.appended.pop_front()) else { break };
                    self.live.publish(lsn);
                    self.visible += rows;
                }
            }
            Step::Seal => self.seal(),
            Step::Flush => {
                self.seal();
                self.live.drop_below(self.visible);
            }
            Step::Follow { follower, from: None } => self.followers[*follower] = self.live.visible_end(),
            Step::Follow { follower, from: Some(share) } => self.resume(*follower, *share),
            Step::Look { follower, rows_max } => self.look(*follower, *rows_max),
        }
        assert_eq!(self.live.visible_end(), self.visible);
        let held = self.live.tail.iter().chain(&self.live.pending).map(|b| b.rows.len()).sum::<usize>();
        let sealed = self.live.sealed.iter().map(|c| c.rows()).sum::<usize>();
        assert_eq!(self.live.len(), held + sealed);
        let unsealed = self.live.tail.iter().chain(&self.live.pending).map(|b| b.bytes).sum::<usize>();
        assert_eq!(self.live.unsealed_bytes, unsealed);
    }

    fn seal(&mut self) {
        let blocks = self.live.tail_below(u64::MAX);
        if !blocks.is_empty() {
            self.live.install(seal(&blocks, &mut self.catalog, &ColumnBudget::of_live_rows(2)).unwrap());
        }
    }

    /// A follower comes back that saw the row `n` last: it goes on with the next, unless that is gone.
    fn resume(&mut self, follower: usize, share: f64) {
        let n = (self.visible as f64 * share) as u64;
        if n >= self.visible {
            return;
        }
        let (position, complete) = self.live.position_after(received_at(n));
        assert!(position > n && position <= self.visible);
        assert!(!complete || position == n + 1, "a hole after row {n} that nobody is told of: {position}");
        assert!(complete || position > n + 1, "row {n} and all after it are held");
        self.followers[follower] = position;
    }

    fn look(&mut self, follower: usize, rows_max: usize) {
        let from = self.followers[follower];
        let Some(rows) = self.live.arrived(from, rows_max) else {
            // Who has missed everything hears of it with the next row.
            assert!(from == self.visible || self.held() == 0, "nothing is held back");
            return;
        };
        assert!(!rows.is_empty() && rows.len() <= rows_max && rows.first() >= from && rows.end() <= self.visible);
        for (position, seen) in rows.iter() {
            assert_eq!(seen.to_stored(), row(position), "V1");
        }
        let positions: Vec<u64> = rows.iter().map(|(position, _)| position).collect();
        assert_eq!(positions, (rows.first()..rows.end()).collect::<Vec<_>>(), "no hole within");
        if rows.first() > from {
            assert!(self.live.arrived(from, 1).is_some_and(|again| again.first() == rows.first()), "the oldest held");
            assert!(from < self.visible - self.held(), "only what is gone is skipped");
        }
        self.followers[follower] = rows.end();
    }

    /// Visible rows in memory.
    fn held(&self) -> u64 {
        let kept: usize = self.live.kept.chunks().map(|c| c.rows()).sum();
        let pending: usize = self.live.pending.iter().map(|b| b.rows.len()).sum();
        (kept + self.live.len() - pending) as u64
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn followers_see_every_row_once_and_know_what_they_miss(
        rows_max in prop_oneof![Just(0usize), 1usize..200],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut model = Model::new(KeptLimits { rows_max, bytes_max: usize::MAX });
        for step in &steps {
            model.run(step);
            let kept: usize = model.live.kept.chunks().map(|c| c.rows()).sum();
            prop_assert!(kept <= rows_max);
        }
        // With the next row everybody has seen, or knows to have missed, all before it.
        model.run(&Step::Append { rows: 1 });
        model.run(&Step::Publish { blocks: usize::MAX });
        for follower in 0..FOLLOWERS {
            while model.live.arrived(model.followers[follower], 7).is_some() {
                model.look(follower, 7);
            }
            prop_assert_eq!(model.followers[follower], model.visible);
        }
    }
}

#[test]
fn kept_rows_are_bounded_by_bytes_and_by_what_others_keep() {
    let chunk = {
        let mut model = Model::new(KeptLimits { rows_max: 0, bytes_max: 0 });
        model.run(&Step::Append { rows: 100 });
        model.run(&Step::Publish { blocks: 1 });
        seal(&model.live.tail_below(u64::MAX), &mut model.catalog, &ColumnBudget::of_live_rows(2)).unwrap()
    };
    let bytes = chunk.bytes();
    let budget = KeptBudget::new(bytes * 3);
    let limits = KeptLimits { rows_max: usize::MAX, bytes_max: bytes * 2 };
    let held = |kept: &Kept| kept.chunks().count();
    let (mut one, mut other) = (Kept::new(limits, budget.clone(), 0), Kept::new(limits, budget, 0));
    for _ in 0..3 {
        one.push(chunk.clone());
    }
    assert_eq!((held(&one), one.forgotten_received_at()), (2, received_at(99)));
    other.push(chunk.clone());
    other.push(chunk.clone());
    assert_eq!(
        (held(&other), other.forgotten_received_at()),
        (1, received_at(99)),
        "one project leaves room for another"
    );
    drop(one);
    other.push(chunk);
    assert_eq!(held(&other), 2, "room comes back");
}
