//! `utc_trunc(unit, time)`: `date_trunc` for times in UTC, without a calendar where none is needed.
//!
//! DataFusion's `date_trunc` takes every value of a column with a time zone through calendar arithmetic, even when the
//! zone is UTC: a second for 5 million rows, where a division takes 15 ms. Weeks start on Monday; months, quarters and
//! years ask the calendar, once per run of equal days.

use std::sync::Arc;

use arrow::array::{AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, TimeUnit, TimestampMillisecondType};
use chrono::{DateTime, Datelike, NaiveDate};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

const DAY: i64 = 86_400_000;

/// The function, for times of type `Timestamp(ms, UTC)`.
pub fn utc_trunc() -> Arc<ScalarUDF> {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let signature = Signature::exact(vec![DataType::Utf8, time], Volatility::Immutable);
    Arc::new(UtcTrunc { signature }.into())
}

/// Whether [`utc_trunc`] knows a unit.
pub fn is_trunc_unit(unit: &str) -> bool {
    Unit::parse(unit).is_some()
}

#[derive(Clone, Copy)]
enum Unit {
    /// Whole milliseconds since the epoch.
    Fixed(i64),
    Week,
    Month,
    Quarter,
    Year,
}

impl Unit {
    fn parse(unit: &str) -> Option<Self> {
        Some(match unit.to_ascii_lowercase().as_str() {
            "second" => Self::Fixed(1000),
            "minute" => Self::Fixed(60_000),
            "hour" => Self::Fixed(3_600_000),
            "day" => Self::Fixed(DAY),
            "week" => Self::Week,
            "month" => Self::Month,
            "quarter" => Self::Quarter,
            "year" => Self::Year,
            _ => return None,
        })
    }

    fn start(self, time: i64) -> i64 {
        match self {
            Self::Fixed(length) => time - time.rem_euclid(length),
            // The epoch was a Thursday: Mondays lie 3 days before multiples of 7.
            Self::Week => time - (time + 3 * DAY).rem_euclid(7 * DAY),
            Self::Month | Self::Quarter | Self::Year => self.calendar_start(time).unwrap_or(time),
        }
    }

    fn calendar_start(self, time: i64) -> Option<i64> {
        let day = DateTime::from_timestamp_millis(time)?.date_naive();
        let month = match self {
            Self::Year => 1,
            Self::Quarter => (day.month0() / 3) * 3 + 1,
            _ => day.month(),
        };
        let first = NaiveDate::from_ymd_opt(day.year(), month, 1)?;
        Some((first - NaiveDate::default()).num_milliseconds())
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct UtcTrunc {
    signature: Signature,
}

impl ScalarUDFImpl for UtcTrunc {
    fn name(&self) -> &str {
        "utc_trunc"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        args.get(1).cloned().ok_or_else(|| exec_datafusion_err!("utc_trunc takes two arguments"))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [ColumnarValue::Scalar(ScalarValue::Utf8(Some(unit))), times] = args.args.as_slice() else {
            return exec_err!("utc_trunc takes a literal unit and a time");
        };
        let Some(unit) = Unit::parse(unit) else { return exec_err!("utc_trunc does not know the unit {unit}") };
        let times = times.to_array(args.number_rows)?;
        let times = times.as_primitive::<TimestampMillisecondType>();
        let truncated: PrimitiveArray<TimestampMillisecondType> = match unit {
            Unit::Fixed(_) | Unit::Week => times.unary(|time| unit.start(time)),
            Unit::Month | Unit::Quarter | Unit::Year => {
                // Rows come by day: most need only one comparison.
                let mut known = (i64::MAX, i64::MAX);
                let mut start = |time: i64| {
                    let day = time - time.rem_euclid(DAY);
                    if known.0 != day {
                        known = (day, unit.start(day));
                    }
                    known.1
                };
                times.iter().map(|time| time.map(&mut start)).collect()
            }
        };
        Ok(ColumnarValue::Array(Arc::new(truncated.with_timezone("UTC"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(unit: &str, time: &str, expect: &str) {
        let millis = |text: &str| text.parse::<DateTime<chrono::Utc>>().unwrap().timestamp_millis();
        assert_eq!(Unit::parse(unit).unwrap().start(millis(time)), millis(expect), "{unit} {time}");
    }

    #[test]
    fn units_start_where_the_calendar_says() {
        check("day", "2024-02-29T23:59:59.999Z", "2024-02-29T00:00:00Z");
        check("hour", "1969-12-31T23:30:00Z", "1969-12-31T23:00:00Z");
        check("week", "2024-03-03T10:00:00Z", "2024-02-26T00:00:00Z");
        check("week", "2024-03-04T00:00:00Z", "2024-03-04T00:00:00Z");
        check("week", "1969-12-31T00:00:00Z", "1969-12-29T00:00:00Z");
        check("month", "2024-03-31T10:00:00Z", "2024-03-01T00:00:00Z");
        check("quarter", "2024-12-31T10:00:00Z", "2024-10-01T00:00:00Z");
        check("year", "1960-06-01T10:00:00Z", "1960-01-01T00:00:00Z");
    }
}
