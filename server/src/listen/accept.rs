//! The loop that takes connections, and the end of it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use super::activity::Millis;
use super::registry::Registry;
use super::socket::Sockets;
use super::{Gate, Limits, Mode, connection};

/// How exactly the time limits of connections are kept.
const SWEEP_EVERY: Duration = Duration::from_millis(200);
/// After an error that is ours (no file descriptors, no memory), so that it is not met a million times a second.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A request that lasts this long may last much longer.
const CALM_AGE: Duration = Duration::from_millis(500);
/// File descriptors that are left to the engine at least.
const FILES_MIN: usize = 256;
const CALM_LOOK_EVERY: Duration = Duration::from_millis(10);

/// What every connection refers to.
pub struct Shared {
    pub gate: Gate,
    pub limits: Limits,
    pub registry: Arc<Registry>,
    mode: watch::Sender<Mode>,
    /// When the mode became one that ends connections; 0: not yet.
    leaving_since: AtomicU64,
}

impl Shared {
    pub fn modes(&self) -> watch::Receiver<Mode> {
        self.mode.subscribe()
    }

    pub fn is_leaving(&self) -> bool {
        matches!(*self.mode.borrow(), Mode::Leaving | Mode::Closing { .. })
    }

    pub fn is_handing_over(&self) -> bool {
        matches!(*self.mode.borrow(), Mode::HandingOver { .. })
    }

    /// Completes once the mode is another one.
    pub async fn no_longer(self: Arc<Self>, mode: Mode) {
        // Cannot fail: we hold the sender.
        drop(self.modes().wait_for(|current| *current != mode).await);
    }

    fn leaving(&self) -> Option<Millis> {
        Some(self.leaving_since.load(Ordering::Acquire)).filter(|since| *since != 0)
    }

    fn enter(&self, mode: Mode) {
        if !matches!(mode, Mode::Serving | Mode::Settling) {
            let now = self.registry.now().max(1);
            // Stays as it is if it is set.
            let _ = self.leaving_since.compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire);
        }
        self.mode.send_replace(mode);
    }
}

/// A listener at work.
pub struct Acceptor {
    shared: Arc<Shared>,
    task: JoinSet<Option<io::Result<Sockets>>>,
}

impl Acceptor {
    /// Begins to accept. Connections that were handed over are served as if accepted now.
    pub fn start(sockets: Sockets, gate: Gate, mut limits: Limits) -> io::Result<Self> {
        limits.connections_max = limits.connections_max.min(file_descriptors_to_spare());
        let listener = TcpListener::from_std(sockets.listener)?;
        let shared = Arc::new(Shared {
            gate,
            limits,
            registry: Arc::new(Registry::new()),
            mode: watch::Sender::new(Mode::Serving),
            leaving_since: AtomicU64::new(0),
        });
        let mut connections = Connections { shared: shared.clone(), open: JoinSet::new(), given_back: Vec::new() };
        for stream in sockets.connections {
            // It may have been closed by its client in the meantime.
            if let Ok(address) = stream.peer_addr()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                connections.serve(stream, address);
            }
        }
        let mut task = JoinSet::new();
        task.spawn(run(listener, connections));
        Ok(Self { shared, task })
    }

    /// See [`Mode`].
    pub fn enter(&self, mode: Mode) {
        self.shared.enter(mode);
    }

    /// Waits for a moment in which all requests under way are young, so that an end now keeps nobody waiting for an old
    /// one; gives up after `patience`.
    pub async fn calm(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let registry = &self.shared.registry;
        while !registry.is_calm(registry.now(), CALM_AGE) && Instant::now() < deadline {
            tokio::time::sleep(CALM_LOOK_EVERY).await;
        }
    }

    /// Closes the listening socket and waits for what is under way, until `by` at most.
    pub async fn close(mut self, by: Instant) {
        self.shared.enter(Mode::Closing { by });
        if let Some(Err(error)) = self.task.join_next().await {
            tracing::error!(%error, "the listener failed");
        }
    }

    /// Accepts no more, waits for what is under way, until `by` at most, and answers the sockets that are left.
    pub async fn hand_over(mut self, by: Instant) -> io::Result<Sockets> {
        self.shared.enter(Mode::HandingOver { by });
        match self.task.join_next().await {
            Some(Ok(Some(sockets))) => sockets,
            Some(Ok(None)) | None => Err(io::Error::other("the listener has ended")),
            Some(Err(error)) => Err(io::Error::other(error)),
        }
    }
}

