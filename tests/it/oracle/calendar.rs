//! Local calendar buckets (section 1): wall-clock labels, so the skipped hour has none and the doubled hour is one.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Minute,
    Hour,
    Day,
    Week,
    Month,
}

impl Unit {
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The label of the bucket that holds an instant.
    pub fn label(self, instant: DateTime<Utc>, zone: Tz) -> String {
        let local = instant.with_timezone(&zone);
        let day = local.date_naive();
        match self {
            Self::Minute => format!("{day} {:02}:{:02}:00", local.hour(), local.minute()),
            Self::Hour => format!("{day} {:02}:00:00", local.hour()),
            Self::Day => day.to_string(),
            Self::Week => (day - Days::new(u64::from(day.weekday().num_days_from_monday()))).to_string(),
            Self::Month => format!("{}-{:02}-01", day.year(), day.month()),
        }
    }

    /// All labels of a range of local days, ascending: those of every minute that the range has.
    pub fn labels(self, from: NaiveDate, to: NaiveDate, zone: Tz) -> Vec<String> {
        // No zone is more than a day from UTC, so this covers the range; the filter then makes it exact.
        let start = Utc.from_utc_datetime(&(from - Days::new(1)).into());
        let end = Utc.from_utc_datetime(&(to + Days::new(2)).into());
        let mut labels = BTreeSet::new();
        let mut minute = start;
        while minute < end {
            if (from..=to).contains(&local_day(minute, zone)) {
                labels.insert(self.label(minute, zone));
            }
            minute += TimeDelta::minutes(1);
        }
        labels.into_iter().collect()
    }
}

pub fn local_day(instant: DateTime<Utc>, zone: Tz) -> NaiveDate {
    instant.with_timezone(&zone).date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(unit: Unit, from: &str, to: &str, zone: Tz, count: usize, first: &str) {
        let labels = unit.labels(from.parse().unwrap(), to.parse().unwrap(), zone);
        assert_eq!((labels.len(), labels[0].as_str()), (count, first), "{unit:?} {from} {to} {zone}");
    }

    #[test]
    fn days_of_summer_time_have_23_and_24_labels() {
        let zone = chrono_tz::America::New_York;
        check(Unit::Hour, "2024-03-10", "2024-03-10", zone, 23, "2024-03-10 00:00:00");
        check(Unit::Hour, "2024-11-03", "2024-11-03", zone, 24, "2024-11-03 00:00:00");
        check(Unit::Minute, "2024-11-03", "2024-11-03", zone, 1440, "2024-11-03 00:00:00");
    }

    #[test]
    fn first_week_and_month_keep_their_calendar_label() {
        let zone = chrono_tz::UTC;
        check(Unit::Week, "2024-01-03", "2024-01-08", zone, 2, "2024-01-01");
        check(Unit::Month, "2024-01-15", "2024-03-01", zone, 3, "2024-01-01");
    }
}
