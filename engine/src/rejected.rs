//! The copies of events that lost against another copy.

use footfall_model::ProjectId;
use footfall_query::rejected::{RejectedPage, RejectedSpec, rejected_page};

use crate::{Engine, Error};

impl Engine {
    /// A page of the copies that lost, newest loss first, up to this very moment.
    pub async fn rejected(&self, project: ProjectId, spec: RejectedSpec) -> Result<RejectedPage, Error> {
        let project = self.project(project)?;
        let page = self.pool.run(async move { rejected_page(&project.store.rejected(), &spec).await });
        Ok(page.await?)
    }
}
