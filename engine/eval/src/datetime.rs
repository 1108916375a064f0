//! Times: date strings to instants and back, calendar fields, differences. Instants are Unix seconds.

mod difference;
mod parse;

use chrono::{DateTime, Datelike, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Timelike};
use chrono_tz::Tz;
use footfall_lang::ast::Function;

pub use self::{
    difference::{DateUnit, date_difference},
    parse::parse_datetime,
};
use crate::EvalValue;

/// A part of a date and time as the calendar of a time zone shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarField {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// The ISO week number.
    Week,
}

impl CalendarField {
    /// The field that a function of the language gives.
    pub fn from_function(function: Function) -> Option<Self> {
        Some(match function {
            Function::Year => Self::Year,
            Function::Month => Self::Month,
            Function::Day => Self::Day,
            Function::Hour => Self::Hour,
            Function::Minute => Self::Minute,
            Function::Second => Self::Second,
            Function::Week => Self::Week,
            _ => return None,
        })
    }
}

/// The instant of a datetime or a date string; `literal_zone` as in [`parse_datetime`].
pub fn instant(value: &EvalValue, literal_zone: Option<Tz>) -> Option<i64> {
    match value {
        EvalValue::Datetime(seconds) => Some(*seconds),
        EvalValue::Text(text) => parse_datetime(text, literal_zone),
        _ => None,
    }
}

/// The text of a time in a zone: `2024-01-02T03:04:05`.
pub fn datetime_to_text(seconds: i64, timezone: Tz) -> Option<String> {
    local(seconds, timezone).map(|time| time.format("%Y-%m-%dT%H:%M:%S").to_string())
}

/// A calendar field of a time in a zone.
pub fn calendar_field(field: CalendarField, seconds: i64, timezone: Tz) -> Option<f64> {
    let time = local(seconds, timezone)?;
    Some(match field {
        CalendarField::Year => f64::from(time.year()),
        CalendarField::Month => f64::from(time.month()),
        CalendarField::Day => f64::from(time.day()),
        CalendarField::Hour => f64::from(time.hour()),
        CalendarField::Minute => f64::from(time.minute()),
        CalendarField::Second => f64::from(time.second()),
        CalendarField::Week => f64::from(time.iso_week().week()),
    })
}

/// The start of the day that `now` falls in.
pub fn today(now: i64, timezone: Tz) -> Option<i64> {
    Some(local_to_instant(local(now, timezone)?.date().and_time(NaiveTime::MIN), timezone))
}

/// The instant of a local time. Where clocks were changed and the local time is missing or comes twice, the offset from
/// before the change holds (§6).
pub fn local_to_instant(time: NaiveDateTime, timezone: Tz) -> i64 {
    let offset = match timezone.offset_from_local_datetime(&time) {
        chrono::LocalResult::Single(offset) => offset.fix().local_minus_utc(),
        // The earlier instant is the one with the offset from before.
        chrono::LocalResult::Ambiguous(earlier, _) => earlier.fix().local_minus_utc(),
        chrono::LocalResult::None => offset_before_gap(time, timezone),
    };
    time.and_utc().timestamp() - i64::from(offset)
}

/// Steps back from a missing local time to one that exists. The longest gap was a whole day (Samoa, 2011), the shortest
/// a few minutes, so steps of a quarter hour find the time just before and stay short of any earlier change.
fn offset_before_gap(time: NaiveDateTime, timezone: Tz) -> i32 {
    const STEPS: i32 = 4 * 25;
    (1..=STEPS)
        .filter_map(|step| time.checked_sub_signed(TimeDelta::minutes(15 * i64::from(step))))
        .find_map(|earlier| timezone.offset_from_local_datetime(&earlier).latest())
        .map_or(0, |offset| offset.fix().local_minus_utc())
}

/// The local time of an instant; `None` far outside of any calendar, where chrono would overflow.
fn local(seconds: i64, timezone: Tz) -> Option<NaiveDateTime> {
    const SECONDS_ABS_MAX: u64 = 200_000 * 365 * 86_400;
    if seconds.unsigned_abs() > SECONDS_ABS_MAX {
        return None;
    }
    Some(DateTime::from_timestamp(seconds, 0)?.with_timezone(&timezone).naive_local())
}

#[cfg(test)]
mod tests;
