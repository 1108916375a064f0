//! One connection, from its first byte to its end, or to the moment it goes to the successor.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::accept::Shared;
use super::activity::Cause;
use super::requests::Requests;
use super::watched::Watched;

/// Request line and headers; tracking by GET puts events into the former.
const HEAD_BYTES_MAX: usize = 128 << 10;
/// For who was in the middle of a head.
const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Serves until an end; answers the socket if it is to change hands.
pub async fn serve(stream: TcpStream, address: SocketAddr, shared: Arc<Shared>) -> Option<std::net::TcpStream> {
    let entry = shared.registry.enter();
    let peer = entry.peer.clone();
    let mut modes = shared.modes();
    let io = TokioIo::new(Watched::new(stream, peer.clone()));
    let service = Requests { shared: shared.clone(), peer: peer.clone(), address };
    // The registry watches the time of heads: hyper's own limit does not tell an idle connection from a slow head.
    let mut connection =
        http1::Builder::new().header_read_timeout(None).max_header_size(HEAD_BYTES_MAX).serve_connection(io, service);
    loop {
        let progress = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Progress::Ended(ended)),
            // Only here, where it has just been polled, is it known to have read what there was.
            Poll::Pending if shared.is_handing_over() && peer.activity.is_quiet() => Poll::Ready(Progress::Quiet),
            Poll::Pending => Poll::Pending,
        });
        tokio::select! {
            biased;
            progress = progress => match progress {
                Progress::Ended(ended) => {
                    // The client went away in the middle, or spoke something else than HTTP.
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection ended");
                    }
                    return None;
                }
                Progress::Quiet => {
                    let parts = connection.into_parts();
                    // Bytes of a pipelined request cannot be given on, and a socket that lacks them must not be.
                    return if parts.read_buf.is_empty() { parts.io.into_inner().into_inner().into_std().ok() } else { None };
                }
            },
            cause = peer.told_to_close() => {
                metrics::counter!("footfall_http_connections_closed_total", "why" => cause.name()).increment(1);
                if cause == Cause::SlowHead {
                    // As much as fits at once, to whoever may be reading.
                    drop(connection.into_parts().io.into_inner().into_inner().try_write(TIMED_OUT));
                }
                return None;
            }
            changed = modes.changed() => {
                if changed.is_err() {
                    return None;
                }
            }
        }
    }
}

enum Progress {
    Ended(hyper::Result<()>),
    /// Nothing to do, and the socket is wanted elsewhere.
    Quiet,
}
