//! A view's statement, planned over one snapshot.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, collect};
use footfall_storage::Snapshot;
use footfall_storage::segment::Segment;
use footfall_storage::views::{CellKey, View, Views};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use xxhash_rust::xxh3::Xxh3;

use super::split::Split;
use crate::compile::Clock;
use crate::error::QueryError;
use crate::expr;
use crate::session::Sessions;
use crate::sql::{plan, properties_in, statement};

/// Enters every fingerprint: what is kept depends on how functions lay out their states.
const STATES: &str = concat!("footfall view 1, datafusion ", "55.2");
/// Cells that are read from the store at once.
const READS_AT_ONCE: usize = 16;
/// Cells that are made at once.
const MADE_AT_ONCE: usize = 2;

/// A view's statement over one snapshot: what to keep of each shard and day, and how an answer comes of that.
pub struct ViewPlan {
    snapshot: Arc<Snapshot>,
    split: Split,
    context: Arc<TaskContext>,
    /// Of the snapshot's segments.
    places: Vec<Place>,
    schema: SchemaRef,
}

/// The segments of one shard and day.
struct Place {
    /// Under which name its cell is kept; none while some of its rows are replaced by live ones.
    key: Option<CellKey>,
    segments: Vec<Arc<Segment>>,
}

/// What a refresh did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewRefresh {
    /// Shards' days that were computed.
    pub computed: usize,
    /// Shards' days that were there already.
    pub kept: usize,
    /// Old cells that were deleted.
    pub swept: usize,
    /// Bytes of segments that the process fetched from the store meanwhile.
    pub bytes_read: u64,
}

impl ViewPlan {
    /// Plans a statement.
    ///
    /// # Errors
    /// It is not a statement, or not one whose result can be kept by shard and day.
    pub async fn new(
        sessions: &Sessions,
        snapshot: Arc<Snapshot>,
        sql: &str,
        clock: &Clock,
    ) -> Result<Self, QueryError> {
        let context = sessions.sql_context(&snapshot, properties_in(sql), clock)?;
        // A filter that changes while the query runs would enter cells.
        context.state_ref().write().config_mut().options_mut().optimizer.enable_dynamic_filter_pushdown = false;
        let logical = plan(&context, sql).await?;
        if !matches!(logical, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_)) {
            check_constant(&logical)?;
        }
        let logical = expr::resolve(logical).map_err(statement)?;
        let physical = context.state().create_physical_plan(&logical).await.map_err(statement)?;
        let schema = physical.schema();
        let split = Split::of(physical).map_err(statement)?;
        let places = places(&snapshot, &format!("{STATES}\n{sql}\n{}", split.describe()?));
        Ok(Self { snapshot, split, context: context.task_ctx(), places, schema })
    }

    /// The columns of the answer.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Makes and keeps the cells that are missing, and deletes those that nothing names any more.
    pub async fn refresh(&self, views: &Views, view: &View) -> Result<ViewRefresh, QueryError> {
        let read_before = self.snapshot.files.fetched_bytes();
        let stored = views.cells(&view.name).await?;
        let missing = self.places.iter().filter_map(|place| {
            let key = place.key.as_ref().filter(|key| !stored.contains_key(key))?;
            Some((key, &place.segments))
        });
        let missing: Vec<_> = missing.collect();
        let schema = self.split.cell().schema();
        stream::iter(missing.iter().map(Ok))
            .try_for_each_concurrent(MADE_AT_ONCE, |(key, segments)| {
                let schema = schema.clone();
                async move {
                    let rows = self.snapshot.narrowed((*segments).clone(), Vec::new());
                    let batches = collect(self.split.cell_over(&Arc::new(rows))?, self.context.clone()).await?;
                    Ok::<_, QueryError>(views.write(&view.name, key, &schema, &batches).await?)
                }
            })
            .await?;
        let named: HashSet<&CellKey> = self.places.iter().filter_map(|place| place.key.as_ref()).collect();
        let litter: Vec<&Path> = stored.iter().filter(|(key, _)| !named.contains(key)).map(|(_, path)| path).collect();
        for path in &litter {
            views.sweep(path).await;
        }
        Ok(ViewRefresh {
            computed: missing.len(),
            kept: named.len() - missing.len(),
            swept: litter.len(),
            bytes_read: self.snapshot.files.fetched_bytes() - read_before,
        })
    }

    /// The answer as of the snapshot, from stored cells as far as there are any.
    pub async fn answer(&self, views: &Views, view: &View) -> Result<Arc<dyn ExecutionPlan>, QueryError> {
        let stored = views.cells(&view.name).await?;
        let schema = self.split.cell().schema();
        let reads: Vec<_> = self.places.iter().map(|place| read(views, view, place, &stored, &schema)).collect();
        let found: Vec<Option<Vec<RecordBatch>>> = stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
        let missing = self.places.iter().zip(&found).filter(|(_, found)| found.is_none());
        let segments: Vec<_> = missing.flat_map(|(place, _)| place.segments.iter().cloned()).collect();
        let rest = Arc::new(self.snapshot.narrowed(segments, self.snapshot.live.clone()));
        let kept: Vec<RecordBatch> = found.into_iter().flatten().flatten().collect();
        let kept: Arc<dyn ExecutionPlan> = MemorySourceConfig::try_new_exec(&[kept], schema, None)?;
        let all = UnionExec::try_new(vec![kept, self.split.cell_over(&rest)?])?;
        Ok(self.split.answer(all)?)
    }
}

