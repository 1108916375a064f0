//! The log against its invariants. Power cuts have their own file.

mod corruption;
mod inspect;
mod model;
mod process;
mod stall;

use std::convert::Infallible;
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::record::RECORD_HEADER_BYTES;
use super::segment::HEADER_BYTES;
use super::*;

/// An owned record, as recovered.
pub(super) type Owned = (u64, u32, u8, Vec<u8>);

pub(super) fn entry(payload: &[u8]) -> Entry {
    Entry { project: 7, kind: 3, payload: payload.to_vec() }
}

fn owned(lsn: u64, payload: &[u8]) -> Owned {
    (lsn, 7, 3, payload.to_vec())
}

pub(super) fn small(dir: &Path) -> LogOptions {
    LogOptions { segment_bytes: 512, group_bytes: 256, queue_len: 8, ..LogOptions::new(dir) }
}

pub(super) fn open(options: LogOptions) -> Result<(Log, Recovery, Vec<Owned>), LogError> {
    let mut found = Vec::new();
    let (log, recovery) = Log::open(options, |record| {
        found.push((record.lsn.0, record.project, record.kind, record.payload.to_vec()));
        Ok::<_, Infallible>(())
    })?;
    assert_eq!(recovery.records as usize, found.len());
    Ok((log, recovery, found))
}

/// Appends and waits: one group each.
pub(super) fn append_durable(log: &Log, entry: Entry) -> Lsn {
    let (tell, told) = mpsc::channel();
    let given = log.append(entry, Box::new(move |outcome| tell.send(outcome).unwrap())).unwrap();
    assert_eq!(told.recv().unwrap().unwrap(), given);
    given
}

fn ignore() -> OnDurable {
    Box::new(|outcome| {
        outcome.unwrap();
    })
}

fn segment_files(dir: &Path) -> Vec<PathBuf> {
    segment::list_segments(dir).unwrap().into_iter().map(|(_, path)| path).collect()
}

#[test]
fn an_empty_directory_opens_as_an_empty_log() {
    let dir = TempDir::new().unwrap();
    let (log, recovery, found) = open(small(&dir.path().join("new/log"))).unwrap();
    assert_eq!((recovery.next_lsn, recovery.oldest_lsn, recovery.epoch), (Lsn(1), Lsn(1), 1));
    assert_eq!((found, log.bytes()), (vec![], HEADER_BYTES as u64));
}

#[test]
fn what_was_appended_comes_back_in_order_under_the_next_epoch() {
    let dir = TempDir::new().unwrap();
    let (log, first, _) = open(small(dir.path())).unwrap();
    let expected: Vec<_> = (1..=40).map(|lsn: u64| owned(lsn, &vec![lsn as u8; lsn as usize * 3])).collect();
    for (lsn, _, _, payload) in &expected {
        assert_eq!(append_durable(&log, entry(payload)), Lsn(*lsn));
    }
    let bytes = log.bytes();
    drop(log);
    assert!(segment_files(dir.path()).len() > 3, "the log went through several segments");
    let on_disk: u64 = segment_files(dir.path()).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert_eq!(bytes, on_disk);

    let (log, second, found) = open(small(dir.path())).unwrap();
    assert_eq!(found, expected);
    assert_eq!((second.epoch, second.node, second.next_lsn), (2, first.node, Lsn(41)));
    assert_eq!(second.truncated_tail_bytes, 0);
    assert_eq!(append_durable(&log, entry(b"on")), Lsn(41));
}

#[test]
fn l3_callbacks_come_in_the_order_of_the_calls_barriers_among_them() {
    let dir = TempDir::new().unwrap();
    let (log, _, _) = open(LogOptions { queue_len: 64, ..LogOptions::new(dir.path()) }).unwrap();
    let answered = Arc::new(Mutex::new(Vec::new()));
    let order = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (log, answered, order) = (&log, &answered, &order);
            scope.spawn(move || {
                for n in 0..200_u32 {
                    let answered = Arc::clone(answered);
                    let on_durable: OnDurable =
                        Box::new(move |outcome| answered.lock().unwrap().push(outcome.unwrap()));
                    let mut order = order.lock().unwrap();
                    if n % 5 == 0 {
                        let last = order.last().copied().unwrap_or(Lsn(0));
                        log.barrier(on_durable).unwrap();
                        order.push(last);
                    } else {
                        let lsn = log.append(Entry { project: worker, kind: 0, payload: vec![0; 100] }, on_durable);
                        order.push(lsn.unwrap());
                    }
                }
            });
        }
    });
    log.close();
    assert_eq!(*answered.lock().unwrap(), order.into_inner().unwrap());
    assert_eq!(open(LogOptions::new(dir.path())).unwrap().2.len(), 640);
}

