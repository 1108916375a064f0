//! Logs and metrics of the process.
//!
//! Logs go to standard error: lines for people on a terminal, JSON otherwise. No event, property, id, query string or
//! credential is ever logged. Metrics carry no label per user, and one per project only of the ten that send most.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// A server says what it does, libraries and commands only what is wrong.
const SERVER_FILTER: &str = "warn,footfall=info";
const COMMAND_FILTER: &str = "warn";
/// From a cached answer to a query that somebody gave up on.
const SECONDS_BUCKETS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Who logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    Server,
    Command,
}

/// Starts logging with `filter`, in tracing-subscriber's notation. A second call changes nothing.
pub fn start_logging(filter: Option<&str>, voice: Voice) {
    let usual = match voice {
        Voice::Server => SERVER_FILTER,
        Voice::Command => COMMAND_FILTER,
    };
    let (filter, complaint) = match EnvFilter::try_new(filter.unwrap_or(usual)) {
        Ok(filter) => (filter, None),
        Err(e) => (EnvFilter::new(usual), Some(e)),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error means that a logger is there already, as in tests.
    drop(if std::io::stderr().is_terminal() { builder.try_init() } else { builder.json().try_init() });
    if let Some(e) = complaint {
        tracing::warn!("log filter is not understood, using {usual}: {e}");
    }
}

/// Starts to record metrics. The recorder is the process's, so a second server in it shares the first one's.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS_BUCKETS)?
        .install_recorder()?;
    metrics::gauge!("footfall_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(HANDLE.get_or_init(|| handle).clone())
}

/// Folds recorded values into their histograms for as long as it is polled; without it they would pile up unread.
pub async fn keep_up(handle: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}
