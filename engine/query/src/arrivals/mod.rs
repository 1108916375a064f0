//! What has just arrived: a live view that goes on, and the last events as a list.
//!
//! Both look at rows one by one, in memory, in the order in which they arrived, and share one filter. The list goes on
//! into segments when memory does not answer it, as a query like any other.

mod filter;
mod live;
mod recent;

#[cfg(test)]
mod tests;

pub use filter::{ArrivalFilter, ArrivalFilterSpec};
pub use live::{Live, LiveItem, LiveSpec, Viewed};
pub use recent::{RecentSpec, recent};
