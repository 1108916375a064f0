//! The calls in a statement's text, before it is planned.
//!
//! A condition is compiled otherwise than a value: a property of several types is a text as a value, and the boolean that
//! it sometimes is as a condition. Which of both is meant only the text tells.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, JoinConstraint,
    JoinOperator, ObjectName, ObjectNamePart, Select, TableFactor, TableWithJoins, UnaryOperator, VisitMut, VisitorMut,
};

use super::ExprError;
use super::function::{CONDITION, VALUE};

const ARGUMENT: &str = "expr() takes one expression, written out as a text between single quotes, such as expr('properties[\"price\"] > 5')";

/// Checks the arguments of all calls, and renames those that stand as conditions: in `WHERE`, in `ON`, in the `FILTER` of an
/// aggregate. A condition of `HAVING` is about groups and must be one of their keys.
pub fn mark_conditions(statement: &mut Statement) -> Result<(), ExprError> {
    let mut statement = statement;
    while let Statement::Explain(explain) = statement {
        statement = &mut explain.statement;
    }
    match statement {
        Statement::Statement(statement) => match statement.visit(&mut Calls) {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(()),
        },
        _ => Ok(()),
    }
}

struct Calls;

impl VisitorMut for Calls {
    type Break = ExprError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<ExprError> {
        select.from.iter_mut().for_each(mark_joins);
        select.selection.iter_mut().for_each(mark);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<ExprError> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            mark_joins(table_with_joins);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<ExprError> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        if let Some(filter) = &mut function.filter {
            mark(filter);
        }
        if is_call(function) && !has_text(function) {
            return ControlFlow::Break(ExprError::Call(ARGUMENT));
        }
        ControlFlow::Continue(())
    }
}

fn mark_joins(table: &mut TableWithJoins) {
    table.joins.iter_mut().filter_map(|join| on(&mut join.join_operator)).for_each(mark);
}

fn on(join: &mut JoinOperator) -> Option<&mut Expr> {
    use JoinOperator::*;
    let constraint = match join {
        Join(on) | Inner(on) | Left(on) | LeftOuter(on) | Right(on) | RightOuter(on) | FullOuter(on) => on,
        Semi(on) | LeftSemi(on) | RightSemi(on) | Anti(on) | LeftAnti(on) | RightAnti(on) => on,
        _ => return None,
    };
    match constraint {
        JoinConstraint::On(expr) => Some(expr),
        _ => None,
    }
}

/// Marks the calls that a condition consists of. A chain of thousands of `OR`s is a tree as deep.
fn mark(condition: &mut Expr) {
    let mut left = vec![condition];
    while let Some(expr) = left.pop() {
        match expr {
            Expr::BinaryOp { left: one, op: BinaryOperator::And | BinaryOperator::Or, right: other } => {
                left.extend([one.as_mut(), other.as_mut()]);
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr }
            | Expr::Nested(expr)
            | Expr::IsTrue(expr)
            | Expr::IsNotTrue(expr)
            | Expr::IsFalse(expr)
            | Expr::IsNotFalse(expr) => left.push(expr),
            Expr::Function(function) if is_call(function) => {
                function.name = ObjectName(vec![ObjectNamePart::Identifier(Ident::new(CONDITION))]);
            }
            _ => {}
        }
    }
}

fn is_call(function: &Function) -> bool {
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return false };
    name.value.eq_ignore_ascii_case(VALUE) || name.value == CONDITION
}

fn has_text(function: &Function) -> bool {
    let FunctionArguments::List(arguments) = &function.args else { return false };
    match arguments.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] => {
            value.value.clone().into_string().is_some()
        }
        _ => false,
    }
}
