//! What every handler shares. Cloned per request, so everything in it is a handle.

use std::sync::Arc;

use footfall_engine::Engine;
use metrics_exporter_prometheus::PrometheusHandle;

use tokio::sync::watch;

use crate::local::LocalToken;
use crate::projects::Projects;

#[derive(Clone)]
pub struct AppState {
    pub engine: Arc<Engine>,
    pub projects: Arc<Projects>,
    /// The bearer token that commands on this machine use; it acts as an administrator of all projects.
    pub local_token: Arc<LocalToken>,
    pub metrics: PrometheusHandle,
    pub phase: Phase,
}

/// Whether the server still wants new requests. Clones share one answer.
#[derive(Clone, Default)]
pub struct Phase(Arc<watch::Sender<bool>>);

impl Phase {
    /// From now on `/readyz` says no, so that a balancer looks elsewhere.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    pub fn is_stopping(&self) -> bool {
        *self.0.borrow()
    }

    /// Completes once the server was told to stop.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        let (phase, mut stop) = (self.clone(), self.0.subscribe());
        async move {
            // An error would mean that the sender is gone, which this very future keeps.
            drop(stop.wait_for(|stop| *stop).await);
            drop(phase);
        }
    }
}
