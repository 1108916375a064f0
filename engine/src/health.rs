//! Whether the engine could keep its promises right now.

use crate::error::stalled;
use crate::{Engine, Error};

impl Engine {
    /// Why events are refused at present, if the log is the reason; `None` if they are taken.
    pub fn log_refusal(&self) -> Option<Error> {
        self.log.stall().map(|stall| stalled(&stall))
    }

    /// Completes once the log's thread has come round to us: `Ok` if what is appended now would be stored. It takes as
    /// long as what is queued before it; a caller that wants to know of a thread that is stuck sets a time limit.
    pub async fn log_beat(&self) -> Result<(), Error> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let storage = |error| Error::from(footfall_storage::StorageError::from(error));
        // Never blocks this thread; a full queue is the same news as no answer, later.
        let place = self.log.try_reserve(0).map_err(storage)?;
        let queued = place.barrier(Box::new(move |result| drop(sender.send(result))));
        queued.map_err(storage)?;
        match receiver.await {
            Ok(result) => result.map(drop).map_err(storage),
            Err(_) => Err(storage(footfall_storage::log::LogError::Closed)),
        }
    }
}
