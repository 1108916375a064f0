//! A program as a physical expression.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;

use super::program::Program;

/// A tree, and the program that computes it.
#[derive(Debug)]
pub(super) struct BlockwiseExpr {
    tree: Arc<dyn PhysicalExpr>,
    program: Program,
}

impl BlockwiseExpr {
    pub(super) fn shared(tree: Arc<dyn PhysicalExpr>, program: Program) -> Arc<dyn PhysicalExpr> {
        Arc::new(Self { tree, program })
    }
}

/// The tree says it all.
impl PartialEq for BlockwiseExpr {
    fn eq(&self, other: &Self) -> bool {
        self.tree.as_ref() == other.tree.as_ref()
    }
}

impl Eq for BlockwiseExpr {}

impl Hash for BlockwiseExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tree.hash(state);
    }
}

impl fmt::Display for BlockwiseExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blockwise({})", self.tree)
    }
}

impl PhysicalExpr for BlockwiseExpr {
    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.tree.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        match self.program.run(batch) {
            Some(array) => Ok(ColumnarValue::Array(array)),
            None => self.tree.evaluate(batch),
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.tree]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        match &children[..] {
            [tree] if tree.as_ref() == self.tree.as_ref() => Ok(self),
            // A program names columns by their places, which may be others there.
            [tree] => Ok(tree.clone()),
            _ => internal_err!("a program has one tree"),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tree.fmt_sql(f)
    }
}
