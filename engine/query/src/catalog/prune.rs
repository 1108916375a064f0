//! What a filter says about which days and which events can matter.

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
        split_conjunction(filter).into_iter().all(|conjunct| event_names(conjunct).is_some())
    }

    /// Whether rows of a UTC day can be in the answer.
    pub fn may_hold_day(&self, day: i32) -> bool {
        let start = i64::from(day) * 86_400_000;
        self.time_max.is_none_or(|max| start <= max) && self.time_min.is_none_or(|min| min < start + 86_400_000)
    }

    fn narrow(&mut self, conjunct: &Expr) {
        if let Some(names) = event_names(conjunct) {
            let kept = match self.events.take() {
                None => names,
                Some(before) => before.into_iter().filter(|n| names.contains(n)).collect(),
            };
            self.events = Some(kept);
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

    /// Literals finer than a millisecond were floored: every bound stays inclusive, which is never too narrow.
    fn narrow_time(&mut self, op: Operator, at: i64) {
        let (min, max) = match op {
            Operator::Eq => (Some(at), Some(at)),
            Operator::Gt | Operator::GtEq => (Some(at), None),
            Operator::Lt | Operator::LtEq => (None, Some(at)),
            _ => (None, None),
        };
        if let Some(min) = min {
            self.time_min = Some(self.time_min.map_or(min, |m| m.max(min)));
        }
        if let Some(max) = max {
            self.time_max = Some(self.time_max.map_or(max, |m| m.min(max)));
        }
    }
}

/// The names that `event = 'x'` or `event IN ('x', 'y')` allows.
fn event_names(expr: &Expr) -> Option<Vec<String>> {
    let mut names = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let literal = if is_column(left, Builtin::Event) {
                right
            } else if is_column(right, Builtin::Event) {
                left
            } else {
                return None;
            };
            vec![text(literal)?]
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let mut names = event_names(left)?;
            names.extend(event_names(right)?);
            names
        }
        Expr::InList(list) if !list.negated && is_column(&list.expr, Builtin::Event) => {
            list.list.iter().map(text).collect::<Option<Vec<_>>>()?
        }
        _ => return None,
    };
    names.sort_unstable();
    names.dedup();
    Some(names)
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

fn millis(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::TimestampSecond(Some(t), _), _) => t.checked_mul(1000),
        Expr::Literal(ScalarValue::TimestampMillisecond(Some(t), _), _) => Some(*t),
        Expr::Literal(ScalarValue::TimestampMicrosecond(Some(t), _), _) => Some(t.div_euclid(1000)),
        Expr::Literal(ScalarValue::TimestampNanosecond(Some(t), _), _) => Some(t.div_euclid(1_000_000)),
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
        let expected = Bounds { time_min: Some(1000), time_max: Some(5000), events: Some(vec!["A".to_owned()]) };
        assert_eq!(bounds, expected);
    }

    #[test]
    fn what_is_not_understood_does_not_narrow() {
        let filters = [col("event").not_eq(lit("A")), col("time").eq(col("received_at")), col("price").gt(lit(1))];
        assert_eq!(Bounds::of(&filters), Bounds::default());
        assert!(!Bounds::is_exact(&filters[0]));
        assert!(Bounds::is_exact(&col("event").eq(lit("A"))));
    }

    #[test]
    fn days_touch_their_bounds() {
        let bounds = Bounds { time_min: Some(86_400_000), time_max: Some(2 * 86_400_000), events: None };
        assert_eq!([0, 1, 2, 3].map(|day| bounds.may_hold_day(day)), [false, true, true, false]);
    }
}
