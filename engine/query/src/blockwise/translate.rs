//! From physical expressions to steps.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, Literal, NotExpr,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use footfall_lang::ast::BinaryOp;

use super::kernels::{Arithmetic, Comparison};
use super::program::{Register, Step};
use super::texts::TextSet;
use crate::compile::NumberFunction;

/// More of these would leave the nearest cache.
const STEPS_MAX: usize = 128;
/// A list is compared one by one.
const LIST_MAX: usize = 16;
/// Trees of DataFusion are walked by recursion, here too.
const DEPTH_MAX: usize = 200;

pub(super) struct Translator<'a> {
    schema: &'a Schema,
    steps: Vec<Step>,
    known: HashMap<Step, Register>,
    depth: usize,
}

impl<'a> Translator<'a> {
    pub(super) fn new(schema: &'a Schema) -> Self {
        Self { schema, steps: Vec::new(), known: HashMap::new(), depth: 0 }
    }

    /// The steps of a whole tree; absent if there is anything in it that no step is.
    pub(super) fn translate(mut self, tree: &Arc<dyn PhysicalExpr>) -> Option<Vec<Step>> {
        let last = match tree.data_type(self.schema).ok()? {
            DataType::Boolean => self.truth(tree)?,
            DataType::Float64 => self.number(tree)?,
            _ => return None,
        };
        // The result is the last step's: a tree whose root was met before has less of its own than is worth a program.
        (last + 1 == self.steps.len()).then_some(self.steps)
    }

    fn step(&mut self, step: Step) -> Option<Register> {
        if let Some(register) = self.known.get(&step) {
            return Some(*register);
        }
        let register = self.steps.len();
        if register == STEPS_MAX {
            return None;
        }
        self.known.insert(step.clone(), register);
        self.steps.push(step);
        Some(register)
    }

    fn deeper<T>(&mut self, walk: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth == DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        let found = walk(self);
        self.depth -= 1;
        found
    }

    fn column(&self, tree: &Arc<dyn PhysicalExpr>) -> Option<(usize, &'a DataType)> {
        let place = tree.downcast_ref::<Column>()?.index();
        Some((place, self.schema.fields().get(place)?.data_type()))
    }

    fn integers(&mut self, tree: &Arc<dyn PhysicalExpr>) -> Option<Register> {
        match self.column(tree)? {
            (place, DataType::Int64) => self.step(Step::Integer(place)),
            _ => None,
        }
    }

    /// A Float64.
    fn number(&mut self, tree: &Arc<dyn PhysicalExpr>) -> Option<Register> {
        self.deeper(|this| this.number_below(tree))
    }

    fn number_below(&mut self, tree: &Arc<dyn PhysicalExpr>) -> Option<Register> {
        if let Some(column) = self.column(tree) {
            return match column {
                (place, DataType::Float64) => self.step(Step::Float(place)),
                _ => None,
            };
        }
        if let Some(literal) = finite(tree) {
            // Somebody may look its sign up, as lists do.
            let is_plain = literal.to_bits() != (-0.0_f64).to_bits();
            return is_plain.then(|| self.step(Step::Number(literal.to_bits())))?;
        }
        if let Some(cast) = tree.downcast_ref::<CastExpr>() {
            if *cast.cast_type() != DataType::Float64 {
                return None;
            }
            let integers = self.integers(cast.expr())?;
            return self.step(Step::Widen(integers));
        }
        if let Some(function) = tree.downcast_ref::<ScalarFunctionExpr>() {
            return self.function(function);
        }
        self.case(tree.downcast_ref::<CaseExpr>()?)
    }

