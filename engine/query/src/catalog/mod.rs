//! A storage snapshot as DataFusion tables.
//!
//! The one idea: the scan is our own leaf ([`ShardScanExec`]), which knows that all events of a user lie in one shard.
//! It declares `Range(uid)` partitioning, so that work per user is planned without a shuffle; it reads only the named
//! columns, days and events; and live rows and segments look the same to everything above it.

#[cfg(test)]
mod bytes_read;
mod columns;
mod events;
mod groups;
mod journal;
pub mod lookup;
mod prune;
mod scan;
mod stream;
#[cfg(test)]
mod tests;
mod wanted;

pub use columns::TableColumn;
pub use events::{EventsTable, Properties, Shape, sql_name};
pub use journal::journal_table;
pub use scan::ShardScanExec;
