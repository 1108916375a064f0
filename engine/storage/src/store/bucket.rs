//! A bucket as the rest of storage may count on it.
//!
//! The providers' clients sign, send and parse. What they leave open is settled here, once for both:
//!
//! - B1: a create that answers `AlreadyExists` was somebody else's. The clients repeat requests that failed, so the reply
//!   may be about their own first try, which was applied and answered with an error; the object is read back and compared.
//!   For the same reason a create whose outcome is unknown is simply tried again.
//! - B2: what is not a clear answer is tried again, for as long as [`StorePolicy`](super::StorePolicy) has patience and
//!   the bucket is not away.
//! - B3: a read gives all bytes that were asked for, of one content, or an error.
//! - B4: a listing goes on where it broke. An object that is there all the time is in it once.
//! - B5: an object that is not there counts as deleted: the reply may be about a repeated request.
//! - B6: nothing is copied, renamed or updated. The client for Google's stores swaps the two kinds of copy (object_store
//!   0.13.2), and no local folder can update; who needs either needs a create.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use tokio::time::Instant;

use super::reach::Reach;
use super::reading::complete;
use crate::error::chain;

pub(super) const NAME: &str = "BucketStore";
/// Objects larger than this are sent in parts of this size, each with its own time limit.
const PART_BYTES: usize = 16 << 20;
const PARTS_IN_FLIGHT: usize = 4;
/// How often an object of the right length is compared before it counts as another's.
const READ_BACKS: usize = 2;
const DELETES_IN_FLIGHT: usize = 16;
const PAUSE_FIRST: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 50 });
const PAUSE_LONGEST: Duration = Duration::from_secs(2);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct BucketStore {
    asking: Arc<Asking>,
}

/// The client, and what its calls have met.
#[derive(Debug)]
pub(super) struct Asking {
    client: Arc<dyn ObjectStore>,
    reach: Reach,
    patience: Duration,
}

/// How long something has failed, and when it is tried again.
#[derive(Debug)]
pub(super) struct Patience {
    since: Instant,
    pause: Duration,
}

impl Patience {
    pub fn new() -> Self {
        Self { since: Instant::now(), pause: PAUSE_FIRST }
    }
}

impl BucketStore {
    pub fn new(client: Arc<dyn ObjectStore>, patience: Duration) -> Self {
        Self { asking: Arc::new(Asking { client, reach: Reach::new(patience), patience }) }
    }
}

impl fmt::Display for BucketStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.asking.client.fmt(f)
    }
}

impl Asking {
    /// Calls until there is a clear answer (B2).
    async fn tried<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut patience = Patience::new();
        loop {
            self.enter()?;
            let error = match call().await {
                Err(error) if is_unclear(&error) => error,
                answer => {
                    self.reach.answered();
                    return answer;
                }
            };
            self.wait(&mut patience, error).await?;
        }
    }

    fn enter(&self) -> Result<()> {
        self.reach.enter(Instant::now()).map_err(|away| Error::Generic { store: NAME, source: away.into() })
    }

    /// Waits before the next try; the error is the answer when there is to be none.
    pub async fn wait(&self, patience: &mut Patience, error: Error) -> Result<()> {
        let away = self.reach.failed(Instant::now(), &chain(&error));
        if away || patience.since.elapsed() + patience.pause > self.patience {
            return Err(error);
        }
        tracing::debug!(%error, "asking the store again");
        // Between half and the whole of it, so that many callers do not come back at once.
        tokio::time::sleep(patience.pause.mul_f64(0.5 + 0.5 * jitter())).await;
        patience.pause = (patience.pause * 2).min(PAUSE_LONGEST);
        Ok(())
    }

    pub async fn get(&self, location: &Path, options: &GetOptions) -> Result<GetResult> {
        self.tried(|| self.client.get_opts(location, options.clone())).await
    }

    /// B1.
    async fn create(self: &Arc<Self>, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let created = self.tried(|| self.client.put_opts(location, payload.clone(), options.clone())).await;
        let Err(Error::AlreadyExists { path, source }) = created else { return created };
        match self.read_back(location, &payload).await {
            Ok(Some(ours)) => Ok(ours),
            Ok(None) | Err(Error::NotFound { .. }) => Err(Error::AlreadyExists { path, source }),
            Err(error) => Err(error),
        }
    }

    /// The object at `location` if it holds `payload`.
    async fn read_back(self: &Arc<Self>, location: &Path, payload: &PutPayload) -> Result<Option<PutResult>> {
        // A bit that flipped on the way would make it somebody else's.
        for _ in 0..READ_BACKS {
            let options = GetOptions::default();
            let found = self.get(location, &options).await?;
            let meta = found.meta.clone();
            if meta.size != payload.content_length() as u64 {
                return Ok(None);
            }
            if holds(&complete(self, location, options, found).bytes().await?, payload) {
                return Ok(Some(PutResult { e_tag: meta.e_tag, version: meta.version }));
            }
        }
        Ok(None)
    }

    async fn put_in_parts(&self, location: &Path, payload: &PutPayload, options: &PutOptions) -> Result<PutResult> {
        let of_upload = PutMultipartOptions { attributes: options.attributes.clone(), ..Default::default() };
        let mut upload = self.client.put_multipart_opts(location, of_upload).await?;
        let parts: Vec<_> = parts(payload).into_iter().map(|part| upload.put_part(part)).collect();
        let sent: Result<()> = stream::iter(parts).buffer_unordered(PARTS_IN_FLIGHT).try_collect().await;
        let error = match sent {
            Ok(()) => match upload.complete().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            },
            Err(error) => error,
        };
        // Parts that stay cost space until the bucket's own rules clear them away.
        drop(upload.abort().await);
        // Of an upload that is not there any more, a repeated request may have been the first to speak.
        Err(match error {
            Error::NotFound { source, .. } => Error::Generic { store: NAME, source },
            error => error,
        })
    }

    async fn delete(&self, location: Path) -> Result<Path> {
        match self.tried(|| self.client.delete(&location)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(location),
            Err(error) => Err(error),
        }
    }
}