    fn function(&mut self, function: &ScalarFunctionExpr) -> Option<Register> {
        match (NumberFunction::of(function.fun())?, function.args()) {
            // All numbers of a program are (B3).
            (NumberFunction::Finite, [number]) => self.number(number),
            (NumberFunction::Arithmetic(op), [left, right]) => {
                let (left, right) = (self.number(left)?, self.number(right)?);
                let op = match op {
                    BinaryOp::Add => Arithmetic::Add,
                    BinaryOp::Subtract => Arithmetic::Subtract,
                    BinaryOp::Multiply => Arithmetic::Multiply,
                    BinaryOp::Divide => Arithmetic::Divide,
                    _ => return None,
                };
                self.step(Step::Arithmetic(op, left, right))
            }
            _ => None,
        }
    }

    /// `CASE WHEN … THEN number … [ELSE number] END`, which is also what becomes of `coalesce`.
    fn case(&mut self, case: &CaseExpr) -> Option<Register> {
        if case.expr().is_some() {
            return None;
        }
        let mut result = match case.else_expr() {
            Some(otherwise) if !is_null(otherwise) => Some(self.number(otherwise)?),
            _ => None,
        };
        for (when, then) in case.when_then_expr().iter().rev() {
            let (when, then) = (self.truth(when)?, self.number(then)?);
            result = Some(self.step(Step::Choose(when, then, result))?);
        }
        result
    }

    /// A Boolean.
    fn truth(&mut self, tree: &Arc<dyn PhysicalExpr>) -> Option<Register> {
        self.deeper(|this| this.truth_below(tree))
    }

    fn truth_below(&mut self, tree: &Arc<dyn PhysicalExpr>) -> Option<Register> {
        if let Some(column) = self.column(tree) {
            return match column {
                (place, DataType::Boolean) => self.step(Step::Boolean(place)),
                _ => None,
            };
        }
        if let Some(literal) = tree.downcast_ref::<Literal>() {
            return match literal.value() {
                ScalarValue::Boolean(value) => self.step(Step::Truth(*value)),
                _ => None,
            };
        }
        if let Some(not) = tree.downcast_ref::<NotExpr>() {
            let operand = self.truth(not.arg())?;
            return self.step(Step::Not(operand));
        }
        if let Some(test) = tree.downcast_ref::<IsNotNullExpr>() {
            return self.present(test.arg());
        }
        if let Some(test) = tree.downcast_ref::<IsNullExpr>() {
            let present = self.present(test.arg())?;
            return self.step(Step::Not(present));
        }
        if let Some(list) = tree.downcast_ref::<InListExpr>() {
            return self.one_of(list);
        }
        let binary = tree.downcast_ref::<BinaryExpr>()?;
        self.binary(*binary.op(), binary.left(), binary.right())
    }

    /// Whether there is a value.
    fn present(&mut self, tree: &Arc<dyn PhysicalExpr>) -> Option<Register> {
        if let Some((place, _)) = self.column(tree) {
            return self.step(Step::Present(place));
        }
        let value = match tree.data_type(self.schema).ok()? {
            DataType::Boolean => self.truth(tree)?,
            DataType::Float64 => self.number(tree)?,
            _ => return None,
        };
        self.step(Step::IsPresent(value))
    }

    fn one_of(&mut self, list: &InListExpr) -> Option<Register> {
        if let Some((place, DataType::Utf8)) = self.column(list.expr()) {
            let texts = list.list().iter().map(text).collect::<Option<Vec<_>>>()?;
            let found = self.step(Step::OneOfTexts(place, TextSet::new(texts)?))?;
            return if list.negated() { self.step(Step::Not(found)) } else { Some(found) };
        }
        if list.list().len() > LIST_MAX {
            return None;
        }
        let found = match self.integers(list.expr()) {
            Some(integers) => {
                let values = list.list().iter().map(integer).collect::<Option<Vec<_>>>()?;
                self.step(Step::OneOfIntegers(integers, values))?
            }
            None => {
                // DataFusion looks −0 up by its bits, and no number of a program has these.
                let plain = |value: &f64| value.to_bits() != (-0.0_f64).to_bits();
                let values = list.list().iter().map(finite).collect::<Option<Vec<_>>>()?;
                let values = values.into_iter().filter(plain).map(f64::to_bits).collect();
                let number = self.number(list.expr())?;
                if matches!(self.steps.get(number), Some(Step::Number(_))) {
                    return None;
                }
                self.step(Step::OneOf(number, values))?
            }
        };
        if list.negated() { self.step(Step::Not(found)) } else { Some(found) }
    }

