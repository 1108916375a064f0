//! Whether a bucket answers, as the calls of this process have found it.
//!
//! - A1: while anything succeeds now and then, a bucket is there, however often it fails.
//! - A2: a bucket that has failed everything for the length of our patience is away. Then one call a second is let
//!   through, to find out; all others fail at once, so that nobody waits for what is not there. They say what the last
//!   call that was made has met: without it, nobody could tell a missing key from a missing network.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Between two calls to a bucket that is away.
const ASK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Reach {
    patience: Duration,
    seen: Mutex<Option<Failing>>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    /// When the last call to a bucket that is away was let through.
    asked: Instant,
    met: Arc<str>,
}

/// A call that is not to be made.
#[derive(Debug, thiserror::Error)]
#[error("the store has not answered for {} s; its last failure: {met}", .since.as_secs())]
pub(super) struct Away {
    since: Duration,
    met: Arc<str>,
}

impl Reach {
    pub fn new(patience: Duration) -> Self {
        Self { patience, seen: Mutex::new(None) }
    }

    /// Lets a call through, or not (A2).
    pub fn enter(&self, now: Instant) -> Result<(), Away> {
        let mut seen = self.seen.lock();
        let Some(failing) = seen.as_mut().filter(|failing| now - failing.since >= self.patience) else { return Ok(()) };
        if now - failing.asked < ASK_EVERY {
            return Err(Away { since: now - failing.since, met: failing.met.clone() });
        }
        failing.asked = now;
        Ok(())
    }

    /// The bucket has answered something, be it no.
    pub fn answered(&self) {
        *self.seen.lock() = None;
    }

    /// A call has failed with what it has `met`; whether the bucket is away.
    pub fn failed(&self, now: Instant, met: &str) -> bool {
        let mut seen = self.seen.lock();
        let met: Arc<str> = met.into();
        let failing = seen.get_or_insert_with(|| Failing { since: now, asked: now, met: met.clone() });
        failing.met = met;
        now - failing.since >= self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_that_fails_everything_is_asked_once_a_second() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let reach = Reach::new(Duration::from_secs(10));
        assert!(!reach.failed(at(0), "") && !reach.failed(at(9_999), ""));
        reach.answered();
        assert!(!reach.failed(at(10_000), "no route"), "A1");
        assert!(reach.enter(at(19_999)).is_ok());
        assert!(reach.failed(at(20_000), "no key"), "A2");
        let let_through = (20_000..23_000).step_by(100).filter(|ms| reach.enter(at(*ms)).is_ok()).count();
        assert_eq!(let_through, 3);
        let away = reach.enter(at(22_950)).map_err(|away| away.to_string());
        assert_eq!(away, Err("the store has not answered for 12 s; its last failure: no key".to_owned()));
        reach.answered();
        assert!((23_000..23_010).all(|ms| reach.enter(at(ms)).is_ok()));
    }
}
