//! Everything that speaks DataFusion planning: the catalog of a snapshot, expressions as column code, reports, SQL.

pub mod catalog;
pub mod compile;
pub mod export;
pub mod report;
