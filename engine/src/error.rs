//! What can go wrong, sorted by what the caller should do about it.

use std::ops::Range;

/// What the caller should do: the server maps each kind to a status once per protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong; sending it again changes nothing.
    Invalid,
    /// No such project, table or report.
    NotFound,
    /// The request contradicts what is stored.
    Conflict,
    /// Try again later: overloaded, disk full, store unreachable.
    Unavailable,
    /// Stored data does not match its checksum or its invariants.
    Corrupt,
    /// A defect of ours.
    Internal,
}

/// An error as a client may see it: no paths, no secrets, no other project's names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub kind: ErrorKind,
    /// Stable word for programs: `parse`, `type`, `sql`, `unavailable`, …
    pub code: &'static str,
    pub message: String,
    /// The request's field at fault, where one is.
    pub field: Option<&'static str>,
    /// Byte offsets into the expression at fault.
    pub span: Option<Range<usize>>,
}

impl Error {
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into(), field: None, span: None }
    }

    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, code, message)
    }

    pub fn with_field(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    pub fn with_span(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }
}
