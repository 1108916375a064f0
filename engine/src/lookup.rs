//! Lookup tables: uploaded, listed, and readable by SQL as `lookup_{name}`.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use footfall_model::ProjectId;
use footfall_query::catalog::lookup::{PREFIX, read};
use footfall_query::{QueryError, sql};
use footfall_storage::{Creation, LookupTable, LookupTables, Missing};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use uuid::Uuid;

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
        id: Uuid,
        csv: Bytes,
        missing: Missing,
    ) -> Result<bool, Error> {
        Ok(self.lookups(project).replace(id, csv, missing).await?)
    }

    pub(crate) fn lookups(&self, project: ProjectId) -> LookupTables {
        LookupTables::new(self.shared.store.clone(), project)
    }
}

/// Tables as SQL reads them, as long as they were not replaced.
pub(crate) struct LookupCache(Cache<(ProjectId, Uuid), Arc<ParsedTable>, BySize>);

struct ParsedTable {
    version: u64,
    table: Arc<MemTable>,
    csv_bytes: usize,
}

#[derive(Clone)]
struct BySize;

impl Weighter<(ProjectId, Uuid), Arc<ParsedTable>> for BySize {
    fn weight(&self, _: &(ProjectId, Uuid), parsed: &Arc<ParsedTable>) -> u64 {
        // Columns take about as much room as the text they came from.
        parsed.csv_bytes as u64 + 1
    }
}

impl LookupCache {
    /// Keeps tables of so many bytes of CSV together.
    pub fn new(bytes: u64) -> Self {
        Self(Cache::with_weighter(64, bytes, BySize))
    }

    /// Gives a statement the lookup tables that it names; one that names none costs nothing.
    pub async fn register(
        &self,
        context: &SessionContext,
        query: &str,
        lookups: &LookupTables,
    ) -> Result<(), QueryError> {
        let named = sql::tables_in(context, query, PREFIX);
        if named.is_empty() {
            return Ok(());
        }
        for table in lookups.list().await?.into_iter().filter(|table| named.contains(&table.name)) {
            if let Some(parsed) = self.parsed(&table, lookups).await? {
                let name = TableReference::bare(format!("{PREFIX}{}", table.name));
                context.register_table(name, parsed.table.clone())?;
            }
        }
        Ok(())
    }

    async fn parsed(
        &self,
        table: &LookupTable,
        lookups: &LookupTables,
    ) -> Result<Option<Arc<ParsedTable>>, QueryError> {
        let key = (lookups.project(), table.id);
        if let Some(kept) = self.0.get(&key).filter(|kept| kept.version >= table.version) {
            return Ok(Some(kept));
        }
        let Some(rows) = lookups.read(table.id).await? else { return Ok(None) };
        let parsed =
            ParsedTable { version: rows.version, table: Arc::new(read(&rows.csv)?), csv_bytes: rows.csv.len() };
        let parsed = Arc::new(parsed);
        self.0.insert(key, parsed.clone());
        Ok(Some(parsed))
    }
}
