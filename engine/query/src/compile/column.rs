//! An expression as a column of SQL: one type for all rows, and NULL for what SQL has no word for.
//!
//! Undefined, null, and a row with a type error are all NULL. A boolean, number, text or datetime is a column of that type
//! if the value can be nothing else; a value of several types is text, as by `string()`, lists and maps as compact JSON.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr_fn::cast;
use footfall_lang::ast;

use super::analysis::{Analysis, Role};
use super::check::of_lanes;
use super::compiler::Compiler;
use super::kinds::Kinds;
use super::lanes::{Errors, Instant, Lanes, NumberPart, Truth, first_of, not_true, only_where};
use super::{Clock, CompileError, PropertyResolver, casts, fallback, filter_of, functions};

/// A value that SQL takes.
#[derive(Clone, Debug, PartialEq)]
pub struct CompiledColumn {
    /// Of exactly the type below.
    pub value: Expr,
    pub data_type: DataType,
}

/// A condition that SQL takes.
#[derive(Clone, Debug, PartialEq)]
pub struct CompiledCondition {
    /// Boolean: true where the condition holds, false or null elsewhere; the form that prunes.
    pub predicate: Expr,
    /// Boolean: true, false, or null where the value is undefined or a type error.
    pub truth: Expr,
}

/// Compiles a value of any type.
///
/// # Errors
/// A type error that no record can avoid.
pub fn compile_column(
    expr: &ast::Expr,
    resolver: &dyn PropertyResolver,
    clock: &Clock,
) -> Result<CompiledColumn, CompileError> {
    let analysis = Analysis::of(expr, Role::Value, clock)?;
    let mut compiler = Compiler::new(&analysis, resolver, clock);
    let lanes = compiler.compile(expr, 0);
    let by_text = analysis.fact(expr).map_or(Kinds::ANY, |fact| fact.kinds);
    let (value, data_type) = match kind(by_text, of_lanes(&lanes)) {
        Kinds::BOOL => (lanes.bool.as_ref().map(Truth::value), DataType::Boolean),
        Kinds::NUMBER => number(&lanes),
        Kinds::DATETIME => (lanes.datetime.as_ref().map(timestamp), utc(TimeUnit::Millisecond)),
        _ => (text(expr, &lanes, &compiler), DataType::Utf8),
    };
    let value = match (value, Errors::flag(&lanes.errors.all)) {
        (None, _) => Expr::Literal(ScalarValue::try_from(&data_type).unwrap_or(ScalarValue::Null), None),
        (Some(value), None) => value,
        (Some(value), Some(error)) => only_where(not_true(&error), value),
    };
    Ok(CompiledColumn { value, data_type })
}

/// Compiles a condition.
///
/// # Errors
/// A type error that no record can avoid.
pub fn compile_condition(
    expr: &ast::Expr,
    resolver: &dyn PropertyResolver,
    clock: &Clock,
) -> Result<CompiledCondition, CompileError> {
    let analysis = Analysis::of(expr, Role::Condition, clock)?;
    let lanes = Compiler::new(&analysis, resolver, clock).compile(expr, 0);
    let none = || Expr::Literal(ScalarValue::Boolean(None), None);
    let truth = lanes.bool.as_ref().map_or_else(none, Truth::value);
    // Elsewhere than on a boolean the lane is null by itself.
    let truth = match Errors::flag(&lanes.errors.all) {
        None => truth,
        Some(error) => only_where(not_true(&error), truth),
    };
    Ok(CompiledCondition { predicate: filter_of(&lanes), truth })
}

/// The one type that a value can have, apart from those that are NULL; anything else is text.
fn kind(by_text: Kinds, by_columns: Kinds) -> Kinds {
    let unset = Kinds::UNDEFINED | Kinds::NULL;
    // A property that was never seen has no columns to tell by.
    match by_text.and(by_columns).without(unset) {
        Kinds::NONE => by_text.without(unset),
        known => known,
    }
}

/// Whole numbers that are a column stay whole, so that they print and compare like the column.
fn number(lanes: &Lanes) -> (Option<Expr>, DataType) {
    match lanes.number.as_slice() {
        [NumberPart::Integer(column)] => (Some(column.clone()), DataType::Int64),
        [NumberPart::UnixTime(column)] => (Some(functions::seconds(column.clone())), DataType::Int64),
        _ => (lanes.float(), DataType::Float64),
    }
}

/// Whole seconds, in the type of the column `time`.
fn timestamp(instant: &Instant) -> Expr {
    cast(cast(instant.seconds(), utc(TimeUnit::Second)), utc(TimeUnit::Millisecond))
}

fn utc(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, Some("UTC".into()))
}

fn text(root: &ast::Expr, lanes: &Lanes, compiler: &Compiler<'_>) -> Option<Expr> {
    let mut candidates = casts::texts(lanes, &compiler.clock);
    if let Some(nested) = &lanes.nested {
        candidates.push(only_where(nested.clone(), fallback::json(compiler.closed(root), compiler)));
    }
    first_of(candidates.into_iter().map(|text| cast(text, DataType::Utf8)).collect())
}
