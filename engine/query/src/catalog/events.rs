//! The `events` table of one snapshot.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use footfall_storage::Snapshot;
use footfall_storage::columns::{Builtin, Catalog};

use super::columns::TableColumn;
use super::groups::GroupFilter;
use super::prune::Bounds;
use super::scan::ShardScanExec;

/// Which columns the table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// What SQL sees: built-in columns, then one column per property.
    Sql,
    /// As `Sql`, with the internal `uid` at the end: what the optimizer puts in its place to count users by number.
    SqlWithUid,
    /// What reports compile against: `uid`, `day` and `shard` too, every type of a property as a column by itself, and
    /// `rest`, all properties of a row as a JSON object.
    Stored,
}

/// Which properties the table has columns of. A project may have thousands, a query names a few: planning must not pay
/// for the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Properties {
    All,
    /// Those with these names, if they have occurred.
    Named(Arc<BTreeSet<String>>),
}

impl Properties {
    /// Those that a statement's words may mean: its columns are named as the properties, but for some.
    pub fn of_sql_names<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let property = |word: &'a str| match word.strip_prefix(BUILTIN_PREFIX) {
            Some(property) if is_builtin(property) => property,
            _ => word,
        };
        Self::Named(Arc::new(words.map(|word| property(word).to_owned()).collect()))
    }
}

/// Events as of one snapshot. Planning and running against it always gives the same rows.
pub struct EventsTable {
    snapshot: Arc<Snapshot>,
    columns: Arc<[TableColumn]>,
    schema: SchemaRef,
    shape: Shape,
    properties: Properties,
    /// Beside those of the shape.
    hidden: Vec<TableColumn>,
}

impl std::fmt::Debug for EventsTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventsTable").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl EventsTable {
    pub fn new(snapshot: Arc<Snapshot>, shape: Shape, properties: Properties) -> Self {
        Self::with_columns(snapshot, shape, properties, Vec::new())
    }

    fn with_columns(snapshot: Arc<Snapshot>, shape: Shape, properties: Properties, hidden: Vec<TableColumn>) -> Self {
        let mut columns = columns(&snapshot.catalog, shape, &properties);
        columns.extend(hidden.iter().cloned());
        let schema = Arc::new(Schema::new(columns.iter().map(|c| c.field.clone()).collect::<Vec<_>>()));
        Self { snapshot, columns: columns.into(), schema, shape, properties, hidden }
    }

    /// The same rows under another shape.
    pub fn with_shape(&self, shape: Shape) -> Self {
        Self::with_columns(self.snapshot.clone(), shape, self.properties.clone(), self.hidden.clone())
    }

    /// The same rows with these columns at the end, as far as they are not there yet, under names that are free.
    pub fn with_hidden(&self, wanted: &[TableColumn]) -> Self {
        let mut hidden = self.hidden.clone();
        for column in wanted.iter().filter(|column| self.name_of(column).is_none()) {
            let is_taken = |name: &str| {
                self.columns.iter().chain(&hidden).any(|known| known.field.name() == name)
                    || name == Builtin::Uid.name()
            };
            let mut name = column.field.name().clone();
            while is_taken(&name) {
                name.push('#');
            }
            hidden.push(column.clone().named(name));
        }
        Self::with_columns(self.snapshot.clone(), self.shape, self.properties.clone(), hidden)
    }

    /// What a column is called here, if it is here.
    pub fn name_of(&self, column: &TableColumn) -> Option<&str> {
        self.columns.iter().find(|known| known.is_same(column)).map(|known| known.field.name().as_str())
    }

    /// The same rows with other columns.
    pub fn with_properties(&self, properties: Properties) -> Self {
        Self::new(self.snapshot.clone(), self.shape, properties)
    }

    pub fn shape(&self) -> Shape {
        self.shape
    }
}

fn columns(catalog: &Catalog, shape: Shape, properties: &Properties) -> Vec<TableColumn> {
    use Builtin::{DistinctId, Event, InsertId, ReceivedAt, Time, Uid, UserId};
    let shown = [Time, Event, DistinctId, UserId, InsertId, ReceivedAt].map(TableColumn::builtin);
    let properties: Vec<&str> = match properties {
        Properties::All => catalog.properties().map(AsRef::as_ref).collect(),
        Properties::Named(names) => {
            names.iter().map(String::as_str).filter(|name| catalog.columns_of(name).next().is_some()).collect()
        }
    };
    match shape {
        Shape::Stored => {
            let internal = [TableColumn::builtin(Uid), TableColumn::day(), TableColumn::shard()];
            let stored = properties.into_iter().flat_map(|property| catalog.columns_of(property));
            let stored = stored.map(TableColumn::of_type).chain([TableColumn::whole()]);
            internal.into_iter().chain(shown).chain(stored).collect()
        }
        Shape::Sql | Shape::SqlWithUid => {
            let uid = (shape == Shape::SqlWithUid).then(|| TableColumn::builtin(Uid));
            let unified = properties.into_iter().map(|name| TableColumn::unified(sql_name(name), name, catalog));
            shown.into_iter().chain(unified).chain(uid).collect()
        }
    }
}

const BUILTIN_PREFIX: &str = "properties.";

fn is_builtin(name: &str) -> bool {
    Builtin::ALL.iter().any(|builtin| builtin.name() == name)
}

/// A property's column in SQL: its own name, unless a built-in column has it.
pub fn sql_name(property: &str) -> String {
    if is_builtin(property) { format!("{BUILTIN_PREFIX}{property}") } else { property.to_owned() }
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
        let groups = GroupFilter::of(filters, &self.columns, &self.schema, state)?.map(Arc::new);
        let lanes = state.config().target_partitions();
        let snapshot = self.snapshot.clone();
        Ok(Arc::new(ShardScanExec::try_new(snapshot, columns, Bounds::of(filters), groups, lanes)?))
    }
}
