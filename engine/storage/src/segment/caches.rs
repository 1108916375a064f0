//! What has been read of segments: footers and column chunks in memory and, if asked for, on a local disk. Shared by all
//! tables and queries of a process; what several ask for at once is read once.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use object_store::path::Path;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::OpenSegment;
use super::disk::{DiskCache, Looked};
use super::replica::Replica;

/// Of the memory, what footers may take: one in so many.
const FOOTERS_SHARE: u64 = 8;

/// Plain settings.
#[derive(Clone, Debug, Default)]
pub struct CacheOptions {
    pub memory_bytes: u64,
    /// Folder and most bytes of the cache on disk.
    pub disk: Option<(PathBuf, u64)>,
    /// Where damaged files have copies.
    pub replica: Option<Replica>,
}

/// Bounded by bytes.
pub struct SegmentCaches {
    pub(super) footers: Cache<Path, Arc<OpenSegment>, Weight>,
    /// By file and first byte: a part is always asked for whole.
    pub(super) parts: Cache<(Path, u64), Bytes, Weight>,
    disk: Option<DiskCache>,
    pub(super) replica: Option<Replica>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    memory_hits: AtomicU64,
    disk_hits: AtomicU64,
    misses: AtomicU64,
    disk_damaged: AtomicU64,
    healed: AtomicU64,
    fetched_bytes: AtomicU64,
}

/// What the caches did since the start, and what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheFigures {
    /// Footers and parts that were in memory.
    pub memory_hits: u64,
    /// Parts that were on disk.
    pub disk_hits: u64,
    /// Parts that had to be fetched from the store.
    pub misses: u64,
    /// Files of the cache on disk that were damaged, and were fetched again.
    pub disk_damaged: u64,
    /// Reads of damaged segments that a copy answered.
    pub healed: u64,
    /// Bytes asked of the store.
    pub fetched_bytes: u64,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
}

impl SegmentCaches {
    /// In memory only; `bytes` bounds it.
    pub fn new(bytes: u64) -> Arc<Self> {
        Self::in_memory(&CacheOptions { memory_bytes: bytes, ..CacheOptions::default() }, None)
    }

    /// Fails if the folder on disk cannot be used.
    pub fn open(options: &CacheOptions) -> std::io::Result<Arc<Self>> {
        let disk = options.disk.as_ref().map(|(dir, bytes_max)| DiskCache::open(dir, *bytes_max)).transpose()?;
        Ok(Self::in_memory(options, disk))
    }

    fn in_memory(options: &CacheOptions, disk: Option<DiskCache>) -> Arc<Self> {
        let footers = options.memory_bytes / FOOTERS_SHARE;
        Arc::new(Self {
            footers: Cache::with_weighter(16_384, footers, Weight),
            parts: Cache::with_weighter(65_536, options.memory_bytes - footers, Weight),
            disk,
            replica: options.replica.clone(),
            counts: Counts::default(),
        })
    }

    pub fn figures(&self) -> CacheFigures {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CacheFigures {
            memory_hits: read(&self.counts.memory_hits),
            disk_hits: read(&self.counts.disk_hits),
            misses: read(&self.counts.misses),
            disk_damaged: read(&self.counts.disk_damaged),
            healed: read(&self.counts.healed),
            fetched_bytes: read(&self.counts.fetched_bytes),
            memory_bytes: self.footers.weight() + self.parts.weight(),
            disk_bytes: self.disk.as_ref().map_or(0, DiskCache::bytes),
        }
    }

    /// Bytes asked of the object store since the start; what caches answered is not counted.
    pub fn fetched_bytes(&self) -> u64 {
        self.counts.fetched_bytes.load(Ordering::Relaxed)
    }

    /// A part that lies on disk as it should be. Only what has a sum is kept there.
    pub(super) async fn on_disk(&self, location: &Path, start: u64, length: u64, crc32c: u32) -> Option<Bytes> {
        let disk = self.disk.as_ref()?;
        match disk.get(DiskCache::key(location.as_ref(), start), length, crc32c).await {
            Looked::Found(part) => {
                count(&self.counts.disk_hits, 1);
                Some(part)
            }
            Looked::Missing => None,
            Looked::Damaged => {
                tracing::warn!(%location, start, "a damaged file of the cache was deleted; its part is fetched again");
                count(&self.counts.disk_damaged, 1);
                None
            }
        }
    }

    pub(super) async fn keep_on_disk(&self, location: &Path, start: u64, part: &Bytes) {
        if let Some(disk) = &self.disk {
            disk.put(DiskCache::key(location.as_ref(), start), part.clone()).await;
        }
    }

    pub(super) fn count_memory_hit(&self) {
        count(&self.counts.memory_hits, 1);
    }

    pub(super) fn count_miss(&self) {
        count(&self.counts.misses, 1);
    }

    pub(super) fn count_healed(&self) {
        count(&self.counts.healed, 1);
    }

    pub(super) fn count_fetched(&self, bytes: u64) {
        count(&self.counts.fetched_bytes, bytes);
    }
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

#[derive(Clone)]
pub(super) struct Weight;

impl Weighter<(Path, u64), Bytes> for Weight {
    fn weight(&self, (path, _): &(Path, u64), part: &Bytes) -> u64 {
        (path.as_ref().len() + part.len() + 64) as u64
    }
}

impl Weighter<Path, Arc<OpenSegment>> for Weight {
    fn weight(&self, path: &Path, open: &Arc<OpenSegment>) -> u64 {
        (path.as_ref().len() + open.bytes() + 64) as u64
    }
}
