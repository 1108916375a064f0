//! A scalar evaluator of selector expressions: one tree, one record, one value. No Arrow, no DataFusion.
//!
//! The one idea: the meaning of every operator and function is a pure public function of values (`operators`, `cast`,
//! `datetime`, `text`, `pattern`, `segment`), and the evaluator only walks the tree and calls them. The columnar compiler
//! calls the same functions, so the two cannot drift apart; that both are right is tested against a third, written apart
//! from them (`query/src/compile/tests/reference.rs`).
//!
//! The rules are those of `shared/reference/expression-language.md`; section numbers in comments refer to it.
//!
//! Invariants:
//! - numbers are finite: an operation that would give an infinity or NaN gives undefined;
//! - nothing panics, whatever the tree and the record;
//! - the cost of one evaluation is bounded ([`BUDGET`]): nested quantifiers and doubling `let`s would otherwise run for
//!   ever, or take all memory, on a small expression. A record that would exceed it is a type error like any other.

pub mod cast;
mod clock;
pub mod datetime;
mod evaluator;
pub mod operators;
pub mod pattern;
mod record;
pub mod segment;
pub mod text;
mod type_error;
mod value;

pub use cast::{number_to_text, parse_number};
pub use clock::Clock;
pub use datetime::parse_datetime;
pub use evaluator::{BUDGET, evaluate, evaluate_formula, matches};
pub use operators::{Case, Operand};
pub use record::{Lookup, Members, Nothing, Record};
pub use segment::segment_keys;
pub use type_error::TypeError;
pub use value::{EvalValue, List, Map};
