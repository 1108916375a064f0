//! Syntax tree + known columns → DataFusion expressions with exactly the language's dynamic semantics.
//!
//! One property may have been sent with several JSON types; each (name, type) is its own nullable column. So a value is
//! compiled to *lanes*: one expression for each type that it can have, at most one of them non-null in a row, all null
//! meaning undefined. Operators combine only the lanes that exist, so that the common case (one type, a literal on the
//! other side) comes out as the comparison a person would have written in SQL, and statistics can prune with it.
//!
//! What looks into lists and maps is compiled the same way, on columns decoded from JSON ([`nested`]). The little that has
//! no columnar form is left to [`fallback`]: one function that holds the sub-tree and asks `footfall_eval` row by row, over
//! just the columns that the sub-tree names. The scalar evaluator is also what folds constants. Both are
//! tested against a third, slow one that shares no function with them (`tests/reference.rs`).
//!
//! Invariants:
//! - C1: where a row of the record gives a value, the lane of its type is non-null and every other lane is null.
//! - C2: where `type_error` is true the filter is not true, and the segment is `undefined`.
//! - C3: an error that no record can avoid is reported by the compiler, and no other error is.
//! - C4: the depth of the result is bounded whatever the input; chains of `and` and `or` become balanced trees.
//!
//! Deliberately absent: parsing, files, reports; the letter-case folding of formulas; and, in what is columnar, the
//! evaluator's budget, which only nested quantifiers, `let`s and replacements can exceed (bounded by [`nested`] and
//! [`weight`], or the fallback's).

mod analysis;
mod calls;
mod casts;
mod check;
mod column;
mod compare;
mod compiler;
mod fallback;
mod functions;
mod kinds;
mod lanes;
mod nested;
mod number;
mod scalar;
mod segment;
#[cfg(test)]
mod tests;
mod tree;
mod weight;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use footfall_lang::ast::{self, Source, Span};

use analysis::{Analysis, Role};
use compiler::Compiler;
use lanes::{Errors, Lanes, all_of, not_true, only_where};

pub use check::{CostClass, Known, Use, check};
pub use column::{CompiledColumn, CompiledCondition, compile_column, compile_condition};
pub use footfall_eval::Clock;
pub use functions::{NumberFunction, all as functions};

/// The columns that hold one property, one for each type it was seen with; absent ones were never written.
///
/// In a row at most one is non-null; if all are null the property is undefined there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PropertyColumns {
    /// Boolean.
    pub bool: Option<Expr>,
    /// Int64.
    pub int: Option<Expr>,
    /// Float64, finite.
    pub float: Option<Expr>,
    /// Utf8, Utf8View, LargeUtf8 or a dictionary of these.
    pub text: Option<Expr>,
    /// The JSON text (string types as for `text`) of a list or map, or of a null, which is exactly `null`.
    pub json: Option<Expr>,
    /// Boolean: true where the value is a null, if nulls have a column of their own. Then `json` holds none, and where
    /// there is no `json` the compiler knows that there are no lists and maps.
    pub null: Option<Expr>,
    /// Timestamp(Millisecond, UTC), the bare column: a datetime. The compiler floors it to whole seconds, so that it
    /// can still compare the column itself with a literal, which prunes.
    pub datetime: Option<Expr>,
    /// Timestamp(Millisecond, UTC), the bare column: read as a *number*, whole Unix seconds (`properties["time"]`).
    pub unix_time: Option<Expr>,
}

impl PropertyColumns {
    /// The columns of a property that is always a text, such as `$event_name`.
    pub fn text(column: Expr) -> Self {
        Self { text: Some(column), ..Self::default() }
    }

    /// The columns of a property that is always a number of a Float64 column.
    pub fn float(column: Expr) -> Self {
        Self { float: Some(column), ..Self::default() }
    }

    /// Columns of every type, named after it: for a property of which nothing is known.
    pub(crate) fn of_any_type() -> Self {
        let column = |name: &str| Some(crate::resolver::by_name(name));
        Self {
            bool: column("boolean"),
            float: column("number"),
            text: column("string"),
            json: column("json"),
            null: column("null"),
            ..Self::default()
        }
    }

    /// The columns of `$time`.
    pub fn datetime(column: Expr) -> Self {
        Self { datetime: Some(column), ..Self::default() }
    }

    /// The columns of `time`.
    pub fn unix_time(column: Expr) -> Self {
        Self { unix_time: Some(column), ..Self::default() }
    }
}

/// Says where a property is stored. Called once for each distinct (source, key) of an expression.
pub trait PropertyResolver {
    /// The columns of a property; [`PropertyColumns::default`] if it was never seen (it is undefined everywhere).
    fn property(&self, source: Source, key: &str) -> PropertyColumns;
}

