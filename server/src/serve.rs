//! A running server: from a socket and a data directory to requests answered, and back.
//!
//! ```text
//! socket ─▶ data directory is ours ─▶ accept (health is answered, the rest waits at the gate)
//!        ─▶ engine reads the log ─▶ gate opens ─▶ … ─▶ stop, or hand over to the next program
//! ```
//!
//! A stop (SIGTERM) is orderly: `/readyz` says no, no new connections, the requests that are there are finished, then the
//! engine flushes and lets go of the data directory. A second signal skips all that, which loses nothing either: whatever
//! was acknowledged is in the log. A restart (SIGUSR2, `footfall restart`) is in [`hand_over`].

mod behind;
mod hand_over;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use footfall_engine::{DataDirectory, Engine};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::commands::{CommandError, print};
use crate::config::{Settings, seconds};
use crate::health::Health;
use crate::http::{HealthState, app, health, porch};
use crate::intake::Books;
use crate::listen::{Acceptor, Gate, Inherited, Limits, Mode, Socket};
use crate::local::{ServerFile, base_url};
use crate::phase::{Phase, RestartRequest, Stage};
use crate::restart::{Program, notify};
use crate::state::AppState;
use crate::{signals, tables_note, telemetry};
use behind::Behind;

/// How long the last flush may take. What it does not get done, the log has.
const CLOSE_MAX: Duration = Duration::from_secs(90);
/// How long to wait for a predecessor whose socket we were given.
const TAKEOVER: Duration = Duration::from_secs(60);

/// `footfall serve`.
pub async fn serve(settings: &Settings, inherited: Inherited) -> Result<(), CommandError> {
    match Server::start(settings, inherited).await? {
        Some(server) => {
            let tables = settings.store.as_ref().map(|store| format!(", tables in {store}")).unwrap_or_default();
            server.run(|url| format!("footfall serves {url}, data in {}{tables}", settings.data_dir.display())).await
        }
        None => Ok(()),
    }
}

/// Connections are accepted and the engine is open, but nothing but health is answered yet.
pub struct Server {
    pub state: AppState,
    settings: Settings,
    front: Front,
    /// What works for the engine in the background.
    tasks: JoinSet<()>,
    /// Flushes that were begun for the end. None is broken off while its engine is still wanted: another flush would not
    /// know how far it had got.
    flushes: JoinSet<()>,
}

/// What is in front of the engine, and stays when the engine goes.
struct Front {
    address: SocketAddr,
    /// Somebody else holds the listening socket too.
    activated: bool,
    /// When our predecessor stopped to answer, until we do.
    handed_over_at: Option<SystemTime>,
    acceptor: Acceptor,
    gate: Gate,
    limits: Limits,
    health: HealthState,
    phase: Phase,
    restarts: mpsc::Receiver<RestartRequest>,
    program: Program,
    _signals: JoinSet<()>,
}

/// Why a server that ran does not run any more.
enum Wish {
    Stop,
    Restart(RestartRequest),
}

impl Server {
    /// Binds the address and opens the data directory. Prints the administrator's account when it has just been made.
    /// `None` if it was told to stop before it had anything to stop.
    pub async fn start(settings: &Settings, inherited: Inherited) -> Result<Option<Self>, CommandError> {
        let failed = |e: &dyn std::fmt::Display| CommandError::failed(e.to_string());
        let (phase, restarts) = Phase::new();
        let mut signals = JoinSet::new();
        signals::watch(&mut signals, &phase)?;
        let program = Program::current().map_err(|e| failed(&e))?;
        // Before the data is touched: a port that is taken is the commonest mistake and shows at once.
        let socket = Socket::open(settings, inherited).await?;
        // Whoever has the directory also answers on a socket that we were given; we must not take connections from it
        // before we can answer them.
        let patience = settings.takeover.map(seconds);
        let patience = patience.unwrap_or(if socket.activated { TAKEOVER } else { Duration::ZERO });
        let directory = tokio::select! {
            directory = DataDirectory::take(&settings.data_dir, patience) => directory?,
            () = phase.stopping() => return Ok(None),
        };
        let metrics = telemetry::start_metrics().map_err(|e| failed(&e))?;
        let disk_free_min = settings.disk_free_min.saturating_mul(1 << 20);
        let health = Arc::new(Health::new(phase.clone(), settings.data_dir.clone(), disk_free_min));
        let health = HealthState { health, metrics, books: Books::default() };
        let gate = Gate::closed(porch(health.clone()), health::is_ours);
        let limits = settings.limits();
        let acceptor = Acceptor::start(socket.sockets, gate.clone(), limits).map_err(|e| failed(&e))?;
        let front = Front {
            address: socket.address,
            activated: socket.activated,
            handed_over_at: socket.handed_over_at,
            acceptor,
            gate,
            limits,
            health,
            phase,
            restarts,
            program,
            _signals: signals,
        };
        let Behind { state, tasks } = front.open(settings, directory).await?;
        Ok(Some(Self { state, settings: settings.clone(), front, tasks, flushes: JoinSet::new() }))
    }

