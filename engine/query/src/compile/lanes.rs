//! A compiled value: one expression for each type it can have.
//!
//! Two forms of a boolean are kept apart. A *filter* needs only "is it true?", where false and undefined are one, and a
//! bare `plan = 'pro'` says that in a shape that prunes; a *value* needs the difference. [`Truth`] holds the disjoint
//! comparisons and gives either form.

use std::collections::HashSet;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::expr_fn::{cast, is_not_true, is_true};
use datafusion::logical_expr::{Expr, lit};
use footfall_eval::EvalValue as Value;

use super::functions;
use super::nested::Inside;
use super::number::{Axis, Bounds, Comparison, Zeros, compare_float};

/// What a boolean is where none of its terms is true or false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// Undefined, or a value of another type. At most one term is non-null in a row, or all non-null ones agree.
    Undefined,
    /// False. The boolean is true if any term is true, and false otherwise.
    False,
}

/// A boolean lane.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    pub(super) terms: Vec<Expr>,
    pub(super) absent: Absent,
}

impl Truth {
    pub(super) fn partial(terms: Vec<Expr>) -> Self {
        Self { terms, absent: Absent::Undefined }
    }

    pub(super) fn total(terms: Vec<Expr>) -> Self {
        Self { terms, absent: Absent::False }
    }

    /// True exactly where the boolean is true; false or null elsewhere.
    pub(super) fn filter(&self) -> Expr {
        any_of(self.terms.clone())
    }

    /// True, false, or null where there is no boolean.
    pub(super) fn value(&self) -> Expr {
        match self.absent {
            Absent::False => is_true(self.filter()),
            Absent::Undefined => first_of(self.terms.clone()).unwrap_or_else(no_boolean),
        }
    }

    fn present(&self) -> Expr {
        match self.absent {
            Absent::False => lit(true),
            Absent::Undefined => any_of(self.terms.iter().map(|term| term.clone().is_not_null()).collect()),
        }
    }
}

/// A number, as the columns or computations it may come from; at most one is non-null in a row.
#[derive(Clone, Debug)]
pub(super) enum NumberPart {
    /// An Int64 column.
    Integer(Expr),
    /// A Timestamp column read as whole Unix seconds.
    UnixTime(Expr),
    /// A Float64 column.
    Float(Expr),
    /// A Float64 computation: finite and never −0.
    Computed(Expr),
}

impl NumberPart {
    pub(super) fn expr(&self) -> &Expr {
        match self {
            Self::Integer(e) | Self::UnixTime(e) | Self::Float(e) | Self::Computed(e) => e,
        }
    }

    fn expr_mut(&mut self) -> &mut Expr {
        match self {
            Self::Integer(e) | Self::UnixTime(e) | Self::Float(e) | Self::Computed(e) => e,
        }
    }

    /// As a Float64 without −0.
    fn float(&self) -> Expr {
        match self {
            Self::Integer(e) => cast(e.clone(), DataType::Float64),
            Self::UnixTime(e) => cast(functions::seconds(e.clone()), DataType::Float64),
            Self::Float(e) => functions::finite(e.clone()),
            Self::Computed(e) => e.clone(),
        }
    }

    /// `number <comparison> literal`: null where there is no number.
    pub(super) fn compare(&self, comparison: Comparison, literal: f64) -> Expr {
        match self {
            Self::Integer(e) => Axis::Integer.compare(e, comparison, Bounds::of(literal)),
            Self::UnixTime(e) => Axis::Timestamp.compare(e, comparison, Bounds::of(literal)),
            Self::Float(e) => compare_float(e, Zeros::Either, comparison, literal),
            Self::Computed(e) => compare_float(e, Zeros::Positive, comparison, literal),
        }
    }
}

/// A datetime.
#[derive(Clone, Debug)]
pub(super) enum Instant {
    /// A bare Timestamp(Millisecond, UTC) column; the value is its whole seconds.
    Column(Expr),
    /// Int64 Unix seconds.
    Seconds(Expr),
}

impl Instant {
    /// As Int64 Unix seconds.
    pub(super) fn seconds(&self) -> Expr {
        match self {
            Self::Column(e) => functions::seconds(e.clone()),
            Self::Seconds(e) => e.clone(),
        }
    }

    pub(super) fn expr(&self) -> &Expr {
        match self {
            Self::Column(e) | Self::Seconds(e) => e,
        }
    }

    fn expr_mut(&mut self) -> &mut Expr {
        match self {
            Self::Column(e) | Self::Seconds(e) => e,
        }
    }

