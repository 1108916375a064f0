//! A SQL statement from its text to its stream.

use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use footfall_model::ProjectId;
use footfall_query::catalog::Properties;
use footfall_query::compile::Clock;
use footfall_query::session::Sessions;
use footfall_query::{QueryError, sql};
use footfall_storage::views::Views;
use footfall_storage::{LookupTables, Snapshot};

use crate::lookup::LookupCache;
use crate::{Engine, Error, snapshot_of, views};

struct Statement {
    sessions: Arc<Sessions>,
    lookups: LookupTables,
    lookup_cache: Arc<LookupCache>,
    views: Views,
    query: String,
    clock: Clock,
    params: Vec<serde_json::Value>,
}

impl Engine {
    /// Runs one read-only statement. `params` fill `$1`, `$2`, … in order.
    pub async fn sql(
        &self,
        project: ProjectId,
        query: &str,
        params: &[serde_json::Value],
    ) -> Result<SendableRecordBatchStream, Error> {
        let project = self.project(project)?;
        let statement = Statement {
            sessions: self.sessions.clone(),
            lookups: self.lookups(project.store.id()),
            lookup_cache: self.lookup_cache.clone(),
            views: self.views_of(project.store.id()),
            query: query.to_owned(),
            clock: project.clock(),
            params: params.to_vec(),
        };
        let stream = self.pool.run(async move { statement.start(&snapshot_of(&project)?).await }).await?;
        Ok(self.pool.drive(stream))
    }
}

impl Statement {
    /// Over the columns that it names; if it cannot be planned so, over all, for the message says which there are.
    async fn start(&self, snapshot: &Arc<Snapshot>) -> Result<SendableRecordBatchStream, QueryError> {
        let named = sql::properties_in(&self.query);
        match self.start_over(snapshot, named.clone()).await {
            Err(QueryError::Statement { .. }) if named != Properties::All => {
                self.start_over(snapshot, Properties::All).await
            }
            outcome => outcome,
        }
    }

    async fn start_over(
        &self,
        snapshot: &Arc<Snapshot>,
        properties: Properties,
    ) -> Result<SendableRecordBatchStream, QueryError> {
        let context = self.sessions.sql_context(snapshot, properties, &self.clock)?;
        self.lookup_cache.register(&context, &self.query, &self.lookups).await?;
        views::register(&context, &self.query, &self.sessions, snapshot, &self.views, &self.clock).await?;
        sql::run(&context, &self.query, &self.params).await
    }
}
