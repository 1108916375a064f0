//! The types that a value can have, told from the text alone: a set for each node, never too small.

use std::ops::BitOr;

use footfall_eval::EvalValue as Value;
use footfall_lang::ast::{BinaryOp, Expr, ExprKind, Function, Literal, Quantifier, UnaryOp};

/// A set of types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub(super) const NONE: Self = Self(0);
    pub(super) const UNDEFINED: Self = Self(1);
    pub(super) const NULL: Self = Self(2);
    pub(super) const BOOL: Self = Self(4);
    pub(super) const NUMBER: Self = Self(8);
    pub(super) const TEXT: Self = Self(16);
    pub(super) const DATETIME: Self = Self(32);
    pub(super) const LIST: Self = Self(64);
    pub(super) const MAP: Self = Self(128);
    pub(super) const ANY: Self = Self(255);

    /// What a condition and the operands of logic may be.
    pub(super) const CONDITION: Self = Self(4 | 1);

    pub(super) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// This set if the condition holds, else nothing.
    fn when(self, condition: bool) -> Self {
        if condition { self } else { Self::NONE }
    }

    /// For messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::UNDEFINED => "undefined",
            Self::NULL => "null",
            Self::BOOL => "a boolean",
            Self::NUMBER => "a number",
            Self::TEXT => "a string",
            Self::DATETIME => "a datetime",
            Self::LIST => "a list",
            Self::MAP => "a map",
            _ => "another type",
        }
    }

    pub(super) fn of_value(value: &Value) -> Self {
        match value {
            Value::Undefined => Self::UNDEFINED,
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOL,
            Value::Number(_) => Self::NUMBER,
            Value::Text(_) => Self::TEXT,
            Value::Datetime(_) => Self::DATETIME,
            Value::List(_) => Self::LIST,
            Value::Map(_) => Self::MAP,
        }
    }
}

impl BitOr for Kinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The types of a node, given those of its children. A variable is anything: its binder knows better.
pub(super) fn of(node: &Expr, kinds: impl Fn(&Expr) -> Kinds) -> Kinds {
    match &node.kind {
        ExprKind::Literal(literal) => of_literal(literal),
        ExprKind::Now => Kinds::NUMBER,
        ExprKind::Lookup { .. } | ExprKind::Variable { .. } => Kinds::ANY,
        ExprKind::Unary { op, operand } => of_unary(*op, kinds(operand)),
        ExprKind::Binary { op, left, right } => of_binary(*op, kinds(left), kinds(right)),
        ExprKind::Call { function, args } => of_call(*function, &args.iter().map(kinds).collect::<Vec<_>>()),
        ExprKind::Quantifier { quantifier, list, .. } => {
            let of_lists = match quantifier {
                Quantifier::Any | Quantifier::All => Kinds::BOOL,
                Quantifier::Filter | Quantifier::Map => Kinds::LIST,
            };
            only_for(kinds(list), Kinds::LIST, of_lists)
        }
        ExprKind::Let { body, .. } => kinds(body),
    }
}

fn of_literal(literal: &Literal) -> Kinds {
    match literal {
        Literal::Undefined => Kinds::UNDEFINED,
        Literal::Null => Kinds::NULL,
        Literal::Bool(_) => Kinds::BOOL,
        Literal::Number(_) => Kinds::NUMBER,
        Literal::Text(_) => Kinds::TEXT,
        Literal::List(_) => Kinds::LIST,
    }
}

/// `result` for operands of the `wanted` types, undefined for all others.
fn only_for(operand: Kinds, wanted: Kinds, result: Kinds) -> Kinds {
    result.when(operand.meets(wanted)) | Kinds::UNDEFINED.when(!operand.within(wanted))
}

fn of_unary(op: UnaryOp, operand: Kinds) -> Kinds {
    match op {
        UnaryOp::Not => only_for(operand, Kinds::CONDITION, Kinds::BOOL),
        UnaryOp::Negate => only_for(operand, Kinds::NUMBER, Kinds::NUMBER),
    }
}

