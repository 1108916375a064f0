//! Bodies, bounded: as they come in, and again as they are unzipped.

use std::io::Read;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use flate2::read::MultiGzDecoder;
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use crate::admission::{Admission, Busy, Held, Tenant};
use crate::config::IngestSettings;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    TooLarge,
    /// The client went away, or broke the protocol, in the middle.
    Interrupted,
    /// It came too slowly.
    TooSlow,
    /// There is no room for it now.
    Busy(Busy),
}

impl BodyError {
    /// The word in metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Interrupted => "interrupted",
            Self::TooSlow => "too_slow",
            Self::Busy(busy) => busy.reason(),
        }
    }
}

/// How much of a body that is not wanted is read and thrown away. Most clients do not look for a reply before they have
/// sent everything; to hang up on them would turn the 413 or 429, which they understand, into a network error.
const DISCARD_MAX: usize = 64 << 20;
/// Bytes after which a body has said whose it is, or never will. Until then it is not counted.
pub(super) const PREFIX_BYTES: usize = 8 << 10;
/// Whoever keeps this up may take as long as it takes.
const SLOWEST_BYTES_PER_SECOND: usize = 16 << 10;

/// A body, whose it seems to be, and its place in memory.
#[derive(Debug)]
pub(super) struct Received {
    pub bytes: Bytes,
    pub tenant: Tenant,
    pub held: Held,
}

/// Why a body was not received, and what was known until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotReceived {
    pub error: BodyError,
    pub tenant: Tenant,
    /// Bytes that came, whether kept or not.
    pub seen: usize,
}

/// Reads a whole body within the bounds of `settings`. `tenant_of` tells from its beginning whose it is.
pub(super) async fn read(
    admission: &Admission,
    settings: &IngestSettings,
    headers: &HeaderMap,
    body: Body,
    tenant_of: impl Fn(&[u8]) -> Tenant,
) -> Result<Received, NotReceived> {
    let max = settings.body_bytes_max;
    let declared = content_length(headers).unwrap_or(0);
    // Who waits for our word sends nothing before it; who announces too much to discard need not begin.
    let patient = headers.contains_key(header::EXPECT);
    if declared > max && (patient || declared > max.saturating_add(DISCARD_MAX)) {
        return Err(NotReceived { error: BodyError::TooLarge, tenant: Tenant::Unknown, seen: 0 });
    }
    let began = Instant::now();
    let mut chunks = body.into_data_stream();
    let mut whole = Chunks::default();
    let mut admitted: Option<(Tenant, Held)> = None;
    let mut refused: Option<BodyError> = None;
    let mut seen = 0usize;
    let not = |error, admitted: Option<(Tenant, Held)>, seen| NotReceived {
        error,
        tenant: admitted.map_or(Tenant::Unknown, |(tenant, _)| tenant),
        seen,
    };
    loop {
        let deadline = began + Duration::from_secs(settings.body_seconds + (seen / SLOWEST_BYTES_PER_SECOND) as u64);
        let chunk = match timeout_at(deadline, chunks.next()).await {
            Err(_) => return Err(not(BodyError::TooSlow, admitted, seen)),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(not(BodyError::Interrupted, admitted, seen)),
            Ok(Some(Ok(chunk))) => chunk,
        };
        seen = seen.saturating_add(chunk.len());
        if seen > max {
            refused.get_or_insert(BodyError::TooLarge);
        } else if refused.is_none()
            && let Some((_, held)) = &mut admitted
            && let Err(full) = held.grow(chunk.len())
        {
            refused = Some(BodyError::Busy(full.into()));
        }
        if refused.is_some() {
            // Room for others; what still comes is only passed by.
            whole = Chunks::default();
            admitted = admitted.map(|(tenant, _)| (tenant, admission.hold_nothing(tenant)));
            if seen > max.saturating_add(DISCARD_MAX) {
                break;
            }
            continue;
        }
        whole.push(chunk, declared.min(max));
        if admitted.is_none() && seen >= PREFIX_BYTES {
            let tenant = tenant_of(whole.bytes());
            let held = admission.hold(tenant, seen).and_then(|held| {
                // Who is bound to be refused is told before the rest is read.
                held.check(declared.min(max).saturating_sub(seen))?;
                Ok(held)
            });
            admitted = Some((
                tenant,
                held.unwrap_or_else(|busy| {
                    refused = Some(BodyError::Busy(busy));
                    admission.hold_nothing(tenant)
                }),
            ));
        }
    }
    if let Some(error) = refused {
        return Err(not(error, admitted, seen));
    }
    let bytes = whole.finish();
    let (tenant, held) = match admitted {
        Some(admitted) => admitted,
        None => {
            let tenant = tenant_of(&bytes);
            let held = admission.hold(tenant, seen);
            (tenant, held.map_err(|busy| NotReceived { error: BodyError::Busy(busy), tenant, seen })?)
        }
    };
    Ok(Received { bytes, tenant, held })
}

