//! `/api/query/segmentation`: one event counted per bucket, optionally by segment.

use chrono::NaiveDate;

/// Calendar bucket in the project's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Minute,
    Hour,
    Day,
    Week,
    Month,
}

/// What is counted (`type` on the wire).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Events.
    General,
    /// Distinct users per bucket.
    Unique,
    /// Events per distinct user; 0 where there is no user.
    Average,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SegmentationSpec {
    pub event: String,
    /// Local days of the project, inclusive.
    pub from: NaiveDate,
    pub to: NaiveDate,
    pub unit: Unit,
    pub count: Count,
    /// Expression whose value is the segment.
    pub on: Option<String>,
    /// Expression that keeps an event.
    pub filter: Option<String>,
    /// Segments kept, by their total over the range.
    pub limit: usize,
}

/// One value per bucket and segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Segmentation {
    /// Labels of all buckets in range, ascending: `YYYY-MM-DD`, or `YYYY-MM-DD HH:MM:00` below a day.
    pub buckets: Vec<String>,
    /// Segment key (the event's name without `on`) and its values, one per bucket, largest segment first.
    pub segments: Vec<(String, Vec<serde_json::Number>)>,
    /// What the reader should know, such as how many events an expression could not be evaluated on.
    pub warnings: Vec<String>,
}
