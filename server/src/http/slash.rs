//! `/track/` is `/track`, on every route.
//!
//! Clients of every kind write both. A redirect would lose the body of a POST, so the path is rewritten before a route is
//! chosen: the router that routes is the fallback of one that has no routes and only rewrites.

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use tower::Layer;
use tower::util::MapRequestLayer;

pub fn insignificant(routes: Router) -> Router {
    Router::new().fallback_service(MapRequestLayer::new(trim).layer(routes))
}

fn trim(mut request: Request) -> Request {
    if let Some(uri) = trimmed(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

/// `None` where there is nothing to trim.
fn trimmed(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let short = path.trim_end_matches('/');
    if short.len() == path.len() || short.is_empty() {
        return None;
    }
    let path_and_query = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{short}?{query}")),
        None => PathAndQuery::try_from(short),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_slashes_at_the_end_go() {
        for (uri, expect) in [
            ("/track/", Some("/track")),
            ("/track//?data=a/", Some("/track?data=a/")),
            ("http://h/api/query/engage/?x", Some("http://h/api/query/engage?x")),
            ("/track", None),
            ("/", None),
            ("//", None),
            ("/track?next=/", None),
        ] {
            let found = trimmed(&uri.parse().unwrap()).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), expect, "{uri}");
        }
    }
}
