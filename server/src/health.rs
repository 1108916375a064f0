//! Whether this server is alive and wants requests, kept up to date in the background so that asking costs nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use footfall_engine::Engine;
use parking_lot::Mutex;
use rustix::fs::{StatVfsMountFlags, statvfs};
use serde::Serialize;
use tokio::time::Instant;

use crate::phase::{Phase, Stage};

/// How old news of the log and the disk may be.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A disk that takes longer over one write keeps every client waiting: others should be asked.
const LOG_SLOW_AFTER: Duration = Duration::from_secs(15);
/// No disk takes that long: the thread itself hangs.
const LOG_STUCK_AFTER: Duration = Duration::from_secs(120);

/// What everything that is asked about health is answered from.
pub struct Health {
    pub phase: Phase,
    data_dir: PathBuf,
    disk_free_min: u64,
    seen: Mutex<Seen>,
}

struct Seen {
    /// When the log's thread last came round to us. `None`: there is no log yet.
    log_beat: Option<Instant>,
    log_error: Option<String>,
    /// Why events are refused at present.
    log_refusal: Option<Reason>,
    disk: Option<Reason>,
    flush: Option<Reason>,
    /// Since when the store fails, and how.
    store: Option<(Instant, String)>,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// `starting`, `stopping`, `log`, `log_stuck`, `log_full`, `read_only`, `log_failed`, `disk_low`, `disk_read_only`,
    /// `flush_failing`, `store_away`.
    pub code: &'static str,
    pub message: String,
}

impl Reason {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl Health {
    /// `disk_free_min` in bytes.
    pub fn new(phase: Phase, data_dir: PathBuf, disk_free_min: u64) -> Self {
        let seen = Seen { log_beat: None, log_error: None, log_refusal: None, disk: None, flush: None, store: None };
        Self { phase, data_dir, disk_free_min, seen: Mutex::new(seen) }
    }

    /// What only a new process can mend.
    pub fn dead(&self, now: Instant) -> Option<Reason> {
        let age = now.duration_since(self.seen.lock().log_beat?);
        let stuck = age > LOG_STUCK_AFTER;
        stuck.then(|| Reason::new("log_stuck", format!("the log has not moved for {} s", age.as_secs())))
    }

    /// Why the start is not over.
    pub fn starting(&self) -> Option<Reason> {
        match self.phase.stage() {
            Stage::Starting(what) => Some(Reason::new("starting", what)),
            Stage::Ready | Stage::Restarting | Stage::Stopping => None,
        }
    }

    /// Why requests had better go elsewhere; nothing if they are welcome.
    pub fn unready(&self, now: Instant) -> Vec<Reason> {
        let mut reasons: Vec<Reason> = self.starting().into_iter().collect();
        if self.phase.stage() == Stage::Stopping {
            reasons.push(Reason::new("stopping", "the server is shutting down"));
        }
        let seen = self.seen.lock();
        if let Some(error) = &seen.log_error {
            reasons.push(Reason::new("log", error.clone()));
        }
        if let Some(age) = seen.log_beat.map(|beat| now.duration_since(beat)).filter(|age| *age > LOG_SLOW_AFTER) {
            reasons.push(Reason::new("log", format!("the log has not moved for {} s", age.as_secs())));
        }
        reasons.extend(seen.log_refusal.clone());
        reasons.extend(seen.disk.clone());
        reasons
    }

    /// What somebody should look after while requests are still welcome. A store that is away is bridged by the log, until
    /// that is full: nobody else could take the events meanwhile.
    pub fn warnings(&self, now: Instant) -> Vec<Reason> {
        let (flush, store) = {
            let seen = self.seen.lock();
            (seen.flush.clone(), seen.store.clone())
        };
        let told = |(since, error): (Instant, String)| {
            let message = format!("the store has been away for {} s: {error}", now.duration_since(since).as_secs());
            Reason::new("store_away", message)
        };
        flush.into_iter().chain(store.map(told)).collect()
    }

    /// Looks at the log and the disk for as long as it is polled.
    pub async fn watch(self: Arc<Self>, engine: Arc<Engine>) {
        self.seen.lock().log_beat = Some(Instant::now());
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look_at_disk();
            self.look_at_engine(&engine);
            match engine.log_beat().await {
                Ok(()) => self.log_moved(Instant::now(), None),
                // The queue is full, which is slow but no error; if it stays so, the beat grows old.
                Err(error) if error.code == "backpressure" => {}
                Err(error) => self.log_moved(Instant::now(), Some(error.message)),
            }
        }
    }

