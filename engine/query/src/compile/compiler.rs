//! The tree walk: each node to its lanes.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::logical_expr::{Expr, lit};
use footfall_eval::EvalValue as Value;
use footfall_lang::ast::{self, BinaryOp, ExprKind, Source, UnaryOp};

use super::analysis::{Analysis, Folded};
use super::lanes::{Errors, Instant, Lanes, NumberPart, Truth, choose, not_true, only_where};
use super::nested::{Decoder, Frame, Inside, Place};
use super::number::Comparison;
use super::{Clock, PropertyColumns, PropertyResolver, compare, fallback, functions, weight};

/// Deeper than this, a sub-tree is left to the fallback, so that no input makes a plan that planning cannot walk.
/// Chains of `and` and `or` count as one level.
const LEVELS_MAX: usize = 40;

/// A name in scope.
pub(super) struct Bound<'a> {
    pub(super) name: &'a str,
    /// Of a `let`; absent for the elements of a quantifier.
    pub(super) value: Option<&'a ast::Expr>,
    pub(super) lanes: Lanes,
    /// How many frames enclose what the lanes are made of.
    pub(super) frame: usize,
}

pub(super) struct Compiler<'a> {
    analysis: &'a Analysis<'a>,
    pub(super) clock: Clock,
    columns: HashMap<(Source, String), PropertyColumns>,
    /// Innermost last; a binding's position is its index among all binders.
    pub(super) scope: Vec<Bound<'a>>,
    /// The rows first, then the elements of each quantifier around; empty outside of what looks into lists and maps.
    pub(super) frames: Vec<Frame>,
    /// By the columns that they decode; shared by everything in the expression that looks into these.
    pub(super) decoders: HashMap<Expr, Arc<Decoder>>,
    /// The same of properties that `list(x)` is made of.
    pub(super) list_decoders: HashMap<(Source, String), Arc<Decoder>>,
    /// Whether something within the frames has no columnar form: what was entered is then left to the fallback whole.
    pub(super) failed: bool,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(analysis: &'a Analysis<'a>, resolver: &dyn PropertyResolver, clock: &Clock) -> Self {
        let properties = analysis.properties().into_iter();
        let columns = properties.map(|(source, key)| {
            let columns = resolver.property(source, &key);
            ((source, key), columns)
        });
        Self {
            analysis,
            clock: *clock,
            columns: columns.collect(),
            scope: Vec::new(),
            frames: Vec::new(),
            decoders: HashMap::new(),
            list_decoders: HashMap::new(),
            failed: false,
        }
    }

    /// Compiles a node that lies `level` levels below the root.
    pub(super) fn compile(&mut self, node: &'a ast::Expr, level: usize) -> Lanes {
        if self.failed {
            return Lanes::undefined();
        }
        let lanes = self.compile_node(node, level);
        let limit = weight::limit(node);
        if weight::of(&lanes, limit) < limit { lanes } else { self.fall_back(node) }
    }

    pub(super) fn compile_node(&mut self, node: &'a ast::Expr, level: usize) -> Lanes {
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
            // Constants are folded.
            ExprKind::Literal(_) | ExprKind::Now => self.fall_back(node),
            ExprKind::Lookup { source, key, path } => self.lookup(node, *source, key, path, level),
            ExprKind::Variable { name, path } => self.variable(node, name, path, level),
            ExprKind::Unary { op, operand } => {
                let operand = self.compile(operand, level + 1);
                unary(*op, &operand)
            }
            ExprKind::Binary { op, left, right } => self.binary(node, *op, left, right, level),
            ExprKind::Call { function, args } => self.call(node, *function, args, level),
            ExprKind::Quantifier { .. } if self.is_inside() => self.quantify(node, level),
            ExprKind::Quantifier { list, .. } => {
                let list = self.compile(list, level + 1);
                if list.nested.is_some() { self.enter(node, level) } else { undefined_after(&[list]) }
            }
            ExprKind::Let { bindings, body } => self.bind(node, bindings, body, level),
        }
    }

    fn lookup(&mut self, node: &'a ast::Expr, source: Source, key: &str, path: &[ast::Index], level: usize) -> Lanes {
        let columns = self.columns_of(source, key);
        let place = Place::property(source, key);
        match (path.is_empty(), columns.json.is_some()) {
            (true, _) => self.lift(Lanes { inside: Some(Inside::Json(place)), ..property(columns) }, 0),
            // Only lists and maps have something inside.
            (false, false) => Lanes::undefined(),
            (false, true) if self.is_inside() => self.at(&place.join(path)),
            (false, true) => self.enter(node, level),
        }
    }

    /// The columns of a property of this tree.
    pub(super) fn columns_of(&self, source: Source, key: &str) -> PropertyColumns {
        // The map's key owns its text; a look-up for each mention is too rare to mind the copy.
        self.columns.get(&(source, key.to_owned())).cloned().unwrap_or_default()
    }

    fn variable(&mut self, node: &'a ast::Expr, name: &str, path: &[ast::Index], level: usize) -> Lanes {
        let Some(bound) = self.scope.iter().rev().find(|bound| bound.name == name) else {
            return Lanes::undefined();
        };
        let (lanes, frame) = (bound.lanes.clone(), bound.frame);
        match (path.is_empty(), lanes.nested.is_some(), &lanes.inside) {
            (true, ..) => self.lift(lanes, frame),
            (false, false, _) => Lanes::undefined(),
            (false, true, Some(Inside::Json(place))) if self.is_inside() => self.at(&place.join(path)),
            (false, true, _) => self.enter(node, level),
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
        let mut entered = self.is_inside();
        let limit = weight::limit(node);
        for (name, value) in bindings {
            let mut lanes = self.compile(value, level + 1);
            total += weight::of(&lanes, limit);
            errors.add(std::mem::take(&mut lanes.errors).all);
            // A name is not a literal, whatever it is bound to.
            lanes.written = false;
            let computed = lanes.nested.is_some() && lanes.inside.is_none();
            self.scope.push(Bound { name, value: Some(value), lanes, frame: self.frames.len() });
            // What is inside of a computed list is known only within the frames.
            if computed && !std::mem::replace(&mut entered, true) {
                let inner = self.scope.split_off(outer);
                if let Some(lanes) = self.try_enter(node, level) {
                    return lanes;
                }
                self.scope.extend(inner);
            }
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
        let mut errors = Errors::of([&left, &right]);
        let result = match op {
            BinaryOp::Equal | BinaryOp::NotEqual => {
                let Some(equal) = self.equal(&left, &right) else { return self.enter(node, level) };
                let equal = Lanes::of_bool(equal);
                if op == BinaryOp::Equal { equal } else { Lanes::of_bool(compare::negated(&equal)) }
            }
            BinaryOp::In | BinaryOp::NotIn => {
                let Some(mut member) = self.member(node, &left, &right) else { return self.enter(node, level) };
                errors.add(std::mem::take(&mut member.errors).all);
                if op == BinaryOp::In { member } else { Lanes::of_bool(compare::negated(&member)) }
            }
            _ => match comparison(op) {
                Some(comparison) => Lanes::of_bool(compare::ordered(&left, &right, comparison, &self.clock)),
                None => arithmetic(op, &left, &right),
            },
        };
        result.with_errors(errors)
    }

    /// `left in right`, before negation; absent if it cannot be said from outside of the list.
    fn member(&mut self, node: &'a ast::Expr, left: &Lanes, right: &Lanes) -> Option<Lanes> {
        if let Some(Value::List(list)) = &right.constant {
            let ExprKind::Binary { right, .. } = &node.kind else { return None };
            // Only of elements written as literals is it known how their dates are read.
            let literal = matches!(&right.kind, ExprKind::Literal(_));
            let fall_back = !literal || compare::member_needs_fallback(left, list);
            return (!fall_back).then(|| Lanes::of_bool(compare::one_of(left, list, &self.clock)));
        }
        let substring = compare::substring(left, right);
        if right.nested.is_none() {
            return Some(Lanes::of_bool(Truth::partial(substring.into_iter().collect())));
        }
        if !self.is_inside() {
            return None;
        }
        let mut member = self.has_element(left, right)?;
        if let (Some(truth), Some(substring)) = (&mut member.bool, substring) {
            truth.terms.push(substring);
        }
        Some(member)
    }

    /// Evaluates the node row by row. From within a frame that is only possible for what reads nothing of it.
    pub(super) fn fall_back(&mut self, node: &ast::Expr) -> Lanes {
        let fact = self.analysis.fact(node);
        if self.is_inside() && fact.is_none_or(|fact| fact.outermost < self.scope.len()) {
            self.failed = true;
            return Lanes::undefined();
        }
        let kinds = fact.map_or(super::kinds::Kinds::ANY, |fact| fact.kinds);
        let lanes = fallback::lanes(self.closed(node), kinds, self);
        self.lift(lanes, 0)
    }

    /// The tree that the fallback evaluates: the node within the bindings that it needs.
    pub(super) fn closed(&self, node: &ast::Expr) -> ast::Expr {
        let outermost = |node: &ast::Expr| self.analysis.fact(node).map_or(0, |fact| fact.outermost);
        let mut first = outermost(node).min(self.scope.len());
        // A binding may need ones before it.
        for (index, bound) in self.scope.iter().enumerate().rev() {
            if let (true, Some(value)) = (index >= first, bound.value) {
                first = first.min(outermost(value));
            }
        }
        let needed = self.scope.get(first..).unwrap_or_default();
        let binding = |bound: &Bound<'_>| Some((bound.name.to_owned(), bound.value?.clone()));
        let bindings: Vec<_> = needed.iter().filter_map(binding).collect();
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
