//! `GET /v1/rejected`: the copies of events that lost against another copy, newest loss first.
//!
//! `reason` (`duplicate` or `superseded`), `event` and `distinct_id` narrow it, `limit` bounds a page. The reply is
//! `{"rejected":[{"event","time","distinct_id","user_id","insert_id","reason","received_at","kept_received_at",
//! "rejected_at","source","properties"}],"next"}`: `time` in milliseconds, the others in microseconds since the epoch;
//! `next` is the `before` of the next page, `null` at the end.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use footfall_engine::{RejectReason, RejectedEvent, RejectedSpec};
use serde_json::{Map, Value, json};

use super::events::cursor;
use crate::auth::authorize;
use crate::http::{ApiError, Params, QueryRequest};
use crate::state::AppState;

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;

pub async fn rejected(State(state): State<AppState>, request: QueryRequest) -> Result<Response, ApiError> {
    let params = request.params?;
    let project = authorize(&state, &request.headers, &params).await?;
    let page = state.engine.rejected(project.id, spec(&params)?).await?;
    let rejected: Vec<Value> = page.rejected.into_iter().map(copy).collect();
    Ok(Json(json!({"rejected": rejected, "next": page.next})).into_response())
}

fn spec(params: &Params) -> Result<RejectedSpec, ApiError> {
    let reasons = RejectReason::ALL.map(|reason| (reason.name(), reason));
    Ok(RejectedSpec {
        reason: params.choice("reason", &reasons)?,
        event: params.text("event").map(Into::into),
        distinct_id: params.text("distinct_id").map(Into::into),
        before: params.text("before").map(|text| cursor("before", &text)).transpose()?,
        limit: params.whole("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT),
    })
}

fn copy(copy: RejectedEvent) -> Value {
    let rejected_at = copy.rejected_at();
    let user = Some(&copy.distinct_id).filter(|id| !id.is_empty());
    let properties: Map<String, Value> =
        copy.properties.iter().map(|(name, value)| (name.clone(), Value::from(value))).collect();
    json!({
        "event": copy.event,
        "time": copy.time,
        "distinct_id": copy.distinct_id,
        "user_id": user,
        "insert_id": copy.insert_id,
        "reason": copy.reason.name(),
        "received_at": copy.received_at,
        "kept_received_at": copy.kept_received_at,
        "rejected_at": rejected_at,
        "source": copy.source,
        "properties": properties,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_and_wrong_ones_named() {
        let read = |query: &str| spec(&Params::parse(Some(query), None, b"").unwrap()).map_err(|e| e.message);
        let all = RejectedSpec { reason: None, event: None, distinct_id: None, before: None, limit: LIMIT };
        assert_eq!(read(""), Ok(all.clone()));
        let some = RejectedSpec {
            reason: Some(RejectReason::Superseded),
            event: Some("A b".into()),
            distinct_id: Some("u".into()),
            before: Some(17),
            limit: 5,
        };
        assert_eq!(read("reason=superseded&event=A+b&distinct_id=u&before=17&limit=5"), Ok(some));
        for (query, field) in [("reason=other", "reason"), ("before=x", "before"), ("limit=0", "limit")] {
            assert!(read(query).is_err_and(|message| message.starts_with(field)), "{query}");
        }
    }
}
