//! Walking a syntax tree without recursion, with scopes.
//!
//! A tree may be a left-leaning chain of thousands of operators. So nodes are listed parents first; read backwards, the
//! list gives children before parents, and the value of a `let` before the body that names it.

use std::rc::Rc;

use footfall_lang::ast::{Expr, ExprKind, Function};

/// A node on the way.
pub(super) struct Visit<'a> {
    pub(super) node: &'a Expr,
    pub(super) scope: ScopeRef<'a>,
    /// Whether every record evaluates it: it is in no branch that a condition chooses, and no body of a quantifier.
    pub(super) always: bool,
}

impl Visit<'_> {
    /// How many binders enclose the node.
    pub(super) fn depth(&self) -> usize {
        self.scope.as_ref().map_or(0, |scope| scope.index + 1)
    }
}

/// A binder seen from inside; absent outside all.
pub(super) type ScopeRef<'a> = Option<Rc<Scope<'a>>>;

pub(super) struct Scope<'a> {
    name: &'a str,
    /// The value of a `let`; absent for the elements of a quantifier.
    pub(super) bound: Option<&'a Expr>,
    /// How many binders enclose this one.
    pub(super) index: usize,
    outer: ScopeRef<'a>,
}

impl<'a> Scope<'a> {
    fn inside(outer: &ScopeRef<'a>, name: &'a str, bound: Option<&'a Expr>) -> ScopeRef<'a> {
        let index = outer.as_ref().map_or(0, |scope| scope.index + 1);
        Some(Rc::new(Scope { name, bound, index, outer: outer.clone() }))
    }
}

/// The innermost binder of a name.
pub(super) fn resolve<'s, 'a>(mut scope: &'s ScopeRef<'a>, name: &str) -> Option<&'s Scope<'a>> {
    while let Some(current) = scope {
        if current.name == name {
            return Some(current);
        }
        scope = &current.outer;
    }
    None
}

/// Every node, parents before children.
pub(super) fn parents_first(root: &Expr) -> Vec<Visit<'_>> {
    let mut visits = Vec::new();
    let mut pending = vec![Visit { node: root, scope: None, always: true }];
    while let Some(visit) = pending.pop() {
        push_children(&visit, &mut pending);
        visits.push(visit);
    }
    visits
}

/// Pushes in the order of the text, so that the last is visited first.
fn push_children<'a>(visit: &Visit<'a>, pending: &mut Vec<Visit<'a>>) {
    let mut push = |node: &'a Expr, scope: &ScopeRef<'a>, always: bool| {
        pending.push(Visit { node, scope: scope.clone(), always: visit.always && always });
    };
    match &visit.node.kind {
        ExprKind::Literal(_) | ExprKind::Now | ExprKind::Lookup { .. } | ExprKind::Variable { .. } => {}
        ExprKind::Unary { operand, .. } => push(operand, &visit.scope, true),
        ExprKind::Binary { left, right, .. } => {
            push(left, &visit.scope, true);
            push(right, &visit.scope, true);
        }
        ExprKind::Call { function, args } => {
            let branches = matches!(function, Function::If | Function::Ifs);
            for (position, arg) in args.iter().enumerate() {
                push(arg, &visit.scope, position == 0 || !branches);
            }
        }
        ExprKind::Quantifier { variable, list, body, .. } => {
            push(list, &visit.scope, true);
            push(body, &Scope::inside(&visit.scope, variable, None), false);
        }
        ExprKind::Let { bindings, body } => {
            let mut scope = visit.scope.clone();
            for (name, value) in bindings {
                push(value, &scope, true);
                scope = Scope::inside(&scope, name, Some(value));
            }
            push(body, &scope, true);
        }
    }
}
