//! What is kept of a project's data quality: counts of 30 days, and the newest samples of each reason.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Days, NaiveDate, Utc};
use footfall_ingest::Repair;
use serde::{Deserialize, Serialize};

use super::observed::{AGES, AHEAD, Observed, Refused};
use crate::ledger::Settled;

/// Days of arrival (UTC) that are kept.
pub const DAYS_MAX: u64 = 30;
/// Samples of one reason.
const SAMPLES_MAX: usize = 5;

/// Counts by a word of a closed set.
pub(super) type Counts = BTreeMap<Cow<'static, str>, u64>;

/// One project's record, as it is written to disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// By day of arrival, `YYYY-MM-DD`.
    pub(super) days: BTreeMap<String, Day>,
    pub(super) reasons: BTreeMap<Cow<'static, str>, Seen>,
}

/// Counts of one day. received = stored + duplicates + rejected + dropped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Day {
    pub received: u64,
    pub stored: u64,
    pub duplicates: u64,
    pub superseded: u64,
    pub rejected: Counts,
    pub dropped: Counts,
    /// Requests of which no record could be read.
    pub requests_refused: Counts,
    pub repaired: Counts,
    pub clock_ahead: Counts,
    pub age_at_arrival: Counts,
}

/// When a reason occurred, and where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Milliseconds since the epoch.
    pub first: i64,
    pub last: i64,
    /// Newest last.
    pub samples: VecDeque<Sample>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sample {
    /// Milliseconds since the epoch.
    pub at: i64,
    pub route: Cow<'static, str>,
    pub field: String,
    pub message: String,
    pub id: String,
}

impl Record {
    /// Adds what a request showed and what became of it.
    pub fn add(&mut self, now_ms: i64, route: &'static str, observed: Observed, settled: &Settled) {
        let day = self.day(now_ms);
        day.received += settled.records();
        day.stored += settled.stored;
        day.duplicates += settled.duplicates;
        day.superseded += settled.superseded;
        add_all(&mut day.rejected, settled.rejected.iter().map(|(reason, n)| (*reason, *n)));
        add_all(&mut day.dropped, settled.dropped.iter().map(|(reason, n)| (*reason, *n)));
        add_all(&mut day.repaired, Repair::ALL.map(Repair::name).into_iter().zip(observed.repaired));
        add_all(&mut day.clock_ahead, AHEAD.iter().map(|(name, _)| *name).zip(observed.ahead));
        add_all(&mut day.age_at_arrival, AGES.iter().map(|(name, _)| *name).zip(observed.ages));
        for reason in settled.rejected.keys() {
            self.saw(reason, now_ms);
        }
        for sample in observed.samples {
            self.sample(now_ms, route, sample);
        }
    }

    /// Adds a request of which no record could be read.
    pub fn add_refused_request(&mut self, now_ms: i64, route: &'static str, reason: &'static str) {
        add_all(&mut self.day(now_ms).requests_refused, [(reason, 1)]);
        let (field, message, id) = Default::default();
        self.sample(now_ms, route, Refused { reason, field, message, id });
    }

    /// Forgets what is older than is kept.
    pub fn forget(&mut self, now_ms: i64) {
        let Some(oldest) = date(now_ms).checked_sub_days(Days::new(DAYS_MAX - 1)) else { return };
        self.days = self.days.split_off(&oldest.to_string());
        let oldest_ms = oldest.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
        self.reasons.retain(|_, seen| seen.last >= oldest_ms);
    }

    fn day(&mut self, now_ms: i64) -> &mut Day {
        let day = date(now_ms).to_string();
        if !self.days.contains_key(&day) {
            self.forget(now_ms);
        }
        self.days.entry(day).or_default()
    }

    fn saw(&mut self, reason: &'static str, now_ms: i64) -> &mut Seen {
        let seen = self.reasons.entry(reason.into()).or_insert_with(|| Seen { first: now_ms, ..Seen::default() });
        seen.last = seen.last.max(now_ms);
        seen
    }

    fn sample(&mut self, now_ms: i64, route: &'static str, refused: Refused) {
        let Refused { reason, field, message, id } = refused;
        let samples = &mut self.saw(reason, now_ms).samples;
        if samples.len() >= SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(Sample { at: now_ms, route: route.into(), field, message, id });
    }
}

fn add_all(counts: &mut Counts, more: impl IntoIterator<Item = (&'static str, u64)>) {
    for (name, count) in more.into_iter().filter(|(_, count)| *count > 0) {
        *counts.entry(name.into()).or_default() += count;
    }
}

/// The UTC day of a moment.
pub(super) fn date(ms: i64) -> NaiveDate {
    DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default().date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn refused(reason: &'static str) -> Observed {
        let mut observed = Observed::default();
        observed.refused(|| Refused { reason, field: "f".into(), message: "m".into(), id: "i".repeat(99) });
        observed
    }

    #[test]
    fn thirty_days_are_kept_and_reasons_as_long() {
        let mut record = Record::default();
        for day in 0..40 {
            record.add(day * DAY, "/track", refused("too_big"), &Settled::rejected("too_big", 1));
            if day == 5 {
                record.add(day * DAY, "/track", refused("not_utf8"), &Settled::rejected("not_utf8", 1));
            }
        }
        assert_eq!(record.days.len(), 30);
        assert_eq!(record.days.first_key_value().unwrap().0, "1970-01-11");
        let seen = &record.reasons["too_big"];
        assert_eq!((seen.first, seen.last, seen.samples.len()), (0, 39 * DAY, SAMPLES_MAX));
        assert_eq!(seen.samples.back().unwrap().id.len(), 64);
        assert!(!record.reasons.contains_key("not_utf8"));
    }

    #[test]
    fn a_record_survives_the_disk() {
        let mut record = Record::default();
        record.add(DAY, "/import", refused("too_deep"), &Settled::rejected("too_deep", 3));
        record.add_refused_request(DAY, "/track", "invalid_json");
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