    fn look_at_engine(&self, engine: &Engine) {
        let flush = engine.failing_flushes().map(|(time, error)| {
            Reason::new("flush_failing", format!("flushes have failed for {} s: {}", time.as_secs(), error.message))
        });
        let log_refusal = engine.log_refusal().map(|error| Reason::new(error.code, error.message));
        let mut seen = self.seen.lock();
        (seen.flush, seen.log_refusal) = (flush, log_refusal);
    }

    fn log_moved(&self, now: Instant, error: Option<String>) {
        let mut seen = self.seen.lock();
        seen.log_beat = Some(now);
        seen.log_error = error;
    }

    fn look_at_disk(&self) {
        let disk = match statvfs(&self.data_dir) {
            Ok(disk) if disk.f_flag.contains(StatVfsMountFlags::RDONLY) => {
                Some(Reason::new("disk_read_only", "the data directory is on a read-only file system"))
            }
            Ok(disk) => {
                let free = disk.f_bavail.saturating_mul(disk.f_frsize);
                let low = free < self.disk_free_min;
                low.then(|| Reason::new("disk_low", format!("{} MiB of disk space are free", free >> 20)))
            }
            Err(error) => Some(Reason::new("disk_low", format!("the disk space cannot be told: {error}"))),
        };
        self.seen.lock().disk = disk;
    }

    /// How the latest visit to the store went.
    pub fn store_seen(&self, now: Instant, error: Option<String>) {
        let mut seen = self.seen.lock();
        seen.store = error.map(|error| (seen.store.as_ref().map_or(now, |(since, _)| *since), error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(health: &Health, now: Instant) -> Vec<&'static str> {
        health.unready(now).iter().map(|reason| reason.code).collect()
    }

    fn ready(data_dir: &std::path::Path, disk_free_min: u64) -> Health {
        let health = Health::new(Phase::default(), data_dir.to_owned(), disk_free_min);
        assert_eq!(codes(&health, Instant::now()), ["starting"]);
        health.phase.enter(Stage::Ready);
        assert!(codes(&health, Instant::now()).is_empty());
        health
    }

    #[test]
    fn a_log_that_stands_still_is_first_avoided_and_then_given_up() {
        let (health, start) = (ready(".".as_ref(), 0), Instant::now());
        health.log_moved(start, None);
        assert_eq!((codes(&health, start), health.dead(start)), (vec![], None));
        let slow = start + LOG_SLOW_AFTER + LOOK_EVERY;
        assert_eq!((codes(&health, slow), health.dead(slow)), (vec!["log"], None));
        assert_eq!(health.dead(start + LOG_STUCK_AFTER + LOOK_EVERY).unwrap().code, "log_stuck");
        health.log_moved(slow, Some("log is unavailable".to_owned()));
        assert_eq!((codes(&health, slow), health.dead(slow)), (vec!["log"], None));
    }

    #[test]
    fn a_store_may_be_away_for_as_long_as_the_log_has_room() {
        let (health, start) = (ready(".".as_ref(), 0), Instant::now());
        health.store_seen(start, Some("no route".to_owned()));
        let later = start + Duration::from_secs(600);
        health.store_seen(later, Some("still no route".to_owned()));
        let [warning] = &health.warnings(later)[..] else { panic!("one warning") };
        assert_eq!(warning.code, "store_away");
        assert_eq!(warning.message, "the store has been away for 600 s: still no route");
        assert!(codes(&health, later).is_empty());
        health.seen.lock().log_refusal = Some(Reason::new("log_full", "no room"));
        assert_eq!(codes(&health, later), ["log_full"]);
        health.store_seen(later, None);
        assert!(health.warnings(later).is_empty());
    }

    #[test]
    fn a_disk_is_low_below_its_minimum() {
        let dir = tempfile::tempdir().unwrap();
        for (minimum, expect) in [(0, vec![]), (u64::MAX, vec!["disk_low"])] {
            let health = ready(dir.path(), minimum);
            health.look_at_disk();
            assert_eq!(codes(&health, Instant::now()), expect);
        }
    }
}
