//! Reads date strings: `YYYY-MM-DD`, optionally `T` or a space and `HH:MM:SS`, then a fraction (dropped), then `Z` or
//! `±HH:MM` or `±HHMM`. Two-digit fields, real calendar dates, nothing around it.

use chrono::{NaiveDate, NaiveTime};
use chrono_tz::Tz;

use super::local_to_instant;

/// The instant of a date string, in Unix seconds.
///
/// Without an offset in the text, a literal is in the project's time zone and data is UTC (§6): `literal_zone` is
/// `Some(project zone)` for a string that stands in the expression, `None` for one that comes from a record.
pub fn parse_datetime(text: &str, literal_zone: Option<Tz>) -> Option<i64> {
    let mut rest = Rest(text.as_bytes());
    let date = rest.date()?;
    if rest.is_empty() {
        return Some(local_to_instant(date.and_time(NaiveTime::MIN), literal_zone.unwrap_or(Tz::UTC)));
    }
    if !(rest.eat(b'T') || rest.eat(b' ')) {
        return None;
    }
    let time = date.and_time(rest.time()?);
    if rest.is_empty() {
        return Some(local_to_instant(time, literal_zone.unwrap_or(Tz::UTC)));
    }
    let offset = rest.offset()?;
    rest.is_empty().then(|| time.and_utc().timestamp() - offset)
}

/// What is left to read.
struct Rest<'t>(&'t [u8]);

impl Rest<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn date(&mut self) -> Option<NaiveDate> {
        let year = self.digits(4)?;
        self.take(b'-')?;
        let month = self.digits(2)?;
        self.take(b'-')?;
        let day = self.digits(2)?;
        NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
    }

    fn time(&mut self) -> Option<NaiveTime> {
        let hour = self.digits(2)?;
        self.take(b':')?;
        let minute = self.digits(2)?;
        self.take(b':')?;
        let second = self.digits(2)?;
        if self.eat(b'.') {
            self.digits(1)?;
            while self.digits(1).is_some() {}
        }
        NaiveTime::from_hms_opt(hour, minute, second)
    }

    /// Seconds east of UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.eat(b'Z') {
            return Some(0);
        }
        let east = self.eat(b'+');
        if !east {
            self.take(b'-')?;
        }
        let hours = self.digits(2)?;
        self.eat(b':');
        let minutes = self.digits(2)?;
        if hours > 23 || minutes > 59 {
            return None;
        }
        let seconds = i64::from(hours * 3600 + minutes * 60);
        Some(if east { seconds } else { -seconds })
    }

    fn digits(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let value = digits
            .iter()
            .try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))?;
        self.0 = rest;
        Some(value)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.eat(byte).then_some(())
    }

    fn eat(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        if let Some(rest) = rest {
            self.0 = rest;
        }
        rest.is_some()
    }
}
