//! What projects of one log are to each other.

use std::time::Duration;

use super::*;
use crate::log::Entry;
use crate::project::record::EVENTS_RECORD;

#[tokio::test]
async fn a_project_whose_lock_is_held_keeps_no_other_waiting() {
    let dir = TempDir::new().unwrap();
    let (log, recovery) = Log::open(LogOptions::new(dir.path()), |_| Ok::<_, Infallible>(())).unwrap();
    let shared = Shared {
        log: Arc::new(log),
        log_id: recovery.node,
        log_start: recovery.next_lsn,
        store: Arc::new(InMemory::new()),
        segments: SegmentCaches::new(1 << 20),
        keys: KeyCache::new(1 << 20),
        kept: KeptBudget::new(0),
        nice: tokio::runtime::Handle::current(),
    };
    let kept = KeptLimits { rows_max: 0, bytes_max: 0 };
    let options = ProjectOptions {
        shards: 2,
        seal_rows: 6,
        live_rows_max: 100,
        live_bytes_max: usize::MAX,
        columns_max: 16,
        kept,
    };
    let open = |id| ProjectStore::open(ProjectId(id), options.clone(), &shared, Vec::new());
    let (busy, other) = (open(1).await.unwrap(), open(2).await.unwrap());

    let held = busy.state.lock();
    let entry = Entry { project: 1, kind: EVENTS_RECORD, payload: Vec::new() };
    let (_, mut durable) = busy.queue(busy.reserve(0).await.unwrap(), entry).unwrap();
    // Behind it in the log, so that the log's thread has to get past it first.
    let appended =
        tokio::time::timeout(Duration::from_secs(30), other.append(vec![event((1, 0))], Arrival::default(), 1));
    assert_eq!(appended.await.expect("nobody waits for the lock").unwrap().stored, 1);
    assert!(durable.try_recv().is_err(), "nothing happens under a lock that somebody holds");
    drop(held);
    durable.try_recv().expect("whoever lets go has seen to it").unwrap();
}
