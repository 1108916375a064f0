//! Objects as local files that survive a power cut.
//!
//! `LocalFileSystem` of object_store 0.13 never syncs: a put it answered with `Ok` can be gone, or be there and empty,
//! after the power fails. [`DurableLocal`] keeps its file names, staging names (`…#1`) and reads, and does the writes
//! itself. Its one idea: content first, then name, then the directories that lead to the name.
//!
//! # Invariants
//!
//! - **D1** Bytes are synced under a staging name before they get their own: a name never shows part of an object.
//! - **D2** When a write answers `Ok`, the name and every directory up to the root are durable.
//! - **D3** `PutMode::Create` is one `link`, which takes a name once; whoever loses is told only after the winner's
//!   name is durable, so it may build on what it then reads.
//! - **D4** When a delete answers `Ok`, the name does not come back.
//!
//! A sync that fails is an error of that write, and the name may or may not be there: as with any object store, read
//! back before trying again. Left out: locks between processes, and directories, which are made but never removed.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, RenameTargetMode,
    Result, UploadPart,
};
use parking_lot::Mutex;

use crate::failpoint;

const STORE: &str = "DurableLocal";

/// Deletes that share one sync of their directory.
const DELETE_CHUNK: usize = 256;

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Creates a directory and its missing parents, with durable names.
pub(crate) fn create_dir_durable(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = match dir.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    create_dir_durable(parent)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => sync_dir(parent),
    }
}

/// An [`ObjectStore`] on a local directory whose every answered write is on the disk.
#[derive(Debug, Clone)]
pub struct DurableLocal {
    /// Reads, lists and maps names to files.
    inner: LocalFileSystem,
    dirs: Arc<Dirs>,
}

impl DurableLocal {
    /// Opens the store on `root`, which is created if missing.
    pub fn new(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        let root = create_dir_durable(root).and_then(|()| root.canonicalize()).map_err(|e| store_error(root, e))?;
        let inner = LocalFileSystem::new_with_prefix(&root)?;
        Ok(Self { inner, dirs: Arc::new(Dirs { root, named: Mutex::default() }) })
    }

    /// Removes the staging files that writes cut short by a crash left behind, and answers how many. Call it at start,
    /// before anything writes.
    pub fn remove_staged(&self) -> Result<u64> {
        let mut removed = 0;
        let mut pending = vec![self.dirs.root.clone()];
        while let Some(dir) = pending.pop() {
            removed += remove_staged_in(&dir, &mut pending).map_err(|e| store_error(&dir, e))?;
        }
        Ok(removed)
    }
}

