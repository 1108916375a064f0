//! The one error that evaluation can give.

use footfall_lang::ast::Span;

use crate::EvalValue;

/// A value that is neither boolean nor undefined stood where a condition must be (§4), or the budget ran out.
///
/// The record does not match (for `on`: it falls into the segment `undefined`); the query goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}, offset={}", .span.start)]
pub struct TypeError {
    pub message: String,
    /// The subexpression with the wrong value.
    pub span: Span,
}

impl TypeError {
    pub(crate) fn condition(place: &str, found: &EvalValue, span: &Span) -> Self {
        Self { message: format!("{place} must be boolean, found {}", found.type_name()), span: span.clone() }
    }
}
