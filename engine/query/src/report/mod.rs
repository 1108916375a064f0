//! Reports: a typed spec becomes a plan, the plan's rows become a typed answer.

pub mod segmentation;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;

/// A moment as a literal of the `time` column's type.
pub(crate) fn millis(at: i64) -> Expr {
    Expr::Literal(ScalarValue::TimestampMillisecond(Some(at), Some("UTC".into())), None)
}