#[test]
fn release_deletes_whole_segments_and_never_the_active_one() {
    let dir = TempDir::new().unwrap();
    let (log, _, _) = open(small(dir.path())).unwrap();
    for _ in 0..12 {
        append_durable(&log, entry(&[9; 100]));
    }
    // 129 bytes a record: three to a segment.
    assert_eq!(segment_files(dir.path()).len(), 4);
    let bytes = log.bytes();

    log.release(Lsn(2)).unwrap();
    assert_eq!(log.oldest_lsn(), Lsn(1), "lsn 3 still needs the first segment");
    log.release(Lsn(3)).unwrap();
    log.release(Lsn(3)).unwrap();
    assert_eq!((log.oldest_lsn(), segment_files(dir.path()).len()), (Lsn(4), 3));
    assert_eq!(log.bytes(), bytes * 3 / 4);
    log.release(Lsn(u64::MAX)).unwrap();
    assert_eq!((log.oldest_lsn(), segment_files(dir.path()).len()), (Lsn(10), 1));
    drop(log);

    let (log, recovery, found) = open(small(dir.path())).unwrap();
    assert_eq!(found.iter().map(|record| record.0).collect::<Vec<_>>(), [10, 11, 12]);
    assert_eq!((recovery.oldest_lsn, recovery.next_lsn), (Lsn(10), Lsn(13)));
    log.release(Lsn(12)).unwrap();
    drop(log);
    for _ in 0..3 {
        let (log, recovery, found) = open(small(dir.path())).unwrap();
        assert_eq!((found.len(), recovery.oldest_lsn, recovery.next_lsn), (0, Lsn(13), Lsn(13)));
        log.release(Lsn(12)).unwrap();
        assert_eq!(segment_files(dir.path()).len(), 1, "segments without records go too");
    }
}

#[test]
fn a_release_that_was_cut_short_is_finished_by_the_next() {
    let dir = TempDir::new().unwrap();
    let (log, _, _) = open(small(dir.path())).unwrap();
    for _ in 0..12 {
        append_durable(&log, entry(&[9; 100]));
    }
    std::fs::remove_file(&segment_files(dir.path())[0]).unwrap();
    log.release(Lsn(6)).unwrap();
    assert_eq!((log.oldest_lsn(), segment_files(dir.path()).len()), (Lsn(7), 2));
}

/// Keeps the log's thread in a callback, so that the queue can be filled.
fn hold_thread(log: &Log) -> mpsc::Sender<()> {
    let (go, wait) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    log.append(
        entry(b"hold"),
        Box::new(move |_| {
            tell.send(()).unwrap();
            let _ = wait.recv();
        }),
    )
    .unwrap();
    told.recv().unwrap();
    go
}

#[test]
fn a_full_queue_refuses_reservations_and_blocks_appends() {
    let dir = TempDir::new().unwrap();
    let (log, _, _) = open(LogOptions { queue_len: 3, ..LogOptions::new(dir.path()) }).unwrap();
    let go = hold_thread(&log);
    log.append(entry(b"a"), ignore()).unwrap();
    let reserved = log.try_reserve(1).unwrap();
    drop(log.try_reserve(1).unwrap());
    log.append(entry(b"b"), ignore()).unwrap();
    assert!(matches!(log.try_reserve(1), Err(LogError::Full)));
    assert_eq!(reserved.append(entry(b"longer than reserved"), ignore()).unwrap(), Lsn(4));
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| log.append(entry(b"c"), ignore()).unwrap());
        go.send(()).unwrap();
        assert_eq!(blocked.join().unwrap(), Lsn(5));
    });
    log.close();
    assert_eq!(open(LogOptions::new(dir.path())).unwrap().2.len(), 5);
}

#[test]
fn with_reservations_callbacks_may_take_the_lock_that_orders_the_calls() {
    let dir = TempDir::new().unwrap();
    let (log, _, _) = open(LogOptions { queue_len: 2, ..LogOptions::new(dir.path()) }).unwrap();
    let visible = Arc::new(Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..50 {
                    let reserved = log.reserve(10).unwrap();
                    let told = Arc::clone(&visible);
                    let _order = visible.lock().unwrap();
                    let on_durable: OnDurable = Box::new(move |outcome| told.lock().unwrap().push(outcome.unwrap().0));
                    if n % 10 == 0 {
                        reserved.barrier(on_durable).unwrap();
                    } else {
                        reserved.append(entry(&[0; 10]), on_durable).unwrap();
                    }
                }
            });
        }
    });
    log.close();
    let visible = visible.lock().unwrap();
    assert!(visible.is_sorted() && visible.len() == 200 && visible.last() == Some(&180));
}

