//! Raw export: stored events back as the JSON they came in.

use chrono::NaiveDate;

#[derive(Clone, Debug, PartialEq)]
pub struct ExportSpec {
    /// UTC days, inclusive.
    pub from: NaiveDate,
    pub to: NaiveDate,
    /// Event names to keep; `None` is all.
    pub events: Option<Vec<String>>,
    /// Expression that keeps an event.
    pub filter: Option<String>,
    pub limit: Option<usize>,
    /// `time` in milliseconds instead of seconds.
    pub time_in_ms: bool,
}
