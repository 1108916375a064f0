//! What every handler shares. Cloned per request, so everything in it is a handle.

use std::sync::Arc;

use footfall_engine::Engine;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::intake::Intake;
use crate::local::LocalToken;
pub use crate::phase::Phase;
use crate::projects::Projects;

#[derive(Clone)]
pub struct AppState {
    pub engine: Arc<Engine>,
    pub projects: Arc<Projects>,
    /// The bearer token that commands on this machine use; it acts as an administrator of all projects.
    pub local_token: Arc<LocalToken>,
    pub metrics: PrometheusHandle,
    /// Limits, turns and books of the routes that take data.
    pub intake: Arc<Intake>,
    pub phase: Phase,
}
