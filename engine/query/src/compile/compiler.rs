//! The tree walk: each node to its lanes.

use std::collections::HashMap;

use datafusion::logical_expr::{Expr, lit};
use footfall_eval::EvalValue as Value;
use footfall_lang::ast::{self, BinaryOp, ExprKind, Source, UnaryOp};

use super::analysis::{Analysis, Folded};
use super::lanes::{Errors, Instant, Lanes, NumberPart, Truth, choose, not_true, only_where};
use super::number::Comparison;
use super::{Clock, PropertyColumns, PropertyResolver, compare, fallback, functions, weight};

/// Deeper than this, a sub-tree is left to the fallback, so that no input makes a plan that planning cannot walk.
/// Chains of `and` and `or` count as one level.
const LEVELS_MAX: usize = 40;

/// A `let` binding in scope.
struct Bound<'a> {
    name: &'a str,
    value: &'a ast::Expr,
    lanes: Lanes,
}

pub(super) struct Compiler<'a> {
    analysis: &'a Analysis<'a>,
    pub(super) clock: Clock,
    columns: HashMap<(Source, String), PropertyColumns>,
    /// Innermost last. Quantifiers are never entered, so a binding's position is its index among all binders.
    scope: Vec<Bound<'a>>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(analysis: &'a Analysis<'a>, resolver: &dyn PropertyResolver, clock: &Clock) -> Self {
        let properties = analysis.properties().into_iter();
        let columns = properties.map(|(source, key)| {
            let columns = resolver.property(source, &key);
            ((source, key), columns)
        });
        Self { analysis, clock: *clock, columns: columns.collect(), scope: Vec::new() }
    }

    /// Compiles a node that lies `level` levels below the root.
    pub(super) fn compile(&mut self, node: &'a ast::Expr, level: usize) -> Lanes {
        let lanes = self.compile_node(node, level);
        let limit = weight::limit(node);
        if weight::of(&lanes, limit) < limit { lanes } else { self.fall_back(node) }
    }

    fn compile_node(&mut self, node: &'a ast::Expr, level: usize) -> Lanes {
        match self.analysis.fact(node).and_then(|fact| fact.folded.as_ref()) {
            Some(Folded::Value(value)) => {
                let written = matches!(&node.kind, ExprKind::Literal(ast::Literal::Text(_)));
                return Lanes { written, ..Lanes::of_constant(value.clone()) };
            }
            Some(Folded::TypeError) => {
                let errors = Errors { all: vec![lit(true)], open: vec![lit(true)] };
                return Lanes::undefined().with_errors(errors);
            }
            None => {}
        }
        if level > LEVELS_MAX {
            return self.fall_back(node);
        }
        match &node.kind {
            // Constants are folded unless they are in a quantifier, which is never entered.
            ExprKind::Literal(_) | ExprKind::Now => self.fall_back(node),
            ExprKind::Lookup { source, key, path } => self.lookup(node, *source, key, path),
            ExprKind::Variable { name, path } => self.variable(node, name, path),
            ExprKind::Unary { op, operand } => {
                let operand = self.compile(operand, level + 1);
                unary(*op, &operand)
            }
            ExprKind::Binary { op, left, right } => self.binary(node, *op, left, right, level),
            ExprKind::Call { function, args } => self.call(node, *function, args, level),
            ExprKind::Quantifier { list, .. } => {
                let list = self.compile(list, level + 1);
                if list.nested.is_some() { self.fall_back(node) } else { undefined_after(&[list]) }
            }
            ExprKind::Let { bindings, body } => self.bind(node, bindings, body, level),
        }
    }

    fn lookup(&self, node: &'a ast::Expr, source: Source, key: &str, path: &[ast::Index]) -> Lanes {
        let columns = self.columns_of(source, key);
        match (path.is_empty(), columns.json.is_some()) {
            (true, _) => property(columns),
            // Only lists and maps have something inside.
            (false, false) => Lanes::undefined(),
            (false, true) => self.fall_back(node),
        }
    }

    /// The columns of a property of this tree.
    pub(super) fn columns_of(&self, source: Source, key: &str) -> PropertyColumns {
        // The map's key owns its text; a look-up for each mention is too rare to mind the copy.
        self.columns.get(&(source, key.to_owned())).cloned().unwrap_or_default()
    }

    fn variable(&self, node: &'a ast::Expr, name: &str, path: &[ast::Index]) -> Lanes {
        let Some(bound) = self.scope.iter().rev().find(|bound| bound.name == name) else {
            return Lanes::undefined();
        };
        match (path.is_empty(), bound.lanes.nested.is_some()) {
            (true, _) => bound.lanes.clone(),
            (false, false) => Lanes::undefined(),
            (false, true) => self.fall_back(node),
        }
    }

    fn bind(
        &mut self,
        node: &'a ast::Expr,
        bindings: &'a [(String, ast::Expr)],
        body: &'a ast::Expr,
        level: usize,
    ) -> Lanes {
        let outer = self.scope.len();
        let mut errors = Errors::default();
        let mut total = 0;
        let limit = weight::limit(node);
        for (name, value) in bindings {
            let mut lanes = self.compile(value, level + 1);
            total += weight::of(&lanes, limit);
            errors.add(std::mem::take(&mut lanes.errors).all);
            // A name is not a literal, whatever it is bound to.
            lanes.written = false;
            self.scope.push(Bound { name, value, lanes });
            if total > limit {
                self.scope.truncate(outer);
                return self.fall_back(node);
            }
        }
        let mut result = self.compile(body, level + 1);
        self.scope.truncate(outer);
        // Only a literal itself is one, not a `let` around it.
        result.written = false;
        // The body's own errors may already be excluded by its value.
        errors.open.extend(std::mem::take(&mut result.errors.open));
        errors.all.extend(std::mem::take(&mut result.errors.all));
        result.with_errors(errors)
    }

    fn binary(
        &mut self,
        node: &'a ast::Expr,
        op: BinaryOp,
        left: &'a ast::Expr,
        right: &'a ast::Expr,
        level: usize,
    ) -> Lanes {
        if let (BinaryOp::And | BinaryOp::Or, Some((_, operands))) = (op, node.flatten_chain()) {
            let operands: Vec<Lanes> = operands.into_iter().map(|operand| self.compile(operand, level + 1)).collect();
            return logic(op, &operands);
        }
        let (left, right) = (self.compile(left, level + 1), self.compile(right, level + 1));
        let errors = Errors::of([&left, &right]);
        let result = match op {
            BinaryOp::Equal | BinaryOp::NotEqual => {
                if compare::needs_fallback(&left, &right) {
                    return self.fall_back(node);
                }
                let equal = Lanes::of_bool(compare::equal(&left, &right, &self.clock));
                if op == BinaryOp::Equal { equal } else { Lanes::of_bool(compare::negated(&equal)) }
            }
            BinaryOp::In | BinaryOp::NotIn => {
                let Some(member) = self.member(node, op, &left, &right) else { return self.fall_back(node) };
                if op == BinaryOp::In { member } else { Lanes::of_bool(compare::negated(&member)) }
            }
            _ => match comparison(op) {
                Some(comparison) => Lanes::of_bool(compare::ordered(&left, &right, comparison, &self.clock)),
                None => arithmetic(op, &left, &right),
            },
        };
        result.with_errors(errors)
    }

    /// `left in right`, before negation; absent if all of it is for the fallback.
    fn member(&mut self, node: &'a ast::Expr, op: BinaryOp, left: &Lanes, right: &Lanes) -> Option<Lanes> {
        if let Some(Value::List(list)) = &right.constant {
            let ExprKind::Binary { right, .. } = &node.kind else { return None };
            // Only of elements written as literals is it known how their dates are read.
            let literal = matches!(&right.kind, ExprKind::Literal(_));
            let fall_back = !literal || compare::member_needs_fallback(left, list);
            return (!fall_back).then(|| Lanes::of_bool(compare::one_of(left, list, &self.clock)));
        }
        let substring = compare::substring(left, right);
        match &right.nested {
            None => Some(Lanes::of_bool(Truth::partial(substring.into_iter().collect()))),
            // The negation of what the fallback says would have to be undone; it is rare enough.
            Some(_) if op == BinaryOp::NotIn => None,
            Some(nested) => {
                let inside = self.fall_back(node).bool.map(|truth| only_where(nested.clone(), truth.value()));
                Some(Lanes::of_bool(Truth::partial(substring.into_iter().chain(inside).collect())))
            }
        }
    }

    /// Evaluates the node row by row.
    pub(super) fn fall_back(&self, node: &ast::Expr) -> Lanes {
        let kinds = self.analysis.fact(node).map_or(super::kinds::Kinds::ANY, |fact| fact.kinds);
        fallback::lanes(self.closed(node), kinds, self)
    }

    /// The tree that the fallback evaluates: the node within the bindings that it needs.
    pub(super) fn closed(&self, node: &ast::Expr) -> ast::Expr {
        let outermost = |node: &ast::Expr| self.analysis.fact(node).map_or(0, |fact| fact.outermost);
        let mut first = outermost(node).min(self.scope.len());
        // A binding may need ones before it.
        for (index, bound) in self.scope.iter().enumerate().rev() {
            if index >= first {
                first = first.min(outermost(bound.value));
            }
        }
        let needed = self.scope.get(first..).unwrap_or_default();
        let bindings: Vec<_> = needed.iter().map(|bound| (bound.name.to_owned(), bound.value.clone())).collect();
        if bindings.is_empty() {
            return node.clone();
        }
        ast::Expr { kind: ExprKind::Let { bindings, body: Box::new(node.clone()) }, span: node.span.clone() }
    }
}

