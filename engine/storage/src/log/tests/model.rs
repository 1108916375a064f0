//! Any sequence of appends, releases, reopens and torn tails against a model that is a list.

use std::fs::OpenOptions;
use std::io::Write;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append {
        payloads: Vec<Vec<u8>>,
    },
    Release {
        back: u64,
    },
    Reopen,
    /// Garbage after the last record, as a cut in the middle of a write leaves it.
    CrashInWrite {
        garbage: Vec<u8>,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let payload = prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        6 => prop::collection::vec(payload, 1..6).prop_map(|payloads| Step::Append { payloads }),
        2 => (0..20_u64).prop_map(|back| Step::Release { back }),
        1 => Just(Step::Reopen),
        1 => prop::collection::vec(any::<u8>(), 1..100).prop_map(|garbage| Step::CrashInWrite { garbage }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_a_list_whose_front_can_be_released(steps in prop::collection::vec(step(), 1..20)) {
        let dir = TempDir::new().unwrap();
        let (mut log, _, _) = open(small(dir.path())).unwrap();
        let mut model: Vec<Owned> = Vec::new();
        let mut released = 0;
        for step in steps {
            match step {
                Step::Append { payloads } => {
                    for payload in payloads {
                        let lsn = model.len() as u64 + 1;
                        prop_assert_eq!(log.append(entry(&payload), ignore()).unwrap(), Lsn(lsn));
                        model.push(owned(lsn, &payload));
                    }
                }
                Step::Release { back } => {
                    let (tell, told) = mpsc::channel();
                    log.barrier(Box::new(move |outcome| tell.send(outcome.unwrap()).unwrap())).unwrap();
                    prop_assert_eq!(told.recv().unwrap(), Lsn(model.len() as u64));
                    released = released.max((model.len() as u64).saturating_sub(back));
                    log.release(Lsn(released)).unwrap();
                }
                Step::Reopen => {
                    log = reopen(log, dir.path(), &model, released)?;
                }
                Step::CrashInWrite { garbage } => {
                    log.close();
                    let last = segment_files(dir.path()).pop().unwrap();
                    OpenOptions::new().append(true).open(last).unwrap().write_all(&garbage).unwrap();
                    log = reopen(log, dir.path(), &model, released)?;
                }
            }
        }
        reopen(log, dir.path(), &model, released)?;
    }
}

fn reopen(log: Log, dir: &Path, model: &[Owned], released: u64) -> Result<Log, TestCaseError> {
    drop(log);
    let (log, recovery, found) = open(small(dir)).unwrap();
    prop_assert_eq!(recovery.next_lsn, Lsn(model.len() as u64 + 1));
    prop_assert!(recovery.oldest_lsn.0 <= released + 1, "a record that was not released is gone");
    prop_assert_eq!(&found[..], &model[recovery.oldest_lsn.0 as usize - 1..]);
    Ok(log)
}
