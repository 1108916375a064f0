//! Parts of segments on a local disk, in front of a store that is far away.
//!
//! ```text
//! {dir}/{2 hex digits}/{30 hex digits}      magic, version │ the part's bytes
//! ```
//!
//! A file's name is a hash of the segment's path and the part's place, so it is the same after a restart; both are
//! unique for ever (S3), so nothing here goes out of date. What is read back is checked against the sum that the
//! segment's table or footer has of it: a damaged file is deleted and the part fetched again. Nothing is synced, for the
//! same reason. The least recently used files make room for new ones.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_128;

/// With the version of the form in its last digits.
const MAGIC: &[u8; 8] = b"FFPART01";
const HASH_DIGITS: usize = 32;
const FOLDER_DIGITS: usize = 2;

/// A cache of parts that have a checksum, bounded by bytes. Cheap to share.
#[derive(Clone)]
pub(super) struct DiskCache {
    dir: Arc<Path>,
    bytes_max: u64,
    index: Arc<Mutex<Index>>,
}

/// What was looked for.
pub(super) enum Looked {
    Found(Bytes),
    Missing,
    /// It was there and is not what it should be; now it is gone.
    Damaged,
}

/// Which files there are, and which was used when.
#[derive(Default)]
struct Index {
    files: HashMap<u128, Entry>,
    by_use: BTreeMap<u64, u128>,
    bytes: u64,
    uses: u64,
}

struct Entry {
    bytes: u64,
    used: u64,
}

impl DiskCache {
    /// Takes over what an earlier process left in `dir`, as far as it fits.
    pub fn open(dir: &Path, bytes_max: u64) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut found: Vec<(SystemTime, u128, u64)> = Vec::new();
        for folder in fs::read_dir(dir)? {
            let folder = folder?.path();
            if folder.is_dir() {
                list(&folder, &mut found)?;
            }
        }
        found.sort_unstable();
        let cache = Self { dir: dir.into(), bytes_max, index: Arc::default() };
        let mut victims = Vec::new();
        for (_, key, bytes) in found {
            victims.extend(cache.index.lock().insert(key, bytes, bytes_max));
        }
        cache.delete(&victims);
        Ok(cache)
    }

    /// Names a part.
    pub fn key(location: &str, start: u64) -> u128 {
        xxh3_128(format!("{location}\n{start}").as_bytes())
    }

    /// Bytes that the files take.
    pub fn bytes(&self) -> u64 {
        self.index.lock().bytes
    }

    pub async fn get(&self, key: u128, length: u64, crc32c: u32) -> Looked {
        if !self.index.lock().touch(key) {
            return Looked::Missing;
        }
        let path = self.path(key);
        let read = tokio::task::spawn_blocking(move || fs::read(path)).await;
        let file = match read {
            Ok(Ok(file)) => Bytes::from(file),
            // Another process shares the folder, or somebody tidied up.
            _ => {
                self.forget(key);
                return Looked::Missing;
            }
        };
        let is_sound = |part: &Bytes| part.len() as u64 == length && crc32c::crc32c(part) == crc32c;
        let part = file.starts_with(MAGIC).then(|| file.slice(MAGIC.len()..)).filter(is_sound);
        match part {
            Some(part) => Looked::Found(part),
            None => {
                self.forget(key);
                self.delete(&[key]);
                Looked::Damaged
            }
        }
    }

    /// Keeps a part. A disk that does not take it costs another fetch later and nothing else.
    pub async fn put(&self, key: u128, part: Bytes) {
        let cache = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            let bytes = part.len() as u64 + MAGIC.len() as u64;
            if bytes > cache.bytes_max {
                return Ok(());
            }
            cache.write(key, &part)?;
            let victims = cache.index.lock().insert(key, bytes, cache.bytes_max);
            cache.delete(&victims);
            Ok::<(), io::Error>(())
        });
        if let Ok(Err(error)) = written.await {
            tracing::warn!(%error, dir = %self.dir.display(), "a part of a segment cannot be kept on disk");
        }
    }

    /// A file is there whole or not at all, as long as the machine runs.
    fn write(&self, key: u128, part: &[u8]) -> io::Result<()> {
        let path = self.path(key);
        let staged = path.with_extension("new");
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let write = || {
            let mut file = fs::File::create(&staged)?;
            file.write_all(MAGIC)?;
            file.write_all(part)?;
            fs::rename(&staged, &path)
        };
        write().inspect_err(|_| drop(fs::remove_file(&staged)))
    }

    fn forget(&self, key: u128) {
        self.index.lock().remove(key);
    }

    fn delete(&self, keys: &[u128]) {
        for key in keys {
            // What is not deleted now is found at the next start.
            drop(fs::remove_file(self.path(*key)));
        }
    }

    fn path(&self, key: u128) -> PathBuf {
        let name = format!("{key:0HASH_DIGITS$x}");
        let (folder, file) = name.split_at(FOLDER_DIGITS);
        self.dir.join(folder).join(file)
    }
}

