//! The selector expression language: text in, syntax tree and diagnostics with spans out.
//!
//! [`parse`] never fails and never panics: whatever the text, it returns a [`Parse`]. The way is text → tokens (`lexer`)
//! → tree (`parser`, with one file of `grammar/` per area); names, arity and patterns are checked on the way, so a tree
//! without diagnostics is correct as far as text alone can tell. The rules are those of
//! `shared/reference/expression-language.md`; section numbers in comments refer to it.
//!
//! Invariants:
//! - a [`Parse`] has a tree exactly when it has no diagnostics;
//! - in such a tree every variable is bound, every call has a right number of arguments, every pattern is valid;
//! - chains of operators are unbounded but nest to the left only; all other nesting is at most [`DEPTH_MAX`];
//! - printing a parsed tree and parsing that text gives the same tree, spans aside.
//!
//! Left out on purpose: values, schemas, evaluation.

pub mod ast;
mod diagnostic;
mod function;
mod grammar;
mod lexer;
mod operator;
mod parser;
mod pattern;
mod printer;
mod segment;
mod token;
mod tree;

pub use diagnostic::Diagnostic;
pub use function::{Arity, nearest};
pub use parser::{DEPTH_MAX, Parse, TEXT_BYTES_MAX, parse, parse_expression, parse_within};
pub use segment::parse_segment;
pub use tree::{LeftSpine, SpineStep, Walk};
