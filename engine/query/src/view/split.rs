//! Cutting a physical plan in two: what works on rows one by one, and may be kept; and what is above it.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::{Result, plan_err};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use footfall_storage::Snapshot;

use crate::catalog::ShardScanExec;

/// A plan in two parts. The nodes are chains: each has one input, down to the scan.
#[derive(Debug)]
pub(super) struct Split {
    /// Root first; the last one's input is what `cell` gives.
    outer: Vec<Arc<dyn ExecutionPlan>>,
    /// Ends in the scan.
    cell: Arc<dyn ExecutionPlan>,
}

impl Split {
    pub fn of(root: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let (chain, scan) = chain(root)?;
        let mut outer = chain;
        let mut cell = scan;
        // From the scan upwards, as far as rows do not meet.
        while let Some(node) = outer.pop_if(|node| is_by_row(node.as_ref())) {
            // Partitions are shuffled for speed alone, and cells are made one at a time.
            if !node.is::<RepartitionExec>() {
                cell = replace_children_if_necessary(node, vec![cell])?;
            }
        }
        if let Some(aggregate) = outer.last().and_then(|node| node.downcast_ref::<AggregateExec>()) {
            let (partial, is_whole) = partial(aggregate, cell)?;
            let aggregate = aggregate.clone();
            outer.pop();
            if is_whole {
                outer.push(Arc::new(last(&aggregate, partial.clone())?));
            }
            cell = partial;
        }
        Ok(Self { outer, cell })
    }

    /// The part that is kept, over the rows of a snapshot.
    pub fn cell_over(&self, snapshot: &Arc<Snapshot>) -> Result<Arc<dyn ExecutionPlan>> {
        over(&self.cell, snapshot)
    }

    pub fn cell(&self) -> &Arc<dyn ExecutionPlan> {
        &self.cell
    }

    /// The whole answer from what cells gave. One partition and no order: nothing above may count on either.
    pub fn answer(&self, cells: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let mut plan: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(cells));
        for node in self.outer.iter().rev() {
            plan = replace_children_if_necessary(node.clone(), vec![plan])?;
        }
        Ok(plan)
    }

    /// Says all that decides what a cell holds, but for its rows: equal texts, equal meaning.
    pub fn describe(&self) -> Result<String> {
        let mut text = String::new();
        let mut next = Some(self.cell.clone());
        while let Some(node) = next {
            match node.downcast_ref::<ShardScanExec>() {
                Some(scan) => text.push_str(&scan.describe()),
                None => text.push_str(&displayable(node.as_ref()).one_line().to_string()),
            }
            describe_schema(&mut text, &node.schema());
            next = node.children().first().map(|input| (*input).clone());
        }
        Ok(text)
    }
}

/// The nodes above the scan, root first, and the scan.
fn chain(root: Arc<dyn ExecutionPlan>) -> Result<(Vec<Arc<dyn ExecutionPlan>>, Arc<dyn ExecutionPlan>)> {
    let mut nodes = Vec::new();
    let mut node = root;
    loop {
        if node.is::<ShardScanExec>() {
            return Ok((nodes, node));
        }
        let [input] = node.children()[..] else {
            return plan_err!("a view reads the table events once, and nothing else");
        };
        let input = input.clone();
        nodes.push(node);
        node = input;
    }
}

/// Whether what a node gives for some rows does not depend on any other row.
fn is_by_row(node: &dyn ExecutionPlan) -> bool {
    let takes_some = node.fetch().is_some();
    let by_row = node.is::<FilterExec>()
        || node.is::<ProjectionExec>()
        || node.is::<UnnestExec>()
        || node.is::<CooperativeExec>()
        || node.is::<RepartitionExec>();
    by_row && !takes_some
}

/// The first half of an aggregation, without limits, which would drop groups; and whether `aggregate` is both halves.
fn partial(aggregate: &AggregateExec, input: Arc<dyn ExecutionPlan>) -> Result<(Arc<dyn ExecutionPlan>, bool)> {
    let is_whole = match aggregate.mode() {
        AggregateMode::Partial => false,
        AggregateMode::Single | AggregateMode::SinglePartitioned => true,
        other => return plan_err!("a view cannot keep an aggregation of this kind: {other:?}"),
    };
    let first = AggregateExec::try_new(
        AggregateMode::Partial,
        aggregate.group_expr().clone(),
        aggregate.aggr_expr().to_vec(),
        aggregate.filter_expr().to_vec(),
        input,
        aggregate.input_schema(),
    )?;
    Ok((Arc::new(first), is_whole))
}

/// The second half of an aggregation that was planned whole.
fn last(aggregate: &AggregateExec, partial: Arc<dyn ExecutionPlan>) -> Result<AggregateExec> {
    AggregateExec::try_new(
        AggregateMode::Final,
        aggregate.group_expr().as_final(),
        aggregate.aggr_expr().to_vec(),
        aggregate.filter_expr().to_vec(),
        partial,
        aggregate.input_schema(),
    )
}

fn over(node: &Arc<dyn ExecutionPlan>, snapshot: &Arc<Snapshot>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(scan) = node.downcast_ref::<ShardScanExec>() {
        return Ok(Arc::new(scan.over(snapshot.clone())?));
    }
    let inputs = node.children().into_iter().map(|input| over(input, snapshot)).collect::<Result<Vec<_>>>()?;
    replace_children_if_necessary(node.clone(), inputs)
}

/// Names and types; metadata would come in no particular order.
fn describe_schema(text: &mut String, schema: &Schema) {
    for field in schema.fields() {
        text.push_str(&format!("{:?} {} {}\n", field.name(), field.data_type(), field.is_nullable()));
    }
}
