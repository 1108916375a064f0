//! All open connections, for the decisions that concern one because of the others, or because of the clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Limits;
use super::activity::{Activity, Cause, Millis, Step};

pub struct Registry {
    began: Instant,
    last: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Peer>>>,
}

/// One connection, as those see it who do not serve it.
pub struct Peer {
    began: Instant,
    pub activity: Activity,
    closing: Mutex<Option<Cause>>,
    wake: Notify,
}

impl Registry {
    pub fn new() -> Self {
        Self { began: Instant::now(), last: AtomicU64::new(0), open: Mutex::new(HashMap::new()) }
    }

    /// Makes a connection known until the answer is dropped.
    pub fn enter(self: &Arc<Self>) -> Entry {
        let id = self.last.fetch_add(1, Ordering::Relaxed);
        let activity = Activity::new(self.now());
        let peer = Arc::new(Peer { began: self.began, activity, closing: Mutex::new(None), wake: Notify::new() });
        self.open.lock().insert(id, peer.clone());
        Entry { registry: self.clone(), id, peer }
    }

    pub fn now(&self) -> Millis {
        millis_since(self.began)
    }

    /// Tells those to close that have had their time. `leaving` is since when the listener is about to end.
    pub fn sweep(&self, limits: &Limits, leaving: Option<Millis>) {
        let now = self.now();
        for peer in self.open.lock().values() {
            if let Some(cause) = peer.activity.overdue(now, limits, leaving) {
                peer.close(cause);
            }
        }
    }

    /// Makes room for one: tells the connection to close that has been without a request for the longest, unless one is
    /// about to close already. False if all have a request.
    pub fn evict(&self) -> bool {
        let open = self.open.lock();
        if open.values().any(|peer| peer.closing.lock().is_some()) {
            return true;
        }
        // Of those that came within one millisecond, the one that came first.
        let waiting = open.iter().filter_map(|(id, peer)| match peer.activity.step() {
            (Step::Idle | Step::Head, since) => Some(((since, *id), peer)),
            (Step::Request, _) => None,
        });
        let longest = waiting.min_by_key(|(order, _)| *order);
        longest.inspect(|(_, peer)| peer.close(Cause::Evicted)).is_some()
    }

    /// Whether no request has been under way for as long as `age`.
    pub fn is_calm(&self, now: Millis, age: Duration) -> bool {
        let old = |peer: &Arc<Peer>| {
            let (step, since) = peer.activity.step();
            step == Step::Request && u128::from(now.saturating_sub(since)) >= age.as_millis()
        };
        !self.open.lock().values().any(old)
    }
}

impl Peer {
    pub fn now(&self) -> Millis {
        millis_since(self.began)
    }

    pub fn enter(&self, step: Step) {
        self.activity.enter(step, self.now());
    }

    fn close(&self, cause: Cause) {
        *self.closing.lock() = Some(cause);
        self.wake.notify_one();
    }

    /// Completes when this connection is to be closed, unless it has found something to do since that was decided.
    pub async fn told_to_close(&self) -> Cause {
        loop {
            self.wake.notified().await;
            let cause = self.closing.lock().take();
            let step = self.activity.step().0;
            match cause {
                Some(Cause::SlowReader) => return Cause::SlowReader,
                Some(cause) if step != Step::Request => return cause,
                _ => {}
            }
        }
    }
}

/// A connection that is known to the registry.
pub struct Entry {
    registry: Arc<Registry>,
    id: u64,
    pub peer: Arc<Peer>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.open.lock().remove(&self.id);
    }
}

fn millis_since(began: Instant) -> Millis {
    Millis::try_from(began.elapsed().as_millis()).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closing(entry: &Entry) -> Option<Cause> {
        *entry.peer.closing.lock()
    }

    #[test]
    fn the_longest_without_a_request_makes_room() {
        let registry = Arc::new(Registry::new());
        let [busy, slow_head, young] = [(Step::Request, 1), (Step::Head, 2), (Step::Idle, 3)].map(|(step, since)| {
            let entry = registry.enter();
            entry.peer.activity.enter(step, since);
            entry
        });
        assert!(registry.evict());
        assert_eq!((closing(&busy), closing(&slow_head), closing(&young)), (None, Some(Cause::Evicted), None));
        assert!(registry.evict());
        assert_eq!(closing(&young), None, "one place is enough for one");
        drop(slow_head);
        assert!(registry.evict());
        assert_eq!(closing(&young), Some(Cause::Evicted));
        drop(young);
        assert!(!registry.evict(), "who has a request stays");
    }

    #[test]
    fn calm_is_when_no_request_is_old() {
        let registry = Arc::new(Registry::new());
        let entry = registry.enter();
        entry.peer.activity.enter(Step::Request, 5_000);
        let is_calm = |now| registry.is_calm(now, Duration::from_secs(1));
        assert!(is_calm(5_999) && !is_calm(6_000));
        entry.peer.activity.enter(Step::Idle, 6_000);
        assert!(is_calm(60_000));
    }

    #[tokio::test]
    async fn a_request_that_comes_at_the_last_moment_is_answered() {
        let registry = Arc::new(Registry::new());
        let entry = registry.enter();
        entry.peer.close(Cause::Idle);
        entry.peer.enter(Step::Request);
        let told = tokio::time::timeout(Duration::from_millis(20), entry.peer.told_to_close()).await;
        assert!(told.is_err());
    }
}
