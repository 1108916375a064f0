//! A running server: from an address and a data directory to requests answered, and back.
//!
//! Stopping is orderly: no new connections, the requests that are there are finished, then the engine flushes and lets go
//! of the data directory. A second signal skips all that, which loses nothing either: whatever was acknowledged is in the
//! log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use footfall_engine::Engine;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::commands::{CommandError, print};
use crate::config::Settings;
use crate::http::app;
use crate::local::{LocalToken, ServerFile, base_url};
use crate::projects::{NewAccount, Projects};
use crate::state::{AppState, Phase};
use crate::telemetry;

/// How long requests may take to finish once the server was told to stop.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// How late a token rotated by another process is refused here.
const PROJECTS_INTERVAL: Duration = Duration::from_secs(30);

/// `footfall serve`.
pub async fn serve(settings: &Settings) -> Result<(), CommandError> {
    let server = Server::start(settings).await?;
    print(&format!("footfall serves {}, data in {}", server.url(), settings.data_dir.display()))?;
    server.run().await
}

/// Everything is open and the port is taken, but nothing is answered yet.
pub struct Server {
    pub state: AppState,
    listener: TcpListener,
    address: SocketAddr,
    stop: watch::Receiver<bool>,
    background: JoinSet<()>,
    file: ServerFile,
}

impl Server {
    /// Opens the data directory and binds the address. Prints the administrator's account when it has just been made.
    pub async fn start(settings: &Settings) -> Result<Self, CommandError> {
        // Before the data is touched: a port that is taken is the commonest mistake and shows at once.
        let listener = bind(settings).await?;
        let address = listener.local_addr().map_err(|e| CommandError::failed(e.to_string()))?;
        let metrics = telemetry::start_metrics().map_err(|e| CommandError::failed(e.to_string()))?;
        let mut background = JoinSet::new();
        let phase = Phase::default();
        let stop = watch_signals(&mut background, phase.clone())?;

        let engine = Engine::open(settings.engine_options()).await?;
        let store = footfall_engine::open_store(&settings.data_dir, settings.store.as_ref())
            .map_err(|e| CommandError::failed(format!("cannot open the store: {e}")))?;
        let projects = Arc::new(Projects::open(store, Some(engine.clone())).await?);
        if let Some(admin) = projects.ensure_admin().await? {
            print_admin(&admin)?;
        }
        let local_token = Arc::new(LocalToken::random());
        let file = ServerFile::write(&settings.data_dir, address, &local_token)
            .map_err(|e| CommandError::failed(format!("cannot write server.json: {e}")))?;
        background.spawn(telemetry::keep_up(metrics.clone()));
        background.spawn(refresh_projects(projects.clone()));
        let state = AppState { engine, projects, local_token, metrics, phase };
        Ok(Self { state, listener, address, stop, background, file })
    }

    /// `http://127.0.0.1:8080`
    pub fn url(&self) -> String {
        base_url(self.address)
    }

    /// Completes at the first signal to stop.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        stopped(self.stop.clone())
    }

    /// Answers requests until a signal comes, then stops in order.
    pub async fn run(self) -> Result<(), CommandError> {
        let Self { state, listener, stop, mut background, file, .. } = self;
        let engine = state.engine.clone();
        // Small replies must not wait for the client's delayed acknowledgement.
        let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        let service = app(state).into_make_service_with_connect_info::<SocketAddr>();
        let serving = axum::serve(listener, service).with_graceful_shutdown(stopped(stop.clone()));
        let served = tokio::select! {
            served = async { serving.await } => served,
            () = async { stopped(stop).await; tokio::time::sleep(DRAIN_MAX).await } => {
                tracing::warn!("some requests did not finish in time");
                Ok(())
            }
        };
        drop(file);
        let closed = engine.close().await;
        background.shutdown().await;
        served.map_err(|e| CommandError::failed(format!("cannot serve: {e}")))?;
        Ok(closed?)
    }

    /// Stops without having served.
    pub async fn close(self) -> Result<(), CommandError> {
        drop(self.file);
        Ok(self.state.engine.close().await?)
    }
}

async fn bind(settings: &Settings) -> Result<TcpListener, CommandError> {
    let failed = |e: std::io::Error| CommandError::failed(format!("cannot listen on {}: {e}", settings.http));
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(&settings.http).await.map_err(failed)?.collect();
    if !settings.insecure && addresses.iter().any(|address| !address.ip().is_loopback()) {
        return Err(CommandError::usage(format!(
            "{} is not a loopback address and there is no TLS: secrets would cross the network in the clear; \
             put a TLS proxy before a loopback address, or allow it with --insecure",
            settings.http
        )));
    }
    TcpListener::bind(addresses.as_slice()).await.map_err(failed)
}

/// Becomes true at the first SIGTERM or SIGINT; the second ends the process.
fn watch_signals(background: &mut JoinSet<()>, phase: Phase) -> Result<watch::Receiver<bool>, CommandError> {
    let failed = |e: std::io::Error| CommandError::failed(format!("cannot listen to signals: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let (sender, receiver) = watch::channel(false);
    background.spawn(async move {
        let mut next = async || {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        next().await;
        tracing::info!("stopping");
        phase.stop();
        sender.send_replace(true);
        next().await;
        tracing::warn!("stopping at once");
        std::process::exit(1);
    });
    Ok(receiver)
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the watcher is gone, which happens after everything else only.
    drop(stop.wait_for(|stop| *stop).await);
}

async fn refresh_projects(projects: Arc<Projects>) {
    let mut ticks = tokio::time::interval(PROJECTS_INTERVAL);
    loop {
        ticks.tick().await;
        if let Err(error) = projects.refresh().await {
            tracing::warn!(%error, "cannot look for new projects");
        }
    }
}

fn print_admin(admin: &NewAccount) -> Result<(), CommandError> {
    print(&format!("administrator, shown once: user {}  secret {}", admin.username, admin.secret))
}
