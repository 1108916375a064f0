//! Objects of a bucket: one, or all below a prefix. Credentials come from the environment, as for `--store`.

use std::fmt;
use std::io::{self, Read};
use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use footfall_engine::StorePolicy;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::sync::mpsc;
use url::Url;

use super::{Found, Place, Source, Stamp, is_left_out, plain_name};
use crate::commands::CommandError;

/// Pieces of an object that have arrived and are not read yet.
const PIECES_AHEAD: usize = 8;

/// A bucket, open.
#[derive(Clone)]
pub struct Bucket(Arc<dyn ObjectStore>);

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The object that `url` names, or all objects below it in the order of their names.
pub async fn find(url: &Url, policy: &StorePolicy) -> Result<Found, CommandError> {
    let mut whole = url.clone();
    whole.set_path("");
    let bucket = footfall_engine::open_store(FilePath::new("."), Some(&whole), policy);
    let bucket = bucket.map_err(|e| CommandError::usage(format!("{url}: {e}")))?;
    let path = Path::from_url_path(url.path()).map_err(|e| CommandError::usage(format!("{url}: {e}")))?;
    let root = whole.as_str().trim_end_matches('/');
    let source = |meta: ObjectMeta, name: &str| {
        let stamp = Stamp {
            address: format!("{root}/{}", meta.location),
            bytes: meta.size,
            modified: meta.last_modified.timestamp_nanos_opt().unwrap_or(0),
            etag: meta.e_tag,
        };
        Source { place: Place::Object(Bucket(bucket.clone()), meta.location), name: plain_name(name), stamp }
    };
    let unreachable = |e: object_store::Error| CommandError::failed(format!("cannot read {url}: {e}"));
    let mut found = Found::default();
    if !path.is_root() && !url.path().ends_with('/') {
        match bucket.head(&path).await {
            Ok(meta) => {
                found.sources.push(source(meta, path.filename().unwrap_or_default()));
                return Ok(found);
            }
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(unreachable(error)),
        }
    }
    let mut objects: Vec<ObjectMeta> = bucket.list(Some(&path)).try_collect().await.map_err(unreachable)?;
    objects.sort_by(|a, b| a.location.cmp(&b.location));
    for meta in objects {
        let Some(parts) = meta.location.prefix_match(&path) else { continue };
        let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
        if parts.iter().any(|part| is_left_out(part)) || meta.size == 0 && meta.location.as_ref().ends_with('/') {
            found.left_out += 1;
        } else {
            found.sources.push(source(meta, &parts.join("/")));
        }
    }
    if found.sources.is_empty() {
        return Err(CommandError::failed(format!("{url} holds no files")));
    }
    Ok(found)
}

impl Bucket {
    /// Reads an object from its beginning, and none but the one that `etag` names. The reader blocks: it is for threads
    /// that are not the runtime's.
    pub fn read(&self, location: &Path, etag: Option<&str>, runtime: &tokio::runtime::Handle) -> ObjectReader {
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        let (bucket, location) = (self.0.clone(), location.clone());
        let options = GetOptions { if_match: etag.map(str::to_owned), ..GetOptions::default() };
        let task = runtime.spawn(async move {
            let mut stream = match bucket.get_opts(&location, options).await {
                Ok(found) => found.into_stream(),
                Err(error) => return drop(sender.send(Err(io::Error::other(error))).await),
            };
            while let Some(piece) = stream.next().await {
                if sender.send(piece.map_err(io::Error::other)).await.is_err() {
                    return;
                }
            }
        });
        ObjectReader { pieces, current: Bytes::new(), task }
    }
}

/// The bytes of an object as they arrive.
pub struct ObjectReader {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
    task: tokio::task::JoinHandle<()>,
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.current = piece?,
            }
        }
        let taken = self.current.len().min(buffer.len());
        self.current.copy_to_slice(buffer.get_mut(..taken).unwrap_or_default());
        Ok(taken)
    }
}

impl Drop for ObjectReader {
    fn drop(&mut self) {
        self.task.abort();
    }
}
