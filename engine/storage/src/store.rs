//! Which object store a configuration means.

use std::path::Path;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::prefix::PrefixStore;
use url::Url;

use crate::durable::DurableLocal;
use crate::error::StorageError;

/// Opens `store`, or the folder `store` within the data directory. Credentials come from the environment by each
/// provider's standard chain.
pub fn open_store(data_dir: &Path, store: Option<&Url>) -> Result<Arc<dyn ObjectStore>, StorageError> {
    let Some(url) = store else { return local(&data_dir.join("store")) };
    let bad = |reason: &str| StorageError::StoreAddress { reason: reason.to_owned() };
    match url.scheme() {
        "file" => local(&url.to_file_path().map_err(|()| bad("file:// needs an absolute path"))?),
        "gs" => {
            let bucket = url.host_str().ok_or_else(|| bad("gs:// needs a bucket"))?;
            let gcs = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).build()?;
            Ok(prefixed(Arc::new(gcs), url.path()))
        }
        "s3" => {
            let bucket = url.host_str().ok_or_else(|| bad("s3:// needs a bucket"))?;
            let s3 = AmazonS3Builder::from_env().with_bucket_name(bucket).build()?;
            Ok(prefixed(Arc::new(s3), url.path()))
        }
        other => Err(bad(&format!("scheme {other} is not one of file, gs, s3"))),
    }
}

/// Deletes what a crash left half-written in a local store. For the process that owns the data directory, before it
/// writes anything; object stores leave nothing of the kind.
pub fn remove_leftovers(data_dir: &Path, store: Option<&Url>) -> Result<(), StorageError> {
    let folder = match store {
        None => data_dir.join("store"),
        Some(url) if url.scheme() == "file" => match url.to_file_path() {
            Ok(folder) => folder,
            Err(()) => return Ok(()),
        },
        Some(_) => return Ok(()),
    };
    let removed = DurableLocal::new(&folder)?.remove_staged()?;
    if removed > 0 {
        tracing::info!(removed, "half-written files of a crash deleted");
    }
    Ok(())
}

fn local(folder: &Path) -> Result<Arc<dyn ObjectStore>, StorageError> {
    let reason = |e: std::io::Error| StorageError::StoreAddress { reason: e.to_string() };
    std::fs::create_dir_all(folder).map_err(reason)?;
    Ok(Arc::new(DurableLocal::new(folder)?))
}

fn prefixed(store: Arc<dyn ObjectStore>, path: &str) -> Arc<dyn ObjectStore> {
    match path.trim_matches('/') {
        "" => store,
        prefix => Arc::new(PrefixStore::new(store, prefix)),
    }
}
