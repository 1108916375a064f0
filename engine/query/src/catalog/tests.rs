//! What the planner makes of the scan's declarations, and that every state of a project answers alike.

mod rest;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{Distribution, LexOrdering, OrderingRequirements, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, PlanProperties, displayable,
};
use datafusion::prelude::SessionContext;
use footfall_model::{Event, Value};
use futures::StreamExt;

use super::Shape;
use crate::fixture::Fixture;

const DAY: i64 = 86_400_000;
const START: i64 = 19_700 * DAY;

async fn planned(context: &SessionContext, query: &str) -> String {
    let plan = context.sql(query).await.unwrap().create_physical_plan().await.unwrap();
    displayable(plan.as_ref()).indent(false).to_string()
}

fn event(i: i64, name: &str) -> Event {
    Event {
        name: name.to_owned(),
        distinct_id: format!("u{}", i % 37),
        time: START + (i % 5) * DAY + i * 1000,
        insert_id: format!("{name}-{i}"),
        insert_id_generated: false,
        properties: vec![("n".to_owned(), Value::Int(i))],
    }
}

fn events(name: &str, count: i64) -> Vec<Event> {
    (0..count).map(|i| event(i, name)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn work_per_user_needs_no_repartition_live_or_flushed() {
    let fixture = Fixture::new().await;
    fixture.append(events("Play", 300)).await;
    for state in ["live", "flushed", "both"] {
        // Sessions leave the merging of small groups to one thread; told otherwise, each lane keeps its own users.
        let context = fixture.context(Shape::Stored);
        context.state_ref().write().config_mut().options_mut().optimizer.repartition_aggregations = true;
        let per_user = planned(&context, "SELECT uid, count(*) FROM events GROUP BY uid").await;
        assert!(per_user.contains("mode=SinglePartitioned"), "{state}:\n{per_user}");
        let daily = "SELECT date_trunc('day', time) AS d, count(DISTINCT user_id) FROM events GROUP BY 1";
        let daily = planned(&fixture.context(Shape::Sql), daily).await;
        assert!(daily.contains("active_users") && daily.contains("utc_trunc"), "{state}:\n{daily}");
        for plan in [&per_user, &daily] {
            assert!(plan.contains("partitioning=Range(") && !plan.contains("RepartitionExec"), "{state}:\n{plan}");
        }
        fixture.store.flush().await.unwrap();
        if state == "flushed" {
            fixture.append(events("Stop", 50)).await;
        }
    }
}

/// The finding (c) of ARCHITECTURE.md: users together and runs in order, planned without repartition or sort; and when
/// a second run breaks the order, the sort comes back rather than a wrong answer.
#[tokio::test(flavor = "multi_thread")]
async fn runs_in_order_are_declared_while_they_are() {
    let fixture = Fixture::new().await;
    fixture.append(events("Play", 300)).await;
    fixture.store.flush().await.unwrap();
    let settled = walk_runs(&fixture).await;
    assert!(!settled.contains("SortExec") && !settled.contains("RepartitionExec"), "{settled}");
    fixture.append(events("Late", 10)).await;
    let unsettled = walk_runs(&fixture).await;
    assert!(unsettled.contains("SortExec") && !unsettled.contains("RepartitionExec"), "{unsettled}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_event_counts_once_before_and_after_its_segment_is_rewritten() {
    let fixture = Fixture::new().await;
    fixture.append(events("Play", 100)).await;
    fixture.store.flush().await.unwrap();
    let mut changed = event(7, "Play");
    changed.properties = vec![("n".to_owned(), Value::Int(1_000_000))];
    fixture.append(vec![changed, event(8, "Play")]).await;
    for state in ["live", "flushed"] {
        assert_eq!(fixture.number("SELECT count(*) FROM events").await, 100, "{state}");
        assert_eq!(fixture.number("SELECT max(n) FROM events").await, 1_000_000, "{state}");
        assert_eq!(fixture.number("SELECT count(*) FROM events WHERE n = 7").await, 0, "{state}");
        assert_eq!(fixture.number("SELECT count(DISTINCT user_id) FROM events").await, 37, "{state}");
        fixture.store.flush().await.unwrap();
    }
}

/// What a limit does not ask for is not made: of thousands of columns each batch is large.
#[tokio::test(flavor = "multi_thread")]
async fn batches_are_made_as_they_are_asked_for() {
    let fixture = Fixture::new().await;
    fixture.append(events("Play", 1_000)).await;
    for state in ["live", "flushed"] {
        let context = fixture.context(Shape::Sql);
        context.state_ref().write().config_mut().options_mut().set("datafusion.execution.batch_size", "10").unwrap();
        let table = context.table_provider("events").await.unwrap();
        let scan = table.scan(&context.state(), None, &[], None).await.unwrap();
        let mut batches = scan.execute(0, context.task_ctx()).unwrap();
        let first = batches.next().await.unwrap().unwrap();
        assert_eq!((first.num_rows(), scan.metrics().unwrap().output_rows()), (10, Some(10)), "{state}");
        fixture.store.flush().await.unwrap();
    }
}

async fn walk_runs(fixture: &Fixture) -> String {
    let context = fixture.context(Shape::Stored);
    let scan = context.sql("SELECT shard, day, event, uid, time FROM events").await.unwrap();
    let scan = scan.create_physical_plan().await.unwrap();
    let mut plan: Arc<dyn ExecutionPlan> = Arc::new(RunWalk { input: scan });
    let state = context.state();
    for rule in state.physical_optimizers() {
        plan = rule.optimize(plan, state.config_options()).unwrap();
    }
    displayable(plan.as_ref()).indent(false).to_string()
}

/// An operator that wants what a funnel over sorted runs wants.
#[derive(Debug)]
struct RunWalk {
    input: Arc<dyn ExecutionPlan>,
}

impl RunWalk {
    fn column(&self, name: &str) -> Arc<dyn PhysicalExpr> {
        Arc::new(Column::new_with_schema(name, &self.schema()).unwrap())
    }
}

impl DisplayAs for RunWalk {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunWalk")
    }
}

impl ExecutionPlan for RunWalk {
    fn name(&self) -> &str {
        "RunWalk"
    }

    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::KeyPartitioned(vec![self.column("uid")])])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let order =
            ["shard", "day", "event", "uid", "time"].map(|name| PhysicalSortExpr::new_default(self.column(name)));
        vec![LexOrdering::new(order).map(OrderingRequirements::from)]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self { input: children.remove(0) }))
    }

    fn execute(&self, lane: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(lane, context)
    }
}
