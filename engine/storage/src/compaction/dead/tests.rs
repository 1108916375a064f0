//! Flushes, compactions, readers, crashes and the collection of dead files in every order that their locks allow, over a
//! store whose listings are old.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use super::{DeadFile, Grace, Listing, is_ours, relative};
use crate::table::{AddFile, ColumnStats, Operation, Table, TableCommit, TableDefinition, TableSnapshot};

const ROOT: &str = "1/events";
const STEPS: usize = 40;
const NONE: Grace = Grace { removed: Duration::ZERO, orphaned: Duration::ZERO };

fn definition() -> TableDefinition {
    let field = |name: &str, of| arrow::datatypes::Field::new(name, of, true);
    let time = arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
    TableDefinition {
        name: "events".to_owned(),
        schema: Arc::new(arrow::datatypes::Schema::new(vec![field("time", time)])),
        partition_columns: Vec::new(),
        stats_columns: vec!["time".to_owned()],
    }
}

/// A file whose content is the numbers of its rows.
#[derive(Clone, Debug)]
struct File {
    path: String,
    rows: Vec<u32>,
}

impl File {
    /// A seeded name: the same seed is the same run.
    fn new(random: &mut StdRng, rows: Vec<u32>) -> Self {
        Self { path: format!("{}.parquet", Uuid::from_u128(random.random())), rows }
    }

    async fn put(&self, store: &dyn ObjectStore) {
        let text: Vec<String> = self.rows.iter().map(u32::to_string).collect();
        store.put(&Path::from(format!("{ROOT}/{}", self.path)), text.join(",").into()).await.unwrap();
    }

    fn add(&self) -> AddFile {
        AddFile {
            path: self.path.clone(),
            partition_values: Vec::new(),
            bytes: 10,
            rows: self.rows.len() as u64,
            tags: Default::default(),
            stats: vec![ColumnStats::timestamp_millis("time", 0, 1, 0)],
        }
    }
}

async fn rows_of(store: &dyn ObjectStore, path: &str) -> Vec<u32> {
    let read = async { store.get(&Path::from(format!("{ROOT}/{path}"))).await?.bytes().await };
    let bytes = read.await.unwrap_or_else(|error| panic!("a file that somebody needs is gone: {error}"));
    std::str::from_utf8(&bytes).unwrap().split(',').map(|row| row.parse().unwrap()).collect()
}

fn commit(operation: Operation, adds: &[&File], removes: &[String]) -> TableCommit {
    TableCommit {
        operation,
        at: Utc::now(),
        adds: adds.iter().map(|file| file.add()).collect(),
        removes: removes.to_vec(),
        schema: None,
        properties: Vec::new(),
        transaction: None,
        positions: Vec::new(),
    }
}

/// Where the three writers are between two steps.
#[derive(Default)]
struct Writers {
    /// Put, and not committed.
    flush: Option<File>,
    compaction: Option<(File, Vec<String>)>,
    /// Listed, and nothing read since.
    listing: Option<Listing>,
    dead: Vec<DeadFile>,
}

impl Writers {
    /// Compaction and collection take turns (`ProjectStore::compacting`).
    fn is_compacting(&self) -> bool {
        self.compaction.is_some() || self.listing.is_some() || !self.dead.is_empty()
    }
}

struct Sim {
    random: StdRng,
    store: Arc<dyn ObjectStore>,
    /// Listings as they were, for those who see them late.
    listings: Vec<Vec<ObjectMeta>>,
    table: Table,
    writers: Writers,
    /// Snapshots that are being read: files with their rows.
    readers: Vec<HashMap<String, Vec<u32>>>,
    committed: BTreeSet<u32>,
    next_row: u32,
    deleted: usize,
}

