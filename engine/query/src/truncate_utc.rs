//! `date_trunc(unit, time)` of a time in UTC becomes [`footfall_udfs::utc_trunc`], which gives the same in a fraction of
//! the time.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;
use footfall_udfs::{is_trunc_unit, utc_trunc};

/// The rule; columns keep the names they had.
#[derive(Debug)]
pub struct TruncateUtc;

impl AnalyzerRule for TruncateUtc {
    fn name(&self) -> &str {
        "truncate_utc"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(rewrite_plan)?.data)
    }
}

fn rewrite_plan(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|expr| Ok(rewrite(expr, &schema)))?;
        Ok(rewritten.update_data(|expr| name.restore(expr)))
    })
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = &expr else { return Transformed::no(expr) };
    let ("date_trunc", [Expr::Literal(unit, _), time]) = (func.name(), args.as_slice()) else {
        return Transformed::no(expr);
    };
    let Some(unit) = unit.try_as_str().flatten().filter(|unit| is_trunc_unit(unit)) else {
        return Transformed::no(expr);
    };
    let utc = |data_type: &DataType| matches!(data_type, DataType::Timestamp(TimeUnit::Millisecond, Some(zone)) if zone.as_ref() == "UTC");
    if !time.get_type(schema).is_ok_and(|data_type| utc(&data_type)) {
        return Transformed::no(expr);
    }
    let unit = Expr::Literal(ScalarValue::Utf8(Some(unit.to_owned())), None);
    Transformed::yes(utc_trunc().call(vec![unit, time.clone()]))
}
