//! Arithmetic, comparisons and logic over numbers in one go, a block of rows at a time.
//!
//! DataFusion evaluates a tree node by node. Each node is a pass over the batch with an array of its own, and what several
//! conjuncts have in common is computed for each of them: an expression that names a property ten times pays for it ten
//! times. Here such a tree becomes a [`Program`] over registers of a few hundred rows that stay in the processor's nearest
//! cache. In a program each distinct node is there once.
//!
//! - B1: a program gives what its tree gives, nulls included. The tree stays with it and is asked where a program cannot say.
//! - B2: nothing in a program can fail or has an effect. So it does not matter that it computes both sides of `AND`, and
//!   branches of `CASE` that no row takes.
//! - B3: numbers in a program are finite and never −0. A batch that brings others is left to the tree.
//!
//! What a program does not know (most of texts, times, other functions) stays a tree, around programs or beside them.

mod exec;
mod kernels;
mod program;
#[cfg(test)]
mod tests;
mod texts;
mod translate;

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::BinaryExpr;
use datafusion::physical_expr::{PhysicalExpr, conjunction, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

use exec::BlockwiseExpr;
use program::Program;

/// Puts programs in the place of what filters and projections compute. The last rule: none after it looks into a tree.
#[derive(Debug)]
pub struct Blockwise;

impl PhysicalOptimizerRule for Blockwise {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(plan.transform_up(node)?.data)
    }

    fn name(&self) -> &str {
        "blockwise"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn node(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let schema = filter.input().schema();
        let Some(predicate) = rewrite(filter.predicate(), &schema)? else { return Ok(Transformed::no(plan)) };
        let filter = FilterExecBuilder::from(filter).with_predicate(predicate).build()?;
        return Ok(Transformed::yes(Arc::new(filter)));
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let schema = projection.input().schema();
        let mut changed = false;
        let mut columns = Vec::with_capacity(projection.expr().len());
        for column in projection.expr() {
            let rewritten = rewrite(&column.expr, &schema)?;
            changed |= rewritten.is_some();
            let expr = rewritten.unwrap_or_else(|| column.expr.clone());
            columns.push(ProjectionExpr { expr, alias: column.alias.clone() });
        }
        if changed {
            return Ok(Transformed::yes(Arc::new(ProjectionExec::try_new(columns, projection.input().clone())?)));
        }
    }
    Ok(Transformed::no(plan))
}

/// The same tree with programs in it; absent if there is nothing to gain.
pub(crate) fn rewrite(tree: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    if let Some(program) = Program::of(tree, schema) {
        return Ok(Some(BlockwiseExpr::shared(tree.clone(), program)));
    }
    let is_and = tree.downcast_ref::<BinaryExpr>().is_some_and(|binary| *binary.op() == Operator::And);
    if is_and && let Some(split) = rewrite_conjuncts(tree, schema)? {
        return Ok(Some(split));
    }
    let mut changed = false;
    let mut children = Vec::new();
    for child in tree.children() {
        let rewritten = rewrite(child, schema)?;
        changed |= rewritten.is_some();
        children.push(rewritten.unwrap_or_else(|| child.clone()));
    }
    changed.then(|| tree.clone().with_new_children(children)).transpose()
}

/// All conjuncts that can be in one program, before the others: what they drop need not be looked at any more.
fn rewrite_conjuncts(tree: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let (known, others): (Vec<_>, Vec<_>) =
        split_conjunction(tree).into_iter().cloned().partition(|conjunct| Program::knows(conjunct, schema));
    let together = conjunction(known);
    let Some(program) = Program::of(&together, schema) else { return Ok(None) };
    let mut conjuncts = vec![BlockwiseExpr::shared(together, program)];
    for conjunct in others {
        conjuncts.push(rewrite(&conjunct, schema)?.unwrap_or(conjunct));
    }
    Ok(Some(conjunction(conjuncts)))
}