impl Sim {
    async fn new(seed: u64) -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let table = Table::open_or_create(store.clone(), ROOT, definition()).await.unwrap();
        Self {
            random: StdRng::seed_from_u64(seed),
            store,
            listings: Vec::new(),
            table,
            writers: Writers::default(),
            readers: Vec::new(),
            committed: BTreeSet::new(),
            next_row: 0,
            deleted: 0,
        }
    }

    async fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..25 => self.flush().await,
            25..50 => self.compact().await,
            50..80 => self.collect().await,
            80..88 => self.look().await,
            88..94 => self.read().await,
            94..97 => self.remember_listing().await,
            _ => self.crash().await,
        }
    }

    async fn flush(&mut self) {
        match self.writers.flush.take() {
            None => {
                let rows = (self.next_row..self.next_row + self.random.random_range(1..4)).collect::<Vec<_>>();
                self.next_row += 4;
                let file = File::new(&mut self.random, rows);
                file.put(&*self.store).await;
                self.writers.flush = Some(file);
            }
            // It fails: nobody will ever commit this file.
            Some(_) if self.random.random_bool(0.2) => {}
            Some(file) => {
                self.table.commit(commit(Operation::Append, &[&file], &[])).await.unwrap();
                self.committed.extend(file.rows);
            }
        }
    }

    async fn compact(&mut self) {
        if let Some((file, removes)) = self.writers.compaction.take() {
            // Not while a flush is between its first file and its commit.
            if self.writers.flush.is_some() {
                self.writers.compaction = Some((file, removes));
            } else if self.random.random_bool(0.8) {
                self.table.commit(commit(Operation::Compact, &[&file], &removes)).await.unwrap();
            }
            return;
        }
        let snapshot = self.table.snapshot();
        if self.writers.is_compacting() || snapshot.files.len() < 2 {
            return;
        }
        let count = self.random.random_range(2..=snapshot.files.len().min(4));
        let from = self.random.random_range(0..=snapshot.files.len() - count);
        let removes: Vec<String> = snapshot.files[from..from + count].iter().map(|file| file.path.clone()).collect();
        let mut rows = Vec::new();
        for path in &removes {
            rows.extend(rows_of(&*self.store, path).await);
        }
        let file = File::new(&mut self.random, rows);
        file.put(&*self.store).await;
        self.writers.compaction = Some((file, removes));
    }

    /// One of the three parts of a collection, and of the last a file at a time.
    async fn collect(&mut self) {
        if let Some(file) = self.writers.dead.pop() {
            let deleted = self.store.delete(&file.location).await;
            assert!(deleted.is_ok() || matches!(deleted, Err(object_store::Error::NotFound { .. })));
            self.deleted += 1;
        } else if let Some(listing) = self.writers.listing.take() {
            if self.writers.flush.is_some() {
                self.writers.listing = Some(listing);
                return;
            }
            let newest = self.table.refresh().await.unwrap();
            let in_use: HashSet<String> = self.readers.iter().flat_map(HashMap::keys).cloned().collect();
            self.writers.dead = listing.dead(&newest, &in_use, NONE, Utc::now());
        } else if !self.writers.is_compacting() {
            self.remember_listing().await;
            // Now, or as it was some time ago: files that are gone are in it, new ones are not.
            let at = self.random.random_range(0..self.listings.len());
            self.writers.listing = Some(self.listing(&self.listings[at], &self.table.snapshot()));
        }
    }

    fn listing(&self, objects: &[ObjectMeta], known: &TableSnapshot) -> Listing {
        let root = Path::from(ROOT);
        let of = |object: &ObjectMeta| {
            let path = relative(&root, &object.location).filter(|path| is_ours(path))?;
            known.file(&path).is_none().then(|| (path, object.clone()))
        };
        Listing { files: objects.iter().filter_map(of).collect(), checkpoints: Vec::new() }
    }

    async fn remember_listing(&mut self) {
        use futures::TryStreamExt as _;
        self.listings.push(self.store.list(None).try_collect().await.unwrap());
    }

    /// Every committed row is there once.
    async fn look(&mut self) {
        let mut seen = Vec::new();
        for file in &self.table.snapshot().files {
            seen.extend(rows_of(&*self.store, &file.path).await);
        }
        seen.sort_unstable();
        assert!(seen.iter().eq(self.committed.iter()), "{seen:?} instead of {:?}", self.committed);
    }

    /// A query begins, or one of those that run reads its files and ends.
    async fn read(&mut self) {
        if self.readers.len() < 3 && self.random.random_bool(0.5) {
            let mut files = HashMap::new();
            for file in &self.table.snapshot().files {
                files.insert(file.path.clone(), rows_of(&*self.store, &file.path).await);
            }
            self.readers.push(files);
        } else if !self.readers.is_empty() {
            let at = self.random.random_range(0..self.readers.len());
            for (path, rows) in self.readers.swap_remove(at) {
                assert_eq!(rows_of(&*self.store, &path).await, rows);
            }
        }
    }

    async fn crash(&mut self) {
        self.writers = Writers::default();
        self.readers.clear();
        self.table = Table::open_or_create(self.store.clone(), ROOT, definition()).await.unwrap();
    }

    /// What is left in the end is what the table lists, and nothing else.
    async fn settle(&mut self) {
        use futures::TryStreamExt as _;
        self.crash().await;
        let listing = Listing::of(&self.store, &Path::from(ROOT), &self.table.snapshot()).await.unwrap();
        for file in listing.dead(&self.table.snapshot(), &HashSet::new(), NONE, Utc::now()) {
            self.store.delete(&file.location).await.unwrap();
        }
        self.look().await;
        let left: Vec<ObjectMeta> = self.store.list(None).try_collect().await.unwrap();
        let data = left.iter().filter(|object| object.location.as_ref().ends_with(".parquet")).count();
        assert_eq!(data, self.table.snapshot().files.len());
    }
}

