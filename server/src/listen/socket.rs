//! Where the listening socket comes from: bound here, passed on by systemd, or handed over by our predecessor.
//!
//! All three speak the protocol of systemd (`LISTEN_FDS`, `LISTEN_PID`, `LISTEN_FDNAMES`), with the extension of
//! [listenfd] that `LISTEN_FDS_FIRST_FD` names the first descriptor. A socket that outlives the process is what makes a
//! restart without refused requests possible: the kernel goes on to queue connections while nobody accepts.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use listenfd::ListenFd;

use crate::commands::CommandError;
use crate::config::{HANDED_OVER_AT, Settings};

/// What [`LISTEN_FDNAMES`](self) calls our own sockets.
pub const NAME: &str = "footfall-http";
/// As [`NAME`], when somebody else owns the listening socket and has merely passed it on.
pub const NAME_ACTIVATED: &str = "footfall-http-activated";
/// Short, for there may be thousands in one variable.
pub const NAME_CONNECTION: &str = "c";

/// The kernel's queue of connections that nobody has accepted yet: as long as it allows.
const BACKLOG: u32 = 4096;

/// What the environment hands to this process. Taken once, before any thread is started: it changes the environment.
pub struct Inherited(Option<ListenFd>);

/// A listening socket and, after a hand-over, connections that were accepted from it.
pub struct Sockets {
    pub listener: TcpListener,
    pub connections: Vec<TcpStream>,
}

/// The sockets to begin with.
pub struct Socket {
    pub sockets: Sockets,
    pub address: SocketAddr,
    /// Somebody else holds it too: connections are queued while we are gone, and no longer.
    pub activated: bool,
    /// When our predecessor stopped to answer.
    pub handed_over_at: Option<SystemTime>,
}

impl Inherited {
    pub fn from_env() -> Self {
        Self(Some(ListenFd::from_env()))
    }

    pub fn nothing() -> Self {
        Self(None)
    }
}

impl Socket {
    /// The socket that was passed on, or a new one bound to the configured address.
    pub async fn open(settings: &Settings, inherited: Inherited) -> Result<Self, CommandError> {
        let mut inherited = inherited.0.unwrap_or_else(ListenFd::empty);
        let failed = |e: io::Error| CommandError::failed(format!("cannot use the socket that was passed on: {e}"));
        let socket = match inherited.take_tcp_listener(0).map_err(failed)? {
            Some(listener) => take(listener, inherited).map_err(failed)?,
            None => bind(settings).await?,
        };
        check_address(settings, &[socket.address])?;
        Ok(socket)
    }
}

fn take(listener: TcpListener, mut inherited: ListenFd) -> io::Result<Socket> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let first = names.split(':').next().unwrap_or_default();
    let handed_over = first == NAME || first == NAME_ACTIVATED;
    if inherited.len() > 1 && !handed_over {
        return Err(io::Error::other(format!("one socket can be served, {} were passed on", inherited.len())));
    }
    let mut connections = Vec::new();
    for place in 1..inherited.len() {
        // listenfd knows listeners only. A descriptor is a descriptor, and what was closed meanwhile is found out later.
        if let Ok(Some(socket)) = inherited.take_tcp_listener(place) {
            connections.push(TcpStream::from(OwnedFd::from(socket)));
        }
    }
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let at = std::env::var(HANDED_OVER_AT).ok().filter(|_| handed_over);
    let at = at.and_then(|millis| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis.parse().ok()?)));
    let activated = first != NAME;
    Ok(Socket { sockets: Sockets { listener, connections }, address, activated, handed_over_at: at })
}

async fn bind(settings: &Settings) -> Result<Socket, CommandError> {
    let failed = |e: io::Error| CommandError::failed(format!("cannot listen on {}: {e}", settings.http));
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(&settings.http).await.map_err(failed)?.collect();
    check_address(settings, &addresses)?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match listen(address) {
            Ok(listener) => {
                let address = listener.local_addr().map_err(failed)?;
                let sockets = Sockets { listener, connections: Vec::new() };
                return Ok(Socket { sockets, address, activated: false, handed_over_at: None });
            }
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

fn check_address(settings: &Settings, addresses: &[SocketAddr]) -> Result<(), CommandError> {
    if settings.insecure || addresses.iter().all(|address| address.ip().is_loopback()) {
        return Ok(());
    }
    Err(CommandError::usage(format!(
        "{} is not a loopback address and there is no TLS: secrets would cross the network in the clear; \
         put a TLS proxy before a loopback address, or allow it with --insecure",
        addresses.first().map_or_else(|| settings.http.clone(), ToString::to_string)
    )))
}
