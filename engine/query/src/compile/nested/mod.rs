//! Lists and maps, column by column.
//!
//! A list or map is stored as JSON text. What an expression asks of its inside is known before any record is read: keys
//! and positions are literals. So each text is [decoded](decode) once in a batch into columns of just what is asked for, in
//! nested form: the elements of all lists one after the other, an offset and a length for each list. The body of a
//! quantifier is compiled like any other expression, on the columns of the elements, runs once for all elements of a
//! batch ([`block`]), and is [reduced](reduce) to the lists again. Bodies may hold quantifiers, to any depth.
//!
//! At compile time a level is a [`Frame`]: the first one stands for the rows, each quantifier adds one. An expression of
//! an outer level is *captured*: it becomes a column of the inner one, repeated for each element.
//!
//! Invariants, beside those of the compiler:
//! - N1: a property is decoded at most once in a batch, whatever names it and how often ([`memo`]).
//! - N2: a column is decoded, and an outer one repeated, only if something reads it.
//! - N3: memory is bounded by what lies in the batch and [`block`]'s limit on elements; time by the evaluator's budget.
//!
//! What is left to [`super::fallback`], and why: comparing lists that were computed (nothing holds their text); an element
//! of a computed list that is itself looked into; lists made by `split`, by conditions or by `list` of what is computed, and
//! lists written in the expression (rare, and not in JSON); `regex_replace` (its result can grow without bound); the keys of a list's segments
//! (they have to be made distinct in each row anyway). A quantifier with such a body goes there whole.

mod block;
mod decode;
mod demand;
mod frame;
mod function;
mod inside;
pub(super) mod memo;
mod reduce;
mod scan;

use std::sync::Arc;

use datafusion::logical_expr::Expr;
use footfall_lang::ast::{Index, Source};

use demand::{Hop, Lane};

pub(super) use decode::Decoder;
#[cfg(test)]
pub(super) use decode::count;
pub(super) use frame::Frame;
pub(super) use function::Nested;
pub(super) use reduce::Reduction;

/// Where the lists and maps of a value are to be found.
#[derive(Clone, Debug)]
pub(super) enum Inside {
    /// In JSON that is decoded.
    Json(Place),
    /// In a column of lists that a step made, of the same frame as the value's lanes.
    Lists { list: Expr, elements: Elements },
}

/// A value in JSON: the way from something that has columns.
#[derive(Clone, Debug)]
pub(super) struct Place {
    root: Root,
    path: Vec<Index>,
}

#[derive(Clone, Debug)]
enum Root {
    Property(Source, String),
    /// A property as `list(x)` has it: nothing but the list.
    Listed(Source, String),
    /// The element that a frame is about, and the way to it from the property.
    Element {
        frame: usize,
        decoder: Arc<Decoder>,
        way: Vec<Hop>,
    },
}

impl Place {
    pub(super) fn property(source: Source, key: &str) -> Self {
        Self { root: Root::Property(source, key.to_owned()), path: Vec::new() }
    }

    pub(super) fn join(&self, path: &[Index]) -> Self {
        Self { root: self.root.clone(), path: self.path.iter().chain(path).cloned().collect() }
    }

    /// Whether it can be found from any frame.
    fn is_property(&self) -> bool {
        matches!(self.root, Root::Property(..))
    }
}

/// What the elements of a list consist of.
#[derive(Clone, Debug)]
pub(super) enum Elements {
    Json {
        decoder: Arc<Decoder>,
        way: Vec<Hop>,
    },
    /// These lanes and nothing inside.
    Computed(Vec<Lane>),
}
