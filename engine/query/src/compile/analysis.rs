//! What can be said about a tree without a record: the types that each node can have, the values of its constant parts,
//! and the type errors that no record can avoid.

use std::collections::{HashMap, HashSet};

use footfall_eval::EvalValue as Value;
use footfall_lang::ast::{BinaryOp, Expr, ExprKind, Function, Source};

use super::kinds::{self, Kinds};
use super::scalar;
use super::tree::{Visit, parents_first, resolve};
use super::{Clock, CompileError, CompileErrorKind};

/// The outcome of a constant sub-tree.
#[derive(Clone, Debug)]
pub(super) enum Folded {
    Value(Value),
    TypeError,
}

/// What is known about one node.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) kinds: Kinds,
    /// The outcome, for the largest constant sub-trees.
    pub(super) folded: Option<Folded>,
    /// The outermost enclosing binder that the sub-tree refers to, counted from the root; the maximum if none.
    pub(super) outermost: usize,
    /// Whether it names no property and no variable of an enclosing binder.
    constant: bool,
    /// Whether a property is named in it.
    reads: bool,
    always: bool,
}

/// The facts about every node of one tree, by address.
pub(super) struct Analysis<'a> {
    facts: HashMap<*const Expr, Fact>,
    properties: Vec<(Source, &'a str)>,
}

/// What the root of a tree has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A boolean or undefined; anything else is a type error.
    Condition,
    Value,
}

impl<'a> Analysis<'a> {
    /// Analyses a tree.
    ///
    /// # Errors
    /// A type error that no record can avoid; of several, the first in the text.
    pub(super) fn of(root: &'a Expr, role: Role, clock: &Clock) -> Result<Self, CompileError> {
        let visits = parents_first(root);
        let mut analysis = Self { facts: HashMap::with_capacity(visits.len()), properties: properties_of(&visits) };
        let mut errors = Vec::new();
        for visit in visits.iter().rev() {
            analysis.enter(visit, clock, &mut errors);
        }
        analysis.fold(root, clock, &mut errors);
        if role == Role::Condition {
            analysis.check_condition("a filter", root, &mut errors);
        }
        match errors.into_iter().min_by_key(|error| error.span.start) {
            Some(error) => Err(error),
            None => Ok(analysis),
        }
    }

    /// The fact about a node; absent only for a node of another tree.
    pub(super) fn fact(&self, node: &Expr) -> Option<&Fact> {
        self.facts.get(&std::ptr::from_ref(node))
    }

    /// The properties named, in order of first mention, without repetition.
    pub(super) fn properties(&self) -> Vec<(Source, String)> {
        self.properties.iter().map(|(source, key)| (*source, (*key).to_owned())).collect()
    }

    fn enter(&mut self, visit: &Visit<'a>, clock: &Clock, errors: &mut Vec<CompileError>) {
        let node = visit.node;
        let (own, index) = self.variable(visit);
        let facts: Vec<&Fact> = node.children().into_iter().filter_map(|child| self.fact(child)).collect();
        let outermost = facts.iter().map(|fact| fact.outermost).fold(index, usize::min);
        let reads = matches!(node.kind, ExprKind::Lookup { .. }) || facts.iter().any(|fact| fact.reads);
        let constant = !reads && outermost >= visit.depth();
        if !constant {
            for child in node.children() {
                self.fold(child, clock, errors);
            }
        }
        for (place, condition) in conditions(node) {
            self.check_condition(&place, condition, errors);
        }
        let known = |child: &Expr| self.fact(child).map_or(Kinds::ANY, |fact| fact.kinds);
        let kinds = own.unwrap_or_else(|| kinds::of(node, known));
        let fact = Fact { kinds, folded: None, outermost, constant, reads, always: visit.always };
        self.facts.insert(std::ptr::from_ref(node), fact);
    }

    /// For a variable: its types, and the index of its binder.
    fn variable(&self, visit: &Visit<'a>) -> (Option<Kinds>, usize) {
        let ExprKind::Variable { name, path } = &visit.node.kind else { return (None, usize::MAX) };
        let Some(scope) = resolve(&visit.scope, name) else { return (None, usize::MAX) };
        let bound = scope.bound.filter(|_| path.is_empty()).and_then(|bound| self.fact(bound));
        (bound.map(|fact| fact.kinds), scope.index)
    }

    /// Evaluates a constant sub-tree.
    fn fold(&mut self, node: &Expr, clock: &Clock, errors: &mut Vec<CompileError>) {
        let Some(fact) = self.facts.get_mut(&std::ptr::from_ref(node)) else { return };
        if !fact.constant || fact.folded.is_some() {
            return;
        }
        fact.folded = Some(match scalar::evaluate_constant(node, clock) {
            Ok(value) => {
                fact.kinds = Kinds::of_value(&value);
                Folded::Value(value)
            }
            Err(error) => {
                if fact.always {
                    errors.push(type_error(error.message, error.span));
                }
                Folded::TypeError
            }
        });
    }

    fn check_condition(&self, place: &str, node: &Expr, errors: &mut Vec<CompileError>) {
        let Some(fact) = self.fact(node) else { return };
        let failed = matches!(fact.folded, Some(Folded::TypeError));
        if fact.always && !failed && !fact.kinds.meets(Kinds::CONDITION) {
            errors.push(type_error(format!("{place} must be boolean, found {}", fact.kinds.name()), node.span.clone()));
        }
    }
}

fn type_error(message: String, span: std::ops::Range<usize>) -> CompileError {
    CompileError { message, span, kind: CompileErrorKind::Type }
}

/// The properties that a tree names, in order of first mention, without repetition.
pub(super) fn properties_of<'a>(visits: &[Visit<'a>]) -> Vec<(Source, &'a str)> {
    let mut mentions: Vec<(usize, (Source, &str))> = Vec::new();
    for visit in visits {
        if let ExprKind::Lookup { source, key, .. } = &visit.node.kind {
            mentions.push((visit.node.span.start, (*source, key)));
        }
    }
    mentions.sort_by_key(|(start, _)| *start);
    let mut seen = HashSet::new();
    mentions.into_iter().map(|(_, property)| property).filter(|property| seen.insert(*property)).collect()
}

/// The children that must be boolean or undefined, and what they are called in messages.
fn conditions(node: &Expr) -> Vec<(String, &Expr)> {
    match &node.kind {
        ExprKind::Binary { op: op @ (BinaryOp::And | BinaryOp::Or), left, right } => {
            let place = format!("an operand of `{}`", op.symbol());
            vec![(place.clone(), left), (place, right)]
        }
        ExprKind::Call { function: function @ (Function::If | Function::Ifs), args } => {
            let place = || format!("a condition of `{}`", function.name());
            args.chunks_exact(2).filter_map(|pair| pair.first()).map(|condition| (place(), condition)).collect()
        }
        // The body of a quantifier is not evaluated for every record: a list may be empty.
        _ => Vec::new(),
    }
}
