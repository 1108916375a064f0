//! Views: a statement over events of which a result is kept for each shard and day.
//!
//! ```text
//!   Sort, Projection, Having …   ┐ outer: runs at each reading, over cells
//!   Aggregate, final             ┘
//!   Aggregate, partial           ┐ cell: runs once for each shard and day whose rows have changed; what it gives is kept,
//!   Projection, Filter           │ for an aggregate the partial states
//!   ShardScan                    ┘
//! ```
//!
//! The one idea: DataFusion cuts an aggregation in two so that partitions can work on their own; a shard's day is such a
//! partition, and its partial states can be kept. So every aggregate function works, and no rule about what may be
//! added up is ours. A reading takes the cells that are stored, computes the missing ones and the live rows, and runs
//! the outer part: a view is never out of date, and a refresh only saves the next reading work.
//!
//! Deliberately absent: joins, and whatever else looks beyond one row below its first aggregate; functions whose value
//! changes by itself, such as `now()`.

mod plan;
mod split;
mod table;
#[cfg(test)]
mod tests;

pub use plan::{ViewPlan, ViewRefresh};
pub use table::{PREFIX, ViewTable};
