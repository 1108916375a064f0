//! Where the server is in its life, and the wish for the next part of it.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// What is being done, for people.
    Starting(&'static str),
    Ready,
    /// Everything is still answered, but a successor is about to take over.
    Restarting,
    Stopping,
}

/// Somebody wants a restart, and to hear whether it comes to one.
pub type RestartRequest = oneshot::Sender<Result<(), String>>;

/// Clones share one answer.
#[derive(Clone)]
pub struct Phase {
    stage: Arc<watch::Sender<Stage>>,
    restarts: mpsc::Sender<RestartRequest>,
}

impl Phase {
    /// Starting; and where wishes for a restart arrive.
    pub fn new() -> (Self, mpsc::Receiver<RestartRequest>) {
        let (restarts, requests) = mpsc::channel(1);
        (Self { stage: Arc::new(watch::Sender::new(Stage::Starting("starting"))), restarts }, requests)
    }

    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Nothing follows after `Stopping`.
    pub fn enter(&self, stage: Stage) {
        self.stage.send_if_modified(|current| {
            let changes = *current != Stage::Stopping && *current != stage;
            if changes {
                *current = stage;
            }
            changes
        });
    }

    /// Completes once the server was told to stop.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        self.reached(|stage| *stage == Stage::Stopping)
    }

    fn reached(&self, wanted: fn(&Stage) -> bool) -> impl Future<Output = ()> + Send + use<> {
        let mut stages = self.stage.subscribe();
        let phase = self.clone();
        async move {
            // An error would mean that the sender is gone, which this very future keeps.
            drop(stages.wait_for(wanted).await);
            drop(phase);
        }
    }

    /// Exchanges this process for its successor. `Ok` once that is under way, `Err` with the reason if it is not to be.
    pub async fn restart(&self) -> Result<(), String> {
        if self.stage() != Stage::Ready {
            return Err("the server is starting, restarting or stopping already".to_owned());
        }
        let (reply, answer) = oneshot::channel();
        self.restarts.try_send(reply).map_err(|_| "a restart is under way already".to_owned())?;
        answer.await.unwrap_or_else(|_| Err("the server is stopping".to_owned()))
    }
}

impl Default for Phase {
    fn default() -> Self {
        Self::new().0
    }
}
