//! Where whole copies of files are, for when one in the store is damaged or gone.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::Segment;
use crate::StorageError;
use crate::backup::OBJECTS;

/// A second store with copies of the first one's files: a replica, or what `footfall backup` writes.
#[derive(Clone, Debug)]
pub struct Replica {
    store: Arc<dyn ObjectStore>,
    /// One file is healed at a time: many queries meet the same damage.
    healing: Arc<tokio::sync::Mutex<()>>,
}

impl Replica {
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, healing: Arc::default() }
    }

    /// The whole file as it should be, after it has been put in place of the damaged one in `store`; `None` if there is
    /// no sound copy.
    pub(super) async fn heal(
        &self,
        store: &Arc<dyn ObjectStore>,
        location: &Path,
        segment: &Segment,
    ) -> Result<Option<Bytes>, StorageError> {
        let _one_at_a_time = self.healing.lock().await;
        let is_sound = |file: &Bytes| file.len() as u64 == segment.bytes && crc32c::crc32c(file) == segment.crc32c;
        if let Some(healed) = whole(store, location).await?.filter(is_sound) {
            return Ok(Some(healed));
        }
        // A backup has the copies in a folder, a replica where the store has them.
        let in_backup = Path::from(format!("{OBJECTS}/{location}"));
        for copy in [&in_backup, location] {
            let Some(file) = whole(&self.store, copy).await?.filter(is_sound) else { continue };
            match store.put(location, file.clone().into()).await {
                Ok(_) => tracing::warn!(%location, "a damaged segment was replaced by its copy"),
                // The copy answers as well.
                Err(error) => tracing::error!(%location, %error, "a damaged segment cannot be replaced by its copy"),
            }
            return Ok(Some(file));
        }
        Ok(None)
    }
}

async fn whole(store: &Arc<dyn ObjectStore>, location: &Path) -> Result<Option<Bytes>, StorageError> {
    match store.get(location).await {
        Ok(found) => Ok(Some(found.bytes().await?)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
