//! `datedif`: calendar differences as in spreadsheets. Times of day do not count, only the local dates do.

use chrono::{Datelike, Months, NaiveDate};
use chrono_tz::Tz;

use super::local;

/// What `datedif` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateUnit {
    /// `D`
    Days,
    /// `M`
    Months,
    /// `Y`
    Years,
    /// `MD`: days beyond whole months.
    DaysBeyondMonths,
    /// `YM`: months beyond whole years.
    MonthsBeyondYears,
    /// `YD`: days beyond whole years.
    DaysBeyondYears,
}

impl DateUnit {
    /// The unit of this name, in any letter case as in spreadsheets.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "D" => Self::Days,
            "M" => Self::Months,
            "Y" => Self::Years,
            "MD" => Self::DaysBeyondMonths,
            "YM" => Self::MonthsBeyondYears,
            "YD" => Self::DaysBeyondYears,
            _ => return None,
        })
    }
}

/// The difference of two instants' dates in a time zone; `None` if `from` is the later date.
pub fn date_difference(from: i64, to: i64, unit: DateUnit, timezone: Tz) -> Option<i64> {
    let (from, to) = (local(from, timezone)?.date(), local(to, timezone)?.date());
    if from > to {
        return None;
    }
    let months = whole_months(from, to)?;
    let days_after = |months: u32| Some((to - add_months(from, months)?).num_days());
    match unit {
        DateUnit::Days => days_after(0),
        DateUnit::Months => Some(i64::from(months)),
        DateUnit::Years => Some(i64::from(months / 12)),
        DateUnit::DaysBeyondMonths => days_after(months),
        DateUnit::MonthsBeyondYears => Some(i64::from(months % 12)),
        DateUnit::DaysBeyondYears => days_after(months / 12 * 12),
    }
}

/// The most months that can be added to `from` without passing `to`.
fn whole_months(from: NaiveDate, to: NaiveDate) -> Option<u32> {
    let months = i64::from(to.year() - from.year()) * 12 + i64::from(to.month()) - i64::from(from.month());
    let months = u32::try_from(months).ok()?;
    Some(if add_months(from, months)? > to { months.saturating_sub(1) } else { months })
}

/// Clips to the last day of the month.
fn add_months(date: NaiveDate, months: u32) -> Option<NaiveDate> {
    date.checked_add_months(Months::new(months))
}