#[tokio::test]
async fn no_order_of_flush_compaction_reader_crash_and_collection_deletes_what_is_needed() {
    let from_env = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let interleavings = from_env("FOOTFALL_COLLECTIONS").unwrap_or(10_000);
    let first = from_env("SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("SEED={first}");
    let mut deleted = 0;
    for seed in first..first + interleavings {
        let mut sim = Sim::new(seed).await;
        for _ in 0..STEPS {
            sim.step().await;
        }
        sim.settle().await;
        deleted += sim.deleted;
    }
    println!("{interleavings} interleavings, {deleted} dead files deleted");
    assert!(deleted as u64 > interleavings / 2, "{deleted} files deleted: there was something to get wrong");
}

#[tokio::test]
async fn the_incident_of_may_2026_a_file_committed_after_the_snapshot_is_not_unreferenced() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let ours = Table::open_or_create(store.clone(), ROOT, definition()).await.unwrap();
    let other = Table::open_or_create(store.clone(), ROOT, definition()).await.unwrap();
    let old = ours.snapshot();
    let mut random = StdRng::seed_from_u64(1);
    let file = File::new(&mut random, vec![1]);
    file.put(&*store).await;
    let listing = Listing::of(&store, &Path::from(ROOT), &old).await.unwrap();
    other.commit(commit(Operation::Append, &[&file], &[])).await.unwrap();
    // What happened there: a listing against a snapshot that is older.
    let again = Listing::of(&store, &Path::from(ROOT), &old).await.unwrap();
    assert_eq!(again.dead(&old, &HashSet::new(), NONE, Utc::now()).len(), 1, "the snapshot does not know better");
    // What happens here: the snapshot is read from the log after the listing, whatever this process knew before.
    let newest = ours.refresh().await.unwrap();
    assert_eq!(listing.dead(&newest, &HashSet::new(), NONE, Utc::now()), []);
}

#[tokio::test]
async fn dead_files_are_kept_for_a_grace_and_strangers_for_ever() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let table = Table::open_or_create(store.clone(), ROOT, definition()).await.unwrap();
    let mut random = StdRng::seed_from_u64(2);
    let [live, removed, orphan] = [1, 2, 3].map(|row| File::new(&mut random, vec![row]));
    for file in [&live, &removed, &orphan] {
        file.put(&*store).await;
    }
    for stranger in ["notes.parquet", "day=1/x.parquet", "_delta_log/00000000000000000007.json.tmp", "README"] {
        store.put(&Path::from(format!("{ROOT}/{stranger}")), "mine".into()).await.unwrap();
    }
    table.commit(commit(Operation::Append, &[&live, &removed], &[])).await.unwrap();
    table.commit(commit(Operation::Erase, &[], std::slice::from_ref(&removed.path))).await.unwrap();
    let snapshot = table.snapshot();
    let dead = async |grace: Grace, in_use: &[&File], now| {
        let in_use = in_use.iter().map(|file| file.path.clone()).collect();
        let dead =
            Listing::of(&store, &Path::from(ROOT), &snapshot).await.unwrap().dead(&snapshot, &in_use, grace, now);
        dead.iter().map(|file| (file.location.filename().unwrap().to_owned(), file.was_live)).collect::<BTreeSet<_>>()
    };
    let both = BTreeSet::from([(removed.path.clone(), true), (orphan.path.clone(), false)]);
    let now = Utc::now();
    assert_eq!(dead(NONE, &[], now).await, both);
    assert_eq!(dead(NONE, &[&removed], now).await, BTreeSet::from([(orphan.path.clone(), false)]));
    let day = Duration::from_secs(86_400);
    let kept = Grace { removed: day, orphaned: day };
    assert_eq!(dead(kept, &[], now).await, BTreeSet::new());
    assert_eq!(dead(kept, &[], now + day).await, both);
    assert_eq!(dead(Grace { removed: day, ..NONE }, &[], now).await, BTreeSet::from([(orphan.path.clone(), false)]));
    assert_eq!(dead(NONE, &[], now - day).await, BTreeSet::new(), "a clock that is behind deletes nothing");
}

#[tokio::test]
async fn of_many_checkpoints_the_newest_three_stay_and_the_table_opens() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let table = Table::open_or_create(store.clone(), ROOT, definition()).await.unwrap();
    let mut random = StdRng::seed_from_u64(3);
    let mut rows = 0;
    for _ in 0..520 {
        let file = File::new(&mut random, vec![rows]);
        table.commit(commit(Operation::Append, &[&file], &[])).await.unwrap();
        rows += 1;
    }
    let listing = Listing::of(&store, &Path::from(ROOT), &table.snapshot()).await.unwrap();
    let newest = table.newest_checkpoint().await.unwrap().unwrap();
    assert_eq!(newest, 500);
    let day = Duration::from_secs(86_400);
    let kept = Grace { removed: day, orphaned: day };
    assert_eq!(listing.old_checkpoints(newest, kept, Utc::now()), []);
    let old = listing.old_checkpoints(newest, NONE, Utc::now());
    let names: Vec<_> = old.iter().map(|file| file.location.filename().unwrap().to_owned()).collect();
    assert_eq!(names, ["00000000000000000100.checkpoint.parquet", "00000000000000000200.checkpoint.parquet"]);
    for file in old {
        store.delete(&file.location).await.unwrap();
    }
    let opened = Table::open_or_create(store, ROOT, definition()).await.unwrap().snapshot();
    assert_eq!((opened.version, opened.files.len()), (520, 520));
}
