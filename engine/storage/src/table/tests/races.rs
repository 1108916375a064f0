//! Several processes, and a store that loses requests and replies.

use std::collections::BTreeSet;

use futures::FutureExt as _;
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::store::{Fault, FaultyStore};
use super::*;

#[tokio::test]
async fn many_creators_make_one_table() {
    let shared = Arc::new(InMemory::new());
    let opened = join_all((0..8).map(|process| {
        let store = FaultyStore::new(&shared);
        store.script([[Fault::None, Fault::LostRequest, Fault::LostReply, Fault::FalseAlreadyExists][process % 4]]);
        Table::open_or_create(store, ROOT, definition())
    }))
    .await;
    for table in opened {
        assert_eq!(table.unwrap().snapshot().version, 0);
    }
}

#[tokio::test]
async fn a_lost_reply_is_recognised_as_success() {
    for fault in [Fault::LostReply, Fault::FalseAlreadyExists] {
        let shared = Arc::new(InMemory::new());
        let store = FaultyStore::new(&shared);
        let table = open(store.clone()).await;
        store.script([fault]);
        let outcome = table.commit(flush(&table.snapshot(), "shard-3", "a")).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed(_)), "{fault:?}");
        assert_eq!((outcome.snapshot().version, names(outcome.snapshot())), (1, vec!["a".to_owned()]));
        assert_same(outcome.snapshot(), &open(shared).await.snapshot());
    }
}

#[tokio::test]
async fn a_lost_reply_is_recognised_even_if_the_log_is_unreadable_at_first() {
    let shared = Arc::new(InMemory::new());
    let store = FaultyStore::new(&shared);
    let table = open(store.clone()).await;
    store.script([Fault::LostReply]);
    store.fail_reads(1);
    let outcome = table.commit(flush(&table.snapshot(), "shard-3", "a")).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)));
    assert_same(outcome.snapshot(), &open(shared).await.snapshot());
    assert_eq!(outcome.snapshot().version, 1);
}

#[tokio::test]
async fn a_lost_request_is_repeated() {
    let shared = Arc::new(InMemory::new());
    let store = FaultyStore::new(&shared);
    let table = open(store.clone()).await;
    store.script([Fault::LostRequest, Fault::LostRequest]);
    table.commit(flush(&table.snapshot(), "shard-3", "a")).await.unwrap();
    let reopened = open(shared).await.snapshot();
    assert_eq!((reopened.version, names(&reopened)), (1, vec!["a".to_owned()]));
}

#[tokio::test]
async fn a_request_that_arrives_late_is_not_doubled_by_its_repetition() {
    let shared = Arc::new(InMemory::new());
    let store = FaultyStore::new(&shared);
    let table = open(store.clone()).await;
    store.script([Fault::LateRequest]);
    table.commit(flush(&table.snapshot(), "shard-3", "a")).await.unwrap();
    let reopened = open(shared).await.snapshot();
    assert_eq!((reopened.version, names(&reopened)), (1, vec!["a".to_owned()]));
}

#[tokio::test]
async fn after_an_unknown_outcome_the_repetition_lands_once() {
    for arrives in [false, true] {
        let shared = Arc::new(InMemory::new());
        let store = FaultyStore::new(&shared);
        let table = open(store.clone()).await;
        let mut faults = vec![Fault::LostRequest; FAILURES_MAX as usize];
        if arrives {
            *faults.last_mut().unwrap() = Fault::LateRequest;
        }
        store.script(faults);
        let commit = flush(&table.snapshot(), "shard-3", "a");
        let unknown = table.commit(commit.clone()).await;
        assert!(matches!(unknown, Err(TableError::CommitUnknown { version: 1, .. })), "{unknown:?}");
        assert_eq!(open(shared.clone()).await.snapshot().version, 0, "nothing half committed");

        // The flush is written again, under another name; if the first try arrives after all, it wins.
        let outcome = table.commit(TableCommit { adds: vec![file("again")], ..commit }).await.unwrap();
        assert_eq!(matches!(outcome, CommitOutcome::AlreadyCommitted(_)), arrives);
        assert_eq!(names(outcome.snapshot()), [if arrives { "a" } else { "again" }]);
        assert_same(outcome.snapshot(), &open(shared).await.snapshot());
    }
}

