//! Google Cloud Storage as far as object_store's client speaks to it: the XML calls, and the metadata server that hands
//! out tokens. In memory, on a port of its own, and as unreliable as a test wants it.
//!
//! It depends on nothing of this crate, for `tests/gcs_conformance` compiles it beside object_store's own integration
//! functions, which have to pass against it. Reading order: `wire` (HTTP/1.1), `bucket` (what is stored), `api` (which
//! call does what), `faults`.
//!
//! - Every write of an object gets a higher generation; a condition on the generation and the write are one step.
//! - Listings are complete and ordered by name, in pages; a page is full but for the last.
//! - A call without the token is refused.

mod api;
mod bucket;
mod faults;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use bucket::{Bucket, Buckets};
pub use faults::{Chaos, Fault};

pub const BUCKET: &str = "footfall.test_bucket";
/// Small, so that listings of tests have several pages.
const PAGE_SIZE: usize = 17;

/// A server with a bucket, which ends with this value.
pub struct GcsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Whether there is somebody to connect to.
    present: watch::Sender<bool>,
    _accepting: JoinSet<()>,
}

struct Shared {
    buckets: Mutex<Buckets>,
    chaos: Mutex<Option<Chaos>>,
    met: Mutex<BTreeMap<Fault, usize>>,
}

impl GcsServer {
    pub async fn start() -> Self {
        Self::with_pages_of(PAGE_SIZE).await
    }

    /// A server whose pages of listings hold this many names at most.
    pub async fn with_pages_of(page_size: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            buckets: Mutex::new(Buckets::from([(BUCKET.to_owned(), Bucket::new(page_size))])),
            chaos: Mutex::default(),
            met: Mutex::default(),
        });
        let present = watch::Sender::new(true);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, shared.clone(), present.subscribe()));
        Self { address, shared, present, _accepting: accepting }
    }

    /// `http://…`, where the client's requests go.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What tells a process to find this server and its tokens, by the standard names.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        let host = self.address.to_string();
        [("GOOGLE_BASE_URL", self.base_url()), ("GCE_METADATA_HOST", host.clone()), ("GCE_METADATA_IP", host)]
    }

    /// From here on calls meet faults.
    pub fn misbehaves(&self, chaos: Chaos) {
        *lock(&self.shared.chaos) = Some(chaos);
    }

    pub fn behaves(&self) {
        *lock(&self.shared.chaos) = None;
    }

    /// How often each fault was met.
    pub fn faults_met(&self) -> BTreeMap<Fault, usize> {
        lock(&self.shared.met).clone()
    }

    /// Connections break and new ones are refused.
    pub fn goes_away(&self) {
        self.present.send_replace(false);
    }

    pub fn comes_back(&self) {
        self.present.send_replace(true);
    }

    /// Nobody may write any more; reads go on.
    pub fn forbids_writes(&self, forbids: bool) {
        self.in_bucket(|bucket| bucket.forbids_writes = forbids);
    }

    /// Puts an object past all conditions, as one that has been there for long: no listing is without it.
    pub fn put(&self, key: &str, content: Vec<u8>) {
        self.in_bucket(|bucket| bucket.put_long_ago(key, content.into()));
    }

    /// Names of all objects that begin with `prefix`.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        self.in_bucket(|bucket| bucket.names(prefix))
    }

    /// A further bucket, empty.
    pub fn adds_bucket(&self, name: &str) {
        lock(&self.shared.buckets).insert(name.to_owned(), Bucket::new(PAGE_SIZE));
    }

    /// A bucket is deleted, with all that is in it.
    pub fn loses_bucket(&self, name: &str) {
        lock(&self.shared.buckets).remove(name).expect("there is such a bucket");
    }

    fn in_bucket<T>(&self, act: impl FnOnce(&mut Bucket) -> T) -> T {
        act(lock(&self.shared.buckets).get_mut(BUCKET).expect("the first bucket is there"))
    }
}

/// A test that panicked elsewhere must not hide behind this lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

async fn accept(first: TcpListener, shared: Arc<Shared>, mut present: watch::Receiver<bool>) {
    let address = first.local_addr().expect("it is bound");
    let mut listener = Some(first);
    let mut connections = JoinSet::new();
    loop {
        match &listener {
            Some(open) => tokio::select! {
                accepted = open.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    connections.spawn(serve(stream, shared.clone()));
                }
                changed = present.changed() => if changed.is_err() { return },
                _ = connections.join_next(), if !connections.is_empty() => {}
            },
            None => {
                if present.changed().await.is_err() {
                    return;
                }
            }
        }
        let here = *present.borrow_and_update();
        match (&listener, here) {
            (Some(_), false) => {
                listener = None;
                connections.shutdown().await;
            }
            (None, true) => listener = Some(TcpListener::bind(address).await.expect("the port is still ours")),
            _ => {}
        }
    }
}

/// Answers the requests of one connection, until it ends or a fault ends it.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Small replies must not wait for the acknowledgement of the one before.
    drop(stream.set_nodelay(true));
    let mut connection = wire::Connection::new(stream);
    while let Some(request) = connection.next().await {
        let fault = lock(&shared.chaos).as_mut().and_then(|chaos| chaos.next(&request));
        if let Some(fault) = fault {
            *lock(&shared.met).entry(fault).or_default() += 1;
        }
        if !faults::answer(&mut connection, &shared, &request, fault).await {
            return;
        }
    }
}
