//! The syntax tree of the selector expression language (`shared/reference/expression-language.md` §2).
//!
//! A tree is plain data: it knows no schema and no values. Names are resolved as far as text alone allows: every
//! [`ExprKind::Variable`] is bound by an enclosing quantifier, comprehension or `let`.
//!
//! A chain of operators nests to the left without bound, everything else at most [`crate::DEPTH_MAX`] levels. Hence
//! [`Expr`] has its own `Clone`, `PartialEq`, `Debug` and `Drop` (`tree.rs`), and walkers use [`Expr::left_spine`],
//! [`Expr::flatten_chain`] or [`Expr::walk`] instead of recursing into `left`.

use std::ops::Range;

/// A half-open range of byte offsets into the expression's text.
pub type Span = Range<usize>;

/// A node with the text it came from.
///
/// `Expr` implements `Drop`, so its fields are borrowed or taken with `std::mem::replace`, never moved out.
pub struct Expr {
    pub kind: ExprKind,
    /// Parentheses around the expression included.
    pub span: Span,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    Literal(Literal),
    /// `NOW`: the time the query started, in Unix seconds.
    Now,
    /// `properties["k"]["x"][0]`: a source, its literal key, and further literal indexes.
    Lookup {
        source: Source,
        key: String,
        path: Vec<Index>,
    },
    /// A name bound by an enclosing node, and further literal indexes.
    Variable {
        name: String,
        path: Vec<Index>,
    },
    Unary {
        op: UnaryOp,
        operand: Box<Expr>,
    },
    /// A left-associative chain at one level is nested to the left.
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Call {
        function: Function,
        args: Vec<Expr>,
    },
    /// `any`/`all`/`filter`/`map` over a list; both written forms of `any` and `all` give this node.
    Quantifier {
        quantifier: Quantifier,
        variable: String,
        list: Box<Expr>,
        body: Box<Expr>,
    },
    /// `let(a, x, b, y, body)`; later bindings see earlier ones.
    Let {
        bindings: Vec<(String, Expr)>,
        body: Box<Expr>,
    },
}

/// A constant written in the text. A sign belongs to the number in list literals only; elsewhere it is [`UnaryOp::Negate`].
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Literal>),
}

/// Where a lookup reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    Properties,
    Event,
    User,
    Behaviors,
}

/// One further step into a map (by key) or a list (by position, from 0).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Index {
    Key(String),
    /// A position too large for `usize` is written as its maximum: past every end.
    Position(usize),
}

/// A prefix operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    Not,
    Negate,
}

/// An operator between two operands, loosest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    NotIn,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// The four calls that bind a name to each element of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantifier {
    Any,
    All,
    Filter,
    Map,
}

/// Every callable name; arity is checked by the parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    Defined,
    String,
    Number,
    Boolean,
    Datetime,
    List,
    Floor,
    Ceil,
    Round,
    Min,
    Max,
    HasPrefix,
    HasSuffix,
    Upper,
    Lower,
    Len,
    Left,
    Right,
    Mid,
    Split,
    RegexMatch,
    RegexExtract,
    RegexReplace,
    If,
    Ifs,
    Sum,
    Today,
    Datedif,
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Week,
}
