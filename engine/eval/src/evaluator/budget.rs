//! A bound on the cost of one evaluation.
//!
//! Every node evaluated costs the weight of its value: 1 for a scalar, more for a long text or list. That bounds time
//! (comparing costs no more than the operands weigh) and memory (whatever is built has been paid for).

use footfall_lang::ast::Expr;

use crate::TypeError;

/// What one evaluation may cost. The largest list of a Mixpanel property, 255 elements, squared by two nested quantifiers
/// with a body of a hundred nodes, stays below it; a fraction of a second of work does not.
pub const BUDGET: u64 = 10_000_000;

/// What is left of the budget.
pub(super) struct Budget {
    left: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: BUDGET }
    }
}

impl Budget {
    pub(super) fn spend(&mut self, cost: u64, on: &Expr) -> Result<(), TypeError> {
        self.left = self.left.checked_sub(cost).ok_or_else(|| exhausted(on))?;
        Ok(())
    }

    /// The longest text that can still be paid for.
    pub(super) fn bytes_max(&self) -> usize {
        usize::try_from(self.left.saturating_mul(16)).unwrap_or(usize::MAX)
    }
}

pub(super) fn exhausted(on: &Expr) -> TypeError {
    TypeError { message: format!("evaluation costs too much, cost_max={BUDGET}"), span: on.span.clone() }
}
