//! The wall clock. `/track` takes the last five days only, so events for it have to be of today.

use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, NaiveDate, Utc};

pub const DAY_MS: i64 = 86_400_000;

#[expect(clippy::disallowed_methods, reason = "the server under test reads the real clock, so must its client")]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_millis()).expect("the clock is before the year 292 million")
}

pub fn today_utc() -> NaiveDate {
    DateTime::<Utc>::from_timestamp_millis(now_ms()).expect("now is a date").date_naive()
}
