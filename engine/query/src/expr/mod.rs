//! `expr('…')`: the expression language within SQL.
//!
//! ```text
//!   text ─ call: each call's argument is a text; those that stand as conditions are told apart
//!        ▸ function: what a call's type is, so that DataFusion can plan the statement around it
//!        ▸ resolve: each call becomes the expression that it compiles to, over columns of the events beneath it
//! ```
//!
//! The one idea: an event is a row of the table `events`, whatever of it a statement shows. So a call may stand wherever rows
//! of events are in reach, through aliases, inner queries, CTEs and joins, and the columns that it reads are carried up
//! to it under names of their own. What is left in the plan is what the reports' `where` and `on` are made of: same
//! compiler, same pruning.
//!
//! Invariants:
//! - X1: no call is left in a plan that runs.
//! - X2: resolving changes no schema that a person sees: names, types and order of columns stay.
//! - X3: columns are carried only within a row: never through groupings, unions or `DISTINCT`, where rows are no events.

mod call;
mod carry;
mod function;
mod resolve;
#[cfg(test)]
mod tests;

use std::ops::Range;

use datafusion::error::DataFusionError;

use crate::error::QueryError;

pub use call::mark_conditions;
pub use function::{functions, tells_time};
pub use resolve::resolve;

/// What is wrong with a call. It travels through DataFusion's planner as an external error.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExprError {
    #[error("{message}")]
    Parse { message: String, span: Range<usize> },
    #[error("{message}")]
    Type { message: String, span: Range<usize> },
    /// The call itself is not as it must be, or not where it can be.
    #[error("{0}")]
    Call(&'static str),
}

impl From<ExprError> for DataFusionError {
    fn from(error: ExprError) -> Self {
        Self::External(Box::new(error))
    }
}

impl From<ExprError> for QueryError {
    fn from(error: ExprError) -> Self {
        match error {
            ExprError::Parse { message, span } => Self::Parse { field: "query", message, span },
            ExprError::Type { message, span } => Self::Type { field: "query", message, span },
            ExprError::Call(message) => Self::Statement { message: message.to_owned() },
        }
    }
}
