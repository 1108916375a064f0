//! The `events` table of one snapshot.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use footfall_storage::Snapshot;
use footfall_storage::columns::Builtin;

use super::columns::TableColumn;
use super::prune::Bounds;
use super::scan::ShardScanExec;

/// Which columns the table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// What SQL sees: built-in columns, then one column per property.
    Sql,
    /// As `Sql`, with the internal `uid` at the end: what the optimizer puts in its place to count users by number.
    SqlWithUid,
    /// What reports compile against: `uid`, `day` and `shard` too, and every stored column of a property by itself.
    Stored,
}

/// Events as of one snapshot. Planning and running against it always gives the same rows.
pub struct EventsTable {
    snapshot: Arc<Snapshot>,
    columns: Arc<[TableColumn]>,
    schema: SchemaRef,
    shape: Shape,
}

impl std::fmt::Debug for EventsTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventsTable").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl EventsTable {
    pub fn new(snapshot: Arc<Snapshot>, shape: Shape) -> Self {
        let columns: Arc<[TableColumn]> = columns(&snapshot, shape).into();
        let schema = Arc::new(Schema::new(columns.iter().map(|c| c.field.clone()).collect::<Vec<_>>()));
        Self { snapshot, columns, schema, shape }
    }

    /// The same rows under another shape.
    pub fn with_shape(&self, shape: Shape) -> Self {
        Self::new(self.snapshot.clone(), shape)
    }

    pub fn shape(&self) -> Shape {
        self.shape
    }
}

fn columns(snapshot: &Snapshot, shape: Shape) -> Vec<TableColumn> {
    use Builtin::{DistinctId, Event, InsertId, ReceivedAt, Time, Uid, UserId};
    let shown = [Time, Event, DistinctId, UserId, InsertId, ReceivedAt].map(TableColumn::builtin);
    let catalog = &snapshot.catalog;
    match shape {
        Shape::Stored => {
            let internal = [TableColumn::builtin(Uid), TableColumn::day(), TableColumn::shard()];
            let properties = catalog.columns().iter().map(|c| TableColumn::stored(c));
            internal.into_iter().chain(shown).chain(properties).collect()
        }
        Shape::Sql | Shape::SqlWithUid => {
            let uid = (shape == Shape::SqlWithUid).then(|| TableColumn::builtin(Uid));
            let properties =
                catalog.properties().map(|property| TableColumn::unified(sql_name(property), property, catalog));
            shown.into_iter().chain(properties).chain(uid).collect()
        }
    }
}

/// A property's column in SQL: its own name, unless a built-in column has it.
fn sql_name(property: &str) -> String {
    let taken = Builtin::ALL.iter().any(|builtin| builtin.name() == property);
    if taken { format!("properties.{property}") } else { property.to_owned() }
}

#[async_trait]
impl TableProvider for EventsTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match Bounds::is_exact(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let wanted = projection.unwrap_or(&all);
        let columns: Vec<TableColumn> = wanted.iter().filter_map(|i| self.columns.get(*i).cloned()).collect();
        let lanes = state.config().target_partitions();
        Ok(Arc::new(ShardScanExec::try_new(self.snapshot.clone(), columns, Bounds::of(filters), lanes)?))
    }
}
