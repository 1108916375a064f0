//! User-centric functions for DataFusion: Arrow arrays in, Arrow arrays out.
//!
//! One function a file. They know nothing of events, projects or files: `active_users(uid)` counts distinct integers
//! of any table.

mod active_users;
mod bucket_index;
mod utc_trunc;

use std::sync::Arc;

use datafusion::logical_expr::AggregateUDF;

pub use active_users::active_users;
pub use bucket_index::bucket_index;
pub use utc_trunc::{is_trunc_unit, utc_trunc};

/// Every aggregate function of this crate.
pub fn aggregates() -> Vec<Arc<AggregateUDF>> {
    vec![active_users()]
}