/// A `where`.
#[derive(Clone, Debug, PartialEq)]
pub struct CompiledFilter {
    /// Boolean: true keeps the row; false and null drop it. Its conjuncts are simple comparisons on bare columns
    /// wherever the expression allows.
    pub predicate: Expr,
    /// Boolean: true on the rows where a type error happens (false or null elsewhere); absent if there can be none.
    pub type_error: Option<Expr>,
    /// Every property named, in order of first mention, without repetition.
    pub properties: Vec<(Source, String)>,
}

/// An `on`.
#[derive(Clone, Debug, PartialEq)]
pub struct CompiledSegment {
    /// A string type, never null: the segment's key. Meaningless on rows whose value is a list.
    pub key: Expr,
    /// Present if the value can be a list: `List<Utf8>`, never null, of the row's distinct keys, at least one. A row
    /// whose value is not a list has exactly its `key`; so a caller unnests this, if present, and else reads `key`.
    pub list: Option<Expr>,
    /// As in [`CompiledFilter`]; the key of such a row is `undefined`.
    pub type_error: Option<Expr>,
    /// Every property named, in order of first mention, without repetition.
    pub properties: Vec<(Source, String)>,
}

/// A numeric expression, such as the `on` of `/segmentation/sum` or the measure of a formula.
#[derive(Clone, Debug, PartialEq)]
pub struct CompiledNumber {
    /// Float64: null where the value is not a number, or an error.
    pub value: Expr,
    /// As in [`CompiledFilter`].
    pub type_error: Option<Expr>,
    /// Every property named, in order of first mention, without repetition.
    pub properties: Vec<(Source, String)>,
}

/// What kind of mistake an expression holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompileErrorKind {
    /// A type error whatever the record, such as `x and 5`.
    Type,
}

/// Why an expression cannot be compiled.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    pub message: String,
    /// Byte offsets into the expression's text.
    pub span: Span,
    pub kind: CompileErrorKind,
}

/// Compiles a `where`.
///
/// # Errors
/// A type error that no record can avoid.
pub fn compile_where(
    expr: &ast::Expr,
    resolver: &dyn PropertyResolver,
    clock: &Clock,
) -> Result<CompiledFilter, CompileError> {
    let analysis = Analysis::of(expr, Role::Condition, clock)?;
    let lanes = Compiler::new(&analysis, resolver, clock).compile(expr, 0);
    let mut errors = lanes.errors.all.clone();
    errors.extend(lanes.not_boolean());
    Ok(CompiledFilter {
        predicate: filter_of(&lanes),
        type_error: Errors::flag(&errors),
        properties: analysis.properties(),
    })
}

/// True exactly where the value is true and no type error happens.
fn filter_of(lanes: &Lanes) -> Expr {
    let mut conjuncts = vec![lanes.filter()];
    conjuncts.extend(lanes::distinct(&lanes.errors.open).iter().map(not_true));
    all_of(conjuncts)
}

/// Compiles an `on`.
///
/// # Errors
/// A type error that no record can avoid.
pub fn compile_segment(
    expr: &ast::Expr,
    resolver: &dyn PropertyResolver,
    clock: &Clock,
) -> Result<CompiledSegment, CompileError> {
    let analysis = Analysis::of(expr, Role::Value, clock)?;
    let mut compiler = Compiler::new(&analysis, resolver, clock);
    let lanes = compiler.compile(expr, 0);
    let (key, list) = segment::keys(expr, &lanes, &compiler);
    let type_error = Errors::flag(&lanes.errors.all);
    Ok(CompiledSegment { key, list, type_error, properties: analysis.properties() })
}

/// Compiles an expression for its number.
///
/// # Errors
/// A type error that no record can avoid.
pub fn compile_number(
    expr: &ast::Expr,
    resolver: &dyn PropertyResolver,
    clock: &Clock,
) -> Result<CompiledNumber, CompileError> {
    let analysis = Analysis::of(expr, Role::Value, clock)?;
    let lanes = Compiler::new(&analysis, resolver, clock).compile(expr, 0);
    let type_error = Errors::flag(&lanes.errors.all);
    let value = match (lanes.float(), &type_error) {
        (None, _) => Expr::Literal(ScalarValue::Float64(None), None),
        (Some(number), None) => number,
        (Some(number), Some(error)) => only_where(not_true(error), number),
    };
    Ok(CompiledNumber { value, type_error, properties: analysis.properties() })
}

/// The first word of an expression that makes its value change by itself.
pub fn time_word(expr: &ast::Expr) -> Option<&'static str> {
    expr.walk().find_map(|node| match &node.kind {
        ast::ExprKind::Now => Some("NOW"),
        ast::ExprKind::Call { function: ast::Function::Today, .. } => Some("today()"),
        _ => None,
    })
}

/// The properties that an expression names, in order of first mention, without repetition.
pub fn properties_of(expr: &ast::Expr) -> Vec<(Source, String)> {
    let visits = tree::parents_first(expr);
    analysis::properties_of(&visits).into_iter().map(|(source, key)| (source, key.to_owned())).collect()
}
