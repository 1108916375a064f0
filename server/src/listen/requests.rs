//! What happens to every request between the connection and the router.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::body::Incoming;

use super::Mode;
use super::accept::Shared;
use super::activity::Step;
use super::body::{Arriving, InFlight, Leaving};
use super::registry::Peer;

/// The service of one connection.
pub struct Requests {
    pub shared: Arc<Shared>,
    pub peer: Arc<Peer>,
    pub address: SocketAddr,
}

impl hyper::service::Service<Request<Incoming>> for Requests {
    type Response = Response<Leaving>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.peer.enter(Step::Request);
        let in_flight = InFlight(self.peer.clone());
        let late = Arc::new(AtomicBool::new(false));
        let patience = self.shared.limits.body;
        let mut request = request.map(|body| Body::new(Arriving::new(body, patience, late.clone())));
        request.extensions_mut().insert(ConnectInfo(self.address));
        let shared = self.shared.clone();
        Box::pin(async move {
            let mut response = shared.gate.answer(request).await;
            // Whatever the handler made of half a body: that it came too slowly is the news.
            if late.load(Ordering::Acquire) {
                response = too_slow(&response);
            }
            if shared.is_leaving() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            let cut = is_event_stream(&response).then(|| shared.clone().no_longer(Mode::Serving).boxed());
            Ok(response.map(|body| Leaving::new(body, in_flight, cut)))
        })
    }
}

/// In place of `response`, of which it keeps what tells a browser that the page may read it.
fn too_slow(response: &Response<Body>) -> Response<Body> {
    let body = Json(serde_json::json!({"error": "the request's body came too slowly", "status": "error"}));
    let mut slow = (StatusCode::REQUEST_TIMEOUT, [(header::CONNECTION, "close")], body).into_response();
    let kept = response.headers().iter().filter(|(name, _)| name.as_str().starts_with("access-control-"));
    slow.headers_mut().extend(kept.map(|(name, value)| (name.clone(), value.clone())));
    slow
}

fn is_event_stream(response: &Response<Body>) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}
