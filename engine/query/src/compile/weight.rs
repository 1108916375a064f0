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

fn of_expr(expr: &Expr, limit: usize) -> usize {
    let mut weight = 0;
    let visited = expr.apply(|node| {
        weight += 1;
        if let Expr::ScalarFunction(call) = node {
            let function = call.func.inner();
            weight += function.downcast_ref::<Evaluate>().map_or(0, Evaluate::nodes);
            weight += function.downcast_ref::<Nested>().map_or(0, Nested::nodes);
        }
        Ok(if weight < limit { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    // The closure does not fail.
    if visited.is_ok() { weight } else { limit }
}
