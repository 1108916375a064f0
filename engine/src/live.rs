//! What has just arrived: live views and the last events.

use std::sync::Arc;

use footfall_model::{ProjectId, StoredEvent};
use footfall_query::arrivals::{Live, LiveItem, LiveSpec, RecentSpec, recent};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Engine, Error, ErrorKind, Project};

/// Code of the error that there are too many viewers.
pub const TOO_MANY_VIEWERS: &str = "too_many_viewers";

/// Places for those who watch at the same time.
pub(crate) struct Viewers(Arc<Semaphore>);

impl Viewers {
    pub(crate) fn at_most(viewers: usize) -> Self {
        Self(Arc::new(Semaphore::new(viewers.min(Semaphore::MAX_PERMITS))))
    }

    fn admit(&self, whose: &str) -> Result<OwnedSemaphorePermit, Error> {
        self.0.clone().try_acquire_owned().map_err(|_| {
            let message = format!("too many live views of {whose} are open; close one or try again later");
            Error::new(ErrorKind::Unavailable, TOO_MANY_VIEWERS, message)
        })
    }
}

impl Engine {
    /// Every event that becomes queryable from now on, or after `since`, in order of arrival. Dropping the stream ends
    /// it. A reader that is too slow holds nobody up: it is told how many events it has missed.
    pub fn live(&self, project: ProjectId, spec: LiveSpec) -> Result<BoxStream<'static, LiveItem>, Error> {
        let project = self.project(project)?;
        let seats = (project.viewers.admit("this project")?, self.viewers.admit("all projects")?);
        let live = Live::new(project.store.clone(), spec, &project.clock())?;
        let items = self.pool.produce(|sender| async move {
            let _seats = seats;
            live.run(sender, || project.clock()).await;
        });
        Ok(items.boxed())
    }

    /// The last events of a project or of one of its users, newest arrival first, up to this very moment. Of an event
    /// that was sent again with other properties only the last copy.
    pub async fn recent(&self, project: ProjectId, spec: RecentSpec) -> Result<Vec<StoredEvent>, Error> {
        let project: Arc<Project> = self.project(project)?;
        let sessions = self.sessions.clone();
        let events = self.pool.run(async move {
            let newest = project.store.newest();
            recent(&sessions, newest, spec, &project.clock()).await
        });
        Ok(events.await?)
    }
}
