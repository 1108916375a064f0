//! One read-only statement over a project's tables.

use datafusion::common::{ParamValues, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;
use datafusion::prelude::SessionContext;

use crate::error::QueryError;

/// Plans a statement and starts it. `params` fill `$1`, `$2`, … in order.
pub async fn run(
    context: &SessionContext,
    query: &str,
    params: &[serde_json::Value],
) -> Result<SendableRecordBatchStream, QueryError> {
    let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let plan = context.state().create_logical_plan(query).await.map_err(statement)?;
    read_only.verify_plan(&plan).map_err(|error| QueryError::Statement {
        message: format!("only statements that read are allowed: {}", error.strip_backtrace()),
    })?;
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
fn statement(error: DataFusionError) -> QueryError {
    QueryError::Statement { message: error.strip_backtrace() }
}
