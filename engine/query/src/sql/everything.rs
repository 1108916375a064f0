//! `SELECT * FROM events …`, planned without its columns one by one.
//!
//! DataFusion's SQL planner compares each column of a select list with all before it, by names that it formats anew each
//! time, and its rules search a schema from the start for each column: with 5,000 properties that took 5 s before the first
//! row was read. So such a statement is planned over the few columns that it has words for, and the scan is widened
//! afterwards. What is between them, conditions and order and limit, lets all columns pass.

use std::any::Any;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::{DefaultTableSource, provider_as_source};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{Expr, OrderByKind, Query, SetExpr, Statement as SqlStatement, Visit, Visitor};

use super::{named_in, without_identities};
use crate::catalog::EventsTable;

const TABLE: &str = "events";

/// The plan of a statement that shows whole events, as they are; `None` if it is another one, or does not hold: then
/// others plan it, and say what is wrong.
pub(super) async fn planned(context: &SessionContext, query: &str) -> Result<Option<LogicalPlan>> {
    if !shows_whole_events(query) {
        return Ok(None);
    }
    let Some(named) = named_in(query) else { return Ok(None) };
    let provider = context.table_provider(TABLE).await?;
    let Some(wide) = (provider.as_ref() as &dyn Any).downcast_ref::<EventsTable>() else { return Ok(None) };
    context.deregister_table(TABLE)?;
    context.register_table(TABLE, Arc::new(wide.with_properties(named)))?;
    let narrow = context.state().create_logical_plan(query).await;
    context.deregister_table(TABLE)?;
    context.register_table(TABLE, provider.clone())?;
    let Ok(plan) = narrow.and_then(without_identities) else { return Ok(None) };
    if !lets_all_pass(&plan) {
        return Ok(None);
    }
    let widened = plan.transform_up(|node| {
        Ok(match node {
            LogicalPlan::TableScan(scan) => {
                let source = provider_as_source(provider.clone());
                Transformed::yes(LogicalPlanBuilder::scan(scan.table_name, source, None)?.build()?)
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(Some(widened.data))
}

/// Whether a statement is `SELECT * FROM events` with at most a condition, an order by name, and a limit.
fn shows_whole_events(query: &str) -> bool {
    let mut statements = DFParser::parse_sql(query).unwrap_or_default();
    let Some(Statement::Statement(statement)) = statements.pop_front().filter(|_| statements.is_empty()) else {
        return false;
    };
    let SqlStatement::Query(query) = *statement else { return false };
    // A number in its order is a column of the answer, of which the narrow plan has others.
    let is_by_name = query.order_by.as_ref().is_none_or(|order| match &order.kind {
        OrderByKind::Expressions(by) => !by.iter().any(|by| matches!(by.expr, Expr::Value(_))),
        OrderByKind::All(_) => false,
    });
    let mut parts = Parts::default();
    let _ = query.visit(&mut parts);
    // Whatever else there may be in a statement would show.
    let mut bare = *query;
    (bare.order_by, bare.limit_clause) = (None, None);
    if let SetExpr::Select(select) = bare.body.as_mut() {
        select.selection = None;
    }
    is_by_name && parts.queries == 1 && !parts.has_expression && bare.to_string() == format!("SELECT * FROM {TABLE}")
}

#[derive(Default)]
struct Parts {
    queries: usize,
    /// Whether there is an `expr('…')`, which names properties in words of its own.
    has_expression: bool,
}

impl Visitor for Parts {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(call) = expr {
            self.has_expression |= call.name.to_string().eq_ignore_ascii_case("expr");
        }
        ControlFlow::Continue(())
    }
}

/// Whether a plan's columns are those of its scan.
fn lets_all_pass(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Limit(limit) => lets_all_pass(&limit.input),
        LogicalPlan::Sort(sort) => lets_all_pass(&sort.input),
        LogicalPlan::Filter(filter) => lets_all_pass(&filter.input),
        LogicalPlan::TableScan(scan) => {
            let source = scan.source.as_ref() as &dyn Any;
            let provider = source.downcast_ref::<DefaultTableSource>().map(|source| source.table_provider.as_ref());
            scan.projection.is_none() && provider.is_some_and(|provider| (provider as &dyn Any).is::<EventsTable>())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use footfall_model::{Event, Value};
    use futures::TryStreamExt;

    use super::*;
    use crate::catalog::Shape;
    use crate::fixture::Fixture;

    fn event(n: i64) -> Event {
        Event {
            name: ["Play", "Stop"][(n % 2) as usize].to_owned(),
            distinct_id: format!("u{}", n % 7),
            time: 1_700_000_000_000 + n * 3_600_000,
            insert_id: format!("i{n}"),
            insert_id_generated: false,
            properties: vec![
                (format!("p{}", n % 50), Value::Int(n)),
                ("Plan b".to_owned(), Value::Text(format!("x{}", n % 3))),
                ("time".to_owned(), Value::Float(n as f64)),
            ],
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_answer_is_that_of_the_ordinary_plan() {
        let fixture = Fixture::new().await;
        fixture.append((0..300).map(event).collect()).await;
        fixture.store.flush().await.unwrap();
        fixture.append((300..310).map(event).collect()).await;
        for query in [
            "SELECT * FROM events ORDER BY time",
            "SELECT * FROM events WHERE p7 > 50 AND event = 'Stop' ORDER BY p7 DESC LIMIT 3",
            r#"SELECT * FROM events WHERE "Plan b" = 'x1' AND "properties.time" < 100.0 ORDER BY received_at"#,
            "SELECT * FROM events WHERE distinct_id = 'u3' ORDER BY p1 NULLS LAST, lower(insert_id) LIMIT 20 OFFSET 3",
        ] {
            let context = fixture.context(Shape::Sql);
            assert!(planned(&context, query).await.unwrap().is_some(), "{query}");
            let rows: Vec<_> = crate::sql::run(&context, query, &[]).await.unwrap().try_collect().await.unwrap();
            let expected = context.sql(query).await.unwrap().collect().await.unwrap();
            assert!(expected.iter().map(|batch| batch.num_rows()).sum::<usize>() > 0, "{query}");
            let text = |batches| arrow::util::pretty::pretty_format_batches(batches).unwrap().to_string();
            assert_eq!(text(&rows), text(&expected), "{query}");
        }
        let context = fixture.context(Shape::Sql);
        assert!(planned(&context, "SELECT * FROM events WHERE nonsense = 1").await.unwrap().is_none());
        assert!(crate::sql::run(&context, "SELECT * FROM events WHERE nonsense = 1", &[]).await.is_err());
        assert_eq!(context.sql("SELECT * FROM events LIMIT 1").await.unwrap().schema().fields().len(), 6 + 52);
    }

    #[test]
    fn only_statements_that_show_whole_events_are_taken() {
        for query in [
            "SELECT * FROM events",
            "select * from events limit 10;",
            "SELECT * FROM events WHERE plan = 'pro' AND n > 1 ORDER BY time DESC, lower(plan) LIMIT 10 OFFSET 2",
        ] {
            assert!(shows_whole_events(query), "{query}");
        }
        for query in [
            "SELECT *, 1 FROM events",
            "SELECT * EXCEPT (a) FROM events",
            "SELECT * FROM events e",
            "SELECT e.* FROM events e",
            "SELECT DISTINCT * FROM events",
            "SELECT * FROM events ORDER BY 3",
            "SELECT * FROM events, events",
            "SELECT * FROM events JOIN lookup_x USING (a)",
            "SELECT * FROM events NATURAL JOIN lookup_x",
            "SELECT * FROM rejected_events",
            "SELECT * FROM events WHERE a IN (SELECT a FROM events)",
            "SELECT * FROM events UNION ALL SELECT * FROM events",
            "WITH events AS (SELECT 1) SELECT * FROM events",
            "SELECT * FROM events GROUP BY a",
            "SELECT * FROM events WHERE Expr('properties[\"a\"] > 1')",
            "SELECT * FROM events FETCH FIRST 3 ROWS ONLY",
            "EXPLAIN SELECT * FROM events",
            "SELECT * FROM events; SELECT * FROM events",
            "SELECT a FROM events",
            "no SQL",
        ] {
            assert!(!shows_whole_events(query), "{query}");
        }
    }
}