/// Reads a whole body of at most `max` bytes where somebody else bounds how many there are at once.
pub(super) async fn read_uncounted(headers: &HeaderMap, body: Body, max: usize) -> Result<Bytes, BodyError> {
    let settings = IngestSettings {
        body_bytes_max: max,
        bodies_bytes_max: usize::MAX,
        project_bodies_bytes_max: usize::MAX,
        ..IngestSettings::default()
    };
    let received =
        read(&Admission::new(&settings, Handle::current()), &settings, headers, body, |_| Tenant::Unknown).await;
    received.map(|received| received.bytes).map_err(|not_received| not_received.error)
}

/// Reads a body that nobody wants, so that the client gets to hear the reply. Tells whether it came to its end.
pub(super) async fn discard(headers: &HeaderMap, body: Body) -> bool {
    matches!(read_uncounted(headers, body, 0).await, Ok(_) | Err(BodyError::TooLarge))
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

    fn bytes(&self) -> &[u8] {
        if self.joined.is_empty() { &self.first } else { &self.joined }
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
    /// There is no room for it now.
    Busy(Busy),
}

/// How much a body may unzip to.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnzipLimits {
    pub bytes_max: usize,
    /// Times its own size.
    pub ratio_max: usize,
}

/// Up to this size nobody asks about ratios: short texts of one letter are not an attack.
const UNZIP_RATIO_FROM: usize = 1 << 20;
/// Bytes made between two looks at the limits.
const UNZIP_STEP: u64 = 64 << 10;

