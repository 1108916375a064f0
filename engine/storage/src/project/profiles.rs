//! Changes of profiles on their way in: logged, in order, and kept for whoever builds people and groups from them.

use std::sync::Arc;

use footfall_model::ProfileUpdate;

use super::append::settled;
use super::record::{EncodedProfiles, PROFILES_RECORD, profile_entries};
use super::{Arrival, Group, ProjectStore};
use crate::error::StorageError;
use crate::log::{Entry, PAYLOAD_BYTES_MAX};

/// The fields of a record's header.
const HEADER_BYTES: usize = 1 << 16;

impl ProjectStore {
    /// Logs the updates of one request, all or none. When this returns they are durable, and have their places in the
    /// order of the project's arrivals.
    ///
    /// `now` is the time of arrival in microseconds since the epoch.
    pub async fn record_profiles(
        self: &Arc<Self>,
        updates: Vec<ProfileUpdate>,
        arrival: Arrival,
        now: i64,
    ) -> Result<(), StorageError> {
        self.admit(&arrival)?;
        let encoded = EncodedProfiles::of(&updates);
        if encoded.bytes.len() > PAYLOAD_BYTES_MAX - HEADER_BYTES {
            return Err(StorageError::TooLarge { bytes: encoded.bytes.len() });
        }
        // As in `append`: before the lock.
        let place = self.reserve(encoded.bytes.len()).await?;
        let durable = {
            let mut state = self.state.lock();
            if state.imports.is_repeated(arrival.batch.as_ref()) {
                self.wait_for_all(place)?
            } else {
                let received_from = now.max(state.last_received_at + 1);
                let payload = encoded.record(updates.len(), &arrival, received_from);
                let entry = Entry { project: self.id.0, kind: PROFILES_RECORD, payload };
                let (lsn, durable) = self.queue(place, entry)?;
                state.arrived(received_from, updates.len());
                let profiles = profile_entries(updates, &arrival, received_from);
                state.enqueue(lsn, Group { profiles, ..Group::default() }, &arrival, received_from);
                durable
            }
        };
        settled(durable).await
    }

    /// The last part of an import that was applied, once it is durable.
    pub async fn import_position(self: &Arc<Self>, import: &str) -> Result<Option<u64>, StorageError> {
        let place = self.reserve(0).await?;
        let (position, durable) = {
            let state = self.state.lock();
            (state.imports.last(import), self.wait_for_all(place)?)
        };
        settled(durable).await?;
        Ok(position)
    }
}
