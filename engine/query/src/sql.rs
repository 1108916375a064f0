//! One read-only statement over a project's tables.

mod everything;

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{ParamValues, ScalarValue, TableReference};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{
    Query, SelectFlavor, SelectItem, SetExpr, Statement as SqlStatement, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::catalog::Properties;
use crate::error::QueryError;
use crate::expr::{self, ExprError};

/// Plans a statement and starts it. `params` fill `$1`, `$2`, … in order.
pub async fn run(
    context: &SessionContext,
    query: &str,
    params: &[serde_json::Value],
) -> Result<SendableRecordBatchStream, QueryError> {
    let plan = match everything::planned(context, query).await.map_err(statement)? {
        Some(plan) => plan,
        None => expr::resolve(plan(context, query).await?).and_then(without_identities).map_err(statement)?,
    };
    let mut frame = context.execute_logical_plan(plan).await.map_err(statement)?;
    if !params.is_empty() {
        let values = params.iter().map(parameter).collect::<Result<Vec<_>, _>>()?;
        frame = frame.with_param_values(ParamValues::from(values)).map_err(statement)?;
    }
    frame.execute_stream().await.map_err(|error| match error {
        error @ (DataFusionError::Plan(_) | DataFusionError::SchemaError(..)) => statement(error),
        error => QueryError::Execution(error),
    })
}

/// Plans a statement that reads, `expr()` not yet [resolved](expr::resolve).
pub(crate) async fn plan(context: &SessionContext, query: &str) -> Result<LogicalPlan, QueryError> {
    let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let state = context.state();
    let dialect = state.config().options().sql_parser.dialect;
    let mut parsed = state.sql_to_statement(query, &dialect).map_err(statement)?;
    expr::mark_conditions(&mut parsed)?;
    let plan = state.statement_to_plan(parsed).await.map_err(statement)?;
    read_only.verify_plan(&plan).map_err(|error| QueryError::Statement {
        message: format!("only statements that read are allowed: {}", error.strip_backtrace()),
    })?;
    Ok(plan)
}

/// The plan without projections that give all columns of their input as they are, which is what becomes of `*`. A dozen of
/// DataFusion's rules search a schema from its start for each column of a projection; the one that takes such a projection
/// out is the last to run.
fn without_identities(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let without = plan.transform_up_with_subqueries(|node| {
        Ok(match node {
            LogicalPlan::Projection(projection) if is_identity(&projection) => {
                Transformed::yes(Arc::unwrap_or_clone(projection.input))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(without.data)
}

fn is_identity(projection: &Projection) -> bool {
    let input = projection.input.schema();
    let is_same = |(expr, (qualifier, field)): (&Expr, (Option<&TableReference>, &FieldRef))| match expr {
        Expr::Column(column) => column.relation.as_ref() == qualifier && column.name == *field.name(),
        _ => false,
    };
    input.as_arrow() == projection.schema.as_arrow() && projection.expr.iter().zip(input.iter()).all(is_same)
}

/// The properties that a statement can need: those that it has a word for. All of them where it asks for whatever there
/// is, as with `*`, and where it cannot be read, which is then said by [`run`].
pub fn properties_in(query: &str) -> Properties {
    let statements = DFParser::parse_sql(query).unwrap_or_default();
    let takes_all = statements.len() != 1 || statements.iter().any(takes_all);
    named_in(query).filter(|_| !takes_all).unwrap_or(Properties::All)
}

/// The properties that a statement has words for; `None` if it has a word for others, or cannot be read.
fn named_in(query: &str) -> Option<Properties> {
    let tokens = Tokenizer::new(&GenericDialect {}, query).tokenize().ok()?;
    if tokens.iter().any(is_natural) || tokens.windows(2).any(is_qualified_star) {
        return None;
    }
    Some(Properties::of_sql_names(tokens.iter().filter_map(|token| match token {
        Token::Word(word) => Some(word.value.as_str()),
        _ => None,
    })))
}

fn takes_all(statement: &Statement) -> bool {
    match statement {
        Statement::Explain(explain) => takes_all(&explain.statement),
        Statement::Statement(statement) => match statement.as_ref() {
            SqlStatement::Query(query) => query.visit(&mut TakesAll).is_break(),
            _ => true,
        },
        _ => true,
    }
}

/// Of `NATURAL JOIN`: it compares whatever columns both tables have.
fn is_natural(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.keyword == Keyword::NATURAL)
}

/// Of `count(e.*)`.
fn is_qualified_star(tokens: &[Token]) -> bool {
    matches!(tokens, [Token::Period, Token::Mul])
}

/// Breaks where a query depends on which columns a table has: `*`, or new names for a table's columns in their order.
struct TakesAll;

impl Visitor for TakesAll {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if shows_all(&query.body) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { alias: Some(alias), .. } if !alias.columns.is_empty() => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn shows_all(body: &SetExpr) -> bool {
    let is_wildcard = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    // A union of thousands is a tree as deep.
    let mut left = vec![body];
    while let Some(body) = left.pop() {
        match body {
            SetExpr::Select(select) => {
                let is_standard = matches!(select.flavor, SelectFlavor::Standard);
                if !is_standard || select.projection.iter().any(is_wildcard) {
                    return true;
                }
            }
            SetExpr::SetOperation { left: one, right: other, .. } => left.extend([one.as_ref(), other.as_ref()]),
            // Visited by itself.
            SetExpr::Query(_) | SetExpr::Values(_) => {}
            _ => return true,
        }
    }
    false
}

/// The tables that a statement names whose names begin with `prefix`, without it. None where the statement cannot be
/// read, which is then said by [`run`].
pub fn tables_in(context: &SessionContext, query: &str, prefix: &str) -> Vec<String> {
    if !query.contains(prefix) {
        return Vec::new();
    }
    let state = context.state();
    let dialect = state.config().options().sql_parser.dialect;
    let Ok(statement) = state.sql_to_statement(query, &dialect) else { return Vec::new() };
    let tables = state.resolve_table_references(&statement).unwrap_or_default();
    tables.iter().filter_map(|table| Some(table.table().strip_prefix(prefix)?.to_owned())).collect()
}

fn parameter(value: &serde_json::Value) -> Result<ScalarValue, QueryError> {
    Ok(match value {
        serde_json::Value::Null => ScalarValue::Null,
        serde_json::Value::Bool(b) => ScalarValue::from(*b),
        serde_json::Value::String(s) => ScalarValue::from(s.as_str()),
        serde_json::Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => ScalarValue::from(i),
            (None, Some(x)) => ScalarValue::from(x),
            (None, None) => {
                return Err(QueryError::Spec { field: "params", message: format!("number out of range: {n}") });
            }
        },
        other => {
            let message = format!("params, must be null, booleans, numbers or texts, not {other}");
            return Err(QueryError::Spec { field: "params", message });
        }
    })
}

/// A statement that DataFusion does not take, in its own words less the decoration.
pub(crate) fn statement(error: DataFusionError) -> QueryError {
    if let DataFusionError::External(source) = error.find_root()
        && let Some(error) = source.downcast_ref::<ExprError>()
    {
        return error.clone().into();
    }
    QueryError::Statement { message: error.strip_backtrace() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_projections_of_everything_are_taken_out() {
        let context = SessionContext::new();
        context.sql("CREATE TABLE t (a INT, b INT) AS VALUES (1, 2)").await.unwrap().collect().await.unwrap();
        for (query, projections) in [
            ("SELECT * FROM t", 0),
            ("SELECT * FROM t WHERE a > 0 ORDER BY b LIMIT 10", 0),
            ("SELECT a, b FROM (SELECT * FROM t) x", 0),
            ("SELECT a FROM t WHERE EXISTS (SELECT * FROM t u WHERE u.a = t.a)", 1),
            ("SELECT b, a FROM t", 1),
            ("SELECT a FROM t", 1),
            ("SELECT a, b AS c FROM t", 1),
            ("SELECT a, b + 0 AS b FROM t", 1),
            ("SELECT *, 1 FROM t", 1),
        ] {
            let plan = context.state().create_logical_plan(query).await.unwrap();
            let before = plan.schema().clone();
            let plan = without_identities(plan).unwrap();
            assert_eq!(plan.schema(), &before, "{query}");
            let shown = plan.display_indent().to_string();
            assert_eq!(shown.matches("Projection:").count(), projections, "{query}:\n{shown}");
            assert_eq!(context.execute_logical_plan(plan).await.unwrap().count().await.unwrap(), 1, "{query}");
        }
    }

    fn named(query: &str) -> Option<Vec<String>> {
        match properties_in(query) {
            Properties::All => None,
            Properties::Named(names) => Some(names.iter().cloned().collect()),
        }
    }

    #[test]
    fn a_statement_needs_what_it_has_words_for() {
        let query = r#"SELECT "properties.time", count(*) FROM events e WHERE e.plan = 'free text' GROUP BY 1"#;
        let names = named(query).unwrap();
        for name in ["time", "plan", "events", "e", "count"] {
            assert!(names.iter().any(|n| n == name), "{name} in {names:?}");
        }
        assert!(!names.iter().any(|n| n.contains("text")), "{names:?}");
        assert!(named(r#"SELECT "a b"."c.d", 2 * x FROM t JOIN u USING ("q") UNION ALL (SELECT 1, 2)"#).is_some());
        assert!(named("EXPLAIN SELECT count(*) * 2 FROM events").is_some());
    }

    #[test]
    fn a_statement_that_takes_whatever_there_is_needs_all() {
        for query in [
            "SELECT * FROM events",
            "SELECT DISTINCT ON (a) * FROM events",
            "SELECT 1 FROM (SELECT e.* FROM events e) x",
            "WITH x AS (SELECT *, 1 FROM events) SELECT a FROM x",
            "SELECT 1 UNION ALL SELECT * FROM events",
            "SELECT a FROM events WHERE EXISTS (SELECT * FROM events)",
            "SELECT a FROM events NATURAL JOIN lookup_x",
            "SELECT count(e.*) FROM events e",
            "SELECT a FROM events AS e (a, b)",
            "EXPLAIN ANALYZE SELECT * FROM events",
            "DESCRIBE events",
            "TABLE events",
            "SELECT 1; SELECT 2",
            "no SQL at all",
        ] {
            assert_eq!(named(query), None, "{query}");
        }
    }
}
