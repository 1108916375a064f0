//! Events as Arrow columns and back.
//!
//! The one idea: a property is as many nullable columns as it has had JSON types ([`Catalog`]), so that values keep
//! their types and a reader that names one property touches one or two columns. A batch carries only the columns that
//! occur in it, and of these a bounded number, given out by use ([`ColumnBudget`]); what is left of a row is one JSON
//! object in its `rest` column. Which of the two it is differs from batch to batch and from file to file, and shows
//! nowhere: [`with_columns_from_rest`] makes columns of what a reader names, [`union`] moves properties when rows are
//! brought together.

mod budget;
mod builders;
mod catalog;
mod rest;
mod rows;
mod slots;
mod union;

pub use budget::{ColumnBudget, Layout, TableColumns};
pub use builders::to_batch;
pub use catalog::{Builtin, Catalog, PropertyColumn, PropertyType};
pub use rest::{REST, RestIndex, rest_field, with_columns_from_rest};
pub(crate) use rest::{decompressed, for_each_member, kind_of};
pub use rows::{RowReader, all_as_rest};
pub(crate) use union::{Target, Uses, union};
