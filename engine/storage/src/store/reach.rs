//! Whether a bucket answers, as the calls of this process have found it.
//!
//! - A1: while anything succeeds now and then, a bucket is there, however often it fails.
//! - A2: a bucket that has failed everything for the length of our patience is away. Then one call a second is let
//!   through, to find out; all others fail at once, so that nobody waits for what is not there.

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

#[derive(Clone, Copy, Debug)]
struct Failing {
    since: Instant,
    /// When the last call to a bucket that is away was let through.
    asked: Instant,
}

/// A call that is not to be made.
#[derive(Debug, thiserror::Error)]
#[error("the store has not answered for {} s", .0.as_secs())]
pub(super) struct Away(Duration);

impl Reach {
    pub fn new(patience: Duration) -> Self {
        Self { patience, seen: Mutex::new(None) }
    }

    /// Lets a call through, or not (A2).
    pub fn enter(&self, now: Instant) -> Result<(), Away> {
        let mut seen = self.seen.lock();
        let Some(failing) = seen.as_mut().filter(|failing| now - failing.since >= self.patience) else { return Ok(()) };
        if now - failing.asked < ASK_EVERY {
            return Err(Away(now - failing.since));
        }
        failing.asked = now;
        Ok(())
    }

    /// The bucket has answered something, be it no.
    pub fn answered(&self) {
        *self.seen.lock() = None;
    }

    /// A call has failed; whether the bucket is away.
    pub fn failed(&self, now: Instant) -> bool {
        let mut seen = self.seen.lock();
        let failing = seen.get_or_insert(Failing { since: now, asked: now });
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
        assert!(!reach.failed(at(0)) && !reach.failed(at(9_999)));
        reach.answered();
        assert!(!reach.failed(at(10_000)), "A1");
        assert!(reach.enter(at(19_999)).is_ok());
        assert!(reach.failed(at(20_000)), "A2");
        let let_through = (20_000..23_000).step_by(100).filter(|ms| reach.enter(at(*ms)).is_ok()).count();
        assert_eq!(let_through, 3);
        reach.answered();
        assert!((23_000..23_010).all(|ms| reach.enter(at(ms)).is_ok()));
    }
}
