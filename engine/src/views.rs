//! Views: made, refreshed, dropped, and readable by SQL as `view_{name}`.

use std::sync::Arc;

use chrono::Utc;
use datafusion::common::TableReference;
use datafusion::prelude::SessionContext;
use footfall_model::ProjectId;
use footfall_query::compile::Clock;
use footfall_query::session::Sessions;
use footfall_query::view::{PREFIX, ViewPlan, ViewTable};
use footfall_query::{QueryError, sql};
use footfall_storage::Snapshot;
use footfall_storage::views::{ViewCreation, Views};

use crate::{Engine, Error, ErrorKind, View, ViewRefresh, snapshot_of};

const NAME_LENGTH_MAX: usize = 64;

impl Engine {
    /// The views of a project, by name.
    pub async fn views(&self, project: ProjectId) -> Result<Vec<View>, Error> {
        Ok(self.views_of(project).list().await?)
    }

    /// Makes a view and computes what there is to keep of it. `Conflict` if there is one of this name.
    pub async fn create_view(&self, project: ProjectId, name: &str, sql: &str) -> Result<ViewRefresh, Error> {
        check_name(name)?;
        // Planned before it is written down: what cannot be planned is no view.
        self.plan(project, sql).await?;
        match self.views_of(project).create(name, sql, Utc::now()).await? {
            ViewCreation::Created(_) => self.refresh_view(project, name).await,
            ViewCreation::Exists => {
                let message = format!("a view named '{name}' exists; drop it first");
                Err(Error::new(ErrorKind::Conflict, "conflict", message).with_field("name"))
            }
        }
    }

    /// Computes and keeps what has changed since the last refresh. Readings are up to date with or without it.
    pub async fn refresh_view(&self, project: ProjectId, name: &str) -> Result<ViewRefresh, Error> {
        let views = self.views_of(project);
        let view = views.get(name).await?.ok_or_else(|| missing(name))?;
        let plan = self.plan(project, &view.sql).await?;
        Ok(self.pool.run(async move { plan.refresh(&views, &view).await }).await?)
    }

    /// Forgets a view and all that was kept of it.
    pub async fn drop_view(&self, project: ProjectId, name: &str) -> Result<(), Error> {
        match self.views_of(project).drop(name).await? {
            true => Ok(()),
            false => Err(missing(name)),
        }
    }

    pub(crate) fn views_of(&self, project: ProjectId) -> Views {
        Views::new(self.shared.store.clone(), project)
    }

    async fn plan(&self, project: ProjectId, sql: &str) -> Result<ViewPlan, Error> {
        let project = self.project(project)?;
        let (sessions, sql) = (self.sessions.clone(), sql.to_owned());
        let plan = self
            .pool
            .run(async move { ViewPlan::new(&sessions, snapshot_of(&project)?, &sql, &project.clock()).await });
        Ok(plan.await?)
    }
}

/// Gives a statement the views that it names; one that names none costs nothing.
pub(crate) async fn register(
    context: &SessionContext,
    query: &str,
    sessions: &Sessions,
    snapshot: &Arc<Snapshot>,
    views: &Views,
    clock: &Clock,
) -> Result<(), QueryError> {
    for name in sql::tables_in(context, query, PREFIX) {
        if let Some(view) = views.get(&name).await? {
            let plan = ViewPlan::new(sessions, snapshot.clone(), &view.sql, clock).await?;
            let table = ViewTable::new(plan, views.clone(), view);
            context.register_table(TableReference::bare(format!("{PREFIX}{name}")), Arc::new(table))?;
        }
    }
    Ok(())
}

/// A view's name is part of an SQL name and of a path.
fn check_name(name: &str) -> Result<(), Error> {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if begins && goes_on && name.len() <= NAME_LENGTH_MAX {
        return Ok(());
    }
    let message = format!(
        "name, must be letters, digits and underscores, at most {NAME_LENGTH_MAX}, and not begin with a digit: '{name}'"
    );
    Err(Error::invalid("name", message).with_field("name"))
}

fn missing(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, "not_found", format!("there is no view '{name}'"))
}
