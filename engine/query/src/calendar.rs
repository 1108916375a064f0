//! Calendar buckets of a time zone: where each begins, and what it is called (report-semantics.md §1).

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc, Weekday};
use chrono_tz::Tz;

use crate::report::segmentation::Unit;

/// Buckets that cover a range of local days.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    /// `YYYY-MM-DD` of the first day, or `YYYY-MM-DD HH:MM:00`, ascending.
    pub labels: Vec<String>,
    /// Where the time axis is cut: milliseconds at which a stretch begins, and the index of its label. A wall clock that
    /// is set back shows labels a second time.
    pub stretches: Vec<(i64, usize)>,
    /// Milliseconds at which the range begins and ends.
    pub range: (i64, i64),
}

impl Buckets {
    /// Buckets of `unit` over the local days `from..=to`. Labels are wall-clock: an hour that the clock skips has no
    /// bucket, one that occurs twice is one bucket of two hours.
    pub fn new(from: NaiveDate, to: NaiveDate, unit: Unit, zone: Tz) -> Self {
        let range = (start_of_day(from, zone), start_of_day(to + Days::new(1), zone));
        let end = (to + Days::new(1)).and_hms_opt(0, 0, 0).unwrap_or_default();
        let mut labels = Vec::new();
        let mut stretches = Vec::new();
        let mut local = first(from, unit);
        while local < end {
            let starts = match unit {
                Unit::Minute | Unit::Hour => instants(local, zone),
                // A day begins once, at its first moment.
                Unit::Day | Unit::Week | Unit::Month => vec![start_of_day(local.date(), zone)],
            };
            if !starts.is_empty() {
                // The range cuts off what a first week or month has before it.
                stretches.extend(starts.into_iter().map(|start| (start.max(range.0), labels.len())));
                labels.push(label(local, unit));
            }
            local = next(local, unit);
        }
        stretches.sort_unstable();
        Self { labels, stretches, range }
    }
}

/// The first moment of a local day; where midnight is skipped, the first moment after it.
pub fn start_of_day(day: NaiveDate, zone: Tz) -> i64 {
    let mut local = day.and_hms_opt(0, 0, 0).unwrap_or_default();
    loop {
        if let Some(start) = instants(local, zone).first() {
            return *start;
        }
        local += TimeDelta::minutes(15);
    }
}

/// The moments at which a wall clock shows a time: none, one or two, in milliseconds, ascending.
fn instants(local: NaiveDateTime, zone: Tz) -> Vec<i64> {
    let found = zone.from_local_datetime(&local);
    let mut moments: Vec<i64> =
        [found.earliest(), found.latest()].into_iter().flatten().map(|time| time.timestamp_millis()).collect();
    moments.dedup();
    moments
}

/// The local day of a moment.
pub fn local_day(time_ms: i64, zone: Tz) -> NaiveDate {
    DateTime::<Utc>::from_timestamp_millis(time_ms).unwrap_or_default().with_timezone(&zone).date_naive()
}

fn first(from: NaiveDate, unit: Unit) -> NaiveDateTime {
    let day = match unit {
        Unit::Minute | Unit::Hour | Unit::Day => from,
        Unit::Week => from.week(Weekday::Mon).first_day(),
        Unit::Month => from.with_day(1).unwrap_or(from),
    };
    day.and_hms_opt(0, 0, 0).unwrap_or_default()
}

fn next(local: NaiveDateTime, unit: Unit) -> NaiveDateTime {
    match unit {
        Unit::Minute => local + TimeDelta::minutes(1),
        Unit::Hour => local + TimeDelta::hours(1),
        Unit::Day => local + Days::new(1),
        Unit::Week => local + Days::new(7),
        Unit::Month => local + Months::new(1),
    }
}

fn label(local: NaiveDateTime, unit: Unit) -> String {
    let format = match unit {
        Unit::Minute | Unit::Hour => "%Y-%m-%d %H:%M:00",
        Unit::Day | Unit::Week | Unit::Month => "%Y-%m-%d",
    };
    local.format(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn labels(from: &str, to: &str, unit: Unit, zone: Tz) -> Vec<String> {
        Buckets::new(date(from), date(to), unit, zone).labels
    }

    #[test]
    fn weeks_and_months_keep_their_calendar_label() {
        assert_eq!(labels("2024-03-01", "2024-03-11", Unit::Week, Tz::UTC), ["2024-02-26", "2024-03-04", "2024-03-11"]);
        assert_eq!(
            labels("2024-01-31", "2024-03-01", Unit::Month, Tz::UTC),
            ["2024-01-01", "2024-02-01", "2024-03-01"]
        );
    }

    #[test]
    fn a_day_without_midnight_still_begins() {
        let zone = Tz::America__Sao_Paulo;
        let days = Buckets::new(date("2018-11-03"), date("2018-11-05"), Unit::Day, zone);
        assert_eq!(days.labels, ["2018-11-03", "2018-11-04", "2018-11-05"]);
        assert_eq!(days.stretches[2].0 - days.stretches[1].0, 23 * 3_600_000);
    }

    #[test]
    fn summer_time_skips_an_hour_in_spring_and_doubles_one_in_autumn() {
        let zone = Tz::America__New_York;
        let spring = labels("2024-03-10", "2024-03-10", Unit::Hour, zone);
        assert_eq!(spring.len(), 23);
        assert!(!spring.contains(&"2024-03-10 02:00:00".to_owned()));
        let autumn = Buckets::new(date("2024-11-03"), date("2024-11-03"), Unit::Hour, zone);
        assert_eq!(autumn.labels.len(), 24);
        assert_eq!(autumn.stretches.len(), 25);
        assert_eq!([autumn.stretches[1].1, autumn.stretches[2].1], [1, 1]);
        assert_eq!(autumn.range.1 - autumn.range.0, 25 * 3_600_000);
    }
}
