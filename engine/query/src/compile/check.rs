//! What is known of an expression without running it: its types as far as text and columns tell, what it reads, and what
//! kind of work it is.

use footfall_lang::ast::{self, ExprKind, Function, Source};

use super::analysis::{Analysis, Role};
use super::compiler::Compiler;
use super::kinds::Kinds;
use super::lanes::Lanes;
use super::{Clock, CompileError, PropertyColumns, PropertyResolver};

/// What an expression is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A filter: its value must be a boolean or undefined.
    Condition,
    Value,
}

/// What work an expression is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostClass {
    /// The same for every record: no work at all.
    Constant,
    /// Column code over the named properties.
    Columns,
    /// It also looks into lists or maps.
    Nested,
}

/// What is known of an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// The types that its value can have, by the language's names.
    pub types: Vec<&'static str>,
    /// Every property named, in order of first mention, without repetition, and the types that it was seen with.
    pub properties: Vec<(Source, String, Vec<&'static str>)>,
    pub cost: CostClass,
}

const NAMES: [(Kinds, &str); 8] = [
    (Kinds::BOOL, "boolean"),
    (Kinds::NUMBER, "number"),
    (Kinds::TEXT, "string"),
    (Kinds::DATETIME, "datetime"),
    (Kinds::LIST, "list"),
    (Kinds::MAP, "map"),
    (Kinds::NULL, "null"),
    (Kinds::UNDEFINED, "undefined"),
];

/// Looks at a tree without running it.
///
/// # Errors
/// A type error that no record can avoid.
pub fn check(
    expr: &ast::Expr,
    used_as: Use,
    resolver: &dyn PropertyResolver,
    clock: &Clock,
) -> Result<Known, CompileError> {
    let role = match used_as {
        Use::Condition => Role::Condition,
        Use::Value => Role::Value,
    };
    let analysis = Analysis::of(expr, role, clock)?;
    let by_text = analysis.fact(expr).map_or(Kinds::ANY, |fact| fact.kinds);
    let by_columns = of_lanes(&Compiler::new(&analysis, resolver, clock).compile(expr, 0));
    let types = NAMES.iter().filter(|(kind, _)| by_text.meets(*kind) && by_columns.meets(*kind)).map(|(_, name)| *name);
    let properties = analysis.properties().into_iter().map(|(source, key)| {
        let seen = types_of(&resolver.property(source, &key));
        (source, key, seen)
    });
    Ok(Known { types: types.collect(), properties: properties.collect(), cost: cost(expr, &analysis) })
}

/// The types of the lanes that are there.
pub(super) fn of_lanes(lanes: &Lanes) -> Kinds {
    if let Some(value) = &lanes.constant {
        return Kinds::of_value(value);
    }
    let parts = [
        (lanes.bool.is_some(), Kinds::BOOL),
        (!lanes.number.is_empty(), Kinds::NUMBER),
        (lanes.text.is_some(), Kinds::TEXT),
        (lanes.datetime.is_some(), Kinds::DATETIME),
        (lanes.nested.is_some(), Kinds::LIST | Kinds::MAP),
        (lanes.null.is_some(), Kinds::NULL),
        (!lanes.total, Kinds::UNDEFINED),
    ];
    parts.into_iter().filter(|(there, _)| *there).fold(Kinds::NONE, |all, (_, kind)| all | kind)
}

/// The types that a property was seen with.
fn types_of(columns: &PropertyColumns) -> Vec<&'static str> {
    let number = columns.int.is_some() || columns.float.is_some() || columns.unix_time.is_some();
    let parts = [
        (columns.bool.is_some(), "boolean"),
        (number, "number"),
        (columns.text.is_some(), "string"),
        (columns.datetime.is_some(), "datetime"),
        (columns.json.is_some(), "list"),
        (columns.json.is_some(), "map"),
        (columns.null.is_some(), "null"),
    ];
    parts.into_iter().filter(|(there, _)| *there).map(|(_, name)| name).collect()
}

fn cost(expr: &ast::Expr, analysis: &Analysis<'_>) -> CostClass {
    let looks_inside = |node: &ast::Expr| match &node.kind {
        ExprKind::Quantifier { .. } => true,
        ExprKind::Lookup { path, .. } | ExprKind::Variable { path, .. } => !path.is_empty(),
        ExprKind::Call { function, .. } => {
            matches!(function, Function::List | Function::Len | Function::Sum | Function::Split)
        }
        _ => false,
    };
    match (analysis.properties().is_empty(), expr.walk().any(looks_inside)) {
        (true, _) => CostClass::Constant,
        (false, true) => CostClass::Nested,
        (false, false) => CostClass::Columns,
    }
}
