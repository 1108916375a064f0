//! What a query can fail with.

use std::ops::Range;

use datafusion::error::DataFusionError;
use footfall_storage::StorageError;

use crate::compile::CompileError;

#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text of an expression is not an expression.
    #[error("{message}")]
    Parse { field: &'static str, message: String, span: Range<usize> },

    /// An expression that no record can satisfy without a type error.
    #[error("{message}")]
    Type { field: &'static str, message: String, span: Range<usize> },

    /// A statement that is not valid, or not allowed.
    #[error("{message}")]
    Statement { message: String },

    /// A field of a report's spec is out of range.
    #[error("{message}")]
    Spec { field: &'static str, message: String },

    #[error("query failed")]
    Execution(#[from] DataFusionError),

    #[error("snapshot could not be taken")]
    Storage(#[from] StorageError),

    /// The task that ran the query is gone.
    #[error("query was cancelled")]
    Cancelled,
}

impl QueryError {
    pub(crate) fn compile(field: &'static str, error: CompileError) -> Self {
        Self::Type { field, message: error.message, span: error.span }
    }

    pub(crate) fn parse(field: &'static str, error: footfall_lang::Diagnostic) -> Self {
        Self::Parse { field, message: error.to_string(), span: error.span }
    }
}
