//! Rates of a project: events a second, bytes of JSON a minute. Off unless configured.

use std::num::NonZeroU32;
use std::time::Duration;

use footfall_model::ProjectId;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// governor counts in 32 bits, and nobody minds to the kilobyte.
const UNIT_BYTES: u64 = 1024;

/// The project sends more than it may; it may come again after this long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFast {
    pub wait: Duration,
}

/// Both limits of every project.
#[derive(Debug)]
pub(super) struct Rates {
    events: Option<DefaultKeyedRateLimiter<ProjectId>>,
    kilobytes: Option<DefaultKeyedRateLimiter<ProjectId>>,
    clock: DefaultClock,
}

impl Rates {
    /// 0 is no limit. A whole request must fit into the burst, or it could never be sent: `records_max` and
    /// `request_bytes_max` say how large one may be.
    pub fn new(events_per_second: u32, bytes_per_minute: u64, records_max: usize, request_bytes_max: usize) -> Self {
        let at_least = |rate: NonZeroU32, burst: u64| {
            NonZeroU32::new(u32::try_from(burst).unwrap_or(u32::MAX)).map_or(rate, |burst| rate.max(burst))
        };
        let events = NonZeroU32::new(events_per_second)
            .map(|rate| RateLimiter::keyed(Quota::per_second(rate).allow_burst(at_least(rate, records_max as u64))));
        let per_minute = u32::try_from(bytes_per_minute.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let kilobytes = NonZeroU32::new(per_minute).map(|rate| {
            let request = (request_bytes_max as u64).div_ceil(UNIT_BYTES) + 1;
            RateLimiter::keyed(Quota::per_minute(rate).allow_burst(at_least(rate, request)))
        });
        Self { events, kilobytes, clock: DefaultClock::default() }
    }

    /// Counts a request of the project, or says when it may come again. What is refused for its events has still been
    /// counted by its bytes: whoever floods pays for it.
    pub fn check(&self, project: ProjectId, events: usize, bytes: usize) -> Result<(), TooFast> {
        self.count(self.kilobytes.as_ref(), project, (bytes as u64).div_ceil(UNIT_BYTES))?;
        self.count(self.events.as_ref(), project, events as u64)
    }

    fn count(
        &self,
        limiter: Option<&DefaultKeyedRateLimiter<ProjectId>>,
        project: ProjectId,
        cells: u64,
    ) -> Result<(), TooFast> {
        let Some(limiter) = limiter else { return Ok(()) };
        let Some(cells) = NonZeroU32::new(u32::try_from(cells).unwrap_or(u32::MAX)) else { return Ok(()) };
        match limiter.check_key_n(&project, cells) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(early)) => Err(TooFast { wait: early.wait_time_from(self.clock.now()) }),
            // Larger than the burst, which was made to hold the largest request: a minute is as good as any answer.
            Err(_) => Err(TooFast { wait: Duration::from_secs(60) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_past_its_rate_is_told_when_to_come_again_and_others_are_not_affected() {
        let rates = Rates::new(10, 0, 20, 0);
        let [loud, quiet] = [ProjectId(1), ProjectId(2)];
        assert_eq!(rates.check(loud, 20, 1 << 30), Ok(()), "a whole request fits, and bytes have no limit");
        let refused = rates.check(loud, 10, 0).unwrap_err();
        assert!(refused.wait > Duration::ZERO && refused.wait <= Duration::from_secs(1), "{refused:?}");
        assert_eq!(rates.check(quiet, 20, 0), Ok(()));
    }

    #[test]
    fn bytes_are_counted_by_the_minute() {
        let rates = Rates::new(0, 1 << 20, 2000, 10 << 10);
        let project = ProjectId(1);
        assert_eq!(rates.check(project, 2000, 1 << 20), Ok(()));
        let refused = rates.check(project, 1, 30 << 10).unwrap_err();
        assert!(refused.wait > Duration::from_secs(1) && refused.wait < Duration::from_secs(3), "{refused:?}");
    }

    #[test]
    fn without_configuration_there_is_no_limit() {
        let rates = Rates::new(0, 0, 2000, 10 << 20);
        assert!((0..1000).all(|_| rates.check(ProjectId(1), usize::MAX, usize::MAX).is_ok()));
    }
}