    /// `datetime <comparison> literal`: null where there is no datetime.
    pub(super) fn compare(&self, comparison: Comparison, seconds: i64) -> Expr {
        match self {
            Self::Column(e) => Axis::Timestamp.compare(e, comparison, Bounds::exactly(seconds)),
            Self::Seconds(e) => Axis::Integer.compare(e, comparison, Bounds::exactly(seconds)),
        }
    }
}

/// Where a type error happens: the boolean expressions that are true on such rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Errors {
    /// All of them.
    pub(super) all: Vec<Expr>,
    /// Those that can be true although the value is the boolean true. A filter has to exclude these rows itself; the
    /// others it excludes anyway, so that its conjuncts stay simple.
    pub(super) open: Vec<Expr>,
}

impl Errors {
    /// The errors of an operator's operands, when its result says nothing about theirs.
    pub(super) fn of<'a>(operands: impl IntoIterator<Item = &'a Lanes>) -> Self {
        let all: Vec<Expr> = operands.into_iter().flat_map(|lanes| lanes.errors.all.iter().cloned()).collect();
        Self { open: all.clone(), all }
    }

    /// Adds conditions of which the value says nothing.
    pub(super) fn add(&mut self, conditions: Vec<Expr>) {
        self.open.extend(conditions.iter().cloned());
        self.all.extend(conditions);
    }

    /// As one expression, absent if there can be no error.
    pub(super) fn flag(conditions: &[Expr]) -> Option<Expr> {
        let distinct = distinct(conditions);
        (!distinct.is_empty()).then(|| any_of(distinct))
    }
}

/// A compiled value.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes {
    pub(super) bool: Option<Truth>,
    pub(super) number: Vec<NumberPart>,
    /// A string type.
    pub(super) text: Option<Expr>,
    pub(super) datetime: Option<Instant>,
    /// True where the value is null, false or null elsewhere.
    pub(super) null: Option<Expr>,
    /// True where the value is a list or map, false or null elsewhere.
    pub(super) nested: Option<Expr>,
    /// Where to find what is in it; absent if only the fallback knows.
    pub(super) inside: Option<Inside>,
    /// The column that `null` and `nested` read, if they do: non-null where either is true.
    pub(super) json: Option<Expr>,
    /// Whether the value is never undefined.
    pub(super) total: bool,
    /// The value itself, if it is the same on every row.
    pub(super) constant: Option<Value>,
    /// Whether the value is a string written in the expression: as a date it is then in the project's time zone.
    pub(super) written: bool,
    pub(super) errors: Errors,
}

impl Lanes {
    /// A value that is undefined on every row.
    pub(super) fn undefined() -> Self {
        Self { constant: Some(Value::Undefined), ..Self::default() }
    }

    pub(super) fn of_constant(value: Value) -> Self {
        let mut lanes = Self { total: !matches!(value, Value::Undefined), ..Self::default() };
        match &value {
            Value::Undefined => {}
            Value::Null => lanes.null = Some(lit(true)),
            Value::Bool(b) => lanes.bool = Some(Truth::partial(vec![lit(*b)])),
            // −0 is equal to 0 and prints like it.
            Value::Number(x) => lanes.number = vec![NumberPart::Computed(lit(*x + 0.0))],
            Value::Text(s) => lanes.text = Some(lit(&**s)),
            Value::Datetime(seconds) => lanes.datetime = Some(Instant::Seconds(lit(*seconds))),
            Value::List(_) | Value::Map(_) => lanes.nested = Some(lit(true)),
        }
        lanes.constant = Some(value);
        lanes
    }

    pub(super) fn of_bool(truth: Truth) -> Self {
        Self { total: truth.absent == Absent::False, bool: Some(truth), ..Self::default() }
    }

    /// A finite Float64 expression without −0.
    pub(super) fn of_number(number: Option<Expr>) -> Self {
        Self { number: number.map(NumberPart::Computed).into_iter().collect(), ..Self::default() }
    }

    pub(super) fn of_text(text: Option<Expr>) -> Self {
        Self { text, ..Self::default() }
    }

    pub(super) fn of_seconds(seconds: Option<Expr>) -> Self {
        Self { datetime: seconds.map(Instant::Seconds), ..Self::default() }
    }

    pub(super) fn with_errors(mut self, errors: Errors) -> Self {
        self.errors = errors;
        self
    }

    /// Puts another expression in the place of each one, the same everywhere that it stands.
    pub(super) fn replace(&mut self, with: &mut dyn FnMut(Expr) -> Expr) {
        let mut replace = |place: &mut Expr| *place = with(std::mem::take(place));
        self.bool.iter_mut().flat_map(|truth| &mut truth.terms).for_each(&mut replace);
        self.number.iter_mut().map(NumberPart::expr_mut).for_each(&mut replace);
        self.datetime.iter_mut().map(Instant::expr_mut).for_each(&mut replace);
        let texts = [&mut self.text, &mut self.null, &mut self.nested, &mut self.json];
        texts.into_iter().flatten().for_each(&mut replace);
        self.errors.all.iter_mut().chain(&mut self.errors.open).for_each(&mut replace);
        if let Some(Inside::Lists { list, .. }) = &mut self.inside {
            replace(list);
        }
    }

