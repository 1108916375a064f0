//! What is wrong with a text, and where.

use crate::ast::Span;

/// One mistake in an expression, ready to be shown to the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}, offset={}", .span.start)]
pub struct Diagnostic {
    /// What was expected, what was found, and the suggestion if there is one.
    pub message: String,
    /// The bytes at fault; empty and at the end when the text stops too early.
    pub span: Span,
    /// The name that was probably meant, for a misspelt function or source.
    pub suggestion: Option<String>,
}

/// The mistake that ends a parse, boxed to keep the stack frames of the recursive grammar rules small.
pub(crate) type Stop = Box<Diagnostic>;

impl Diagnostic {
    pub(crate) fn new(message: impl Into<String>, span: Span) -> Self {
        Self { message: message.into(), span, suggestion: None }
    }

    /// Adds "did you mean" when there is something to suggest.
    pub(crate) fn suggesting(mut self, name: Option<&str>) -> Self {
        if let Some(name) = name {
            self.message.push_str(&format!("; did you mean `{name}`?"));
            self.suggestion = Some(name.to_owned());
        }
        self
    }
}
