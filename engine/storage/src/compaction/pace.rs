//! How much of a core background work takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::StorageError;

/// Work goes on for this long before it rests; short, so that whoever waits for the core waits a moment.
const STRETCH: Duration = Duration::from_millis(4);
/// Nobody is helped by a longer rest at once.
const REST_MAX: Duration = Duration::from_millis(250);

/// The pace of one piece of work on a thread of its own.
#[derive(Clone)]
pub struct Pace {
    /// Rest for each second of work.
    rest: f64,
    stop: Arc<AtomicBool>,
    since: Instant,
}

impl Pace {
    /// `percent` of one core, 1 to 100. The work ends with [`StorageError::Closed`] soon after `stop` is set.
    pub fn new(percent: u8, stop: Arc<AtomicBool>) -> Self {
        let share = f64::from(percent.clamp(1, 100)) / 100.0;
        Self { rest: 1.0 / share - 1.0, stop, since: Instant::now() }
    }

    /// As fast as it goes.
    pub fn unbounded() -> Self {
        Self::new(100, Arc::default())
    }

    /// Called between pieces of work that take milliseconds.
    pub fn breathe(&mut self) -> Result<(), StorageError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(StorageError::Closed);
        }
        let worked = self.since.elapsed();
        if worked >= STRETCH {
            let rest = worked.mul_f64(self.rest).min(REST_MAX);
            if !rest.is_zero() {
                std::thread::sleep(rest);
            }
            self.since = Instant::now();
        }
        Ok(())
    }
}