/// Unzips as much as the limits allow and `grow` has room for; a bomb stops there, whatever it claims to hold.
pub(super) fn gunzip(
    zipped: &[u8],
    limits: UnzipLimits,
    mut grow: impl FnMut(usize) -> Result<(), Busy>,
) -> Result<Vec<u8>, GunzipError> {
    let by_ratio = zipped.len().saturating_mul(limits.ratio_max).max(UNZIP_RATIO_FROM);
    let max = limits.bytes_max.min(by_ratio);
    let mut plain = Vec::with_capacity(zipped.len().saturating_mul(4).min(max).min(1 << 20));
    let mut decoder = MultiGzDecoder::new(zipped);
    loop {
        let read = (&mut decoder).take(UNZIP_STEP).read_to_end(&mut plain).map_err(|_| GunzipError::Damaged)?;
        if plain.len() > max {
            return Err(GunzipError::TooLarge);
        }
        if read == 0 {
            return Ok(plain);
        }
        grow(read).map_err(GunzipError::Busy)?;
    }
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
        assert_eq!(read_uncounted(&none, Body::empty(), 3).await.unwrap(), "");
        assert_eq!(read_uncounted(&none, chunked(&["abc"]), 3).await.unwrap(), "abc");
        assert_eq!(read_uncounted(&none, chunked(&["a", "", "b", "c"]), 3).await.unwrap(), "abc");
        assert_eq!(read_uncounted(&none, chunked(&["a", "b", "cd"]), 3).await, Err(BodyError::TooLarge));
        let broken = futures::stream::iter([Ok(Bytes::from_static(b"a")), Err(std::io::Error::other("gone"))]);
        assert_eq!(read_uncounted(&none, Body::from_stream(broken), 3).await, Err(BodyError::Interrupted));
    }

    fn never() -> Body {
        Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>())
    }

    #[tokio::test]
    async fn a_body_announced_as_too_large_is_not_waited_for() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(DISCARD_MAX + 4));
        assert_eq!(read_uncounted(&headers, never(), 3).await, Err(BodyError::TooLarge));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(4));
        headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        assert_eq!(read_uncounted(&headers, never(), 3).await, Err(BodyError::TooLarge));
    }

    #[tokio::test]
    async fn a_body_that_trickles_ends() {
        let settings = IngestSettings { body_seconds: 0, ..IngestSettings::default() };
        let admission = Admission::new(&settings, Handle::current());
        let first = futures::stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"a")) });
        let trickle = Body::from_stream(first.chain(futures::stream::pending()));
        let ended = read(&admission, &settings, &HeaderMap::new(), trickle, |_| Tenant::Unknown).await.unwrap_err();
        assert_eq!(ended, NotReceived { error: BodyError::TooSlow, tenant: Tenant::Unknown, seen: 1 });
    }

    #[tokio::test]
    async fn past_the_bound_of_memory_a_body_is_read_to_its_end_and_refused() {
        let settings = IngestSettings {
            bodies_bytes_max: 100_000,
            project_bodies_bytes_max: 100_000,
            ..IngestSettings::default()
        };
        let admission = Admission::new(&settings, Handle::current());
        let tenant = Tenant::Project(footfall_model::ProjectId(1));
        let part = "x".repeat(9_000);
        let parts = |n: usize| {
            let parts: Vec<_> = (0..n).map(|_| Ok::<_, std::io::Error>(Bytes::from(part.clone()))).collect();
            Body::from_stream(futures::stream::iter(parts))
        };
        let none = HeaderMap::new();
        let first = read(&admission, &settings, &none, parts(9), |_| tenant).await.unwrap();
        let refused = read(&admission, &settings, &none, parts(9), |_| tenant).await.unwrap_err();
        assert_eq!(refused, NotReceived { error: BodyError::Busy(Busy::Memory), tenant, seen: 81_000 });
        assert_eq!(admission.gauges().bodies_bytes, 81_000, "of the first alone");
        drop(first);
        assert!(read(&admission, &settings, &none, parts(9), |_| tenant).await.is_ok());
    }

    #[test]
    fn zipped_bodies_are_bounded_by_what_they_hold() {
        let unzip =
            |zipped: &[u8], bytes_max, ratio_max| gunzip(zipped, UnzipLimits { bytes_max, ratio_max }, |_| Ok(()));
        assert_eq!(unzip(&zip(b"hello"), 5, 1).unwrap(), b"hello");
        assert_eq!(unzip(&zip(b"hello"), 4, 1), Err(GunzipError::TooLarge));
        assert_eq!(unzip(&[zip(b"he"), zip(b"llo")].concat(), 5, 1).unwrap(), b"hello");
        assert_eq!(unzip(&zip(&vec![0; 50 << 20]), 1 << 20, 2000), Err(GunzipError::TooLarge));
        assert_eq!(unzip(&zip(&vec![0; 2 << 20]), 10 << 20, 100), Err(GunzipError::TooLarge));
        assert_eq!(unzip(&zip(&vec![0; 1 << 20]), 10 << 20, 100).unwrap().len(), 1 << 20);
        let whole = zip(b"hello");
        assert_eq!(unzip(&whole[..whole.len() - 1], 5, 1), Err(GunzipError::Damaged));
        assert_eq!(unzip(b"hello", 5, 1), Err(GunzipError::Damaged));
        assert_eq!(unzip(b"", 5, 1), Err(GunzipError::Damaged));
        let full = gunzip(&whole, UnzipLimits { bytes_max: 5, ratio_max: 1 }, |_| Err(Busy::Memory));
        assert_eq!(full, Err(GunzipError::Busy(Busy::Memory)));
    }
}