impl Index {
    /// Answers what has to go for it.
    fn insert(&mut self, key: u128, bytes: u64, bytes_max: u64) -> Vec<u128> {
        self.remove(key);
        self.uses += 1;
        self.files.insert(key, Entry { bytes, used: self.uses });
        self.by_use.insert(self.uses, key);
        self.bytes += bytes;
        let mut victims = Vec::new();
        while self.bytes > bytes_max {
            let Some((_, oldest)) = self.by_use.first_key_value() else { break };
            let oldest = *oldest;
            self.remove(oldest);
            victims.push(oldest);
        }
        victims
    }

    fn touch(&mut self, key: u128) -> bool {
        let Some(entry) = self.files.get_mut(&key) else { return false };
        self.uses += 1;
        self.by_use.remove(&entry.used);
        entry.used = self.uses;
        self.by_use.insert(self.uses, key);
        true
    }

    fn remove(&mut self, key: u128) {
        if let Some(entry) = self.files.remove(&key) {
            self.by_use.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }
}

/// The files of one folder; what a killed process was about to write is deleted.
fn list(folder: &Path, found: &mut Vec<(SystemTime, u128, u64)>) -> io::Result<()> {
    let Some(prefix) = folder.file_name().and_then(|name| name.to_str()) else { return Ok(()) };
    for file in fs::read_dir(folder)? {
        let file = file?;
        let name = file.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(".new") {
            drop(fs::remove_file(file.path()));
            continue;
        }
        let digits = format!("{prefix}{name}");
        let Some(key) = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == HASH_DIGITS) else {
            continue;
        };
        let metadata = file.metadata()?;
        found.push((metadata.modified()?, key, metadata.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(n: u8) -> (u128, Bytes, u32) {
        let bytes = Bytes::from(vec![n; 1_000]);
        (DiskCache::key("1/events/x.parquet", u64::from(n)), bytes.clone(), crc32c::crc32c(&bytes))
    }

    async fn found(cache: &DiskCache, n: u8) -> bool {
        let (key, bytes, crc32c) = part(n);
        match cache.get(key, 1_000, crc32c).await {
            Looked::Found(found) => found == bytes,
            Looked::Missing => false,
            Looked::Damaged => panic!("part {n} is damaged"),
        }
    }

    #[tokio::test]
    async fn parts_stay_within_the_bound_and_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let room = 3 * (1_000 + MAGIC.len() as u64);
        let cache = DiskCache::open(dir.path(), room).unwrap();
        for n in 0..3 {
            cache.put(part(n).0, part(n).1).await;
        }
        assert!(found(&cache, 0).await, "used: the next to go is 1");
        cache.put(part(3).0, part(3).1).await;
        assert_eq!((cache.bytes(), found(&cache, 1).await, found(&cache, 0).await), (room, false, true));
        cache.put(9, vec![0; room as usize].into()).await;
        assert_eq!(cache.bytes(), room, "larger than the whole cache: not kept");

        let again = DiskCache::open(dir.path(), room).unwrap();
        assert_eq!((again.bytes(), found(&again, 0).await, found(&again, 3).await), (room, true, true));
        let smaller = DiskCache::open(dir.path(), room / 3).unwrap();
        assert_eq!(smaller.bytes(), room / 3);
        let files = fs::read_dir(dir.path()).unwrap().flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
        assert_eq!(files.count(), 1);
    }

    #[tokio::test]
    async fn a_damaged_file_is_never_answered() {
        let dir = tempfile::tempdir().unwrap();
        let cache = DiskCache::open(dir.path(), 1 << 20).unwrap();
        let (key, bytes, crc32c) = part(7);
        for at in [0, 7, 8, 500, 1_007] {
            cache.put(key, bytes.clone()).await;
            let mut file = fs::read(cache.path(key)).unwrap();
            file[at] ^= 4;
            fs::write(cache.path(key), file).unwrap();
            assert!(matches!(cache.get(key, 1_000, crc32c).await, Looked::Damaged), "byte {at}");
            assert!(matches!(cache.get(key, 1_000, crc32c).await, Looked::Missing));
        }
        cache.put(key, bytes.clone()).await;
        fs::write(cache.path(key), &MAGIC[..5]).unwrap();
        assert!(matches!(cache.get(key, 1_000, crc32c).await, Looked::Damaged));
    }
}