#[tokio::test]
async fn a_dropped_commit_is_found_by_the_next() {
    let shared = Arc::new(InMemory::new());
    let store = FaultyStore::new(&shared);
    let table = open(store.clone()).await;
    store.script([Fault::LostReply, Fault::LostRequest]);
    store.fail_reads(1); // the log is unreadable, so the commit backs off and is dropped there
    let commit = flush(&table.snapshot(), "shard-3", "a");
    assert!(table.commit(commit.clone()).now_or_never().is_none());
    assert!(matches!(table.commit(commit).await.unwrap(), CommitOutcome::AlreadyCommitted(_)));
    assert_eq!(names(&open(shared).await.snapshot()), ["a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_commit_of_many_processes_lands_exactly_once() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random::<u64>);
    println!("SEED={seed}");
    for round in 0..20 {
        let shared = Arc::new(InMemory::new());
        let processes = (0..5).map(|process| {
            let shared = Arc::clone(&shared);
            tokio::spawn(run_process(shared, process, seed.wrapping_add(round * 100 + process)))
        });
        let written: BTreeSet<String> =
            join_all(processes).await.into_iter().flat_map(|names| names.unwrap()).collect();
        let table = open(shared).await.snapshot();
        assert_eq!(table.files.iter().map(|file| file.path.clone()).collect::<BTreeSet<_>>(), written);
        assert!((0..5).all(|process| table.transaction(&format!("shard-{process}")) == Some(20)));
        // One version for the table, one for each flush and each compaction; none for failures.
        assert_eq!(table.version, 5 * (20 + 4));
    }
}

/// Twenty flushes of one shard with a compaction after every fifth, on a store that misbehaves: the live files it ends
/// with, according to the process itself.
async fn run_process(shared: Arc<InMemory>, process: u64, seed: u64) -> Vec<String> {
    let mut random = StdRng::seed_from_u64(seed);
    let store = FaultyStore::new(&shared);
    let table = open(store.clone()).await;
    let app_id = format!("shard-{process}");
    let mut live: Vec<String> = Vec::new();
    for number in 1..=20 {
        store.script((0..random.random_range(0..4)).map(|_| {
            use Fault::{FalseAlreadyExists, LateRequest, LostReply, LostRequest, None};
            [None, LostRequest, LostReply, FalseAlreadyExists, LateRequest][random.random_range(0..5)]
        }));
        store.fail_reads(random.random_range(0..3));
        let mut attempt = 0;
        let from = (number > 1).then_some(number - 1);
        loop {
            attempt += 1;
            let name = format!("{app_id}-{number}-{attempt}");
            let transaction = Transaction { app_id: app_id.clone(), from, to: number };
            let commit = TableCommit { transaction: Some(transaction), ..replace(&[], &[&name]) };
            match table.commit(commit).await {
                Ok(CommitOutcome::Committed(_)) => live.push(name),
                // An earlier attempt won: the log knows which.
                Ok(CommitOutcome::AlreadyCommitted(snapshot)) => {
                    let prefix = format!("{app_id}-{number}-");
                    live.extend(names(&snapshot).into_iter().filter(|name| name.starts_with(&prefix)));
                }
                Err(TableError::CommitUnknown { .. } | TableError::Store { .. }) => continue,
                Err(error) => panic!("{error:?}"),
            }
            break;
        }
        if number % 5 == 0 {
            let merged = format!("{app_id}-merged-{number}");
            let old: Vec<&str> = live.iter().map(String::as_str).collect();
            while let Err(error) = table.commit(replace(&old, &[&merged])).await {
                assert!(matches!(error, TableError::CommitUnknown { .. } | TableError::Store { .. }), "{error:?}");
            }
            live = vec![merged];
        }
    }
    store.deliver_late().await;
    live.iter().map(|name| file(name).path).collect()
}