fn holds(bytes: &[u8], payload: &PutPayload) -> bool {
    let mut rest = bytes;
    payload.iter().all(|piece| match rest.strip_prefix(&piece[..]) {
        Some(after) => {
            rest = after;
            true
        }
        None => false,
    })
}

/// Whether an error leaves open what has happened, so that asking again may help.
fn is_unclear(error: &Error) -> bool {
    matches!(error, Error::Generic { .. } | Error::JoinError { .. })
}

/// A refused listing as the other calls have it. The clients tell it from a failure in its text alone.
fn refusal(error: Error) -> Error {
    let Error::Generic { store, source } = error else { return error };
    let text = source.to_string();
    let is = |status: &str| text.contains(&format!("status code: {status}"));
    let path = "listing".to_owned();
    if is("404") {
        Error::NotFound { path, source }
    } else if is("403") {
        Error::PermissionDenied { path, source }
    } else if is("401") {
        Error::Unauthenticated { path, source }
    } else {
        Error::Generic { store, source }
    }
}

/// From 0 to 1. Nothing depends on it but when something is tried again.
fn jitter() -> f64 {
    f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX)
}

/// `payload` in parts of equal size, but for the last.
fn parts(payload: &PutPayload) -> Vec<PutPayload> {
    let mut parts = Vec::new();
    let (mut part, mut length) = (Vec::new(), 0);
    for piece in payload.iter() {
        let mut piece = piece.clone();
        while !piece.is_empty() {
            let taken = piece.split_to(piece.len().min(PART_BYTES - length));
            length += taken.len();
            part.push(taken);
            if length == PART_BYTES {
                parts.push(std::mem::take(&mut part).into_iter().collect());
                length = 0;
            }
        }
    }
    if length > 0 {
        parts.push(part.into_iter().collect());
    }
    parts
}

#[async_trait]
impl ObjectStore for BucketStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let asking = &self.asking;
        match options.mode {
            PutMode::Create => asking.create(location, payload, options).await,
            PutMode::Overwrite if payload.content_length() > PART_BYTES => {
                asking.tried(|| asking.put_in_parts(location, &payload, &options)).await
            }
            PutMode::Overwrite => {
                asking.tried(|| asking.client.put_opts(location, payload.clone(), options.clone())).await
            }
            PutMode::Update(_) => Err(unsupported("updates")),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.asking.tried(|| self.asking.client.put_multipart_opts(location, options.clone())).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let found = self.asking.get(location, &options).await?;
        Ok(if options.head { found } else { complete(&self.asking, location, options, found) })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let asking = self.asking.clone();
        locations
            .map(move |location| {
                let asking = asking.clone();
                async move { asking.delete(location?).await }.boxed()
            })
            .buffered(DELETES_IN_FLIGHT)
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        Listing::new(&self.asking, prefix, None).stream()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        Listing::new(&self.asking, prefix, Some(offset)).stream()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.asking.tried(|| self.asking.client.list_with_delimiter(prefix).map_err(refusal)).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(unsupported("copies"))
    }

    async fn rename_opts(&self, _: &Path, _: &Path, _: RenameOptions) -> Result<()> {
        Err(unsupported("renaming"))
    }
}

/// B6.
fn unsupported(what: &str) -> Error {
    Error::NotSupported { source: format!("{what} are not asked of a bucket").into() }
}

/// A listing under way. Buckets list in the order of names, so it can go on after the last one that came (B4).
struct Listing {
    asking: Arc<Asking>,
    prefix: Option<Path>,
    after: Option<Path>,
    objects: Option<BoxStream<'static, Result<ObjectMeta>>>,
}

impl Listing {
    fn new(asking: &Arc<Asking>, prefix: Option<&Path>, offset: Option<&Path>) -> Self {
        Self { asking: asking.clone(), prefix: prefix.cloned(), after: offset.cloned(), objects: None }
    }

    fn stream(self) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::try_unfold(self, async |mut listing| Ok(listing.next().await?.map(|object| (object, listing)))).boxed()
    }

    async fn next(&mut self) -> Result<Option<ObjectMeta>> {
        let mut patience = Patience::new();
        loop {
            let objects = match &mut self.objects {
                Some(objects) => objects,
                None => {
                    self.asking.enter()?;
                    let (client, prefix) = (&self.asking.client, self.prefix.as_ref());
                    self.objects.insert(match &self.after {
                        Some(after) => client.list_with_offset(prefix, after),
                        None => client.list(prefix),
                    })
                }
            };
            match objects.try_next().await.map_err(refusal) {
                Ok(object) => {
                    self.asking.reach.answered();
                    if let Some(object) = &object {
                        self.after = Some(object.location.clone());
                    }
                    return Ok(object);
                }
                Err(error) if is_unclear(&error) => {
                    self.asking.wait(&mut patience, error).await?;
                    self.objects = None;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
