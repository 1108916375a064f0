//! What a connection is doing, written by the task that serves it and read by the one that looks after all.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Limits;

/// Milliseconds since the registry began.
pub type Millis = u64;

/// Where a connection is in its round of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// No byte of the next request has come.
    Idle,
    /// A part of a head has.
    Head,
    /// A request is being read, answered, or its reply sent.
    Request,
}

/// A step and when it began, in one word; and since when the client takes nothing of what we write.
#[derive(Debug)]
pub struct Activity {
    step: AtomicU64,
    /// 0: it takes everything.
    stalled: AtomicU64,
}

/// Why a connection is closed by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Idle for longer than is worth a connection.
    Idle,
    SlowHead,
    SlowReader,
    /// A newcomer needs the place.
    Evicted,
}

impl Cause {
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::SlowHead => "slow_head",
            Self::SlowReader => "slow_reader",
            Self::Evicted => "evicted",
        }
    }
}

impl Activity {
    pub fn new(now: Millis) -> Self {
        Self { step: AtomicU64::new(pack(Step::Idle, now)), stalled: AtomicU64::new(0) }
    }

    pub fn enter(&self, step: Step, now: Millis) {
        self.step.store(pack(step, now), Ordering::Release);
    }

    pub fn step(&self) -> (Step, Millis) {
        unpack(self.step.load(Ordering::Acquire))
    }

    pub fn stall(&self, now: Millis) {
        // Stays as it is if it is set.
        let _ = self.stalled.compare_exchange(0, now.max(1), Ordering::AcqRel, Ordering::Acquire);
    }

    pub fn flow(&self) {
        if self.stalled.load(Ordering::Acquire) != 0 {
            self.stalled.store(0, Ordering::Release);
        }
    }

    fn stalled_since(&self) -> Option<Millis> {
        Some(self.stalled.load(Ordering::Acquire)).filter(|since| *since != 0)
    }

    /// No request, no part of one, and nothing of a reply still to be sent: the socket may change hands.
    pub fn is_quiet(&self) -> bool {
        self.step().0 == Step::Idle && self.stalled_since().is_none()
    }

    /// Whether this connection has had its time. `leaving` is since when the listener is about to end.
    pub fn overdue(&self, now: Millis, limits: &Limits, leaving: Option<Millis>) -> Option<Cause> {
        let for_longer =
            |since: Millis, limit: std::time::Duration| u128::from(now.saturating_sub(since)) >= limit.as_millis();
        if self.stalled_since().is_some_and(|since| for_longer(since, limits.write)) {
            return Some(Cause::SlowReader);
        }
        let (step, since) = self.step();
        let lingered = leaving.is_some_and(|leaving| for_longer(leaving.max(since), limits.linger));
        match step {
            Step::Idle => (lingered || for_longer(since, limits.idle)).then_some(Cause::Idle),
            Step::Head => (lingered || for_longer(since, limits.header)).then_some(Cause::SlowHead),
            Step::Request => None,
        }
    }
}

const STEP_BITS: u32 = 2;

fn pack(step: Step, since: Millis) -> u64 {
    let step = match step {
        Step::Idle => 0,
        Step::Head => 1,
        Step::Request => 2,
    };
    since << STEP_BITS | step
}

fn unpack(word: u64) -> (Step, Millis) {
    let step = match word & ((1 << STEP_BITS) - 1) {
        0 => Step::Idle,
        1 => Step::Head,
        _ => Step::Request,
    };
    (step, word >> STEP_BITS)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: Limits = Limits {
        header: Duration::from_secs(10),
        body: Duration::from_secs(30),
        idle: Duration::from_secs(75),
        write: Duration::from_secs(60),
        linger: Duration::from_secs(1),
        connections_max: 1,
    };

    #[test]
    fn each_step_has_its_time() {
        let activity = Activity::new(5_000);
        assert_eq!(activity.overdue(79_999, &LIMITS, None), None);
        assert_eq!(activity.overdue(80_000, &LIMITS, None), Some(Cause::Idle));
        activity.enter(Step::Head, 70_000);
        assert_eq!(activity.overdue(79_999, &LIMITS, None), None);
        assert_eq!(activity.overdue(80_000, &LIMITS, None), Some(Cause::SlowHead));
        activity.enter(Step::Request, 80_000);
        assert_eq!(activity.overdue(Millis::MAX, &LIMITS, Some(0)), None, "a request may take as long as it takes");
    }

    #[test]
    fn a_reply_has_to_be_taken() {
        let activity = Activity::new(0);
        activity.enter(Step::Request, 0);
        activity.stall(1_000);
        activity.stall(50_000);
        assert_eq!(activity.overdue(60_999, &LIMITS, None), None);
        assert_eq!(activity.overdue(61_000, &LIMITS, None), Some(Cause::SlowReader));
        activity.enter(Step::Idle, 61_000);
        assert!(!activity.is_quiet(), "the end of the reply is still here");
        activity.flow();
        assert_eq!(activity.overdue(61_000, &LIMITS, None), None);
        assert!(activity.is_quiet());
    }

    #[test]
    fn who_leaves_waits_a_little_for_what_is_on_its_way() {
        let activity = Activity::new(0);
        assert_eq!(activity.overdue(20_999, &LIMITS, Some(20_000)), None);
        assert_eq!(activity.overdue(21_000, &LIMITS, Some(20_000)), Some(Cause::Idle));
        activity.enter(Step::Idle, 20_500);
        assert_eq!(activity.overdue(21_499, &LIMITS, Some(20_000)), None);
        activity.enter(Step::Head, 20_600);
        assert_eq!(activity.overdue(21_600, &LIMITS, Some(20_000)), Some(Cause::SlowHead));
    }
}
