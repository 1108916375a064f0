//! `GET /v1/schema`: which events and properties a project has, of which types, how often and since when.
//!
//! `event` narrows it to one event and its properties, `from_date` and `to_date` to UTC days, `search` to names that
//! contain a text, whatever its case; `limit` and `offset` page through both lists, which begin with the most frequent.
//!
//! ```text
//! {"events":[{"event","count","first_seen","last_seen","properties"}],          properties: how many it has
//!  "properties":[{"name","column","count","first_seen","last_seen","events",    events: how many have it
//!                 "types":[{"type","count","first_seen","last_seen","examples"}]}],
//!  "total":{"events","properties"}}
//! ```
//!
//! `type` is `boolean`, `integer`, `double`, `string`, `list`, `object` or `null`; `column` is the property's name in
//! SQL. Times are those of events, in milliseconds since the epoch. Counts are exact, duplicates counted once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use footfall_engine::{Census, PropertyUse, Seen, ValueType, sql_name};
use serde_json::{Value, json};

use crate::auth::authorize;
use crate::http::{ApiError, Params, QueryRequest};
use crate::state::AppState;

const LIMIT: usize = 1_000;
const LIMIT_MAX: usize = 100_000;

pub async fn schema(State(state): State<AppState>, request: QueryRequest) -> Result<Response, ApiError> {
    let params = request.params?;
    let project = authorize(&state, &request.headers, &params).await?;
    let date = |name: &str| params.text(name).map(|_| params.date(name)).transpose();
    let (from, to) = (date("from_date")?, date("to_date")?);
    let spec = Spec::read(&params)?;
    let census = state.engine.census(project.id, from, to).await?;
    Ok(Json(reply(&census, &spec)).into_response())
}

#[derive(Debug, PartialEq, Eq)]
struct Spec {
    event: Option<String>,
    /// In lower case.
    search: Option<String>,
    limit: usize,
    offset: usize,
}

impl Spec {
    fn read(params: &Params) -> Result<Self, ApiError> {
        Ok(Self {
            event: params.text("event").map(Into::into),
            search: params.text("search").map(|text| text.to_lowercase()),
            limit: params.whole("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT),
            offset: params.whole("offset", 0..=usize::MAX)?.unwrap_or(0),
        })
    }

    fn has_event(&self, event: &str) -> bool {
        self.event.as_ref().is_none_or(|wanted| wanted == event)
    }

    fn finds(&self, name: &str) -> bool {
        self.search.as_ref().is_none_or(|text| name.to_lowercase().contains(text))
    }

    /// The page of a list, the most frequent first.
    fn page<'a, T>(&self, mut list: Vec<(Seen, &'a str, T)>) -> impl Iterator<Item = (Seen, &'a str, T)> {
        list.sort_by_key(|(seen, name, _)| (Reverse(seen.rows), *name));
        list.into_iter().skip(self.offset).take(self.limit)
    }
}

/// A property by its types.
#[derive(Default)]
struct Property<'a> {
    types: Vec<(ValueType, Seen, &'a PropertyUse)>,
    events: BTreeSet<&'a str>,
}

fn reply(census: &Census, spec: &Spec) -> Value {
    let mut properties: BTreeMap<&str, Property<'_>> = BTreeMap::new();
    let mut properties_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for ((name, kind), used) in &census.properties {
        let of_events = used.by_event.iter().filter(|(event, _)| spec.has_event(event));
        let Some(seen) = of_events.clone().map(|(_, seen)| *seen).reduce(Seen::and) else { continue };
        let property = properties.entry(name).or_default();
        property.types.push((*kind, seen, used));
        for (event, _) in of_events {
            property.events.insert(event);
            properties_of.entry(event).or_default().insert(name);
        }
    }
    let events: Vec<_> = census
        .events
        .iter()
        .filter(|(name, _)| spec.has_event(name) && spec.finds(name))
        .map(|(name, seen)| (*seen, name.as_str(), properties_of.get(name.as_str()).map_or(0, BTreeSet::len)))
        .collect();
    let properties: Vec<_> = properties
        .into_iter()
        .filter(|(name, _)| spec.finds(name))
        .filter_map(|(name, property)| {
            let seen = property.types.iter().map(|(_, seen, _)| *seen).reduce(Seen::and)?;
            Some((seen, name, property))
        })
        .collect();
    let total = json!({"events": events.len(), "properties": properties.len()});
    let events: Vec<Value> = spec.page(events).map(|(seen, name, properties)| event(seen, name, properties)).collect();
    let properties: Vec<Value> = spec.page(properties).map(|(seen, name, found)| property(seen, name, found)).collect();
    json!({"events": events, "properties": properties, "total": total})
}