/// A property's columns as lanes.
fn property(columns: PropertyColumns) -> Lanes {
    let number = [
        columns.int.map(NumberPart::Integer),
        columns.float.map(NumberPart::Float),
        columns.unix_time.map(NumberPart::UnixTime),
    ];
    let mut lanes = Lanes {
        bool: columns.bool.map(|column| Truth::partial(vec![column])),
        number: number.into_iter().flatten().collect(),
        text: columns.text,
        datetime: columns.datetime.map(Instant::Column),
        ..Lanes::default()
    };
    match (columns.null, columns.json) {
        (Some(null), json) => {
            lanes.null = Some(null);
            lanes.nested = json.map(Expr::is_not_null);
        }
        (None, Some(json)) => {
            lanes.null = Some(json.clone().eq(lit("null")));
            lanes.nested = Some(json.clone().not_eq(lit("null")));
            lanes.json = Some(json);
        }
        (None, None) => {}
    }
    lanes
}

/// An undefined value whose operands may still fail.
pub(super) fn undefined_after(operands: &[Lanes]) -> Lanes {
    Lanes { constant: None, ..Lanes::undefined() }.with_errors(Errors::of(operands))
}

fn logic(op: BinaryOp, operands: &[Lanes]) -> Lanes {
    let refused: Vec<Expr> = operands.iter().flat_map(Lanes::not_boolean).collect();
    let mut errors = Errors::of(operands);
    if op == BinaryOp::And {
        // The result is true only where each operand is the boolean true: none is refused then.
        errors.open = operands.iter().flat_map(|lanes| lanes.errors.open.iter().cloned()).collect();
        errors.all.extend(refused);
        return Lanes::of_bool(compare::conjunction(operands)).with_errors(errors);
    }
    errors.add(refused);
    Lanes::of_bool(compare::disjunction(operands)).with_errors(errors)
}

