//! Making columns of events reachable from further up in a plan.

use std::sync::Arc;

use datafusion::common::{Column, DFSchema, Result};
use datafusion::datasource::{DefaultTableSource, provider_as_source};
use datafusion::logical_expr::{
    Expr, JoinType, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, TableScan, Unnest,
};

use super::ExprError;
use crate::catalog::{EventsTable, TableColumn};

const AMBIGUOUS: &str = "expr() can read several tables of events here and cannot tell which is meant; \
     compute it in an inner query over one of them, such as (SELECT *, expr('…') AS x FROM events) AS e";

/// A plan in which the wanted columns can be named, by what names; they are in the order that was asked for.
pub(super) type Carried = (LogicalPlan, Vec<Column>);

/// The inputs of a node with the columns in one of them; absent if no events are in reach.
pub(super) fn carry_to(node: &LogicalPlan, wanted: &[TableColumn]) -> Result<Option<(Vec<LogicalPlan>, Vec<Column>)>> {
    carry_into(node, wanted, |_| true)
}

/// As [`carry_to`], into those inputs alone.
fn carry_into(
    node: &LogicalPlan,
    wanted: &[TableColumn],
    into: impl Fn(usize) -> bool,
) -> Result<Option<(Vec<LogicalPlan>, Vec<Column>)>> {
    let mut found = None;
    let mut inputs = Vec::new();
    for (position, input) in node.inputs().into_iter().enumerate() {
        let carried = if into(position) { carry(input, wanted)? } else { None };
        match carried {
            None => inputs.push(input.clone()),
            Some(_) if found.is_some() => return Err(ExprError::Call(AMBIGUOUS).into()),
            Some((input, columns)) => {
                found = Some(columns);
                inputs.push(input);
            }
        }
    }
    Ok(found.map(|columns| (inputs, columns)))
}

/// Absent if the rows of the plan are not, or not only, events with something beside them.
fn carry(plan: &LogicalPlan, wanted: &[TableColumn]) -> Result<Option<Carried>> {
    match plan {
        LogicalPlan::TableScan(scan) => scanned(scan, wanted),
        LogicalPlan::SubqueryAlias(alias) => {
            let Some((input, columns)) = carry(&alias.input, wanted)? else { return Ok(None) };
            let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
            let of_alias = |column: Column| Column::new(Some(alias.alias.clone()), column.name);
            let columns = columns.into_iter().map(of_alias).collect();
            Ok(Some((LogicalPlan::SubqueryAlias(alias), columns)))
        }
        LogicalPlan::Projection(projection) => {
            let Some((input, columns)) = carry(&projection.input, wanted)? else { return Ok(None) };
            let (projection, columns) = passed(projection, input, columns)?;
            Ok(Some((LogicalPlan::Projection(projection), columns)))
        }
        LogicalPlan::Join(join) => {
            use JoinType::{Full, Inner, Left, LeftAnti, LeftMark, LeftSemi, Right, RightAnti, RightMark, RightSemi};
            let is_shown = |side: usize| match join.join_type {
                Inner | Left | Right | Full => true,
                LeftSemi | LeftAnti | LeftMark => side == 0,
                RightSemi | RightAnti | RightMark => side == 1,
            };
            let Some((inputs, columns)) = carry_into(plan, wanted, is_shown)? else { return Ok(None) };
            Ok(Some((plan.with_new_exprs(plan.expressions(), inputs)?, columns)))
        }
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::Window(_) => {
            let Some((inputs, columns)) = carry_to(plan, wanted)? else { return Ok(None) };
            Ok(Some((plan.with_new_exprs(plan.expressions(), inputs)?, columns)))
        }
        LogicalPlan::Unnest(unnest) => {
            let Some((input, columns)) = carry(&unnest.input, wanted)? else { return Ok(None) };
            Ok(Some((unnested(unnest, input)?, columns)))
        }
        _ => Ok(None),
    }
}

fn scanned(scan: &TableScan, wanted: &[TableColumn]) -> Result<Option<Carried>> {
    let source = scan.source.as_ref() as &dyn std::any::Any;
    let Some(provider) = source.downcast_ref::<DefaultTableSource>().map(|s| &s.table_provider) else {
        return Ok(None);
    };
    let provider = provider.as_ref() as &dyn std::any::Any;
    let Some(events) = provider.downcast_ref::<EventsTable>() else { return Ok(None) };
    if scan.projection.is_some() || !scan.filters.is_empty() || scan.fetch.is_some() {
        return Ok(None);
    }
    let wider = events.with_hidden(wanted);
    let names: Vec<String> = wanted.iter().filter_map(|column| wider.name_of(column)).map(str::to_owned).collect();
    let columns = names.into_iter().map(|name| Column::new(Some(scan.table_name.clone()), name)).collect();
    let plan = LogicalPlanBuilder::scan(scan.table_name.clone(), provider_as_source(Arc::new(wider)), None)?.build()?;
    Ok(Some((plan, columns)))
}

/// The projection with the columns at its end, but for those that it passes on anyway.
fn passed(projection: &Projection, input: LogicalPlan, columns: Vec<Column>) -> Result<(Projection, Vec<Column>)> {
    let mut exprs = projection.expr.clone();
    let mut added: Vec<String> = Vec::new();
    let mut names = Vec::new();
    for column in columns {
        let is_passed = exprs.iter().any(|expr| matches!(expr, Expr::Column(known) if *known == column));
        if is_passed {
            names.push(column);
            continue;
        }
        let name = free_name(&column.name, &projection.schema, &added);
        exprs.push(Expr::Column(column).alias(name.clone()));
        names.push(Column::new_unqualified(name.clone()));
        added.push(name);
    }
    Ok((Projection::try_new(exprs, Arc::new(input))?, names))
}

/// A name that is not taken, nor ambiguous without a qualifier.
fn free_name(base: &str, schema: &DFSchema, added: &[String]) -> String {
    let mut name = base.to_owned();
    while schema.fields().iter().any(|field| *field.name() == name) || added.contains(&name) {
        name.push('#');
    }
    name
}

fn unnested(unnest: &Unnest, input: LogicalPlan) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(input)
        .unnest_columns_with_options(unnest.exec_columns.clone(), unnest.options.clone())?
        .build()
}
