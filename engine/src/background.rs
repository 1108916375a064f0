//! The task that flushes projects when they have grown or aged. A project that cannot be flushed, for whatever reason,
//! rests a while and holds up no other.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::Utc;
use footfall_model::ProjectId;
use futures::FutureExt;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::{Engine, Error, ErrorKind, Project};

/// How often ages are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Pause of a project after a flush that failed, so that a store that is away is not hammered.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Until when projects rest whose last flush failed.
type Resting = HashMap<ProjectId, Instant>;

impl Engine {
    pub(crate) fn spawn_background(self: &Arc<Self>) -> JoinHandle<()> {
        let wake = self.wake.clone();
        // Weak: the task must not keep the directory locked.
        let engine = Arc::downgrade(self);
        self.nice().spawn(async move {
            let mut resting = Resting::new();
            loop {
                let _ = tokio::time::timeout(TICK, wake.notified()).await;
                let Some(engine) = engine.upgrade() else { return };
                if engine.closing.load(Ordering::Acquire) {
                    return;
                }
                engine.flush_due(&mut resting).await;
            }
        })
    }

    /// Flushes what is due, and lets go of the log that no project needs any more.
    async fn flush_due(&self, resting: &mut Resting) {
        resting.retain(|_, until| *until > Instant::now());
        let projects: Vec<_> = self.projects.read().values().cloned().collect();
        let mut flushed = false;
        // Every row that reaches the tables is space that the log can give back.
        let log_is_full = self.log.stall().is_some_and(|stall| stall.wants_room());
        let mut failure = None;
        for project in projects {
            let id = project.store.id();
            if resting.contains_key(&id) || !(log_is_full || self.is_due(&project)) {
                continue;
            }
            match flush(&project).await {
                Ok(()) => flushed = true,
                Err(error) => {
                    tracing::warn!(project = %id, %error, "flush failed; it is tried again");
                    failure = Some(error);
                    resting.insert(id, Instant::now() + PAUSE_AFTER_FAILURE);
                }
            }
        }
        self.note_failure(failure, !resting.is_empty());
        if flushed || self.release_due.swap(false, Ordering::AcqRel) {
            self.release_log().await;
        }
    }

    /// Keeps in mind since when flushes fail, and the latest reason.
    fn note_failure(&self, latest: Option<Error>, failing: bool) {
        let mut seen = self.failing_flushes.lock();
        match (seen.as_mut(), latest) {
            (_, _) if !failing => *seen = None,
            (Some((_, reason)), Some(latest)) => *reason = latest,
            (None, Some(latest)) => *seen = Some((Instant::now(), latest)),
            (_, None) => {}
        }
    }

    /// Since when flushes fail, of one project at least, and the latest reason. `None` while all is well.
    pub fn failing_flushes(&self) -> Option<(Duration, Error)> {
        let seen = self.failing_flushes.lock().clone();
        seen.map(|(since, reason)| (since.elapsed(), reason))
    }

    /// Writes every live row to tables now, each project's whatever becomes of the others'; the first error if there was
    /// one. Answers of queries do not change.
    pub async fn flush(&self) -> Result<(), Error> {
        let projects: Vec<_> = self.projects.read().values().cloned().collect();
        let mut failed = None;
        for project in projects {
            if let Err(error) = flush(&project).await {
                tracing::warn!(project = %project.store.id(), %error, "flush failed; the log has what it was to write");
                failed.get_or_insert(error);
            }
        }
        self.release_log().await;
        failed.map_or(Ok(()), Err)
    }

    /// Whether a project's live rows are enough to be flushed.
    pub(crate) fn has_grown(&self, project: &Project) -> bool {
        project.store.live_rows() >= self.options.flush_rows || project.store.live_bytes() >= self.options.flush_bytes
    }

    fn is_due(&self, project: &Project) -> bool {
        let age_max = self.options.flush_age.as_micros() as i64;
        let aged = project.store.oldest_live_at().is_some_and(|at| Utc::now().timestamp_micros() - at >= age_max);
        aged || self.has_grown(project)
    }
}

/// One project's flush. A panic ends this flush alone: without its task no project would be flushed any more, and all of
/// them would in time be turned away. The rows stay live, as after any flush that failed.
async fn flush(project: &Project) -> Result<(), Error> {
    match AssertUnwindSafe(project.store.flush()).catch_unwind().await {
        Ok(flushed) => Ok(flushed?),
        Err(_) => Err(Error::new(ErrorKind::Internal, "internal", "the flush panicked")),
    }
}