/// How many connections leave the engine its files. Without the bound, a flood of connections would take them.
fn file_descriptors_to_spare() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft =
        limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    // No number: unlimited, or a system that does not tell.
    soft.map_or(usize::MAX, |soft: usize| (soft - soft / 4).min(soft.saturating_sub(FILES_MIN)).max(1))
}

/// Answers the sockets if they are to be handed over.
async fn run(listener: TcpListener, mut connections: Connections) -> Option<io::Result<Sockets>> {
    let shared = connections.shared.clone();
    let mut modes = shared.modes();
    let mut sweeps = tokio::time::interval(SWEEP_EVERY);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // One that was accepted while there was no room for it.
    let mut newcomer: Option<(TcpStream, SocketAddr)> = None;
    let end = loop {
        match *modes.borrow_and_update() {
            Mode::Closing { by } | Mode::HandingOver { by } => break by,
            Mode::Serving | Mode::Settling | Mode::Leaving => {}
        }
        if connections.open.len() < shared.limits.connections_max
            && let Some((stream, address)) = newcomer.take()
        {
            connections.serve(stream, address);
        }
        tokio::select! {
            _ = modes.changed() => {}
            Some(ended) = connections.open.join_next() => connections.keep(ended),
            _ = sweeps.tick() => {
                connections.sweep();
                if newcomer.is_some() {
                    shared.registry.evict();
                }
            }
            accepted = listener.accept(), if newcomer.is_none() => match accepted {
                Ok((stream, address)) if connections.open.len() < shared.limits.connections_max => {
                    connections.serve(stream, address);
                }
                Ok(accepted) => {
                    newcomer = Some(accepted);
                    shared.registry.evict();
                }
                Err(error) => recover(&shared, &error).await,
            }
        }
    };
    if let Some((stream, address)) = newcomer {
        connections.serve(stream, address);
    }
    if shared.is_leaving() {
        // These are connected as far as they know, and would be reset with the listener.
        while let Some(Ok((stream, address))) = tokio::task::unconstrained(listener.accept()).now_or_never() {
            connections.serve(stream, address);
        }
        // At once: who comes now is to hear that nobody is here, not to wait for that.
        drop(listener);
        connections.finish(&mut sweeps, end).await;
        return None;
    }
    connections.finish(&mut sweeps, end).await;
    let connections = connections.given_back;
    Some(listener.into_std().map(|listener| Sockets { listener, connections }))
}

/// An accept that failed: the connection was gone before it was taken, or we lack what a connection needs.
async fn recover(shared: &Shared, error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "cannot accept a connection");
    // A file descriptor may be what is lacking.
    shared.registry.evict();
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// The tasks of all open connections.
struct Connections {
    shared: Arc<Shared>,
    open: JoinSet<Option<std::net::TcpStream>>,
    given_back: Vec<std::net::TcpStream>,
}

impl Connections {
    fn serve(&mut self, stream: TcpStream, address: SocketAddr) {
        // Small replies must not wait for the client's delayed acknowledgement. It fails if the client is gone already.
        drop(stream.set_nodelay(true));
        self.open.spawn(connection::serve(stream, address, self.shared.clone()));
    }

    fn keep(&mut self, ended: Result<Option<std::net::TcpStream>, JoinError>) {
        match ended {
            Ok(given_back) => self.given_back.extend(given_back),
            Err(error) if error.is_cancelled() => {}
            Err(error) => tracing::error!(%error, "a connection's task failed"),
        }
    }

    fn sweep(&self) {
        self.shared.registry.sweep(&self.shared.limits, self.shared.leaving());
        metrics::gauge!("footfall_http_connections").set(u32::try_from(self.open.len()).unwrap_or(u32::MAX));
    }

    /// Until all have ended, or the time is over.
    async fn finish(&mut self, sweeps: &mut tokio::time::Interval, by: Instant) {
        let deadline = tokio::time::sleep_until(by);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                ended = self.open.join_next() => match ended {
                    Some(ended) => self.keep(ended),
                    None => return,
                },
                _ = sweeps.tick() => self.sweep(),
                () = &mut deadline => {
                    tracing::warn!(requests = self.open.len(), "cut off what did not finish in time");
                    self.open.shutdown().await;
                    return;
                }
            }
        }
    }
}
