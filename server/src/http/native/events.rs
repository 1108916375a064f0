//! `GET /v1/events/recent`: the last events of a project or of one user, newest arrival first.
//!
//! The form of an event here and in the live view:
//! `{"event","time","distinct_id","user_id","insert_id","received_at","properties"}`, `time` in milliseconds and
//! `received_at` in microseconds since the epoch. `received_at` names an event within its project and orders arrivals:
//! it is the `before` of the next page.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use footfall_engine::{ArrivalFilterSpec, LiveRow, RecentSpec};
use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};
use serde_json::json;

use crate::auth::authorize;
use crate::http::{ApiError, Params, QueryRequest};
use crate::state::AppState;

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;

pub async fn recent(State(state): State<AppState>, request: QueryRequest) -> Result<Response, ApiError> {
    let params = request.params?;
    let project = authorize(&state, &request.headers, &params).await?;
    let spec = RecentSpec {
        filter: filter(&params)?,
        before: params.text("before").map(|text| cursor("before", &text)).transpose()?,
        limit: params.whole("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT),
    };
    let events = state.engine.recent(project.id, spec).await?;
    let events: Vec<_> = events.iter().map(|event| EventJson(LiveRow::Plain(event))).collect();
    Ok(Json(json!({"events": events})).into_response())
}

/// What both routes can be narrowed to: `event` (a name or a JSON list of names), `distinct_id` or `user`, `where`.
pub fn filter(params: &Params) -> Result<ArrivalFilterSpec, ApiError> {
    let (distinct_id, user) = (params.text("distinct_id"), params.text("user"));
    if distinct_id.is_some() && user.is_some() {
        return Err(ApiError::parameter("user", "cannot be combined with distinct_id"));
    }
    Ok(ArrivalFilterSpec {
        events: params.names("event")?,
        distinct_id: distinct_id.or(user).map(Into::into),
        filter: params.text("where").map(Into::into),
    })
}

/// A `received_at`.
pub fn cursor(name: &str, text: &str) -> Result<i64, ApiError> {
    let at = text.trim().parse().ok().filter(|at| *at >= 0);
    at.ok_or_else(|| ApiError::parameter(name, "must be the received_at of an event"))
}

/// An event as JSON.
pub struct EventJson<'a>(pub LiveRow<'a>);

impl Serialize for EventJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = &self.0;
        let user = Some(row.distinct_id()).filter(|id| !id.is_empty());
        let mut event = serializer.serialize_struct("event", 7)?;
        event.serialize_field("event", row.event())?;
        event.serialize_field("time", &row.time())?;
        event.serialize_field("distinct_id", row.distinct_id())?;
        event.serialize_field("user_id", &user)?;
        event.serialize_field("insert_id", row.insert_id())?;
        event.serialize_field("received_at", &row.received_at())?;
        event.serialize_field("properties", &PropertiesJson(row))?;
        event.end()
    }
}

struct PropertiesJson<'a>(&'a LiveRow<'a>);

impl Serialize for PropertiesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut properties = serializer.serialize_map(None)?;
        for (name, value) in self.0.properties() {
            properties.serialize_entry(&name, value.as_ref())?;
        }
        properties.end()
    }
}

#[cfg(test)]
mod tests {
    use footfall_model::{Event, Shard, StoredEvent, Uid, Value};

    use super::*;

    #[test]
    fn an_event_of_nobody_has_no_user() {
        let event = Event {
            name: "A".into(),
            distinct_id: String::new(),
            time: 1_000,
            insert_id: "i".into(),
            insert_id_generated: false,
            properties: vec![("x".into(), Value::List(vec![Value::Null, Value::Float(0.5)]))],
        };
        let stored = StoredEvent { event, uid: Uid::nobody(Shard(0)), received_at: 2_000_000 };
        let expect = json!({"event": "A", "time": 1000, "distinct_id": "", "user_id": null, "insert_id": "i",
            "received_at": 2_000_000, "properties": {"x": [null, 0.5]}});
        assert_eq!(serde_json::to_value(EventJson(LiveRow::Plain(&stored))).unwrap(), expect);
    }

    #[test]
    fn filters_and_cursors_are_read() {
        let read = |query: &str| filter(&Params::parse(Some(query), None, b"").unwrap()).map_err(|e| e.message);
        let expect = ArrivalFilterSpec {
            events: Some(vec!["A".into(), "B".into()]),
            distinct_id: Some("u".into()),
            filter: Some("1 == 1".into()),
        };
        assert_eq!(read("event=[\"A\",\"B\"]&user=u&where=1+==+1"), Ok(expect));
        assert_eq!(read("event=[]"), Ok(ArrivalFilterSpec::default()));
        assert_eq!(read("user=a&distinct_id=b"), Err("user, cannot be combined with distinct_id".into()));
        assert_eq!(cursor("since", " 17 ").unwrap(), 17);
        assert!(cursor("since", "-1").is_err() && cursor("since", "x").is_err());
    }
}
