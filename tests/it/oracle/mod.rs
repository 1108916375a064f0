//! The naive answers: one pass over the raw events that were sent, no index, no cleverness.
//!
//! `shared/reference/report-semantics.md` is what every function here spells out; section numbers are of that page.

mod calendar;
mod event;
mod funnel;
mod retention;
mod segmentation;

pub use calendar::Unit;
pub use event::{Loser, RawEvent, losers, surviving};
pub use funnel::{Timed, funnel_loose};
pub use retention::retention_birth;
pub use segmentation::{Answer, Breakdown, Count, Filter, Question, segmentation};
