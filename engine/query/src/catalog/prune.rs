//! What a filter says about which days, arrivals, users and events can matter.

use std::ops::RangeInclusive;

use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use footfall_storage::columns::Builtin;

/// Bounds that every row of the answer satisfies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bounds {
    /// Milliseconds, inclusive.
    pub time_min: Option<i64>,
    /// Milliseconds, inclusive.
    pub time_max: Option<i64>,
    /// Sorted, unique; `None` is any event.
    pub events: Option<Vec<String>>,
    /// Sorted, unique; `None` is any user.
    pub distinct_ids: Option<Vec<String>>,
    /// Microseconds, inclusive.
    pub received_min: Option<i64>,
    /// Microseconds, inclusive.
    pub received_max: Option<i64>,
}

impl Bounds {
    /// The bounds that a list of conjuncts implies.
    pub fn of(filters: &[Expr]) -> Self {
        let mut bounds = Self::default();
        for filter in filters {
            for conjunct in split_conjunction(filter) {
                bounds.narrow(conjunct);
            }
        }
        bounds
    }

    /// Whether the scan itself keeps exactly the rows that a filter keeps: it does for conditions on the event's name.
    pub fn is_exact(filter: &Expr) -> bool {
        split_conjunction(filter).into_iter().all(|conjunct| texts_of(conjunct, Builtin::Event).is_some())
    }

    /// The UTC days whose rows can be in the answer.
    pub fn days(&self) -> RangeInclusive<i32> {
        let day = |time: i64| time.div_euclid(86_400_000).clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        self.time_min.map_or(i32::MIN, day)..=self.time_max.map_or(i32::MAX, day)
    }

    /// Whether rows that arrived within a range can be in the answer.
    pub fn may_hold_received(&self, received: &RangeInclusive<i64>) -> bool {
        self.received_max.is_none_or(|max| *received.start() <= max)
            && self.received_min.is_none_or(|min| min <= *received.end())
    }

    /// Whether every row that arrived within a range can be in the answer.
    pub fn holds_all_received(&self, received: &RangeInclusive<i64>) -> bool {
        self.received_max.is_none_or(|max| *received.end() <= max)
            && self.received_min.is_none_or(|min| min <= *received.start())
    }

    fn narrow(&mut self, conjunct: &Expr) {
        if let Some(names) = texts_of(conjunct, Builtin::Event) {
            self.events = Some(both(self.events.take(), names));
            return;
        }
        if let Some(ids) = texts_of(conjunct, Builtin::DistinctId) {
            self.distinct_ids = Some(both(self.distinct_ids.take(), ids));
            return;
        }
        match conjunct {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                if let (true, Some(at)) = (is_column(left, Builtin::Time), millis(right)) {
                    self.narrow_time(*op, at);
                } else if let (Some(at), true, Some(flipped)) =
                    (millis(left), is_column(right, Builtin::Time), op.swap())
                {
                    self.narrow_time(flipped, at);
                } else if let (true, Some(at)) = (is_column(left, Builtin::ReceivedAt), micros(right)) {
                    self.narrow_received(*op, at);
                }
            }
            Expr::Between(between) if !between.negated && is_column(&between.expr, Builtin::Time) => {
                if let (Some(low), Some(high)) = (millis(&between.low), millis(&between.high)) {
                    self.narrow_time(Operator::GtEq, low);
                    self.narrow_time(Operator::LtEq, high);
                }
            }
            _ => {}
        }
    }

    /// Times are whole milliseconds: what a comparison with a finer literal allows is exact. A day that ends where a
    /// bound says `<` is not read.
    fn narrow_time(&mut self, op: Operator, at: Millis) {
        let (min, max) = match op {
            Operator::Eq => (Some(at.ceil), Some(at.floor)),
            Operator::Gt => (Some(at.floor.saturating_add(1)), None),
            Operator::GtEq => (Some(at.ceil), None),
            Operator::Lt => (None, Some(at.ceil.saturating_sub(1))),
            Operator::LtEq => (None, Some(at.floor)),
            _ => (None, None),
        };
        self.time_min = self.time_min.max(min);
        self.time_max = least(self.time_max, max);
    }

    fn narrow_received(&mut self, op: Operator, at: i64) {
        let (min, max) = inclusive(op, at);
        self.received_min = self.received_min.max(min);
        self.received_max = least(self.received_max, max);
    }
}

/// Least and greatest value that a comparison with a literal allows, or a little less and more.
fn inclusive(op: Operator, at: i64) -> (Option<i64>, Option<i64>) {
    match op {
        Operator::Eq => (Some(at), Some(at)),
        Operator::Gt | Operator::GtEq => (Some(at), None),
        Operator::Lt | Operator::LtEq => (None, Some(at)),
        _ => (None, None),
    }
}

/// The lesser bound; none is no bound.
fn least(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    a.into_iter().chain(b).min()
}

fn both(before: Option<Vec<String>>, texts: Vec<String>) -> Vec<String> {
    match before {
        None => texts,
        Some(before) => before.into_iter().filter(|text| texts.contains(text)).collect(),
    }
}