    fn binary(
        &mut self,
        op: Operator,
        left: &Arc<dyn PhysicalExpr>,
        right: &Arc<dyn PhysicalExpr>,
    ) -> Option<Register> {
        match op {
            Operator::And | Operator::Or => {
                let (left, right) = (self.truth(left)?, self.truth(right)?);
                self.step(if op == Operator::And { Step::And(left, right) } else { Step::Or(left, right) })
            }
            Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => {
                // With a constant that is not null, so it is "equal, and not null".
                let same = match right.downcast_ref::<Literal>()?.value() {
                    ScalarValue::Boolean(Some(true)) => self.truth(left)?,
                    ScalarValue::Boolean(Some(false)) => {
                        let operand = self.truth(left)?;
                        self.step(Step::Not(operand))?
                    }
                    value if !value.is_null() => self.binary(Operator::Eq, left, right)?,
                    _ => return None,
                };
                let same = self.step(Step::IsTrue(same))?;
                if op == Operator::IsNotDistinctFrom { Some(same) } else { self.step(Step::Not(same)) }
            }
            Operator::Eq => self.compare(Comparison::Equal, left, right),
            Operator::NotEq => {
                let equal = self.compare(Comparison::Equal, left, right)?;
                self.step(Step::Not(equal))
            }
            Operator::Lt => self.compare(Comparison::Less, left, right),
            Operator::LtEq => self.compare(Comparison::LessEqual, left, right),
            Operator::Gt => self.compare(Comparison::Less, right, left),
            Operator::GtEq => self.compare(Comparison::LessEqual, right, left),
            _ => None,
        }
    }

    fn compare(
        &mut self,
        comparison: Comparison,
        left: &Arc<dyn PhysicalExpr>,
        right: &Arc<dyn PhysicalExpr>,
    ) -> Option<Register> {
        if let (Some(with), Some(integers)) = (integer(right), self.integers(left)) {
            return self.step(Step::CompareInteger(comparison, false, integers, with));
        }
        if let (Some(with), Some(integers)) = (integer(left), self.integers(right)) {
            return self.step(Step::CompareInteger(comparison, true, integers, with));
        }
        let (left, right) = (self.compared(left)?, self.compared(right)?);
        self.step(Step::Compare(comparison, left, right))
    }

    /// A number on one side of a comparison, which takes −0 for 0.
    fn compared(&mut self, tree: &Arc<dyn PhysicalExpr>) -> Option<Register> {
        match finite(tree) {
            Some(literal) => self.step(Step::Number((literal + 0.0).to_bits())),
            None => self.number(tree),
        }
    }
}

fn finite(tree: &Arc<dyn PhysicalExpr>) -> Option<f64> {
    match tree.downcast_ref::<Literal>()?.value() {
        ScalarValue::Float64(Some(value)) if value.is_finite() => Some(*value),
        _ => None,
    }
}

fn integer(tree: &Arc<dyn PhysicalExpr>) -> Option<i64> {
    match tree.downcast_ref::<Literal>()?.value() {
        ScalarValue::Int64(value) => *value,
        _ => None,
    }
}

fn text(tree: &Arc<dyn PhysicalExpr>) -> Option<&str> {
    tree.downcast_ref::<Literal>()?.value().try_as_str().flatten()
}

fn is_null(tree: &Arc<dyn PhysicalExpr>) -> bool {
    tree.downcast_ref::<Literal>().is_some_and(|literal| literal.value().is_null())
}
