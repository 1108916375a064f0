//! The leaf of every plan: segments and live rows of a snapshot, lane by lane.
//!
//! A lane is a contiguous range of shards, so a user's rows are in one lane. Within a lane rows come shard by shard, day
//! by day, run by run; within a run by (event, uid, time). Where every shard and day has a single run, that order is
//! declared; where live rows or late data add a second run it is not, and the planner sorts if an operator needs it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, ScalarValue, SplitPoint, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr, RangePartitioning,
};
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use footfall_model::{Shard, Uid};
use footfall_storage::Snapshot;
use footfall_storage::columns::Builtin;

use super::columns::TableColumn;
use super::groups::GroupFilter;
use super::prune::Bounds;
use super::stream::{LaneMetrics, LaneScan, stored_names};
use super::wanted::Wanted;

/// Scans one snapshot of a project's events.
pub struct ShardScanExec {
    columns: Arc<[TableColumn]>,
    wanted: Arc<Wanted>,
    /// Which values are wanted, as far as row groups tell by their statistics.
    groups: Option<Arc<GroupFilter>>,
    /// Shards of each lane.
    lanes: Vec<Range<u16>>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ShardScanExec {
    /// Plans a scan over at most `lanes_max` lanes.
    pub fn try_new(
        snapshot: Arc<Snapshot>,
        columns: Vec<TableColumn>,
        bounds: Bounds,
        groups: Option<Arc<GroupFilter>>,
        lanes_max: usize,
    ) -> Result<Self> {
        let lanes = lanes(snapshot.shards, lanes_max);
        let wanted = Wanted::new(snapshot, bounds);
        let schema = Arc::new(Schema::new(columns.iter().map(|c| c.field.clone()).collect::<Vec<_>>()));
        let equivalence = match run_order(&wanted, &schema) {
            Some(order) => EquivalenceProperties::new_with_orderings(schema.clone(), [order]),
            None => EquivalenceProperties::new(schema.clone()),
        };
        let partitioning = partitioning(&lanes, &schema)?;
        let properties =
            PlanProperties::new(equivalence, partitioning, EmissionType::Incremental, Boundedness::Bounded)
                .with_scheduling_type(SchedulingType::Cooperative);
        Ok(Self {
            columns: columns.into(),
            wanted: Arc::new(wanted),
            groups,
            lanes,
            schema,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The same scan of another snapshot.
    pub fn over(&self, snapshot: Arc<Snapshot>) -> Result<Self> {
        let (bounds, groups) = ((*self.wanted.bounds).clone(), self.groups.clone());
        Self::try_new(snapshot, self.columns.to_vec(), bounds, groups, self.lanes.len())
    }

    /// All that decides which rows and values it gives, but for the snapshot.
    pub fn describe(&self) -> String {
        let described = |column: &TableColumn| {
            let stored: Vec<&str> = column.properties().iter().map(|part| part.column.as_ref()).collect();
            format!("{:?} {:?} {stored:?}", column.field.name(), column.field.data_type())
        };
        let columns: Vec<String> = self.columns.iter().map(described).collect();
        format!("ShardScanExec: {:?} {}", self.wanted.bounds, columns.join(", "))
    }
}

/// Shards split over lanes as evenly as they go, contiguous.
fn lanes(shards: u16, lanes_max: usize) -> Vec<Range<u16>> {
    let count = usize::from(shards.max(1)).min(lanes_max.max(1)) as u32;
    let shards = u32::from(shards.max(1));
    (0..count).map(|lane| (lane * shards / count) as u16..((lane + 1) * shards / count) as u16).collect()
}

fn partitioning(lanes: &[Range<u16>], schema: &SchemaRef) -> Result<Partitioning> {
    let unknown = Partitioning::UnknownPartitioning(lanes.len());
    let (Some(uid), 2..) = (sort_by(Builtin::Uid.name(), schema), lanes.len()) else { return Ok(unknown) };
    let Some(key) = LexOrdering::new([uid]) else { return Ok(unknown) };
    let starts = lanes.iter().skip(1).map(|lane| Uid::nobody(Shard(lane.start)).0 as i64);
    let splits = starts.map(|start| SplitPoint::new(vec![ScalarValue::Int64(Some(start))])).collect();
    Ok(Partitioning::Range(RangePartitioning::try_new(key, splits)?))
}

/// The order (shard, day, event, uid, time), if every shard and day has one run and the columns are there to say so.
fn run_order(wanted: &Wanted, schema: &SchemaRef) -> Option<LexOrdering> {
    let names = ["shard", "day", Builtin::Event.name(), Builtin::Uid.name(), Builtin::Time.name()];
    let order = LexOrdering::new(names.into_iter().map_while(|name| sort_by(name, schema)))?;
    wanted.is_one_run_each().then_some(order)
}

/// Rows of a batch: fewer where it is wide, for absent columns take memory too.
fn batch_rows(rows_max: usize, columns: usize) -> usize {
    const CELLS_MAX: usize = 1 << 21;
    const ROWS_MIN: usize = 64;
    (CELLS_MAX / columns.max(1)).max(ROWS_MIN).min(rows_max)
}

fn sort_by(name: &str, schema: &SchemaRef) -> Option<PhysicalSortExpr> {
    let index = schema.index_of(name).ok()?;
    Some(PhysicalSortExpr::new_default(Arc::new(Column::new(name, index))))
}

impl fmt::Debug for ShardScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardScanExec").field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

impl DisplayAs for ShardScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<&str> = self.columns.iter().map(|c| c.field.name().as_str()).collect();
        let bounds = &self.wanted.bounds;
        let Snapshot { segments, live, shards, .. } = self.wanted.snapshot.as_ref();
        let live: usize = live.iter().map(|c| c.rows()).sum();
        write!(f, "ShardScanExec: table=events, columns=[{}], shards={shards}", columns.join(", "))?;
        write!(f, ", partitioning={}", self.properties.partitioning)?;
        write!(f, ", files={}/{}, live_rows={live}", self.wanted.segment_count(), segments.len())?;
        if let Some(events) = &bounds.events {
            write!(f, ", events={events:?}")?;
        }
        if bounds.time_min.is_some() || bounds.time_max.is_some() {
            let text = |ms: Option<i64>| {
                ms.and_then(chrono::DateTime::from_timestamp_millis)
                    .map_or(String::new(), |t| t.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
            };
            write!(f, ", time={}..{}", text(bounds.time_min), text(bounds.time_max))?;
        }
        if let Some(groups) = &self.groups {
            write!(f, ", row_groups=[{}]", groups.describe())?;
        }
        Ok(())
    }
}

impl ExecutionPlan for ShardScanExec {
    fn name(&self) -> &str {
        "ShardScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("ShardScanExec has no children") }
    }

    fn execute(&self, lane: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let scan = LaneScan {
            snapshot: self.wanted.snapshot.clone(),
            columns: self.columns.clone(),
            names: Arc::new(stored_names(&self.columns)),
            bounds: self.wanted.bounds.clone(),
            groups: self.groups.clone(),
            schema: self.schema.clone(),
            batch_rows: batch_rows(context.session_config().batch_size(), self.columns.len()),
            metrics: LaneMetrics::new(&self.metrics, lane),
        };
        let wanted = self.wanted.clone();
        let shards = self.lanes.get(lane).map(|among| wanted.shards(among.clone())).unwrap_or_default();
        let stream = scan.stream(shards.into_iter().flat_map(move |shard| wanted.parts(shard)));
        Ok(Box::pin(cooperative(RecordBatchStreamAdapter::new(self.schema.clone(), stream))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, _: Option<usize>) -> Result<Arc<Statistics>> {
        Ok(Arc::new(Statistics::new_unknown(&self.schema)))
    }
}