    /// The number as one Float64 expression without −0.
    pub(super) fn float(&self) -> Option<Expr> {
        first_of(self.number.iter().map(NumberPart::float).collect())
    }

    /// True exactly where the value is true.
    pub(super) fn filter(&self) -> Expr {
        self.bool.as_ref().map_or_else(|| lit(false), Truth::filter)
    }

    /// True where the value is anything but a boolean or undefined, which logic and conditions refuse.
    pub(super) fn not_boolean(&self) -> Vec<Expr> {
        let mut conditions = self.scalar();
        conditions.extend(self.other());
        conditions
    }

    /// True where the value is neither undefined nor null.
    pub(super) fn defined(&self) -> Vec<Expr> {
        let bool = self.bool.iter().map(Truth::present);
        bool.chain(self.scalar()).chain(self.nested.clone()).collect()
    }

    /// True where the value is a number, text or datetime.
    fn scalar(&self) -> Vec<Expr> {
        let numbers = self.number.iter().map(NumberPart::expr);
        let columns = numbers.chain(&self.text).chain(self.datetime.iter().map(Instant::expr));
        columns.map(|e| e.clone().is_not_null()).collect()
    }

    /// True where the value is null, a list or a map.
    fn other(&self) -> Vec<Expr> {
        match &self.json {
            Some(json) => vec![json.clone().is_not_null()],
            None => self.null.iter().chain(&self.nested).cloned().collect(),
        }
    }

    /// True where the value is undefined, false elsewhere; absent if it never is.
    pub(super) fn is_undefined(&self) -> Option<Expr> {
        (!self.total).then(|| {
            let bool = self.bool.iter().map(Truth::present);
            all_of(bool.chain(self.not_boolean()).map(|present| not_true(&present)).collect())
        })
    }
}

/// True where the condition is false or null.
pub(super) fn not_true(condition: &Expr) -> Expr {
    match condition {
        // The form that statistics know.
        Expr::IsNotNull(column) => column.as_ref().clone().is_null(),
        other => is_not_true(other.clone()),
    }
}

/// Each once, in order: the same operand may be refused at many places.
pub(super) fn distinct(conditions: &[Expr]) -> Vec<Expr> {
    let mut seen = HashSet::new();
    conditions.iter().filter(|condition| seen.insert(*condition)).cloned().collect()
}

/// Their disjunction, as a balanced tree: thousands of terms must not make a deep one. False if there are none.
pub(super) fn any_of(terms: Vec<Expr>) -> Expr {
    balanced(terms, Expr::or).unwrap_or_else(|| lit(false))
}

/// Their conjunction, as a balanced tree. True if there are none.
pub(super) fn all_of(terms: Vec<Expr>) -> Expr {
    balanced(terms, Expr::and).unwrap_or_else(|| lit(true))
}

fn balanced(mut terms: Vec<Expr>, join: fn(Expr, Expr) -> Expr) -> Option<Expr> {
    while terms.len() > 1 {
        let mut joined = Vec::with_capacity(terms.len().div_ceil(2));
        let mut rest = terms.into_iter();
        while let Some(left) = rest.next() {
            joined.push(match rest.next() {
                Some(right) => join(left, right),
                None => left,
            });
        }
        terms = joined;
    }
    terms.pop()
}

/// The first non-null one.
pub(super) fn first_of(mut terms: Vec<Expr>) -> Option<Expr> {
    match terms.len() {
        0 | 1 => terms.pop(),
        _ => Some(coalesce(terms)),
    }
}

/// `then` where `condition` is true, else null. The branch is computed for those rows only.
pub(super) fn only_where(condition: Expr, then: Expr) -> Expr {
    Expr::Case(datafusion::logical_expr::Case {
        expr: None,
        when_then_expr: vec![(Box::new(condition), Box::new(then))],
        else_expr: None,
    })
}

/// `then` where `condition` is true, else `otherwise`.
pub(super) fn choose(condition: Expr, then: Expr, otherwise: Expr) -> Expr {
    Expr::Case(datafusion::logical_expr::Case {
        expr: None,
        when_then_expr: vec![(Box::new(condition), Box::new(then))],
        else_expr: Some(Box::new(otherwise)),
    })
}

pub(super) fn no_boolean() -> Expr {
    Expr::Literal(ScalarValue::Boolean(None), None)
}
