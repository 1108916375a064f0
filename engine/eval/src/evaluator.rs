//! The tree walk: gives each node its operands' values and calls the pure function of the operator or function.
//!
//! Recursion follows the nesting of branches and binders, which the parser bounds; operators and other calls, however
//! many, are applied in a loop.

mod bindings;
mod budget;
mod calls;
#[cfg(test)]
mod tests;

use footfall_lang::ast::{BinaryOp, Expr, ExprKind, Function, Index, UnaryOp};

pub use self::budget::BUDGET;
use self::{
    bindings::Bindings,
    budget::{Budget, exhausted},
};
use crate::{
    Case, Clock, EvalValue, Operand, Record, TypeError,
    operators::{arithmetic, compare, equal, is_in, literal_zone, negate, not},
};

/// The value of a selector on a record.
pub fn evaluate(expr: &Expr, record: &Record<'_>, clock: &Clock) -> Result<EvalValue, TypeError> {
    Evaluator::new(record, clock, Case::Keep).eval(expr)
}

/// The value of a custom-property formula: as a selector, but letter case does not count in `==`, `!=` and `in` (§5.2).
pub fn evaluate_formula(expr: &Expr, record: &Record<'_>, clock: &Clock) -> Result<EvalValue, TypeError> {
    Evaluator::new(record, clock, Case::Fold).eval(expr)
}

/// The `where` role: whether the record is kept. False and undefined drop it, other values are type errors (§9).
pub fn matches(expr: &Expr, record: &Record<'_>, clock: &Clock) -> Result<bool, TypeError> {
    let value = evaluate(expr, record, clock)?;
    value.truth().ok_or_else(|| TypeError::condition("a filter", &value, &expr.span))
}

struct Evaluator<'e> {
    record: &'e Record<'e>,
    clock: &'e Clock,
    case: Case,
    bindings: Bindings<'e>,
    budget: Budget,
}

impl<'e> Evaluator<'e> {
    fn new(record: &'e Record<'e>, clock: &'e Clock, case: Case) -> Self {
        Self { record, clock, case, bindings: Bindings::default(), budget: Budget::default() }
    }

    /// The value of an expression. Strict nodes, whose operands are all evaluated first, are walked in a loop; only
    /// branches and binders take stack.
    fn eval(&mut self, expr: &'e Expr) -> Result<EvalValue, TypeError> {
        if !is_strict(expr) {
            return self.leaf_or_binder(expr);
        }
        let mut steps = vec![Step::Visit(expr)];
        let mut values = Vec::new();
        while let Some(step) = steps.pop() {
            let value = match step {
                Step::Visit(node) if is_strict(node) => {
                    let operands = node.children();
                    steps.push(Step::Apply(node, operands.len()));
                    steps.extend(operands.into_iter().rev().map(Step::Visit));
                    continue;
                }
                Step::Visit(node) => self.leaf_or_binder(node)?,
                Step::Apply(node, count) => {
                    let operands = values.split_off(values.len().saturating_sub(count));
                    self.apply(node, &operands)?
                }
            };
            values.push(value);
        }
        Ok(values.pop().unwrap_or(EvalValue::Undefined))
    }

    fn leaf_or_binder(&mut self, expr: &'e Expr) -> Result<EvalValue, TypeError> {
        let value = match &expr.kind {
            ExprKind::Call { function, args } => self.branches(*function, args)?,
            ExprKind::Quantifier { quantifier, variable, list, body } => {
                self.quantifier(*quantifier, variable, list, body)?
            }
            ExprKind::Let { bindings, body } => self.let_(bindings, body)?,
            leaf => self.leaf(leaf),
        };
        self.budget.spend(value.weight(), expr)?;
        Ok(value)
    }

    fn leaf(&self, kind: &ExprKind) -> EvalValue {
        match kind {
            ExprKind::Literal(literal) => EvalValue::from(literal),
            ExprKind::Now => EvalValue::Number(self.clock.now as f64),
            ExprKind::Lookup { source, key, path } => index_all(self.record.lookup(*source, key), path),
            ExprKind::Variable { name, path } => index_all(self.bindings.get(name), path),
            _ => EvalValue::Undefined,
        }
    }

    /// A strict node on the values of its operands.
    fn apply(&mut self, node: &Expr, operands: &[EvalValue]) -> Result<EvalValue, TypeError> {
        let value = match (&node.kind, operands) {
            (ExprKind::Unary { op: UnaryOp::Not, .. }, [operand]) => not(operand),
            (ExprKind::Unary { op: UnaryOp::Negate, .. }, [operand]) => negate(operand),
            (ExprKind::Binary { op, left, right }, [left_value, right_value]) => {
                self.binary(*op, (left, left_value), (right, right_value))?
            }
            (ExprKind::Call { function, args }, values) => {
                self.call(*function, args, values).ok_or_else(|| exhausted(node))?
            }
            _ => EvalValue::Undefined,
        };
        self.budget.spend(value.weight(), node)?;
        Ok(value)
    }

    /// Both operands are there: nothing short-circuits, so that a type error does not depend on the order (§5.5).
    fn binary(
        &self,
        op: BinaryOp,
        (left_expr, left): (&Expr, &EvalValue),
        (right_expr, right): (&Expr, &EvalValue),
    ) -> Result<EvalValue, TypeError> {
        let zone = self.clock.timezone;
        let l = Operand { value: left, literal_zone: literal_zone(left_expr, zone) };
        let r = Operand { value: right, literal_zone: literal_zone(right_expr, zone) };
        Ok(match op {
            BinaryOp::Or => (truth(op, left_expr, left)? | truth(op, right_expr, right)?).into(),
            BinaryOp::And => (truth(op, left_expr, left)? & truth(op, right_expr, right)?).into(),
            BinaryOp::Equal => equal(l, r, self.case).into(),
            BinaryOp::NotEqual => (!equal(l, r, self.case)).into(),
            BinaryOp::Less | BinaryOp::LessEqual | BinaryOp::Greater | BinaryOp::GreaterEqual => {
                EvalValue::or_undefined(compare(op, l, r))
            }
            BinaryOp::In => EvalValue::or_undefined(is_in(l, r, self.case)),
            BinaryOp::NotIn => not(&EvalValue::or_undefined(is_in(l, r, self.case))),
            BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Remainder => {
                arithmetic(op, left, right)
            }
        })
    }
}

/// What is left to do, next on top.
enum Step<'e> {
    Visit(&'e Expr),
    /// The operands, so many, are the last values.
    Apply(&'e Expr, usize),
}

/// Whether all operands of a node are evaluated, once, before the node itself.
fn is_strict(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Unary { .. } | ExprKind::Binary { .. } => true,
        ExprKind::Call { function, .. } => !matches!(function, Function::If | Function::Ifs),
        _ => false,
    }
}

fn truth(op: BinaryOp, operand: &Expr, value: &EvalValue) -> Result<bool, TypeError> {
    let place = || format!("an operand of `{}`", op.symbol());
    value.truth().ok_or_else(|| TypeError::condition(&place(), value, &operand.span))
}

fn index_all(value: EvalValue, path: &[Index]) -> EvalValue {
    path.iter().fold(value, |value, index| value.index(index))
}
