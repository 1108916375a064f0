//! Writers that remember what they sent, what was acknowledged, released and deleted.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};

use super::super::{Entry, Log, LogOptions, Lsn};
use crate::durable::DurableLocal;

pub const DURABLE_DIR: &str = "durable";
pub const PLAIN_DIR: &str = "plain";

/// Ends the first name of an object that is then renamed.
pub const RENAMED: &str = ".before";

pub const WAYS_TO_PUT: usize = 4;

const APPENDERS: usize = 3;
const PUTTERS: usize = 2;
/// Objects a putter keeps before it deletes its oldest, and records the log keeps.
const OBJECTS_KEPT: usize = 60;
const RECORDS_KEPT: u64 = 1500;

/// Small segments, so that cuts meet many of their births and deaths.
pub fn log_options(root: &Path) -> LogOptions {
    LogOptions { segment_bytes: 256 << 10, queue_len: 64, ..LogOptions::new(root.join("log")) }
}

/// What the record of this lsn holds: up to 64 KiB that nothing else holds.
pub fn payload(lsn: u64) -> Vec<u8> {
    let largest = if lsn.is_multiple_of(16) { 64 << 10 } else { 2 << 10 };
    noise(lsn, largest)
}

/// What the object of this name holds.
pub fn object_bytes(name: &str) -> Vec<u8> {
    let name = name.strip_suffix(RENAMED).unwrap_or(name);
    noise(u64::from(crc32c::crc32c(name.as_bytes())), 40 << 10)
}

fn noise(seed: u64, largest: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words = next() % (largest / 8) + 1;
    (0..words).flat_map(|_| next().to_le_bytes()).collect()
}

/// Names by what was promised about them.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// Acknowledged, and no delete begun.
    pub kept: BTreeSet<String>,
    /// A delete was begun, and perhaps answered.
    pub deleting: BTreeSet<String>,
    /// A delete was answered.
    pub deleted: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub struct Snapshot {
    pub sent_lsn: u64,
    pub acked_lsn: u64,
    pub released_lsn: u64,
    pub durable: Objects,
    pub plain: Objects,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// The last lsn handed to `append`; the lock fixes the order of the calls.
    sent: Mutex<u64>,
    acked: Mutex<u64>,
    acked_more: Condvar,
    released: AtomicU64,
    durable: Mutex<Objects>,
    plain: Mutex<Objects>,
}

pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(root: &Path) -> Self {
        let shared = Arc::new(Shared::default());
        let log = Log::open(log_options(root), |_| Ok::<_, std::io::Error>(())).unwrap().0;
        let log = Arc::new(log);
        let mut threads = Vec::new();
        for _ in 0..APPENDERS {
            let (shared, log) = (Arc::clone(&shared), Arc::clone(&log));
            threads.push(thread::spawn(move || append_until_stopped(&shared, &log)));
        }
        let durable: Arc<dyn ObjectStore> = Arc::new(DurableLocal::new(root.join(DURABLE_DIR)).unwrap());
        std::fs::create_dir_all(root.join(PLAIN_DIR)).unwrap();
        let plain: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(root.join(PLAIN_DIR)).unwrap());
        for (store, is_durable) in [(durable, true), (plain, false)] {
            for putter in 0..PUTTERS {
                let (shared, store) = (Arc::clone(&shared), Arc::clone(&store));
                threads.push(thread::spawn(move || {
                    let objects = if is_durable { &shared.durable } else { &shared.plain };
                    // Without syncs a put takes no time; the pace of the log keeps the two loads alike.
                    let pace = if is_durable { 0 } else { 8 };
                    put_until_stopped(&shared, objects, &*store, putter, pace);
                }));
            }
        }
        Self { shared, threads }
    }

    /// Waits until this many more records are acknowledged: an instant that differs from cut to cut.
    pub fn run_for_acks(&self, acks: u64) {
        let acked = *self.shared.acked.lock().unwrap();
        wait_for_acks(&self.shared, acked + acks);
    }

    /// What was promised so far. Acks are read first and what was sent last, so that the two bracket any instant.
    pub fn snapshot(&self) -> Snapshot {
        let acked_lsn = *self.shared.acked.lock().unwrap();
        let durable = self.shared.durable.lock().unwrap().clone();
        let plain = self.shared.plain.lock().unwrap().clone();
        let released_lsn = self.shared.released.load(Ordering::SeqCst);
        let sent_lsn = *self.shared.sent.lock().unwrap();
        Snapshot { sent_lsn, acked_lsn, released_lsn, durable, plain }
    }

    /// Ends the writers; an error of one of them is an error of the test.
    pub fn stop(mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

impl Drop for Load {
    /// After a failed check the writers must end before their disk is unmounted.
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn wait_for_acks(shared: &Shared, lsn: u64) {
    let mut acked = shared.acked.lock().unwrap();
    while *acked < lsn && !shared.stop.load(Ordering::SeqCst) {
        // The time limit is for a stop after the last ack.
        acked = shared.acked_more.wait_timeout(acked, Duration::from_millis(100)).unwrap().0;
    }
}

fn append_until_stopped(shared: &Arc<Shared>, log: &Log) {
    while !shared.stop.load(Ordering::SeqCst) {
        let told = Arc::clone(shared);
        let on_durable = move |outcome: Result<Lsn, _>| {
            *told.acked.lock().unwrap() = outcome.unwrap().0;
            told.acked_more.notify_all();
        };
        let mut sent = shared.sent.lock().unwrap();
        *sent += 1;
        let entry = Entry { project: 1, kind: 1, payload: payload(*sent) };
        assert_eq!(log.append(entry, Box::new(on_durable)).unwrap().0, *sent);
        let releasable = sent.saturating_sub(RECORDS_KEPT);
        let is_time = sent.is_multiple_of(100);
        drop(sent);
        if is_time {
            shared.released.fetch_max(releasable, Ordering::SeqCst);
            log.release(Lsn(releasable)).unwrap();
        }
    }
}

fn put_until_stopped(shared: &Shared, objects: &Mutex<Objects>, store: &dyn ObjectStore, putter: usize, pace: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut kept = std::collections::VecDeque::new();
    for n in 0.. {
        if shared.stop.load(Ordering::SeqCst) {
            break;
        }
        wait_for_acks(shared, n as u64 * pace);
        // A new directory every few objects, two levels deep, as days and projects bring them.
        let name = format!("p{putter}/{}/{}/{n}", n / 30, n / 6);
        runtime.block_on(put(store, &name, n));
        objects.lock().unwrap().kept.insert(name.clone());
        kept.push_back(name);
        if kept.len() > OBJECTS_KEPT {
            let oldest = kept.pop_front().unwrap();
            {
                let mut objects = objects.lock().unwrap();
                objects.kept.remove(&oldest);
                objects.deleting.insert(oldest.clone());
            }
            runtime.block_on(store.delete(&oldest.as_str().into())).unwrap();
            objects.lock().unwrap().deleted.insert(oldest);
        }
    }
}

/// Makes an object in the `n`th of the ways there are, over and over.
pub async fn put(store: &dyn ObjectStore, name: &str, n: usize) {
    let (location, bytes) = (name.into(), object_bytes(name));
    match n % WAYS_TO_PUT {
        0 => drop(store.put_opts(&location, bytes.into(), PutMode::Create.into()).await.unwrap()),
        1 => drop(store.put(&location, bytes.into()).await.unwrap()),
        2 => {
            let mut upload = store.put_multipart(&location).await.unwrap();
            for part in bytes.chunks(10_000) {
                upload.put_part(part.to_vec().into()).await.unwrap();
            }
            upload.complete().await.unwrap();
        }
        _ => {
            let before = format!("{name}{RENAMED}").as_str().into();
            store.put(&before, bytes.into()).await.unwrap();
            store.rename(&before, &location).await.unwrap();
        }
    }
}
