//! Lookup tables: uploaded, listed, and readable by SQL as `lookup_{name}`.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::TableReference;
use datafusion::prelude::SessionContext;
use footfall_model::ProjectId;
use footfall_query::catalog::lookup::{PREFIX, read};
use footfall_query::{QueryError, sql};
use footfall_storage::{Creation, LookupTable, LookupTables, Missing};

use crate::{Engine, Error, ErrorKind};

impl Engine {
    /// The lookup tables of a project, by name.
    pub async fn lookup_tables(&self, project: ProjectId) -> Result<Vec<LookupTable>, Error> {
        Ok(self.lookups(project).list().await?)
    }

    /// Makes a table of CSV that was checked. Durable when this returns; `Conflict` if there is one of this name.
    pub async fn create_lookup_table(&self, project: ProjectId, name: &str, csv: Bytes) -> Result<LookupTable, Error> {
        match self.lookups(project).create(name, csv).await? {
            Creation::Created(table) => Ok(table),
            Creation::Exists => {
                let message = format!("a lookup table named '{name}' exists");
                Err(Error::new(ErrorKind::Conflict, "conflict", message).with_field("name"))
            }
        }
    }

    /// Replaces all rows of a table by CSV that was checked. Durable when this returns. Tells whether there is such a
    /// table.
    pub async fn replace_lookup_table(
        &self,
        project: ProjectId,
        id: uuid::Uuid,
        csv: Bytes,
        missing: Missing,
    ) -> Result<bool, Error> {
        Ok(self.lookups(project).replace(id, csv, missing).await?)
    }

    pub(crate) fn lookups(&self, project: ProjectId) -> LookupTables {
        LookupTables::new(self.shared.store.clone(), project)
    }
}

/// Gives a statement the lookup tables that it names; one that names none costs nothing.
pub(crate) async fn register(context: &SessionContext, query: &str, lookups: &LookupTables) -> Result<(), QueryError> {
    let named = sql::lookup_tables_in(context, query);
    if named.is_empty() {
        return Ok(());
    }
    for table in lookups.list().await?.into_iter().filter(|table| named.contains(&table.name)) {
        if let Some(rows) = lookups.read(table.id).await? {
            let name = TableReference::bare(format!("{PREFIX}{}", table.name));
            context.register_table(name, Arc::new(read(&rows.csv)?))?;
        }
    }
    Ok(())
}