fn event(seen: Seen, name: &str, properties: usize) -> Value {
    json!({
        "event": name,
        "count": seen.rows,
        "first_seen": seen.first,
        "last_seen": seen.last,
        "properties": properties,
    })
}

fn property(seen: Seen, name: &str, property: Property<'_>) -> Value {
    let types = property.types.into_iter().map(|(kind, seen, used)| {
        // An example is JSON; one that is not says so itself.
        let example = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
        json!({
            "type": kind.name(),
            "count": seen.rows,
            "first_seen": seen.first,
            "last_seen": seen.last,
            "examples": used.examples.iter().map(example).collect::<Vec<Value>>(),
        })
    });
    json!({
        "name": name,
        "column": sql_name(name),
        "count": seen.rows,
        "first_seen": seen.first,
        "last_seen": seen.last,
        "events": property.events.len(),
        "types": types.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census() -> Census {
        let seen = |rows, first, last| Seen { rows, first, last };
        let used = |events: &[(&str, Seen)], example: &str| PropertyUse {
            by_event: events.iter().map(|(event, seen)| ((*event).to_owned(), *seen)).collect(),
            examples: vec![example.to_owned()],
        };
        Census {
            events: [("Play".to_owned(), seen(9, 1, 8)), ("Stop".to_owned(), seen(20, 0, 9))].into(),
            properties: [
                (("Plan".to_owned(), ValueType::Integer), used(&[("Play", seen(2, 1, 5))], "7")),
                (
                    ("Plan".to_owned(), ValueType::String),
                    used(&[("Play", seen(1, 8, 8)), ("Stop", seen(3, 2, 4))], "\"x\""),
                ),
                (("time".to_owned(), ValueType::Null), used(&[("Stop", seen(4, 0, 9))], "null")),
            ]
            .into(),
        }
    }

    fn asked(query: &str) -> Value {
        reply(&census(), &Spec::read(&Params::parse(Some(query), None, b"").unwrap()).unwrap())
    }

    #[test]
    fn types_of_a_property_add_up_over_events() {
        let all = asked("");
        assert_eq!(all["total"], json!({"events": 2, "properties": 2}));
        assert_eq!(
            all["events"],
            json!([
                {"event": "Stop", "count": 20, "first_seen": 0, "last_seen": 9, "properties": 2},
                {"event": "Play", "count": 9, "first_seen": 1, "last_seen": 8, "properties": 1},
            ])
        );
        assert_eq!(
            all["properties"][0],
            json!({
                "name": "Plan", "column": "Plan", "count": 6, "first_seen": 1, "last_seen": 8, "events": 2,
                "types": [
                    {"type": "integer", "count": 2, "first_seen": 1, "last_seen": 5, "examples": [7]},
                    {"type": "string", "count": 4, "first_seen": 2, "last_seen": 8, "examples": ["x"]},
                ],
            })
        );
        assert_eq!(all["properties"][1]["column"], "properties.time");
    }

    #[test]
    fn lists_are_narrowed_and_paged() {
        let names = |reply: &Value, list: &str, key: &str| -> Vec<String> {
            reply[list].as_array().unwrap().iter().map(|one| one[key].as_str().unwrap().to_owned()).collect()
        };
        let play = asked("event=Play");
        assert_eq!(
            (names(&play, "events", "event"), names(&play, "properties", "name")),
            (vec!["Play".into()], vec!["Plan".into()])
        );
        assert_eq!(play["properties"][0]["count"], 3);
        assert_eq!(names(&asked("search=PLA"), "events", "event"), ["Play"]);
        assert_eq!(names(&asked("search=PLA"), "properties", "name"), ["Plan"]);
        let second = asked("limit=1&offset=1");
        assert_eq!((names(&second, "events", "event"), &second["total"]["events"]), (vec!["Play".into()], &json!(2)));
        assert_eq!(asked("event=none")["total"], json!({"events": 0, "properties": 0}));
    }
}
