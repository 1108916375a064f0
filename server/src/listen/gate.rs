//! Whoever comes while the log is still being read waits here, and is answered rather than refused.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use tokio::sync::watch;
use tower::ServiceExt;

/// Longer than most starts, shorter than most clients' patience.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The way to the router, which opens once there is something behind it.
#[derive(Clone)]
pub struct Gate {
    app: Arc<watch::Sender<Option<Router>>>,
    /// Answers about the start itself, and those who have waited for too long.
    porch: Router,
    /// What the porch answers at once.
    is_of_porch: fn(&Request) -> bool,
}

impl Gate {
    pub fn closed(porch: Router, is_of_porch: fn(&Request) -> bool) -> Self {
        Self { app: Arc::new(watch::Sender::new(None)), porch, is_of_porch }
    }

    pub fn open(&self, app: Router) {
        self.app.send_replace(Some(app));
    }

    /// Lets go of the router: it holds handles of everything.
    pub fn close(&self) {
        self.app.send_replace(None);
    }

    pub async fn answer(&self, request: Request) -> Response {
        let app = self.app.borrow().clone();
        let router = match app {
            Some(app) => app,
            None if (self.is_of_porch)(&request) => self.porch.clone(),
            None => self.opened().await.unwrap_or_else(|| self.porch.clone()),
        };
        router.oneshot(request).await.unwrap_or_else(|never| match never {})
    }

    async fn opened(&self) -> Option<Router> {
        let mut app = self.app.subscribe();
        let opened = tokio::time::timeout(WAIT_MAX, app.wait_for(Option::is_some)).await;
        opened.ok()?.ok()?.clone()
    }
}
