//! Changes of profiles on their way into the log.

use std::sync::Arc;

use footfall_model::ProfileUpdate;

use super::record::PROFILES_RECORD;
use super::{Arrival, Pending, ProjectStore};
use crate::error::StorageError;
use crate::log::Entry;

impl ProjectStore {
    /// Logs the updates of one request, all or none; they are durable when this returns.
    pub async fn record_profiles(
        self: &Arc<Self>,
        updates: Vec<ProfileUpdate>,
        _arrival: Arrival,
        _now: i64,
    ) -> Result<(), StorageError> {
        let mut payload = Vec::new();
        for update in &updates {
            serde_json::to_writer(&mut payload, update)
                .expect("plain data with text keys always serialises into memory");
            payload.push(b'\n');
        }
        let place = self.reserve(payload.len()).await?;
        let (answer, durable) = tokio::sync::oneshot::channel();
        let store = self.clone();
        {
            let mut state = self.state.lock();
            let entry = Entry { project: self.id.0, kind: PROFILES_RECORD, payload };
            let lsn = place.append(
                entry,
                Box::new(move |result| {
                    match result {
                        Ok(lsn) => store.state.lock().publish(lsn),
                        Err(_) => store.roll_back(),
                    }
                    let _ = answer.send(result.map_err(Arc::new));
                }),
            )?;
            state.oldest_unflushed.get_or_insert(lsn);
            state.pending.push_back(Pending { lsn, replaced: Vec::new(), import: None });
        }
        durable.await.map_err(|_| StorageError::Closed)?.map_err(StorageError::LogGroup)?;
        Ok(())
    }

    /// The last part of an import that was applied, once it is durable.
    pub async fn import_position(&self, import: &str) -> Result<Option<u64>, StorageError> {
        let position = self.state.lock().imports.last(import);
        let place = self.reserve(0).await?;
        let (answer, durable) = tokio::sync::oneshot::channel();
        place.barrier(Box::new(move |result| {
            let _ = answer.send(result.map_err(Arc::new));
        }))?;
        durable.await.map_err(|_| StorageError::Closed)?.map_err(StorageError::LogGroup)?;
        Ok(position)
    }
}