async fn read(
    views: &Views,
    view: &View,
    place: &Place,
    stored: &HashMap<CellKey, Path>,
    schema: &SchemaRef,
) -> Result<Option<Vec<RecordBatch>>, QueryError> {
    match place.key.as_ref().filter(|key| stored.contains_key(key)) {
        Some(key) => Ok(views.read(&view.name, key, schema).await?),
        None => Ok(None),
    }
}

/// The shards' days of a snapshot, and what their cells are called under a plan.
fn places(snapshot: &Snapshot, plan: &str) -> Vec<Place> {
    let all = snapshot.segments.places(i32::MIN..=i32::MAX, 0..u16::MAX);
    let keyed = all.map(|(day, shard, runs)| {
        let segments = runs.to_vec();
        let has_replaced = segments.iter().any(|segment| snapshot.masked_rows(segment).is_some());
        let key = (!has_replaced).then(|| CellKey { day, shard, fingerprint: fingerprint(plan, &segments) });
        Place { key, segments }
    });
    keyed.collect()
}

/// Segments never change, so their names stand for their rows.
fn fingerprint(plan: &str, segments: &[Arc<Segment>]) -> u128 {
    let mut names: Vec<&str> = segments.iter().map(|segment| segment.path.as_str()).collect();
    names.sort_unstable();
    let mut hash = Xxh3::new();
    hash.update(plan.as_bytes());
    for name in names {
        hash.update(b"\n");
        hash.update(name.as_bytes());
    }
    hash.digest128()
}

/// What is kept must not depend on when it was made.
fn check_constant(plan: &LogicalPlan) -> Result<(), QueryError> {
    let mut changing = None;
    let mut find = |expr: &Expr| {
        let function = match expr {
            Expr::ScalarFunction(call) => Some((call.name(), call.func.signature().volatility)),
            _ => None,
        };
        if let Some((name, Volatility::Stable | Volatility::Volatile)) = function {
            changing = Some(format!("{name}()"));
        }
        if let Some(word) = expr::tells_time(expr) {
            changing = Some(format!("{word} in expr()"));
        }
        Ok(TreeNodeRecursion::Continue)
    };
    plan.apply_with_subqueries(|node| node.apply_expressions(|expr| expr.apply(&mut find)))?;
    match changing {
        None => Ok(()),
        Some(name) => {
            let message = format!("a view's result must change with its events alone, which that of {name} does not");
            Err(QueryError::Statement { message })
        }
    }
}
