//! Dates: strings and calendars (§6, §8).

use std::sync::LazyLock;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Timelike};
use chrono_tz::Tz;
use regex::Regex;

/// The instant of a date string; without an offset it is in `zone`.
pub fn parse(text: &str, zone: Tz) -> Option<i64> {
    static FORM: LazyLock<Regex> = LazyLock::new(|| {
        let time = r"[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?(Z|[+-][0-9]{2}:?[0-9]{2})?";
        Regex::new(&format!(r"\A([0-9]{{4}})-([0-9]{{2}})-([0-9]{{2}})(?:{time})?\z")).unwrap()
    });
    let parts = FORM.captures(text)?;
    let field = |group: usize| parts.get(group).map_or(0, |digits| digits.as_str().parse::<u32>().unwrap());
    let date = NaiveDate::from_ymd_opt(field(1) as i32, field(2), field(3))?;
    let local = date.and_time(NaiveTime::from_hms_opt(field(4), field(5), field(6))?);
    let Some(offset) = parts.get(7) else { return Some(instant(local, zone)) };
    if offset.as_str() == "Z" {
        return Some(local.and_utc().timestamp());
    }
    let (sign, digits) = offset.as_str().split_at(1);
    let digits: i64 = digits.replace(':', "").parse().unwrap();
    let (hours, minutes) = (digits / 100, digits % 100);
    let east = (hours * 60 + minutes) * 60 * if sign == "-" { -1 } else { 1 };
    (hours < 24 && minutes < 60).then(|| local.and_utc().timestamp() - east)
}

/// The instant of a local time; in a gap and in an overlap, the offset from before the change.
pub fn instant(local: NaiveDateTime, zone: Tz) -> i64 {
    let as_utc = local.and_utc().timestamp();
    let day = 86_400;
    let offsets = [offset(as_utc - day, zone), offset(as_utc + day, zone)];
    let candidates = offsets.map(|offset| as_utc - offset);
    let fits = |at: &&i64| **at + offset(**at, zone) == as_utc;
    let earliest = candidates[0].min(candidates[1]);
    // In an overlap both fit, and the earlier instant has the offset from before. In a gap neither does, and the earlier
    // candidate is still before the change.
    candidates.iter().filter(fits).min().copied().unwrap_or_else(|| as_utc - offset(earliest, zone))
}

/// Seconds east of UTC at an instant.
fn offset(at: i64, zone: Tz) -> i64 {
    let utc = DateTime::from_timestamp(at, 0).unwrap().naive_utc();
    i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
}

fn local(at: i64, zone: Tz) -> NaiveDateTime {
    DateTime::from_timestamp(at + offset(at, zone), 0).unwrap().naive_utc()
}

pub fn text(at: i64, zone: Tz) -> String {
    let t = local(at, zone);
    let (date, time) = ((t.year(), t.month(), t.day()), (t.hour(), t.minute(), t.second()));
    format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", date.0, date.1, date.2, time.0, time.1, time.2)
}

pub fn today(now: i64, zone: Tz) -> i64 {
    instant(local(now, zone).date().and_time(NaiveTime::MIN), zone)
}

/// A field by the name of its function.
pub fn field(name: &str, at: i64, zone: Tz) -> f64 {
    let t = local(at, zone);
    match name {
        "year" => f64::from(t.year()),
        "month" => f64::from(t.month()),
        "day" => f64::from(t.day()),
        "hour" => f64::from(t.hour()),
        "minute" => f64::from(t.minute()),
        "second" => f64::from(t.second()),
        "week" => {
            // A week belongs to the year that has its Thursday.
            let thursday =
                t.date() + chrono::Days::new(3) - chrono::Days::new(t.weekday().num_days_from_monday().into());
            f64::from(thursday.ordinal0() / 7 + 1)
        }
        other => panic!("{other} is no field of the calendar"),
    }
}

/// `datedif` of two instants' local dates, by an upper-case unit.
pub fn difference(from: i64, to: i64, unit: &str, zone: Tz) -> Option<f64> {
    let (from, to) = (local(from, zone).date(), local(to, zone).date());
    if from > to {
        return None;
    }
    let mut months = (to.year() - from.year()) * 12 + to.month() as i32 - from.month() as i32;
    while later(from, months) > to {
        months -= 1;
    }
    let days_after = |months: i32| (to - later(from, months)).num_days() as f64;
    Some(match unit {
        "D" => days_after(0),
        "M" => f64::from(months),
        "Y" => f64::from(months / 12),
        "MD" => days_after(months),
        "YM" => f64::from(months % 12),
        "YD" => days_after(months - months % 12),
        _ => return None,
    })
}

/// So many months later; clipped to the last day of the month.
fn later(date: NaiveDate, months: i32) -> NaiveDate {
    let month0 = date.year() * 12 + date.month0() as i32 + months;
    let (year, month) = (month0.div_euclid(12), month0.rem_euclid(12) as u32 + 1);
    (1..=date.day()).rev().find_map(|day| NaiveDate::from_ymd_opt(year, month, day)).unwrap()
}
