//! `COUNT(DISTINCT user_id)` over events becomes `active_users(uid)`.
//!
//! `uid` and `user_id` name the same users (one to one, and events of nobody have neither), but numbers make exact sets
//! of bitmaps that merge without moving users between partitions, where texts would be hashed and shuffled. Only where
//! the column comes straight from the `events` table; everything else stays as it was written.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::datasource::{DefaultTableSource, provider_as_source};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{
    Aggregate, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, TableScan,
};
use datafusion::optimizer::AnalyzerRule;
use footfall_storage::columns::Builtin;

use crate::catalog::{EventsTable, Shape};

/// The rule. It runs before the optimizer, which would otherwise turn the distinct count into two aggregations.
#[derive(Debug)]
pub struct CountUsers;

impl AnalyzerRule for CountUsers {
    fn name(&self) -> &str {
        "count_users"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(rewrite)?.data)
    }
}

fn rewrite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
    let Some(user_id) = aggregate.aggr_expr.iter().find_map(distinct_user_id) else { return Ok(Transformed::no(plan)) };
    let Some((input, uid)) = with_uid(&aggregate.input, &user_id)? else { return Ok(Transformed::no(plan)) };
    let aggregates: Vec<Expr> = aggregate.aggr_expr.iter().map(|expr| count_by_number(expr, &user_id, &uid)).collect();
    let counted = Aggregate::try_new(Arc::new(input), aggregate.group_expr.clone(), aggregates)?;
    // The columns above keep the names they had.
    let named = counted.schema.iter().zip(aggregate.schema.iter()).map(|((relation, field), (was_of, was))| {
        let column = Expr::Column(Column::new(relation.cloned(), field.name()));
        if field.name() == was.name() && relation == was_of {
            column
        } else {
            column.alias_qualified(was_of.cloned(), was.name())
        }
    });
    let named: Vec<Expr> = named.collect();
    let projection = Projection::try_new(named, Arc::new(LogicalPlan::Aggregate(counted)))?;
    Ok(Transformed::yes(LogicalPlan::Projection(projection)))
}

/// The column of `count(DISTINCT user_id)`.
fn distinct_user_id(expr: &Expr) -> Option<Column> {
    let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else { return None };
    match (func.name(), params.args.as_slice()) {
        ("count", [Expr::Column(column)]) if params.distinct && column.name == Builtin::UserId.name() => {
            Some(column.clone())
        }
        _ => None,
    }
}

fn count_by_number(expr: &Expr, user_id: &Column, uid: &Column) -> Expr {
    match expr {
        Expr::AggregateFunction(AggregateFunction { params, .. })
            if distinct_user_id(expr).as_ref() == Some(user_id) =>
        {
            let params =
                AggregateFunctionParams { args: vec![Expr::Column(uid.clone())], distinct: false, ..params.clone() };
            Expr::AggregateFunction(AggregateFunction { func: footfall_udfs::active_users(), params })
        }
        other => other.clone(),
    }
}

/// The plan with the number of the user that `user_id` names as one more column, if that can be had.
fn with_uid(plan: &LogicalPlan, user_id: &Column) -> Result<Option<(LogicalPlan, Column)>> {
    match plan {
        LogicalPlan::TableScan(scan) => scan_with_uid(scan),
        LogicalPlan::Filter(filter) => {
            let Some((input, uid)) = with_uid(&filter.input, user_id)? else { return Ok(None) };
            let filter = Filter::try_new(filter.predicate.clone(), Arc::new(input))?;
            Ok(Some((LogicalPlan::Filter(filter), uid)))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let inner = Column::from_name(&user_id.name);
            let Some((input, uid)) = with_uid(&alias.input, &inner)? else { return Ok(None) };
            let uid = Column::new(Some(alias.alias.clone()), uid.name);
            let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
            Ok(Some((LogicalPlan::SubqueryAlias(alias), uid)))
        }
        LogicalPlan::Projection(projection) => {
            let passed = projection.expr.iter().find_map(|expr| match expr {
                Expr::Column(column) if column.name == user_id.name => Some(column),
                _ => None,
            });
            let Some(passed) = passed else { return Ok(None) };
            let Some((input, uid)) = with_uid(&projection.input, passed)? else { return Ok(None) };
            let mut exprs = projection.expr.clone();
            exprs.push(Expr::Column(uid.clone()));
            let projection = Projection::try_new(exprs, Arc::new(input))?;
            Ok(Some((LogicalPlan::Projection(projection), uid)))
        }
        _ => Ok(None),
    }
}

fn scan_with_uid(scan: &TableScan) -> Result<Option<(LogicalPlan, Column)>> {
    let source = scan.source.as_ref() as &dyn std::any::Any;
    let Some(provider) = source.downcast_ref::<DefaultTableSource>().map(|s| &s.table_provider) else {
        return Ok(None);
    };
    let provider = provider.as_ref() as &dyn std::any::Any;
    let Some(events) = provider.downcast_ref::<EventsTable>() else { return Ok(None) };
    if events.shape() != Shape::Sql || scan.projection.is_some() || !scan.filters.is_empty() {
        return Ok(None);
    }
    let wider = provider_as_source(Arc::new(events.with_shape(Shape::SqlWithUid)));
    let plan = LogicalPlanBuilder::scan(scan.table_name.clone(), wider, None)?.build()?;
    Ok(Some((plan, Column::new(Some(scan.table_name.clone()), Builtin::Uid.name()))))
}