fn remove_staged_in(dir: &Path, pending: &mut Vec<PathBuf>) -> io::Result<u64> {
    let mut removed = 0;
    for dir_entry in fs::read_dir(dir)? {
        let dir_entry = dir_entry?;
        let kind = dir_entry.file_type()?;
        if kind.is_dir() {
            pending.push(dir_entry.path());
        } else if kind.is_file() && is_staged(&dir_entry.path()) {
            fs::remove_file(dir_entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STORE}({})", self.dirs.root.display())
    }
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(&self, location: &ObjectPath, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if matches!(opts.mode, PutMode::Update(_)) || !opts.attributes.is_empty() {
            // Neither is possible on files; the inner store words the refusal and writes nothing.
            return self.inner.put_opts(location, payload, opts).await;
        }
        let path = self.inner.path_to_filesystem(location)?;
        let dirs = Arc::clone(&self.dirs);
        blocking(move || put(&dirs, &path, &payload, &opts.mode)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &ObjectPath,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if !opts.attributes.is_empty() {
            return self.inner.put_multipart_opts(location, opts).await;
        }
        let path = self.inner.path_to_filesystem(location)?;
        let dirs = Arc::clone(&self.dirs);
        blocking(move || {
            let unnamed = dirs.create_parents(&path)?;
            let staged = Staged::create(&path)?;
            let parts = Arc::new(Parts { staged, written: AtomicU64::new(0) });
            Ok(Box::new(DurableUpload { dirs, path, unnamed, parts: Some(parts), offset: 0 }) as _)
        })
        .await
    }

    async fn get_opts(&self, location: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &ObjectPath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<ObjectPath>>,
    ) -> BoxStream<'static, Result<ObjectPath>> {
        let store = self.clone();
        locations
            .ready_chunks(DELETE_CHUNK)
            .then(move |chunk| {
                let store = store.clone();
                async move { stream::iter(store.delete_chunk(chunk).await) }
            })
            .flatten()
            .boxed()
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&ObjectPath>,
        offset: &ObjectPath,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> Result<()> {
        let (from_path, to_path) = (self.inner.path_to_filesystem(from)?, self.inner.path_to_filesystem(to)?);
        let unnamed = self.prepare_target(from_path, to_path.clone()).await?;
        let copied = self.inner.copy_opts(from, to, options).await;
        if matches!(copied, Ok(()) | Err(Error::AlreadyExists { .. })) {
            let dirs = Arc::clone(&self.dirs);
            blocking(move || dirs.sync_names(&to_path, unnamed)).await?;
        }
        copied
    }

    async fn rename_opts(&self, from: &ObjectPath, to: &ObjectPath, options: RenameOptions) -> Result<()> {
        if matches!(options.target_mode, RenameTargetMode::Create) {
            // The inner store would delete the old name before the new one is durable.
            let copy = CopyOptions { mode: CopyMode::Create, extensions: options.extensions };
            self.copy_opts(from, to, copy).await?;
            return self.delete(from).await;
        }
        let (from_path, to_path) = (self.inner.path_to_filesystem(from)?, self.inner.path_to_filesystem(to)?);
        let unnamed = self.prepare_target(from_path.clone(), to_path.clone()).await?;
        self.inner.rename_opts(from, to, options).await?;
        let dirs = Arc::clone(&self.dirs);
        blocking(move || dirs.sync_names(&to_path, unnamed).and_then(|()| dirs.sync_names(&from_path, Vec::new())))
            .await
    }
}

impl DurableLocal {
    /// Syncs the content a second name is about to point at, and makes the directories of that name.
    async fn prepare_target(&self, from: PathBuf, to: PathBuf) -> Result<Vec<PathBuf>> {
        let dirs = Arc::clone(&self.dirs);
        blocking(move || {
            File::open(&from).and_then(|file| file.sync_all()).map_err(|e| store_error(&from, e))?;
            dirs.create_parents(&to)
        })
        .await
    }

    /// Deletes each of `locations` and then syncs each directory once (D4); one outcome per location, in order.
    async fn delete_chunk(&self, locations: Vec<Result<ObjectPath>>) -> Vec<Result<ObjectPath>> {
        let deleted: Vec<_> = self.inner.delete_stream(stream::iter(locations).boxed()).collect().await;
        let parents: BTreeSet<PathBuf> =
            deleted.iter().flatten().filter_map(|location| self.parent_of(location)).collect();
        let failed = match blocking(move || Ok(unsynced_dirs(parents))).await {
            Ok(failed) => failed,
            Err(error) => return vec![Err(error)],
        };
        let outcome = |location: ObjectPath| match self.parent_of(&location) {
            Some(parent) if failed.contains(&parent) => {
                Err(store_error(&parent, io::Error::other("cannot sync the directory of a deleted object")))
            }
            _ => Ok(location),
        };
        deleted.into_iter().map(|deleted| deleted.and_then(outcome)).collect()
    }

    fn parent_of(&self, location: &ObjectPath) -> Option<PathBuf> {
        self.inner.path_to_filesystem(location).ok()?.parent().map(Path::to_path_buf)
    }
}

/// Syncs each directory and answers those that would not be.
fn unsynced_dirs(dirs: BTreeSet<PathBuf>) -> HashSet<PathBuf> {
    // A directory that is gone took the deleted name with it.
    let failed = |dir: &PathBuf| sync_dir(dir).is_err_and(|error| error.kind() != ErrorKind::NotFound);
    dirs.into_iter().filter(failed).collect()
}

fn put(dirs: &Dirs, path: &Path, payload: &PutPayload, mode: &PutMode) -> Result<PutResult> {
    let unnamed = dirs.create_parents(path)?;
    let mut staged = Staged::create(path)?;
    staged.write(path, payload).map_err(|e| store_error(path, e))?;
    let e_tag = staged.sync()?;
    let placed = match mode {
        PutMode::Create => staged.link_to(path),
        PutMode::Overwrite | PutMode::Update(_) => staged.rename_to(path),
    };
    if matches!(placed, Ok(()) | Err(Error::AlreadyExists { .. })) {
        dirs.sync_names(path, unnamed)?;
    }
    placed.map(|()| PutResult { e_tag: Some(e_tag), version: None })
}

/// A file under a staging name, which goes with this value unless it was renamed.
#[derive(Debug)]
struct Staged {
    path: PathBuf,
    file: File,
    /// Set once the name was given up: by then it may be the staging name of somebody else.
    renamed: AtomicBool,
}

impl Staged {
    fn create(target: &Path) -> Result<Self> {
        for suffix in 1_u64.. {
            let mut path = target.as_os_str().to_owned();
            path.push(format!("#{suffix}"));
            let path = PathBuf::from(path);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { path, file, renamed: AtomicBool::new(false) }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(store_error(&path, error)),
            }
        }
        unreachable!("2^64 staging files of one object")
    }

    /// Writes an object whole; `target` is what it will be called.
    fn write(&mut self, target: &Path, payload: &PutPayload) -> io::Result<()> {
        if failpoint::ENABLED && target.extension().is_some_and(|extension| extension == "parquet") {
            let first = payload.iter().next().map_or(&[][..], |bytes| bytes);
            self.file.write_all_at(&first[..first.len() / 2], 0)?;
            failpoint::hit("flush::mid_parquet")?;
        }
        payload.iter().try_for_each(|bytes| self.file.write_all(bytes))
    }

    /// Makes the bytes durable (D1) and answers their tag.
    fn sync(&self) -> Result<String> {
        let synced = self.file.sync_all().and_then(|()| self.file.metadata());
        synced.map(|metadata| e_tag(&metadata)).map_err(|e| store_error(&self.path, e))
    }

    fn rename_to(&self, target: &Path) -> Result<()> {
        fs::rename(&self.path, target).map_err(|e| store_error(target, e))?;
        self.renamed.store(true, Ordering::Release);
        Ok(())
    }

    /// Fails if the target exists (D3).
    fn link_to(&self, target: &Path) -> Result<()> {
        fs::hard_link(&self.path, target).map_err(|e| store_error(target, e))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.renamed.load(Ordering::Acquire) {
            // A leftover costs only space, until `remove_staged`.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The tag `LocalFileSystem` gives the same file, so that a put and a later head agree.
fn e_tag(metadata: &Metadata) -> String {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    format!("{:x}-{:x}-{:x}", metadata.ino(), modified.as_micros(), metadata.len())
}

/// The directories of the store and which of them are known to be durable.
#[derive(Debug)]
struct Dirs {
    root: PathBuf,
    /// Directories whose names were synced since this process made or first met them. Grows with the number of
    /// directories, not of objects.
    named: Mutex<HashSet<PathBuf>>,
}

impl Dirs {
    /// Makes the directories above `file` and answers those whose own names may not be durable yet: the ones made
    /// here, and the ones another write made and has not synced or an earlier process left.
    fn create_parents(&self, file: &Path) -> Result<Vec<PathBuf>> {
        let mut parents: Vec<&Path> = file.ancestors().skip(1).take_while(|dir| *dir != self.root).collect();
        parents.reverse();
        // Making and forgetting are one step under the lock: nobody may find the directory there and believe it named.
        let mut named = self.named.lock();
        for dir in &parents {
            match fs::create_dir(dir) {
                Ok(()) => drop(named.remove(*dir)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(store_error(dir, error)),
            }
        }
        Ok(parents.into_iter().filter(|dir| !named.contains(*dir)).map(Path::to_path_buf).collect())
    }

    /// Makes the name of `file` durable, and the names of the directories that lead to it (D2).
    fn sync_names(&self, file: &Path, unnamed: Vec<PathBuf>) -> Result<()> {
        let mut parents: BTreeSet<&Path> = unnamed.iter().filter_map(|dir| dir.parent()).collect();
        parents.extend(file.parent());
        for dir in parents {
            sync_dir(dir).map_err(|e| store_error(dir, e))?;
        }
        self.named.lock().extend(unnamed);
        Ok(())
    }
}

/// Parts go straight to their offset in the staging file; completing it is what makes the object.
#[derive(Debug)]
struct DurableUpload {
    dirs: Arc<Dirs>,
    path: PathBuf,
    unnamed: Vec<PathBuf>,
    /// `None` once completed or aborted.
    parts: Option<Arc<Parts>>,
    offset: u64,
}

#[derive(Debug)]
struct Parts {
    staged: Staged,
    /// Bytes of the parts that were written; short of the offset if one failed or is still on its way.
    written: AtomicU64,
}

impl DurableUpload {
    fn closed(&self) -> Error {
        store_error(&self.path, io::Error::other("the upload was completed or aborted"))
    }
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let Some(parts) = self.parts.clone() else {
            let error = self.closed();
            return Box::pin(async move { Err(error) });
        };
        let start = self.offset;
        self.offset += payload.content_length() as u64;
        Box::pin(blocking(move || {
            let mut at = start;
            for bytes in payload.iter() {
                parts.staged.file.write_all_at(bytes, at).map_err(|e| store_error(&parts.staged.path, e))?;
                at += bytes.len() as u64;
            }
            parts.written.fetch_add(at - start, Ordering::AcqRel);
            Ok(())
        }))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let parts = self.parts.take().ok_or_else(|| self.closed())?;
        if parts.written.load(Ordering::Acquire) != self.offset {
            return Err(store_error(&self.path, io::Error::other("a part of the upload was not written")));
        }
        let (dirs, path, unnamed) = (Arc::clone(&self.dirs), self.path.clone(), std::mem::take(&mut self.unnamed));
        blocking(move || {
            let e_tag = parts.staged.sync()?;
            parts.staged.rename_to(&path)?;
            dirs.sync_names(&path, unnamed)?;
            Ok(PutResult { e_tag: Some(e_tag), version: None })
        })
        .await
    }

    async fn abort(&mut self) -> Result<()> {
        let parts = self.parts.take().ok_or_else(|| self.closed())?;
        blocking(move || {
            // Dropping the last of the parts removes the staging file.
            drop(parts);
            Ok(())
        })
        .await
    }
}

/// Runs disk work where it may block; on the spot where there is no runtime, as `LocalFileSystem` does.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await?,
        Err(_) => work(),
    }
}

/// Whether this is a name `LocalFileSystem` and this store use for unfinished writes, and hide from lists.
fn is_staged(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let suffix = name.and_then(|name| name.split_once('#')).map(|(_, suffix)| suffix);
    suffix.is_some_and(|suffix| !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit()))
}

fn store_error(path: &Path, source: io::Error) -> Error {
    let path = path.display().to_string();
    match source.kind() {
        ErrorKind::NotFound => Error::NotFound { path, source: source.into() },
        ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: source.into() },
        _ => Error::Generic { store: STORE, source: Box::new(DurableError { path, source }) },
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write durably, path={path}")]
struct DurableError {
    path: String,
    source: io::Error,
}

#[cfg(test)]
mod tests;
