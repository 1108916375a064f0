//! Bodies, bounded: as they come in, and again as they are unzipped.

use std::io::Read;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use flate2::read::MultiGzDecoder;
use futures::StreamExt;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    TooLarge,
    /// The client went away, or broke the protocol, in the middle.
    Interrupted,
}

/// How much of a body that is too large is read and thrown away. Most clients do not look for a reply before they have
/// sent everything; to hang up on them would turn the 413, which they understand, into a network error.
const DISCARD_MAX: usize = 64 << 20;

/// Reads a whole body of at most `max` bytes.
pub(super) async fn read(headers: &HeaderMap, body: Body, max: usize) -> Result<Bytes, BodyError> {
    let declared = content_length(headers).unwrap_or(0);
    // Who waits for our word sends nothing before it; who announces too much to discard need not begin.
    let patient = headers.contains_key(header::EXPECT);
    if declared > max && (patient || declared > max.saturating_add(DISCARD_MAX)) {
        return Err(BodyError::TooLarge);
    }
    let mut chunks = body.into_data_stream();
    let mut whole = Chunks::default();
    let mut seen = 0usize;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| BodyError::Interrupted)?;
        seen = seen.saturating_add(chunk.len());
        if seen <= max {
            whole.push(chunk, declared.min(max));
        } else if seen > max.saturating_add(DISCARD_MAX) {
            break;
        } else {
            whole = Chunks::default();
        }
    }
    if seen > max { Err(BodyError::TooLarge) } else { Ok(whole.finish()) }
}

/// A body under way. Most arrive in one piece, which is then never copied.
#[derive(Default)]
struct Chunks {
    first: Bytes,
    joined: Vec<u8>,
}

impl Chunks {
    fn push(&mut self, chunk: Bytes, expected: usize) {
        if self.joined.is_empty() && self.first.is_empty() {
            self.first = chunk;
            return;
        }
        if self.joined.is_empty() {
            // A client can announce more than it sends, so no more than it has shown to have is set aside.
            self.joined.reserve(expected.min(1 << 20));
            self.joined.extend_from_slice(&self.first);
        }
        self.joined.extend_from_slice(&chunk);
    }

    fn finish(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.into() }
    }
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// Why a body cannot be unzipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GunzipError {
    TooLarge,
    Damaged,
}

/// Unzips at most `max` bytes; a bomb stops there, whatever it claims to hold.
pub(super) fn gunzip(zipped: &[u8], max: usize) -> Result<Vec<u8>, GunzipError> {
    let mut plain = Vec::with_capacity(zipped.len().saturating_mul(4).min(max).min(1 << 20));
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let read = MultiGzDecoder::new(zipped).take(limit).read_to_end(&mut plain);
    if plain.len() > max {
        return Err(GunzipError::TooLarge);
    }
    read.map(|_| plain).map_err(|_| GunzipError::Damaged)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::http::HeaderValue;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn zip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn chunked(chunks: &[&'static str]) -> Body {
        let chunks: Vec<_> =
            chunks.iter().map(|chunk| Ok::<_, std::io::Error>(Bytes::from_static(chunk.as_bytes()))).collect();
        Body::from_stream(futures::stream::iter(chunks))
    }

    #[tokio::test]
    async fn bodies_are_read_up_to_their_limit() {
        let none = HeaderMap::new();
        assert_eq!(read(&none, Body::empty(), 3).await.unwrap(), "");
        assert_eq!(read(&none, chunked(&["abc"]), 3).await.unwrap(), "abc");
        assert_eq!(read(&none, chunked(&["a", "", "b", "c"]), 3).await.unwrap(), "abc");
        assert_eq!(read(&none, chunked(&["a", "b", "cd"]), 3).await, Err(BodyError::TooLarge));
        let broken = futures::stream::iter([Ok(Bytes::from_static(b"a")), Err(std::io::Error::other("gone"))]);
        assert_eq!(read(&none, Body::from_stream(broken), 3).await, Err(BodyError::Interrupted));
    }

    #[tokio::test]
    async fn a_body_announced_as_too_large_is_not_waited_for() {
        let never = || Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(DISCARD_MAX + 4));
        assert_eq!(read(&headers, never(), 3).await, Err(BodyError::TooLarge));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(4));
        headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        assert_eq!(read(&headers, never(), 3).await, Err(BodyError::TooLarge));
    }

    #[test]
    fn zipped_bodies_are_bounded_by_what_they_hold() {
        assert_eq!(gunzip(&zip(b"hello"), 5).unwrap(), b"hello");
        assert_eq!(gunzip(&zip(b"hello"), 4), Err(GunzipError::TooLarge));
        assert_eq!(gunzip(&[zip(b"he"), zip(b"llo")].concat(), 5).unwrap(), b"hello");
        assert_eq!(gunzip(&zip(&vec![0; 50 << 20]), 1 << 20), Err(GunzipError::TooLarge));
        let whole = zip(b"hello");
        assert_eq!(gunzip(&whole[..whole.len() - 1], 5), Err(GunzipError::Damaged));
        assert_eq!(gunzip(b"hello", 5), Err(GunzipError::Damaged));
        assert_eq!(gunzip(b"", 5), Err(GunzipError::Damaged));
    }
}
