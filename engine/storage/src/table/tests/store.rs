//! An object store in memory that fails the way real ones do, on demand; several "processes" can share one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

/// What happens to the next create of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The request never arrives.
    LostRequest,
    /// The object is created, the caller sees an error.
    LostReply,
    /// The object is created, a retry below us answers `AlreadyExists`.
    FalseAlreadyExists,
    /// The caller sees an error; the request arrives just before the next create.
    LateRequest,
}

/// One process's view of a shared store.
#[derive(Debug)]
pub struct FaultyStore {
    pub shared: Arc<InMemory>,
    faults: Mutex<VecDeque<Fault>>,
    late: Mutex<Vec<(Path, PutPayload)>>,
    reads_to_fail: Mutex<u32>,
    /// Listings leave out these objects.
    hidden: Mutex<Vec<Path>>,
}

impl FaultyStore {
    pub fn new(shared: &Arc<InMemory>) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            faults: Mutex::default(),
            late: Mutex::default(),
            reads_to_fail: Mutex::default(),
            hidden: Mutex::default(),
        })
    }

    /// The fates of the next creates, in order; later ones succeed.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().extend(faults);
    }

    pub fn fail_reads(&self, count: u32) {
        *self.reads_to_fail.lock() = count;
    }

    pub fn hide(&self, objects: Vec<Path>) {
        *self.hidden.lock() = objects;
    }

    /// Lets requests arrive that were on their way.
    pub async fn deliver_late(&self) {
        let late = std::mem::take(&mut *self.late.lock());
        for (path, payload) in late {
            let _ = self.shared.put_opts(&path, payload, PutMode::Create.into()).await;
        }
    }
}

fn unavailable() -> Error {
    Error::Generic { store: "FaultyStore", source: "injected: 503".into() }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

#[async_trait::async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        assert!(!matches!(options.mode, PutMode::Update(_)), "local folders cannot do conditional updates");
        if !location.as_ref().ends_with(".json") {
            return self.shared.put_opts(location, payload, options).await;
        }
        assert_eq!(options.mode, PutMode::Create, "commits are only ever created");
        self.deliver_late().await;
        let fault = self.faults.lock().pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::None => self.shared.put_opts(location, payload, options).await,
            Fault::LostRequest => Err(unavailable()),
            Fault::LostReply => {
                self.shared.put_opts(location, payload, options).await?;
                Err(unavailable())
            }
            Fault::FalseAlreadyExists => {
                self.shared.put_opts(location, payload, options).await?;
                Err(Error::AlreadyExists { path: location.to_string(), source: "injected: 412".into() })
            }
            Fault::LateRequest => {
                self.late.lock().push((location.clone(), payload));
                Err(unavailable())
            }
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        {
            let mut left = self.reads_to_fail.lock();
            if *left > 0 {
                *left -= 1;
                return Err(unavailable());
            }
        }
        self.shared.get_opts(location, options).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let hidden = self.hidden.lock().clone();
        let listed = self.shared.list(prefix);
        listed.try_filter(move |object| std::future::ready(!hidden.contains(&object.location))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.shared.list_with_delimiter(prefix).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        unreachable!("a log writes small objects");
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        unreachable!("a log never deletes");
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unreachable!("copy and rename are not atomic on every store");
    }
}
