//! An object store in memory whose writes fail on demand, of data files as of commits.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use proptest::prelude::*;

/// What happens to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// It never arrives.
    LostRequest,
    /// It is done, the caller sees an error.
    LostReply,
    /// The caller sees an error; it is done after the process is gone.
    Late,
}

pub fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![3 => Just(Fault::None), 4 => Just(Fault::LostRequest), 2 => Just(Fault::LostReply), 1 => Just(Fault::Late)]
}

#[derive(Debug)]
pub struct FlakyStore {
    objects: Arc<InMemory>,
    faults: Mutex<VecDeque<Fault>>,
    /// Writes that still succeed before the store is away.
    writes_left: Mutex<usize>,
    late: Mutex<Vec<(Path, PutPayload)>>,
}

impl FlakyStore {
    pub fn new(objects: Arc<InMemory>) -> Arc<Self> {
        Arc::new(Self {
            objects,
            faults: Mutex::default(),
            writes_left: Mutex::new(usize::MAX),
            late: Mutex::default(),
        })
    }

    /// The fates of the next writes, in order; a table repeats each of its commits a few times.
    pub fn script(&self, faults: Vec<Fault>) {
        self.faults.lock().extend(faults);
    }

    /// The store is away after so many writes, until [`Self::forget_faults`].
    pub fn away_after(&self, writes: usize) {
        *self.writes_left.lock() = writes;
    }

    pub fn forget_faults(&self) {
        *self.writes_left.lock() = usize::MAX;
        self.faults.lock().clear();
    }

    /// Whether a write may still turn up.
    pub fn has_late(&self) -> bool {
        !self.late.lock().is_empty()
    }

    pub async fn deliver_late(&self) {
        let late = std::mem::take(&mut *self.late.lock());
        for (path, payload) in late {
            let _ = self.objects.put_opts(&path, payload, PutMode::Create.into()).await;
        }
    }
}

impl fmt::Display for FlakyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlakyStore")
    }
}

#[async_trait::async_trait]
impl ObjectStore for FlakyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let is_there = {
            let mut left = self.writes_left.lock();
            *left = left.saturating_sub(1);
            *left > 0
        };
        let fault = match is_there {
            true => self.faults.lock().pop_front().unwrap_or(Fault::None),
            false => Fault::LostRequest,
        };
        let unavailable = || Error::Generic { store: "FlakyStore", source: "injected: 503".into() };
        match fault {
            Fault::None => self.objects.put_opts(location, payload, options).await,
            Fault::LostRequest => Err(unavailable()),
            Fault::LostReply => {
                let _ = self.objects.put_opts(location, payload, options).await;
                Err(unavailable())
            }
            Fault::Late => {
                self.late.lock().push((location.clone(), payload));
                Err(unavailable())
            }
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.objects.get_opts(location, options).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(locations)
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        unreachable!("files are written whole");
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unreachable!("copy and rename are not atomic on every store");
    }
}
