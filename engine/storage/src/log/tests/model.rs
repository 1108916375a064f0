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
    /// Some of the next writes fail half-way; the log goes on when it has seen the last of them fail.
    FailWrites {
        count: usize,
    },
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
        2 => (1..3_usize).prop_map(|count| Step::FailWrites { count }),
        1 => prop::collection::vec(any::<u8>(), 1..100).prop_map(|garbage| Step::CrashInWrite { garbage }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_a_list_whose_front_can_be_released(steps in prop::collection::vec(step(), 1..20)) {
        let dir = TempDir::new().unwrap();
        let options = small(dir.path());
        let faults = options.faults.clone();
        let (mut log, _, _) = open(options.clone()).unwrap();
        let mut model: Vec<Owned> = Vec::new();
        let mut released = 0;
        for step in steps {
            match step {
                Step::Append { payloads } => {
                    let (tell, told) = mpsc::channel();
                    for payload in payloads {
                        let tell = tell.clone();
                        let on_durable = Box::new(move |outcome: Result<Lsn, _>| tell.send(outcome.ok()).unwrap());
                        match log.append(entry(&payload), on_durable) {
                            Ok(lsn) => if told.recv().unwrap() == Some(lsn) {
                                model.push(owned(lsn.0, &payload));
                            },
                            Err(error) => prop_assert!(is_stall(&error), "{error:?}"),
                        }
                        prop_assert_eq!(model.last().map_or(0, |last| last.0), model.len() as u64);
                    }
                }
                Step::FailWrites { count } => {
                    faults.fail_writes(count);
                }
                Step::Release { back } => {
                    let (tell, told) = mpsc::channel();
                    faults.fail_writes(0);
                    let ask = || {
                        let tell = tell.clone();
                        log.barrier(Box::new(move |outcome| tell.send(outcome.unwrap()).unwrap()))
                    };
                    // Nothing enters for the instant in which callers hear of a failure.
                    while ask().is_err() {
                        std::thread::yield_now();
                    }
                    prop_assert_eq!(told.recv().unwrap(), Lsn(model.len() as u64));
                    released = released.max((model.len() as u64).saturating_sub(back));
                    log.release(Lsn(released)).unwrap();
                }
                Step::Reopen => {
                    faults.fail_writes(0);
                    log = reopen(log, &options, &model, released)?;
                }
                Step::CrashInWrite { garbage } => {
                    log.close();
                    let last = segment_files(dir.path()).pop().unwrap();
                    OpenOptions::new().append(true).open(last).unwrap().write_all(&garbage).unwrap();
                    faults.fail_writes(0);
                    log = reopen(log, &options, &model, released)?;
                }
            }
        }
        reopen(log, &options, &model, released)?;
    }
}

fn is_stall(error: &LogError) -> bool {
    matches!(error, LogError::Stalled { .. })
}

fn reopen(log: Log, options: &LogOptions, model: &[Owned], released: u64) -> Result<Log, TestCaseError> {
    drop(log);
    let (log, recovery, found) = open(options.clone()).unwrap();
    prop_assert_eq!(recovery.next_lsn, Lsn(model.len() as u64 + 1));
    prop_assert!(recovery.oldest_lsn.0 <= released + 1, "a record that was not released is gone");
    prop_assert_eq!(&found[..], &model[recovery.oldest_lsn.0 as usize - 1..]);
    Ok(log)
}
