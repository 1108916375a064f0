//! A bucket through a client that fails as the real ones do.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

use super::*;

const PATIENCE: Duration = Duration::from_secs(15);

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// An error instead of the call.
    Refused,
    /// An error after it, when it was applied.
    Lost,
    /// The bytes or the listing end early, without a word.
    Short,
    /// They end early with an error.
    Broken,
}

/// An `InMemory` whose next calls meet the faults on the list.
#[derive(Debug, Default)]
struct Client {
    store: InMemory,
    faults: Mutex<VecDeque<Option<Fault>>>,
    calls: Mutex<usize>,
}

impl Client {
    fn next(&self) -> Option<Fault> {
        *self.calls.lock() += 1;
        self.faults.lock().pop_front().flatten()
    }

    fn meets(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().extend(faults.into_iter().map(Some));
    }
}

fn refused() -> Error {
    Error::Generic { store: "Client", source: "injected".into() }
}

fn cut<T: Send + 'static>(items: Vec<Result<T>>, fault: Option<Fault>) -> BoxStream<'static, Result<T>> {
    let half = items.len() / 2;
    let mut items = items;
    match fault {
        None => {}
        Some(Fault::Short) => items.truncate(half),
        Some(_) => {
            items.truncate(half);
            items.push(Err(refused()));
        }
    }
    stream::iter(items).boxed()
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Client {
    async fn put_opts(&self, location: &ObjectPath, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match self.next() {
            None => self.store.put_opts(location, payload, options).await,
            Some(Fault::Lost) => self.store.put_opts(location, payload, options).await.and(Err(refused())),
            Some(_) => Err(refused()),
        }
    }

    async fn get_opts(&self, location: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        let fault = self.next();
        if fault == Some(Fault::Refused) {
            return Err(refused());
        }
        let found = self.store.get_opts(location, options).await?;
        let (meta, range, attributes) = (found.meta.clone(), found.range.clone(), found.attributes.clone());
        let bytes: Vec<Result<Bytes>> =
            found.bytes().await?.chunks(3).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        Ok(GetResult { payload: GetResultPayload::Stream(cut(bytes, fault)), meta, range, attributes })
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_with_offset(prefix, &ObjectPath::default())
    }

    fn list_with_offset(
        &self,
        prefix: Option<&ObjectPath>,
        offset: &ObjectPath,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let fault = self.next();
        let listed = self.store.list_with_offset(prefix, offset).collect::<Vec<_>>();
        let listed = futures::FutureExt::now_or_never(listed).expect("memory does not wait");
        cut(listed, fault)
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> Result<ListResult> {
        match self.next() {
            None => self.store.list_with_delimiter(prefix).await,
            Some(_) => Err(refused()),
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<ObjectPath>>,
    ) -> BoxStream<'static, Result<ObjectPath>> {
        match self.next() {
            None => self.store.delete_stream(locations),
            Some(_) => stream::iter([Err(refused())]).boxed(),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &ObjectPath,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        match self.next() {
            None => self.store.put_multipart_opts(location, options).await,
            Some(_) => Err(refused()),
        }
    }

    async fn copy_opts(&self, _: &ObjectPath, _: &ObjectPath, _: CopyOptions) -> Result<()> {
        unreachable!("B6");
    }
}

fn bucket() -> (Arc<Client>, BucketStore) {
    patient(PATIENCE)
}

fn patient(patience: Duration) -> (Arc<Client>, BucketStore) {
    let client = Arc::new(Client::default());
    (client.clone(), BucketStore::new(client, patience))
}

fn path(name: &str) -> ObjectPath {
    ObjectPath::from(name)
}

async fn create(store: &BucketStore, name: &str, content: &'static str) -> Result<PutResult> {
    store.put_opts(&path(name), content.into(), PutMode::Create.into()).await
}

async fn read(store: &BucketStore, name: &str) -> Result<Bytes> {
    store.get(&path(name)).await?.bytes().await
}

#[tokio::test]
async fn a_create_is_ours_or_somebody_elses_whatever_the_replies_say() {
    use Fault::{Lost, Refused};
    let (client, store) = bucket();
    for (n, faults) in [&[][..], &[Lost], &[Refused, Lost], &[Lost, Refused, Lost]].into_iter().enumerate() {
        client.meets(faults.iter().copied());
        let name = n.to_string();
        create(&store, &name, "ours").await.unwrap_or_else(|error| panic!("{faults:?}: {error}"));
        client.meets(faults.iter().copied());
        for others in ["theirs, longer", "hers", ""] {
            let refused = create(&store, &name, others).await;
            assert!(matches!(refused, Err(Error::AlreadyExists { .. })), "{faults:?}: {refused:?}");
        }
        assert_eq!(read(&store, &name).await.unwrap(), "ours");
    }
}

#[tokio::test]
async fn a_read_is_complete_or_an_error() {
    use Fault::{Broken, Refused, Short};
    let (client, store) = bucket();
    let text = "0123456789".repeat(5);
    store.put(&path("a"), text.clone().into()).await.unwrap();
    for faults in [&[Short][..], &[Broken], &[Refused, Short, Broken, Short, Refused, Broken]] {
        client.meets(faults.iter().copied());
        assert_eq!(read(&store, "a").await.unwrap(), text, "{faults:?}");
        client.meets(faults.iter().copied());
        assert_eq!(store.get_range(&path("a"), 7..29).await.unwrap(), &text.as_bytes()[7..29], "{faults:?}");
        client.meets(faults.iter().copied());
        let ranges = store.get_ranges(&path("a"), &[0..3, 40..50]).await.unwrap();
        assert_eq!(ranges, [&text.as_bytes()[0..3], &text.as_bytes()[40..50]], "{faults:?}");
    }
    client.meets([Short]);
    let begun = store.get(&path("a")).await.unwrap();
    store.put(&path("a"), "another content of the object, as long as is needed for this".into()).await.unwrap();
    assert!(begun.bytes().await.is_err(), "B3: half of one content and half of another is no content");
    assert!(matches!(read(&store, "b").await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_listing_has_every_object_once() {
    let (client, store) = bucket();
    let names: Vec<ObjectPath> = (0..40).map(|n| path(&format!("p/{n:02}"))).collect();
    for name in &names {
        store.put(name, "x".into()).await.unwrap();
    }
    let listed = async |offset: Option<&ObjectPath>| {
        let listing = match offset {
            Some(offset) => store.list_with_offset(Some(&path("p")), offset),
            None => store.list(Some(&path("p"))),
        };
        listing.map_ok(|object| object.location).try_collect::<Vec<_>>().await.unwrap()
    };
    for broken in 0..4 {
        client.meets(vec![Fault::Broken; broken]);
        assert_eq!(listed(None).await, names);
        client.meets(vec![Fault::Broken; broken]);
        assert_eq!(listed(Some(&names[9])).await, &names[10..]);
    }
    client.meets([Fault::Refused, Fault::Refused]);
    assert_eq!(store.list_with_delimiter(None).await.unwrap().common_prefixes, [path("p")]);
}

#[tokio::test]
async fn large_objects_go_in_parts_and_deletes_may_be_repeated() {
    let (client, store) = bucket();
    let large: Bytes = (0..40 << 20).map(|n: u32| (n % 251) as u8).collect();
    client.meets([Fault::Refused, Fault::Refused]);
    store.put(&path("large"), large.clone().into()).await.unwrap();
    assert_eq!(read(&store, "large").await.unwrap(), large);
    client.meets([Fault::Refused]);
    store.delete(&path("large")).await.unwrap();
    store.delete(&path("large")).await.unwrap();
    assert!(matches!(read(&store, "large").await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_bucket_that_is_away_is_given_up_at_once_and_found_when_it_is_back() {
    let (client, store) = patient(Duration::from_millis(50));
    store.put(&path("a"), "a".into()).await.unwrap();
    client.meets(vec![Fault::Refused; 1_000_000]);
    let is_away = |error: &Error| error.to_string().contains("has not answered");
    while !read(&store, "a").await.is_err_and(|error| is_away(&error)) {}
    let (calls, began) = (*client.calls.lock(), tokio::time::Instant::now());
    for _ in 0..100 {
        assert!(read(&store, "a").await.is_err() && store.list(None).try_next().await.is_err());
    }
    let seconds = began.elapsed().as_secs() as usize;
    assert!(*client.calls.lock() - calls <= 1 + seconds, "A2");
    client.faults.lock().clear();
    while let Err(error) = read(&store, "a").await {
        assert!(is_away(&error), "{error}");
    }
}

#[tokio::test]
async fn nothing_is_copied_or_updated() {
    let (_, store) = bucket();
    let a = path("a");
    assert!(matches!(store.copy(&a, &path("b")).await, Err(Error::NotSupported { .. })));
    assert!(matches!(store.rename(&a, &path("b")).await, Err(Error::NotSupported { .. })));
    let update = PutMode::Update(object_store::UpdateVersion { e_tag: None, version: None });
    assert!(matches!(store.put_opts(&a, "a".into(), update.into()).await, Err(Error::NotSupported { .. })));
}

/// A store that takes no notice of the condition of a create.
#[tokio::test]
async fn a_store_that_replaces_what_should_be_created_is_found_out() {
    #[derive(Debug)]
    struct Careless(InMemory);
    impl fmt::Display for Careless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Careless")
        }
    }
    #[async_trait::async_trait]
    impl ObjectStore for Careless {
        async fn put_opts(&self, location: &ObjectPath, payload: PutPayload, _: PutOptions) -> Result<PutResult> {
            self.0.put(location, payload).await
        }
        async fn get_opts(&self, location: &ObjectPath, options: GetOptions) -> Result<GetResult> {
            self.0.get_opts(location, options).await
        }
        fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
            self.0.list(prefix)
        }
        async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> Result<ListResult> {
            self.0.list_with_delimiter(prefix).await
        }
        fn delete_stream(
            &self,
            locations: BoxStream<'static, Result<ObjectPath>>,
        ) -> BoxStream<'static, Result<ObjectPath>> {
            self.0.delete_stream(locations)
        }
        async fn put_multipart_opts(
            &self,
            location: &ObjectPath,
            options: PutMultipartOptions,
        ) -> Result<Box<dyn MultipartUpload>> {
            self.0.put_multipart_opts(location, options).await
        }
        async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> Result<()> {
            self.0.copy_opts(from, to, options).await
        }
    }
    let url: Url = "s3://b/p".parse().unwrap();
    let careful = InMemory::new();
    for _ in 0..3 {
        probe_store(&careful, Some(&url)).await.unwrap();
    }
    assert_eq!(careful.list(None).count().await, 1, "one object for all starts");
    let careless = BucketStore::new(Arc::new(Careless(InMemory::new())), PATIENCE);
    for _ in 0..2 {
        let error = probe_store(&careless, Some(&url)).await.unwrap_err();
        assert!(error.to_string().contains("s3://b/p replaces an object"), "{error}");
    }
}