/// The texts that `column = 'x'` or `column IN ('x', 'y')` allows.
fn texts_of(expr: &Expr, column: Builtin) -> Option<Vec<String>> {
    let mut texts = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let literal = if is_column(left, column) {
                right
            } else if is_column(right, column) {
                left
            } else {
                return None;
            };
            vec![text(literal)?]
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let mut texts = texts_of(left, column)?;
            texts.extend(texts_of(right, column)?);
            texts
        }
        Expr::InList(list) if !list.negated && is_column(&list.expr, column) => {
            list.list.iter().map(text).collect::<Option<Vec<_>>>()?
        }
        _ => return None,
    };
    texts.sort_unstable();
    texts.dedup();
    Some(texts)
}

fn is_column(expr: &Expr, builtin: Builtin) -> bool {
    matches!(expr, Expr::Column(Column { name, .. }) if name == builtin.name())
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
        _ => None,
    }
}

/// The whole milliseconds around a literal; both the same where it is one.
#[derive(Clone, Copy)]
struct Millis {
    floor: i64,
    ceil: i64,
}

fn millis(expr: &Expr) -> Option<Millis> {
    let within = |t: i64, unit: i64| {
        let floor = t.div_euclid(unit);
        Millis { floor, ceil: floor + i64::from(t.rem_euclid(unit) > 0) }
    };
    match expr {
        Expr::Literal(ScalarValue::TimestampSecond(Some(t), _), _) => t.checked_mul(1000).map(|t| within(t, 1)),
        Expr::Literal(ScalarValue::TimestampMillisecond(Some(t), _), _) => Some(within(*t, 1)),
        Expr::Literal(ScalarValue::TimestampMicrosecond(Some(t), _), _) => Some(within(*t, 1_000)),
        Expr::Literal(ScalarValue::TimestampNanosecond(Some(t), _), _) => Some(within(*t, 1_000_000)),
        _ => None,
    }
}

/// Microseconds; literals that are coarser or finer are not used, so that no bound is too narrow.
fn micros(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::TimestampMicrosecond(Some(t), _), _) => Some(*t),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    fn at(ms: i64) -> Expr {
        Expr::Literal(ScalarValue::TimestampMillisecond(Some(ms), Some("UTC".into())), None)
    }

    #[test]
    fn events_and_times_narrow_together() {
        let bounds = Bounds::of(&[
            col("event").in_list(vec![lit("B"), lit("A")], false).and(col("time").gt_eq(at(1000))),
            at(5000).gt(col("time")),
            col("event").eq(lit("A")).or(col("event").eq(lit("C"))),
        ]);
        let expected = Bounds {
            time_min: Some(1000),
            time_max: Some(4999),
            events: Some(vec!["A".to_owned()]),
            ..Bounds::default()
        };
        assert_eq!(bounds, expected);
    }

    #[test]
    fn times_between_milliseconds_bound_whole_ones_exactly() {
        let at = |us: i64| Expr::Literal(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())), None);
        let bounds = |filter: Expr| {
            let bounds = Bounds::of(&[filter]);
            (bounds.time_min, bounds.time_max)
        };
        for (us, lt, lt_eq, gt, gt_eq) in [(5_000, 4, 5, 6, 5), (5_001, 5, 5, 6, 6), (-1, -1, -1, 0, 0)] {
            assert_eq!(bounds(col("time").lt(at(us))), (None, Some(lt)), "< {us}");
            assert_eq!(bounds(col("time").lt_eq(at(us))), (None, Some(lt_eq)), "<= {us}");
            assert_eq!(bounds(col("time").gt(at(us))), (Some(gt), None), "> {us}");
            assert_eq!(bounds(col("time").gt_eq(at(us))), (Some(gt_eq), None), ">= {us}");
        }
    }

    #[test]
    fn what_is_not_understood_does_not_narrow() {
        let filters = [col("event").not_eq(lit("A")), col("time").eq(col("received_at")), col("price").gt(lit(1))];
        assert_eq!(Bounds::of(&filters), Bounds::default());
        assert!(!Bounds::is_exact(&filters[0]));
        assert!(Bounds::is_exact(&col("event").eq(lit("A"))));
    }

    #[test]
    fn users_and_arrivals_narrow_too() {
        let at = |us: i64| Expr::Literal(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())), None);
        let bounds = Bounds::of(&[
            col("distinct_id").eq(lit("u")).and(col("received_at").gt_eq(at(10))),
            col("received_at").lt(at(20)),
            col("received_at").lt(at(30)),
        ]);
        assert_eq!(bounds.distinct_ids, Some(vec!["u".to_owned()]));
        assert_eq!((bounds.received_min, bounds.received_max), (Some(10), Some(20)));
        assert_eq!([0..=9, 0..=10, 20..=25, 21..=25].map(|r| bounds.may_hold_received(&r)), [false, true, true, false]);
        assert_eq!([9..=12, 10..=20, 11..=21].map(|r| bounds.holds_all_received(&r)), [false, true, false]);
        assert!(!Bounds::is_exact(&col("distinct_id").eq(lit("u"))));
    }

    #[test]
    fn days_touch_their_bounds() {
        let bounds = Bounds { time_min: Some(86_400_000), time_max: Some(2 * 86_400_000), ..Bounds::default() };
        assert_eq!(bounds.days(), 1..=2);
        let bounds = Bounds { time_max: Some(-1), ..Bounds::default() };
        assert_eq!(bounds.days(), i32::MIN..=-1);
        let bounds = Bounds { time_min: Some(i64::MIN), time_max: Some(i64::MAX), ..Bounds::default() };
        assert_eq!(bounds.days(), i32::MIN..=i32::MAX);
    }
}