    /// Completes at the first signal to stop.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        self.front.phase.stopping()
    }

    /// Says what else has to be done before requests are answered.
    pub fn still(&self, what: &'static str) {
        self.front.phase.enter(Stage::Starting(what));
    }

    /// Answers requests until a signal comes, then stops in order or becomes the next program. `welcome` makes what is
    /// printed first, from the address.
    pub async fn run(mut self, welcome: impl Fn(&str) -> String) -> Result<(), CommandError> {
        print(&welcome(&base_url(self.front.address)))?;
        let mut file = self.front.open_gate(&self.settings, &self.state)?;
        loop {
            match self.front.wish().await {
                Wish::Stop => return self.stop(file).await,
                Wish::Restart(request) => {
                    if self.agrees(request).await {
                        (self, file) = self.hand_over(file).await?;
                    }
                }
            }
        }
    }

    /// Stops without having served.
    pub async fn close(mut self) -> Result<(), CommandError> {
        self.tasks.shutdown().await;
        Ok(self.state.engine.close().await?)
    }

    async fn stop(mut self, file: ServerFile) -> Result<(), CommandError> {
        notify("STOPPING=1");
        let front = self.front;
        let began = Instant::now();
        let drain_max = seconds(self.settings.drain_timeout);
        front.acceptor.enter(Mode::Leaving);
        tokio::time::sleep(seconds(self.settings.drain_delay)).await;
        if front.activated {
            // Requests wait in the kernel's queue from when we stop to accept until our successor answers. So what takes
            // time is done before.
            let linger = tokio::time::sleep(front.limits.linger);
            tokio::join!(linger, flush_within(&self.state.engine, &mut self.flushes, drain_max));
            front.acceptor.calm(drain_max).await;
        }
        front.acceptor.close(Instant::now() + drain_max).await;
        front.gate.close();
        drop(file);
        self.tasks.shutdown().await;
        self.state.intake.save().await;
        let closed = tokio::time::timeout(CLOSE_MAX, self.state.engine.close()).await;
        tracing::info!(took = ?began.elapsed(), "stopped");
        match closed {
            Ok(closed) => Ok(closed?),
            Err(_) => {
                Err(CommandError::failed("the tables could not be written in time; the log holds what they lack"))
            }
        }
    }
}

/// Begins a flush and waits for it, but only so long: it goes on in `flushes`. How it went shows at the next one.
async fn flush_within(engine: &Arc<Engine>, flushes: &mut JoinSet<()>, patience: Duration) {
    let engine = engine.clone();
    flushes.spawn(async move { drop(engine.flush().await) });
    drop(tokio::time::timeout(patience, flushes.join_next()).await);
}

impl Front {
    /// From here on everything is answered.
    fn open_gate(&mut self, settings: &Settings, state: &AppState) -> Result<ServerFile, CommandError> {
        self.gate.open(app(state.clone(), self.health.clone()));
        let gap = self.handed_over_at.take().map(hand_over::gap_since);
        if let Some(gap) = gap {
            tracing::info!(?gap, "took over; for so long requests had to wait");
        }
        let file = ServerFile::write(&settings.data_dir, self.address, &state.local_token, gap)
            .map_err(|e| CommandError::failed(format!("cannot write server.json: {e}")))?;
        tables_note::remember(settings);
        self.phase.enter(Stage::Ready);
        notify("READY=1");
        Ok(file)
    }

    async fn wish(&mut self) -> Wish {
        tokio::select! {
            biased;
            () = self.phase.stopping() => Wish::Stop,
            request = self.restarts.recv() => match request {
                Some(request) => Wish::Restart(request),
                // Cannot be: `phase` holds the sender.
                None => Wish::Stop,
            },
        }
    }
}
