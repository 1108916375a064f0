//! L10: a disk that takes no more, and takes more again later.

use std::time::Duration;

use super::*;

type Outcome = Result<Lsn, LogError>;

fn append(log: &Log, payload: &[u8]) -> mpsc::Receiver<Outcome> {
    let (tell, told) = mpsc::channel();
    log.append(entry(payload), Box::new(move |outcome| tell.send(outcome).unwrap())).unwrap();
    told
}

fn barrier(log: &Log) -> mpsc::Receiver<Outcome> {
    let (tell, told) = mpsc::channel();
    log.barrier(Box::new(move |outcome| tell.send(outcome).unwrap())).unwrap();
    told
}

/// Waits until the log takes entries, and appends one.
fn append_when_it_goes_on(log: &Log, payload: &[u8]) -> Lsn {
    let (tell, told) = mpsc::channel();
    loop {
        let tell = tell.clone();
        match log.append(entry(payload), Box::new(move |outcome| tell.send(outcome).unwrap())) {
            Ok(_) => return told.recv_timeout(Duration::from_secs(60)).unwrap().unwrap(),
            Err(LogError::Stalled { .. }) => std::thread::yield_now(),
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn is_full(outcome: Outcome) -> bool {
    matches!(outcome, Err(LogError::Stalled { source }) if matches!(*source, Stall::DiskFull { .. }))
}

#[test]
fn a_group_that_fails_takes_everything_behind_it_along_and_its_lsns_are_given_anew() {
    let dir = TempDir::new().unwrap();
    let options = small(dir.path());
    let faults = options.faults.clone();
    let (log, _, _) = open(options).unwrap();
    append_durable(&log, entry(b"before"));
    let go = hold_thread(&log);
    let earlier = barrier(&log);
    // More than one group of 256 bytes: the second one is still queued when the first one fails.
    let failing: Vec<_> = (0..4).map(|_| append(&log, &[7; 100])).collect();
    let behind = barrier(&log);
    faults.fail_writes(1);
    go.send(()).unwrap();
    assert_eq!(earlier.recv().unwrap().unwrap(), Lsn(2), "what a barrier before the group waits for is durable");
    assert!(failing.into_iter().all(|told| is_full(told.recv().unwrap())));
    assert!(is_full(behind.recv().unwrap()), "a barrier behind the group waits for entries that failed");

    assert_eq!(append_when_it_goes_on(&log, b"after"), Lsn(3));
    let bytes = log.bytes();
    drop(log);
    let on_disk: u64 = segment_files(dir.path()).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert_eq!(bytes, on_disk, "nothing is left of what failed");
    let (_, recovery, found) = open(small(dir.path())).unwrap();
    assert_eq!(found, [owned(1, b"before"), owned(2, b"hold"), owned(3, b"after")]);
    assert_eq!(recovery.truncated_tail_bytes, 0);
}

#[test]
fn nothing_enters_while_callers_hear_of_their_failure_and_barriers_enter_afterwards() {
    let dir = TempDir::new().unwrap();
    let options = LogOptions::new(dir.path());
    let faults = options.faults.clone();
    let (log, _, _) = open(options).unwrap();
    let log = Arc::new(log);
    let go = hold_thread(&log);
    let reserved = log.try_reserve(1).unwrap();
    let waiting = log.try_reserve(1).unwrap();
    let (tell, told) = mpsc::channel();
    let within = Arc::clone(&log);
    let on_durable = move |outcome: Outcome| {
        // Neither blocks: the gate is asked before the queue's room.
        let entered = [
            reserved.append(entry(b"rests on what failed"), ignore()).is_ok(),
            waiting.barrier(ignore()).is_ok(),
            within.try_reserve(1).is_ok(),
        ];
        tell.send((outcome, entered)).unwrap();
    };
    log.append(entry(b"fails"), Box::new(on_durable)).unwrap();
    // This failure, and the looks of the next seconds.
    faults.fail_writes(1_000);
    go.send(()).unwrap();
    let (outcome, entered) = told.recv().unwrap();
    assert!(is_full(outcome));
    assert_eq!(entered, [false; 3]);
    while !matches!(log.stall().as_deref(), Some(Stall::DiskFull { .. })) {
        std::thread::yield_now();
    }
    let (tell, told) = mpsc::channel();
    // The gate turns from closed to half open right after the last callback.
    while log
        .barrier(Box::new({
            let tell = tell.clone();
            move |outcome| tell.send(outcome).unwrap()
        }))
        .is_err()
    {
        std::thread::yield_now();
    }
    assert_eq!(told.recv().unwrap().unwrap(), Lsn(1), "all that is in the log is durable");
    assert!(matches!(log.append(entry(b"late"), ignore()), Err(LogError::Stalled { .. })));
    assert!(matches!(log.try_reserve(1), Err(LogError::Stalled { .. })));
    faults.fail_writes(0);
    assert_eq!(append_when_it_goes_on(&log, b"on"), Lsn(2));
}

#[test]
fn a_segment_that_cannot_be_begun_leaves_no_file() {
    let dir = TempDir::new().unwrap();
    let (log, _, _) = open(small(dir.path())).unwrap();
    for _ in 0..3 {
        append_durable(&log, entry(&[9; 100]));
    }
    // Three records fill a segment; something in the way of the next file's name is as good as a full directory.
    let next = segment::segment_path(dir.path(), 2);
    std::fs::write(&next, b"in the way").unwrap();
    let told = append(&log, &[9; 100]);
    assert!(matches!(told.recv().unwrap(), Err(LogError::Stalled { .. })));
    assert_eq!(append_when_it_goes_on(&log, &[8; 100]), Lsn(4));
    drop(log);
    assert_eq!(open(small(dir.path())).unwrap().2.len(), 4);
}

#[test]
fn past_its_budget_the_log_takes_nothing_until_some_of_it_is_released() {
    let dir = TempDir::new().unwrap();
    let (log, _, _) = open(LogOptions { bytes_max: 1_000, ..small(dir.path()) }).unwrap();
    let mut last = Lsn(0);
    while log.stall().is_none() {
        let (tell, told) = mpsc::channel();
        let queued = log.append(entry(&[1; 100]), Box::new(move |outcome| tell.send(outcome).unwrap()));
        match queued {
            Ok(_) => last = told.recv().unwrap().unwrap(),
            Err(error) => assert!(matches!(error, LogError::Stalled { .. })),
        }
    }
    assert!(log.bytes() > 1_000 && log.bytes() < 1_400, "{}", log.bytes());
    assert!(matches!(&*log.stall().unwrap(), Stall::OverBudget { max_bytes: 1_000, .. }));
    log.release(last).unwrap();
    assert_eq!(append_when_it_goes_on(&log, b"on"), Lsn(last.0 + 1));
}

#[test]
fn a_log_that_waits_for_room_gives_back_the_segment_it_writes_to() {
    let dir = TempDir::new().unwrap();
    let options = LogOptions { bytes_max: 1_000, segment_bytes: 1 << 20, ..LogOptions::new(dir.path()) };
    let (log, _, _) = open(options).unwrap();
    append_durable(&log, entry(&[1; 2_000]));
    while log.stall().is_none() {
        std::thread::yield_now();
    }
    log.release(Lsn(1)).unwrap();
    assert_eq!(append_when_it_goes_on(&log, b"on"), Lsn(2));
    drop(log);
    assert_eq!(open(LogOptions::new(dir.path())).unwrap().2, [owned(2, b"on")]);
}

#[test]
fn the_log_leaves_space_free() {
    let dir = TempDir::new().unwrap();
    // No disk has as much; what is there is too little from the start.
    let (log, _, _) = open(LogOptions { free_bytes_min: Some(u64::MAX), ..small(dir.path()) }).unwrap();
    while log.stall().is_none() {
        std::thread::yield_now();
    }
    assert!(matches!(&*log.stall().unwrap(), Stall::LowSpace { .. }));
    assert!(barrier(&log).recv().unwrap().is_ok());
}

#[test]
fn a_log_that_is_kept_lets_go_without_deleting() {
    let dir = TempDir::new().unwrap();
    let options = LogOptions { retention: Retention::Forever, ..small(dir.path()) };
    let (log, _, _) = open(options).unwrap();
    for _ in 0..12 {
        append_durable(&log, entry(&[9; 100]));
    }
    log.release(Lsn(u64::MAX)).unwrap();
    assert_eq!((log.oldest_lsn(), segment_files(dir.path()).len()), (Lsn(10), 4));
    drop(log);
    assert_eq!(open(small(dir.path())).unwrap().2.len(), 12);
}
