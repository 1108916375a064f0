//! The listener: sockets in, requests to the [`Gate`], replies out; and how all that ends without a client noticing.
//!
//! ```text
//! Acceptor ── one task a connection: Watched socket ▸ hyper (HTTP/1.1) ▸ Requests ▸ Gate ▸ router
//!     └─ every 200 ms looks at all of them (Registry): who is too slow, who is idle
//! ```
//!
//! HTTP/1.1 only: clients and proxies that speak it are all there is, and HTTP/2 without TLS has none.
//!
//! # What a client can do
//!
//! A connection costs a few KiB and is allowed to be slow within bounds ([`Limits`]): the head of a request has a time,
//! a body has to keep a pace, a reply has to be taken, and between requests there is an idle time. At the bound on open
//! connections the one that has been waiting for the longest without a request is closed for the newcomer, as nginx
//! does: thousands of idle or half-open connections keep nobody out. Where every connection has a request, no further
//! one is accepted until one ends; it waits in the kernel's queue, where it would also wait for a restart, and is not
//! refused. No timer is set and no task woken for any of this while requests come and go.
//!
//! # How it ends
//!
//! A stop ([`Mode::Leaving`], [`Mode::Closing`]): replies say `Connection: close` from the first moment, and an idle
//! connection is kept a little, in case a request is on its way on it.
//!
//! A hand-over ([`Mode::Settling`], [`Mode::HandingOver`]): a connection without a request is not closed at all but
//! given back, for the successor to go on with. So the client sees neither an end nor a reset, at no moment.

mod accept;
mod activity;
mod body;
mod connection;
mod gate;
mod registry;
mod requests;
mod socket;
mod watched;

use std::time::Duration;

use tokio::time::Instant;

pub use accept::Acceptor;
pub use gate::Gate;
pub use socket::{Inherited, NAME, NAME_ACTIVATED, NAME_CONNECTION, Socket, Sockets};

/// How slow a client may be, and how many there may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the first byte of a head to its last.
    pub header: Duration,
    /// All the waiting for a body, and a second more for each [`BODY_BYTES_PER_SECOND`] that arrived.
    pub body: Duration,
    /// Without a request.
    pub idle: Duration,
    /// Without taking a byte of a reply.
    pub write: Duration,
    /// In [`Mode::Leaving`] and later: without a request, or with a part of a head.
    pub linger: Duration,
    pub connections_max: usize,
}

/// What a slow connection manages in the worst of places; a body below it holds a connection for nothing.
const BODY_BYTES_PER_SECOND: u64 = 1024;

/// What the listener is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Serving,
    /// A hand-over is near: all goes on, but replies that have no end of their own (event streams) are ended.
    Settling,
    /// A stop is near: connections are still accepted, but end with their next reply.
    Leaving,
    /// As `Leaving`, but nothing is accepted, and what has not ended by this time is cut off.
    Closing {
        by: Instant,
    },
    /// Nothing is accepted; connections are given back as soon as they have no request, and cut off at this time.
    HandingOver {
        by: Instant,
    },
}
