//! Bodies on their way: a request's has to keep a pace, a reply's tells when it is through.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::future::BoxFuture;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::BODY_BYTES_PER_SECOND;
use super::activity::Step;
use super::registry::Peer;

/// The body of a request. It fails once the client has kept us waiting for longer than it is allowed in all; time in
/// which nobody asks for the body does not count.
pub struct Arriving<B = Incoming> {
    body: B,
    /// What is left of the waiting.
    patience: Duration,
    waiting: Option<Waiting>,
    timer: Option<Pin<Box<Sleep>>>,
    late: Arc<AtomicBool>,
}

/// The client is being waited for.
struct Waiting {
    since: Instant,
}

impl<B> Arriving<B> {
    /// `late` becomes true when the body fails for being late.
    pub fn new(body: B, patience: Duration, late: Arc<AtomicBool>) -> Self {
        Self { body, patience, waiting: None, timer: None, late }
    }

    fn came(&mut self, bytes: usize) {
        if let Some(Waiting { since }) = self.waiting.take() {
            self.patience = self.patience.saturating_sub(since.elapsed());
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.patience += Duration::from_micros(bytes.saturating_mul(1_000_000) / BODY_BYTES_PER_SECOND);
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        if self.waiting.is_none() {
            let since = Instant::now();
            self.waiting = Some(Waiting { since });
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(since + self.patience),
                None => self.timer = Some(Box::pin(sleep_until(since + self.patience))),
            }
        }
        self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready())
    }
}

impl<B> hyper::body::Body for Arriving<B>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: Into<axum::BoxError>,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref().map(Bytes::len));
                self.came(bytes.unwrap_or(0));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending if self.is_late(cx) => {
                self.late.store(true, Ordering::Release);
                Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Dropped when a request is through: its reply handed to the connection to the last byte, or given up.
pub struct InFlight(pub Arc<Peer>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.enter(Step::Idle);
    }
}

/// The body of a reply.
pub struct Leaving {
    body: Body,
    /// Ends a body that has no end of its own.
    cut: Option<BoxFuture<'static, ()>>,
    _in_flight: InFlight,
}

impl Leaving {
    pub fn new(body: Body, in_flight: InFlight, cut: Option<BoxFuture<'static, ()>>) -> Self {
        Self { body, cut, _in_flight: in_flight }
    }
}

impl hyper::body::Body for Leaving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.cut.as_mut().is_some_and(|cut| cut.as_mut().poll(cx).is_ready()) {
            self.cut = None;
            self.body = Body::empty();
            return Poll::Ready(None);
        }
        Poll::Ready(ready!(Pin::new(&mut self.body).poll_frame(cx)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};

    use super::*;

    /// A body of `pieces` of `bytes` each, one every `every`, from a client that may be waited for for `patience`.
    fn drip(pieces: usize, bytes: usize, every: Duration, patience: Duration) -> (Body, Arc<AtomicBool>) {
        let pieces = stream::iter(0..pieces).then(move |_| async move {
            tokio::time::sleep(every).await;
            Ok::<_, io::Error>(Bytes::from(vec![b'x'; bytes]))
        });
        let late = Arc::new(AtomicBool::new(false));
        (Body::new(Arriving::new(Body::from_stream(pieces), patience, late.clone())), late)
    }

    #[tokio::test]
    async fn a_body_has_to_keep_the_pace() {
        let (every, patience) = (Duration::from_millis(5), Duration::from_millis(200));
        let (body, late) = drip(100, 1024, every, patience);
        assert_eq!(axum::body::to_bytes(body, usize::MAX).await.unwrap().len(), 100 * 1024);
        assert!(!late.load(Ordering::Acquire));
        let (body, late) = drip(10_000, 1, every, patience);
        assert!(axum::body::to_bytes(body, usize::MAX).await.is_err());
        assert!(late.load(Ordering::Acquire));
    }

    #[tokio::test]
    async fn a_handler_that_is_slow_is_not_the_clients_fault() {
        let (body, _) = drip(3, 1, Duration::from_millis(1), Duration::from_millis(500));
        let mut pieces = body.into_data_stream();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            assert!(pieces.next().await.unwrap().is_ok());
        }
        assert!(pieces.next().await.is_none());
    }
}
