//! A table of expectations: all are tried, and the failing ones are reported together.

use std::fmt::{Debug, Display};

#[derive(Default)]
pub struct Checks {
    tried: usize,
    failures: Vec<String>,
}

impl Checks {
    pub fn holds(&mut self, claim: impl Display, holds: bool, seen: impl Display) {
        self.tried += 1;
        if !holds {
            self.failures.push(format!("{claim}\n      saw: {seen}"));
        }
    }

    pub fn equal<T: Debug + PartialEq>(&mut self, claim: impl Display, got: T, want: T) {
        self.tried += 1;
        if got != want {
            self.failures.push(format!("{claim}\n      got:  {got:?}\n      want: {want:?}"));
        }
    }

    /// Fails the test if any expectation failed, or if there was none.
    pub fn finish(self) {
        assert!(self.tried > 0, "no expectation was tried");
        let list = self.failures.iter().map(|failure| format!("  - {failure}\n")).collect::<String>();
        assert!(self.failures.is_empty(), "{} of {} expectations failed:\n{list}", self.failures.len(), self.tried);
    }
}
