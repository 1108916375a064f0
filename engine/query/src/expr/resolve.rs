//! Calls become what they compile to.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, Projection};

use super::ExprError;
use super::carry::carry_to;
use super::function::{Compiled, compiled};
use crate::catalog::TableColumn;

const NO_EVENTS: &str = "expr() reads the properties of an event, and here is none: what it stands on has to be the table \
     events, or an inner query of single events; of groups, put it into GROUP BY or an aggregate, or compute it in an inner query";

/// Replaces all calls in a plan.
pub fn resolve(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan.transform_up_with_subqueries(resolve_node)?.data)
}

fn resolve_node(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let exprs = node.expressions();
    let calls = calls_in(&exprs)?;
    if calls.is_empty() {
        return Ok(Transformed::no(node));
    }
    let mut wanted: Vec<TableColumn> = Vec::new();
    for (_, column) in calls.iter().flat_map(|call| &call.columns) {
        if !wanted.iter().any(|known| known.is_same(column)) {
            wanted.push(column.clone());
        }
    }
    let (inputs, columns) = if wanted.is_empty() {
        (node.inputs().into_iter().cloned().collect(), Vec::new())
    } else {
        carry_to(&node, &wanted)?.ok_or(ExprError::Call(NO_EVENTS))?
    };
    let places = Places {
        schema: merge_schema(&inputs.iter().collect::<Vec<_>>()),
        columns: wanted.into_iter().zip(columns).collect(),
    };
    let names = NamePreserver::new(&node);
    let is_filter = matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Join(_));
    let exprs = exprs.into_iter().map(|expr| match expr {
        expr if is_filter => places.condition(expr),
        // Its members are the columns, not the set.
        Expr::GroupingSet(_) => places.value(expr, true),
        expr => {
            let name = names.save(&expr);
            Ok(name.restore(places.value(expr, false)?))
        }
    });
    let resolved = node.with_new_exprs(exprs.collect::<Result<Vec<_>>>()?, inputs)?;
    Ok(Transformed::yes(with_columns_of(resolved, node.schema())?))
}

fn calls_in(exprs: &[Expr]) -> Result<Vec<Arc<Compiled>>> {
    let mut calls = Vec::new();
    for expr in exprs {
        expr.apply(|expr| {
            if let Some(call) = compiled(expr) {
                calls.push(call?);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(calls)
}

/// A node that shows its input's columns shows the carried ones too; nobody asked for these.
fn with_columns_of(plan: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
    if plan.schema().fields().len() == schema.fields().len() {
        return Ok(plan);
    }
    let columns = schema.columns().into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

/// Where the columns of calls are to be found.
struct Places {
    schema: DFSchema,
    columns: Vec<(TableColumn, Column)>,
}

impl Places {
    /// A condition: as far as only its truth matters, calls become predicates.
    fn condition(&self, expr: Expr) -> Result<Expr> {
        let rewritten = expr.transform_down(|expr| match &expr {
            Expr::BinaryExpr(BinaryExpr { op: Operator::And | Operator::Or, .. }) => Ok(Transformed::no(expr)),
            _ => {
                let predicate = match compiled(&expr) {
                    Some(call) => {
                        let call = call?;
                        call.predicate.clone().map(|predicate| self.placed(predicate, &call)).transpose()?
                    }
                    None => None,
                };
                let expr = match predicate {
                    Some(predicate) => predicate,
                    None => self.value(expr, false)?,
                };
                Ok(Transformed::new(expr, true, TreeNodeRecursion::Jump))
            }
        });
        Ok(rewritten?.data)
    }

    fn value(&self, expr: Expr, named: bool) -> Result<Expr> {
        let rewritten = expr.transform_up(|expr| {
            let Some(call) = compiled(&expr) else { return Ok(Transformed::no(expr)) };
            let call = call?;
            let value = self.placed(call.value.clone(), &call)?;
            Ok(Transformed::yes(if named { value.alias(expr.schema_name().to_string()) } else { value }))
        });
        Ok(rewritten?.data)
    }

    /// Over columns of the node's inputs.
    fn placed(&self, expr: Expr, call: &Compiled) -> Result<Expr> {
        let place = |column: &TableColumn| {
            let (_, place) = self.columns.iter().find(|(known, _)| known.is_same(column))?;
            Some(place)
        };
        let places: HashMap<&str, &Column> =
            call.columns.iter().filter_map(|(name, column)| Some((name.as_str(), place(column)?))).collect();
        let placed = expr.transform_up(|expr| match &expr {
            Expr::Column(column) => Ok(match places.get(column.name.as_str()) {
                Some(place) => Transformed::yes(Expr::Column((*place).clone())),
                None => Transformed::no(expr),
            }),
            // A column that already has the type is better left bare: it prunes.
            Expr::Cast(Cast { expr: column, .. }) if matches!(column.as_ref(), Expr::Column(_)) => {
                let is_needless = column.get_type(&self.schema)? == expr.get_type(&self.schema)?;
                Ok(if is_needless { Transformed::yes(column.as_ref().clone()) } else { Transformed::no(expr) })
            }
            _ => Ok(Transformed::no(expr)),
        });
        Ok(placed?.data)
    }
}
