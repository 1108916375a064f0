//! Events as Arrow columns and back.
//!
//! The one idea: a property is as many nullable columns as it has had JSON types ([`Catalog`]), so that values keep
//! their types and a reader that names one property touches one or two columns. A batch carries only the columns that
//! occur in it.

mod catalog;
mod rows;

pub use catalog::{Builtin, Catalog, PropertyColumn, PropertyType};
pub use rows::{RowReader, to_batch};
