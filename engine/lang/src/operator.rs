//! Operators: spelling and how tightly each binds (§2), in one table for parser and printer.

use crate::ast::{BinaryOp, Expr, ExprKind, UnaryOp};

/// How tightly an operator holds its operands; 0 is the outside of any operator.
pub(crate) type Binding = u8;

/// Tighter than every operator: operands that need no parentheses anywhere.
pub(crate) const ATOM: Binding = 8;

impl BinaryOp {
    /// The operator as printed.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::In => "in",
            Self::NotIn => "not in",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }

    pub(crate) fn binding(self) -> Binding {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Equal
            | Self::NotEqual
            | Self::Less
            | Self::LessEqual
            | Self::Greater
            | Self::GreaterEqual
            | Self::In
            | Self::NotIn => 4,
            Self::Add | Self::Subtract => 5,
            Self::Multiply | Self::Divide | Self::Remainder => 6,
        }
    }
}

impl UnaryOp {
    /// The operator as printed, with the space that `not` needs.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Not => "not ",
            Self::Negate => "-",
        }
    }

    pub(crate) fn binding(self) -> Binding {
        match self {
            Self::Not => 3,
            Self::Negate => 7,
        }
    }
}

/// The binding of an expression's outermost operator.
pub(crate) fn binding_of(expr: &Expr) -> Binding {
    match &expr.kind {
        ExprKind::Unary { op, .. } => op.binding(),
        ExprKind::Binary { op, .. } => op.binding(),
        _ => ATOM,
    }
}
