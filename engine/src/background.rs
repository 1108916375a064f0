//! The task that flushes projects when they have grown or aged.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::Utc;
use tokio::task::JoinHandle;

use crate::{Engine, Project};

/// How often ages are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Pause after a flush that failed, so that a store that is away is not hammered.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

impl Engine {
    pub(crate) fn spawn_background(self: &Arc<Self>) -> JoinHandle<()> {
        let wake = self.wake.clone();
        // Weak: the task must not keep the directory locked.
        let engine = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                let _ = tokio::time::timeout(TICK, wake.notified()).await;
                let Some(engine) = engine.upgrade() else { return };
                if engine.closing.load(Ordering::Acquire) {
                    return;
                }
                if !engine.flush_due().await {
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        })
    }

    /// Flushes what is due; false if a flush failed.
    async fn flush_due(&self) -> bool {
        let projects: Vec<_> = self.projects.read().values().cloned().collect();
        let mut flushed = false;
        // Every row that reaches the tables is space that the log can give back.
        let log_is_full = self.log.stall().is_some_and(|stall| stall.wants_room());
        for project in projects.iter().filter(|project| log_is_full || self.is_due(project)) {
            if let Err(error) = project.store.flush().await {
                tracing::warn!(project = %project.store.id(), %error, "flush failed; it is tried again");
                return false;
            }
            flushed = true;
        }
        if flushed || self.release_due.swap(false, Ordering::AcqRel) {
            self.release_log().await;
        }
        true
    }

    fn is_due(&self, project: &Project) -> bool {
        let age_max = self.options.flush_age.as_micros() as i64;
        let aged = project.store.oldest_live_at().is_some_and(|at| Utc::now().timestamp_micros() - at >= age_max);
        aged || project.store.live_rows() >= self.options.flush_rows
    }
}