fn of_binary(op: BinaryOp, left: Kinds, right: Kinds) -> Kinds {
    let both = |kind: Kinds| left.meets(kind) && right.meets(kind);
    match op {
        BinaryOp::Or | BinaryOp::And | BinaryOp::Equal | BinaryOp::NotEqual | BinaryOp::NotIn => Kinds::BOOL,
        BinaryOp::In if right.within(Kinds::LIST) => Kinds::BOOL,
        BinaryOp::In | BinaryOp::Less | BinaryOp::LessEqual | BinaryOp::Greater | BinaryOp::GreaterEqual => {
            Kinds::BOOL | Kinds::UNDEFINED
        }
        BinaryOp::Add if both(Kinds::TEXT) && (left | right).within(Kinds::TEXT) => Kinds::TEXT,
        BinaryOp::Add => {
            Kinds::NUMBER.when(both(Kinds::NUMBER)) | Kinds::TEXT.when(both(Kinds::TEXT)) | Kinds::UNDEFINED
        }
        BinaryOp::Subtract | BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Remainder => {
            Kinds::NUMBER.when(both(Kinds::NUMBER)) | Kinds::UNDEFINED
        }
    }
}

fn of_call(function: Function, args: &[Kinds]) -> Kinds {
    let first = args.first().copied().unwrap_or(Kinds::UNDEFINED);
    let printable = Kinds::TEXT | Kinds::NUMBER | Kinds::BOOL | Kinds::DATETIME;
    match function {
        Function::Defined => Kinds::BOOL,
        Function::String => {
            let text = only_for(first.without(Kinds::NULL), printable, Kinds::TEXT);
            with_default(text | Kinds::NULL.when(first.meets(Kinds::NULL)), args)
        }
        Function::Number => {
            let cast = only_for(first, printable, Kinds::NUMBER);
            with_default(cast | Kinds::UNDEFINED.when(first.meets(Kinds::TEXT)), args)
        }
        Function::Boolean => Kinds::BOOL,
        Function::Datetime => {
            let sometimes = Kinds::TEXT | Kinds::NUMBER;
            let cast = only_for(first, Kinds::DATETIME | sometimes, Kinds::DATETIME);
            with_default(cast | Kinds::UNDEFINED.when(first.meets(sometimes)), args)
        }
        Function::List => only_for(first, Kinds::ANY.without(Kinds::UNDEFINED | Kinds::NULL), Kinds::LIST),
        Function::Floor | Function::Ceil | Function::Round => only_for(first, Kinds::NUMBER, Kinds::NUMBER),
        Function::If => {
            let branch = |position| args.get(position).copied().unwrap_or(Kinds::UNDEFINED);
            branch(1) | branch(2)
        }
        Function::Ifs => args.iter().skip(1).step_by(2).fold(Kinds::UNDEFINED, |all, value| all | *value),
        Function::Today => Kinds::DATETIME,
        Function::HasPrefix | Function::HasSuffix | Function::RegexMatch => Kinds::BOOL | Kinds::UNDEFINED,
        Function::Upper | Function::Lower | Function::Left | Function::Right | Function::Mid => {
            Kinds::TEXT | Kinds::UNDEFINED
        }
        Function::RegexExtract | Function::RegexReplace => Kinds::TEXT | Kinds::UNDEFINED,
        Function::Split if args.len() > 2 => Kinds::TEXT | Kinds::UNDEFINED,
        Function::Split => Kinds::LIST | Kinds::UNDEFINED,
        Function::Min | Function::Max | Function::Len | Function::Sum | Function::Datedif => {
            Kinds::NUMBER | Kinds::UNDEFINED
        }
        Function::Year | Function::Month | Function::Day | Function::Week => Kinds::NUMBER | Kinds::UNDEFINED,
        Function::Hour | Function::Minute | Function::Second => Kinds::NUMBER | Kinds::UNDEFINED,
    }
}

/// A cast whose default takes the place of undefined and null.
fn with_default(cast: Kinds, args: &[Kinds]) -> Kinds {
    let unset = Kinds::UNDEFINED | Kinds::NULL;
    match args.get(1) {
        Some(default) if cast.meets(unset) => cast.without(unset) | *default,
        _ => cast,
    }
}
