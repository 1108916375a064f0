//! Segmentation (section 2.1): one event per bucket, by segment.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use chrono_tz::Tz;
use serde_json::Value;

use super::calendar::{Unit, local_day};
use super::event::RawEvent;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    General,
    Unique,
    Average,
}

impl Count {
    pub fn name(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Unique => "unique",
            Self::Average => "average",
        }
    }
}

/// A `where` and what it means, said twice: for the server and for the oracle.
#[derive(Clone)]
pub struct Filter {
    pub text: String,
    pub keeps: fn(&RawEvent) -> bool,
}

/// An `on` and the segments that it puts an event into.
#[derive(Clone)]
pub struct Breakdown {
    pub text: String,
    pub segments: fn(&RawEvent) -> BTreeSet<String>,
}

#[derive(Clone)]
pub struct Question {
    pub event: String,
    pub from: NaiveDate,
    pub to: NaiveDate,
    pub unit: Unit,
    pub count: Count,
    pub zone: Tz,
    pub filter: Option<Filter>,
    pub on: Option<Breakdown>,
    pub limit: usize,
}

/// `data.series` and `data.values` of the reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub series: Vec<String>,
    pub values: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Answer {
    /// Reads a reply; numbers of every kind become doubles, so that 2 equals 2.0 and nothing else changes.
    pub fn from_reply(reply: &Value) -> Self {
        let data = &reply["data"];
        let texts = |list: &Value| -> Vec<String> {
            list.as_array().unwrap_or_else(|| panic!("no series in {reply}")).iter().map(text).collect()
        };
        let values = data["values"].as_object().unwrap_or_else(|| panic!("no values in {reply}"));
        assert_eq!(reply["legend_size"].as_u64(), Some(values.len() as u64), "legend_size counts the keys: {reply}");
        let buckets = |segment: &Value| -> BTreeMap<String, f64> {
            let buckets = segment.as_object().expect("a segment maps buckets to numbers");
            buckets.iter().map(|(label, value)| (label.clone(), value.as_f64().expect("a number"))).collect()
        };
        Self {
            series: texts(&data["series"]),
            values: values.iter().map(|(key, segment)| (key.clone(), buckets(segment))).collect(),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a label is text").to_owned()
}

/// What one segment saw: events and users, per bucket and in all.
#[derive(Default)]
struct Seen<'a> {
    events: BTreeMap<String, u64>,
    users: BTreeMap<String, BTreeSet<&'a str>>,
    users_in_range: BTreeSet<&'a str>,
}

impl Seen<'_> {
    /// What the top segments are chosen by, over the whole range.
    fn weight(&self, count: Count) -> u64 {
        match count {
            Count::Unique => self.users_in_range.len() as u64,
            Count::General | Count::Average => self.events.values().sum(),
        }
    }

    fn value(&self, count: Count, bucket: &str) -> f64 {
        let events = self.events.get(bucket).copied().unwrap_or(0) as f64;
        let users = self.users.get(bucket).map_or(0, BTreeSet::len) as f64;
        match count {
            Count::General => events,
            Count::Unique => users,
            Count::Average if users == 0.0 => 0.0,
            Count::Average => events / users,
        }
    }
}

pub fn segmentation(events: &[RawEvent], question: &Question) -> Answer {
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    for event in events.iter().filter(|event| is_asked_for(event, question)) {
        let bucket = question.unit.label(event.instant(), question.zone);
        let segments = match &question.on {
            Some(on) => (on.segments)(event),
            None => BTreeSet::from([question.event.clone()]),
        };
        for segment in segments {
            let seen = seen.entry(segment).or_default();
            *seen.events.entry(bucket.clone()).or_default() += 1;
            if !event.distinct_id.is_empty() {
                seen.users.entry(bucket.clone()).or_default().insert(&event.distinct_id);
                seen.users_in_range.insert(&event.distinct_id);
            }
        }
    }
    if question.on.is_none() {
        seen.entry(question.event.clone()).or_default();
    }
    let series = question.unit.labels(question.from, question.to, question.zone);
    let mut ranked = seen.into_iter().collect::<Vec<_>>();
    ranked.sort_by_key(|(key, seen)| (std::cmp::Reverse(seen.weight(question.count)), key.clone()));
    ranked.truncate(question.limit);
    let row = |seen: &Seen| series.iter().map(|label| (label.clone(), seen.value(question.count, label))).collect();
    let values = ranked.iter().map(|(key, seen)| (key.clone(), row(seen))).collect();
    Answer { series, values }
}

fn is_asked_for(event: &RawEvent, question: &Question) -> bool {
    event.event == question.event
        && (question.from..=question.to).contains(&local_day(event.instant(), question.zone))
        && question.filter.as_ref().is_none_or(|filter| (filter.keeps)(event))
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};
    use serde_json::json;

    use super::*;

    fn play(user: &str, day: u32, hour: u32, genre: Value) -> RawEvent {
        let time = Utc.with_ymd_and_hms(2024, 3, day, hour, 0, 0).unwrap().timestamp_millis();
        let event = RawEvent::new("Play", user, time, "i");
        if genre.is_null() { event } else { event.with("g", genre) }
    }

    fn by_genre(event: &RawEvent) -> BTreeSet<String> {
        match event.properties.get("g") {
            None => BTreeSet::from(["undefined".into()]),
            Some(Value::Array(list)) => list.iter().map(text).collect(),
            Some(value) => BTreeSet::from([text(value)]),
        }
    }

    /// The worked example of section 2.1.
    #[test]
    fn worked_example_of_the_page() {
        let events = [
            play("ann", 1, 10, json!("rock")),
            play("ann", 1, 11, json!("pop")),
            play("bob", 1, 12, json!(["rock", "pop"])),
            play("bob", 2, 9, json!(null)),
            play("ann", 3, 8, json!("rock")),
        ];
        let ask = |count, on: Option<fn(&RawEvent) -> BTreeSet<String>>| {
            let question = Question {
                event: "Play".into(),
                from: "2024-03-01".parse().unwrap(),
                to: "2024-03-03".parse().unwrap(),
                unit: Unit::Day,
                count,
                zone: chrono_tz::UTC,
                filter: None,
                on: on.map(|segments| Breakdown { text: "g".into(), segments }),
                limit: 60,
            };
            let answer = segmentation(&events, &question);
            let rows = answer.values.into_iter().map(|(key, row)| (key, row.into_values().collect::<Vec<_>>()));
            rows.collect::<Vec<_>>()
        };
        assert_eq!(ask(Count::General, None), [("Play".into(), vec![3.0, 1.0, 1.0])]);
        assert_eq!(ask(Count::Average, None), [("Play".into(), vec![1.5, 1.0, 1.0])]);
        let rows = [
            ("pop".into(), vec![2.0, 0.0, 0.0]),
            ("rock".into(), vec![2.0, 0.0, 1.0]),
            ("undefined".into(), vec![0.0, 1.0, 0.0]),
        ];
        assert_eq!(ask(Count::General, Some(by_genre)), rows);
        assert_eq!(ask(Count::Unique, Some(by_genre)), rows);
    }
}