#[test]
fn the_queue_is_bounded_in_bytes_too_but_lets_one_large_payload_through() {
    let dir = TempDir::new().unwrap();
    let (log, _, _) = open(small(dir.path())).unwrap();
    let go = hold_thread(&log);
    log.append(entry(&[1; 5000]), ignore()).unwrap();
    assert!(matches!(log.try_reserve(1), Err(LogError::Full)));
    go.send(()).unwrap();
    append_durable(&log, entry(b"after"));
    drop(log);
    let found = open(small(dir.path())).unwrap().2;
    assert_eq!(found[1..], [owned(2, &[1; 5000]), owned(3, b"after")]);
}

#[test]
fn a_payload_past_the_limit_is_refused_at_once() {
    let dir = TempDir::new().unwrap();
    let (log, _, _) = open(small(dir.path())).unwrap();
    let outcome = log.append(entry(&vec![0; PAYLOAD_BYTES_MAX + 1]), Box::new(|_| panic!("called after a refusal")));
    assert!(matches!(outcome, Err(LogError::TooLarge { .. })));
    assert_eq!(append_durable(&log, entry(b"next")), Lsn(1));
}

#[test]
fn close_answers_everything_queued_and_then_refuses() {
    let dir = TempDir::new().unwrap();
    let (log, _, _) = open(LogOptions::new(dir.path())).unwrap();
    let reserved = log.try_reserve(1).unwrap();
    let (tell, told) = mpsc::channel();
    for _ in 0..50 {
        let tell = tell.clone();
        log.append(entry(b"x"), Box::new(move |outcome| tell.send(outcome.unwrap().0).unwrap())).unwrap();
    }
    log.close();
    log.close();
    drop(tell);
    assert_eq!(told.iter().collect::<Vec<_>>(), (1..=50).collect::<Vec<_>>());
    assert!(matches!(log.append(entry(b"y"), ignore()), Err(LogError::Closed)));
    assert!(matches!(log.barrier(ignore()), Err(LogError::Closed)));
    assert!(matches!(log.try_reserve(1), Err(LogError::Closed)));
    assert!(matches!(reserved.append(entry(b"z"), ignore()), Err(LogError::Closed)));
}

#[test]
fn the_last_handle_may_be_dropped_by_a_callback() {
    let dir = TempDir::new().unwrap();
    let (log, _, _) = open(LogOptions::new(dir.path())).unwrap();
    let log = Arc::new(log);
    let (tell, told) = mpsc::channel();
    let handle = Arc::clone(&log);
    let go = hold_thread(&log);
    let on_durable = move |outcome: Result<Lsn, LogError>| {
        drop(handle);
        tell.send(outcome.unwrap()).unwrap();
    };
    log.append(entry(b"x"), Box::new(on_durable)).unwrap();
    drop(log);
    go.send(()).unwrap();
    assert_eq!(told.recv().unwrap(), Lsn(2));
}

#[test]
fn l10_a_callback_that_panics_poisons_the_log() {
    let dir = TempDir::new().unwrap();
    let (log, _, _) = open(LogOptions::new(dir.path())).unwrap();
    let go = hold_thread(&log);
    let (tell, told) = mpsc::channel();
    log.append(entry(b"bad"), Box::new(|_| panic!("this panic is part of the test"))).unwrap();
    log.append(entry(b"next"), Box::new(move |outcome| tell.send(outcome).unwrap())).unwrap();
    go.send(()).unwrap();
    assert!(matches!(told.recv().unwrap(), Err(LogError::Unavailable { .. })));
    assert!(matches!(log.append(entry(b"late"), ignore()), Err(LogError::Unavailable { .. })));
    assert!(matches!(log.try_reserve(1), Err(LogError::Unavailable { .. })));
}

#[test]
fn a_replay_that_fails_stops_the_open_and_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let (log, _, _) = open(small(dir.path())).unwrap();
    append_durable(&log, entry(b"a"));
    drop(log);
    let outcome = Log::open(small(dir.path()), |_| Err::<(), _>(std::io::Error::other("no")));
    assert!(matches!(outcome, Err(LogError::Replay { lsn: 1, .. })));
    assert_eq!(segment_files(dir.path()).len(), 1);
}