fn unary(op: UnaryOp, operand: &Lanes) -> Lanes {
    let result = match op {
        UnaryOp::Not => Lanes::of_bool(compare::negated(operand)),
        // Not a negation, which would make −0 of 0.
        UnaryOp::Negate => {
            let zero = || lit(0.0_f64);
            Lanes::of_number(operand.float().and_then(|x| functions::arithmetic(BinaryOp::Subtract, zero(), x)))
        }
    };
    result.with_errors(Errors::of([operand]))
}

fn comparison(op: BinaryOp) -> Option<Comparison> {
    match op {
        BinaryOp::Less => Some(Comparison::Less),
        BinaryOp::LessEqual => Some(Comparison::LessEqual),
        BinaryOp::Greater => Some(Comparison::Greater),
        BinaryOp::GreaterEqual => Some(Comparison::GreaterEqual),
        _ => None,
    }
}

fn arithmetic(op: BinaryOp, left: &Lanes, right: &Lanes) -> Lanes {
    let numbers = left.float().zip(right.float());
    let result = Lanes::of_number(numbers.and_then(|(l, r)| functions::arithmetic(op, l, r)));
    match (op, left.text.clone().zip(right.text.clone())) {
        (BinaryOp::Add, Some((l, r))) => Lanes { text: Some(functions::concat(l, r)), ..result },
        _ => result,
    }
}

/// A value that depends on a condition; each lane of either branch, where it applies.
pub(super) fn either(condition: &Expr, then: Lanes, otherwise: Lanes) -> Lanes {
    let pick = |a: Option<Expr>, b: Option<Expr>| match (a, b) {
        (None, None) => None,
        (Some(a), None) => Some(only_where(condition.clone(), a)),
        (None, Some(b)) => Some(only_where(not_true(condition), b)),
        (Some(a), Some(b)) => Some(choose(condition.clone(), a, b)),
    };
    let float = pick(then.float(), otherwise.float());
    let seconds = |lanes: &Lanes| lanes.datetime.as_ref().map(Instant::seconds);
    let truth = |lanes: &Lanes| lanes.bool.as_ref().map(Truth::value);
    Lanes {
        bool: pick(truth(&then), truth(&otherwise)).map(|term| Truth::partial(vec![term])),
        datetime: pick(seconds(&then), seconds(&otherwise)).map(Instant::Seconds),
        null: pick(then.null.clone(), otherwise.null.clone()),
        nested: pick(then.nested.clone(), otherwise.nested.clone()),
        total: then.total && otherwise.total,
        text: pick(then.text, otherwise.text),
        ..Lanes::of_number(float)
    }
}
