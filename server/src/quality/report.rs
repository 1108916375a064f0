//! The report as clients read it.

use chrono::{DateTime, Days, SecondsFormat, Utc};
use footfall_engine::PropertyTypes;
use footfall_model::ProjectId;
use serde_json::{Value, json};

use super::record::{Counts, DAYS_MAX, Day, Record, Seen, date};

/// The last `days` days of arrival, oldest first; days without requests are left out.
pub fn report(project: ProjectId, record: &Record, drift: &[PropertyTypes], now_ms: i64, days: u64) -> Value {
    let today = date(now_ms);
    let from = today.checked_sub_days(Days::new(days.clamp(1, DAYS_MAX) - 1)).unwrap_or(today);
    let from_ms = from.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
    let shown = || record.days.range(from.to_string()..);
    let mut total = Day::default();
    shown().for_each(|(_, day)| total.add(day));
    let reasons = record.reasons.iter().filter(|(_, seen)| seen.last >= from_ms);
    let drift = drift.iter().map(|p| json!({"property": p.property, "types": p.types}));
    let days = shown().map(|(date, day)| {
        let mut json = day.json();
        json["date"] = json!(date);
        json
    });
    json!({
        "project_id": project.0,
        "from_date": from.to_string(),
        "to_date": today.to_string(),
        "totals": total.json(),
        "reasons": reasons.map(|(reason, seen)| seen.json(reason, &total)).collect::<Vec<_>>(),
        "type_drift": drift.collect::<Vec<_>>(),
        "days": days.collect::<Vec<_>>(),
    })
}

impl Day {
    fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.stored += other.stored;
        self.duplicates += other.duplicates;
        self.superseded += other.superseded;
        for (mine, more) in [
            (&mut self.rejected, &other.rejected),
            (&mut self.dropped, &other.dropped),
            (&mut self.requests_refused, &other.requests_refused),
            (&mut self.repaired, &other.repaired),
            (&mut self.clock_ahead, &other.clock_ahead),
            (&mut self.age_at_arrival, &other.age_at_arrival),
        ] {
            for (name, count) in more {
                *mine.entry(name.clone()).or_default() += count;
            }
        }
    }

    fn json(&self) -> Value {
        let sum = |counts: &Counts| counts.values().sum::<u64>();
        json!({
            "received": self.received,
            "stored": self.stored,
            "duplicates": self.duplicates,
            "superseded": self.superseded,
            "rejected": sum(&self.rejected),
            "rejected_by_reason": self.rejected,
            "dropped": sum(&self.dropped),
            "dropped_by_reason": self.dropped,
            "requests_refused": self.requests_refused,
            "repaired": self.repaired,
            "clock_ahead": self.clock_ahead,
            "age_at_arrival": self.age_at_arrival,
        })
    }
}

impl Seen {
    fn json(&self, reason: &str, total: &Day) -> Value {
        let count = |counts: &Counts| counts.get(reason).copied().unwrap_or(0);
        let samples = self.samples.iter().rev().map(|sample| {
            json!({
                "at": moment(sample.at),
                "route": sample.route,
                "field": sample.field,
                "message": sample.message,
                "id": sample.id,
            })
        });
        json!({
            "reason": reason,
            "records": count(&total.rejected),
            "requests": count(&total.requests_refused),
            "first_seen": moment(self.first),
            "last_seen": moment(self.last),
            "samples": samples.collect::<Vec<_>>(),
        })
    }
}

fn moment(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}
