//! The JSON body of a native request. A field that means nothing is an error that names it.

use axum::extract::{FromRequest, OriginalUri, Request};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::http::{ApiError, Params};

/// A body of type `T`, and beside it what says whose project is meant.
pub struct NativeRequest<T> {
    pub headers: HeaderMap,
    /// The query string, and `project_id` from wherever it was given.
    pub params: Params,
    pub body: T,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for NativeRequest<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let uri = request.extensions().get::<OriginalUri>().map_or_else(|| request.uri().clone(), |o| o.0.clone());
        let headers = request.headers().clone();
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| ApiError::new(rejection.status(), "invalid", rejection.body_text()))?;
        let mut params = Params::parse(uri.query(), None, b"")?;
        let body = parse(&bytes, &mut params)?;
        Ok(Self { headers, params, body })
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8], params: &mut Params) -> Result<T, ApiError> {
    let mut members: Map<String, Value> = serde_json::from_slice(bytes)
        .map_err(|e| ApiError::new(StatusCode::BAD_REQUEST, "invalid", format!("body must be a JSON object: {e}")))?;
    if let Some(id) = members.remove("project_id") {
        params.set("project_id", id);
    }
    serde_json::from_value(Value::Object(members)).map_err(|e| {
        let message = e.to_string();
        // serde puts the field's name, where there is one, between the first backticks.
        let field = message.split('`').nth(1).map(str::to_owned);
        ApiError { field, ..ApiError::new(StatusCode::BAD_REQUEST, "invalid", message) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        query: String,
    }

    #[test]
    fn project_id_is_taken_out_and_the_rest_must_fit() {
        let mut params = Params::parse(Some("project_id=1"), None, b"").unwrap();
        let body: Body = parse(br#"{"query":"q","project_id":2}"#, &mut params).unwrap();
        assert_eq!((body.query.as_str(), params.text("project_id").as_deref()), ("q", Some("2")));
        let field = |json: &str| parse::<Body>(json.as_bytes(), &mut Params::default()).unwrap_err().field;
        assert_eq!(field(r#"{"query":"q","quary":1}"#).as_deref(), Some("quary"));
        assert_eq!(field("{}").as_deref(), Some("query"));
        assert_eq!(field("[]"), None);
    }
}
