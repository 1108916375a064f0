//! A bound on the size of what is compiled.
//!
//! A variable may be named twice, and some operators need an operand twice: both double the expression, and nesting
//! doubles it again. A sub-tree that grows out of proportion to its text is left to the fallback, which holds it once.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;
use footfall_lang::ast;

use super::fallback::Evaluate;
use super::lanes::Lanes;
use super::nested::Nested;

/// What lanes compiled from a tree may weigh.
pub(super) fn limit(tree: &ast::Expr) -> usize {
    1_000 + 16 * tree.walk().count()
}

/// The number of nodes of all lanes, trees within functions included; `limit` or a little more if there are more.
pub(super) fn of(lanes: &Lanes, limit: usize) -> usize {
    exprs(lanes).fold(0, |weight, expr| if weight < limit { weight + of_expr(expr, limit - weight) } else { weight })
}

fn exprs(lanes: &Lanes) -> impl Iterator<Item = &Expr> {
    let bool = lanes.bool.iter().flat_map(|truth| &truth.terms);
    let number = lanes.number.iter().map(|part| part.expr());
    let datetime = lanes.datetime.iter().map(|instant| instant.expr());
    let others = lanes.text.iter().chain(&lanes.null).chain(&lanes.nested).chain(&lanes.errors.all);
    bool.chain(number).chain(datetime).chain(others)
}

/// What planning makes of an expression, which is more than it holds: `coalesce` becomes a `CASE` that names each argument
/// but the last twice, and a `CASE` of booleans becomes logic that names each condition twice. Thirty of them within each
/// other would be planned for ever.
fn of_expr(expr: &Expr, limit: usize) -> usize {
    let mut weight = 1;
    if let Expr::ScalarFunction(call) = expr {
        let function = call.func.inner();
        weight += function.downcast_ref::<Evaluate>().map_or(0, Evaluate::nodes);
        weight += function.downcast_ref::<Nested>().map_or(0, Nested::nodes);
    }
    let again: Vec<&Expr> = match expr {
        Expr::ScalarFunction(call) if call.func.name() == "coalesce" => call.args.iter().rev().skip(1).collect(),
        Expr::Case(case) => case.when_then_expr.iter().map(|(when, _)| when.as_ref()).collect(),
        _ => Vec::new(),
    };
    let visited = expr.apply_children(|child| {
        let once = of_expr(child, limit.saturating_sub(weight));
        let times = if again.iter().any(|other| std::ptr::eq(*other, child)) { 2 } else { 1 };
        weight += times * once;
        Ok(if weight < limit { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    // The closure does not fail.
    if visited.is_ok() { weight } else { limit }
}
