//! Everything that speaks DataFusion planning: the catalog of a snapshot, expressions as column code, reports, SQL.
//!
//! Reading order: [`catalog`] (a snapshot as tables), [`compile`] (expressions), [`report`], [`sql`], [`expr`], [`view`],
//! [`export`], [`arrivals`].

pub mod arrivals;
mod blockwise;
pub mod calendar;
pub mod catalog;
pub mod check;
pub mod compile;
pub mod evaluate;
pub mod export;
pub mod expr;
pub mod rejected;
pub mod report;
pub mod runtime;
pub mod session;
pub mod sql;
pub mod view;

mod count_users;
mod error;
#[cfg(test)]
mod fixture;
mod resolver;
mod truncate_utc;

pub use error::QueryError;
