//! When a query runs, and in which time zone.

use chrono_tz::Tz;

/// Fixed when the query starts, the same for every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// `NOW`: Unix seconds.
    pub now: i64,
    /// The project's time zone.
    pub timezone: Tz,
}
