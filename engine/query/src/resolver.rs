//! Which columns of the `events` table a property of an expression is.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::Column;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::{Expr, cast};
use footfall_lang::ast::Source;
use footfall_storage::columns::{Builtin, Catalog, PropertyType, REST};

use crate::catalog::Properties;
use crate::compile::{PropertyColumns, PropertyResolver};

/// Resolves against the table in its stored shape. Event properties and metadata; profiles have no columns here.
/// Remembers what it was asked for, since the table need have no other columns.
pub struct EventResolver {
    catalog: Arc<Catalog>,
    named: RefCell<BTreeSet<String>>,
}

impl EventResolver {
    pub fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog, named: RefCell::default() }
    }

    /// The properties that the expressions compiled so far have named.
    pub fn properties(&self) -> Properties {
        Properties::Named(Arc::new(self.named.borrow().clone()))
    }

    /// Whether a key is that of a property, not of an event's metadata.
    pub(crate) fn is_stored(&self, key: &str) -> bool {
        self.metadata(key).is_none() && self.catalog.columns_of(key).next().is_some()
    }

    fn metadata(&self, key: &str) -> Option<PropertyColumns> {
        Some(match key {
            "$event_name" => PropertyColumns::text(builtin(Builtin::Event)),
            "$distinct_id" => PropertyColumns::text(builtin(Builtin::UserId)),
            "distinct_id" if self.catalog.columns_of(key).next().is_none() => {
                PropertyColumns::text(builtin(Builtin::UserId))
            }
            "$insert_id" => PropertyColumns::text(builtin(Builtin::InsertId)),
            "$time" => PropertyColumns::datetime(builtin(Builtin::Time)),
            "time" => PropertyColumns::unix_time(builtin(Builtin::Time)),
            "mp_processing_time_ms" => PropertyColumns::float(received_millis()),
            _ => return None,
        })
    }

    fn stored(&self, property: &str) -> PropertyColumns {
        self.named.borrow_mut().insert(property.to_owned());
        let column = |kind| self.catalog.column(property, kind).map(|c| by_name(&c.column));
        PropertyColumns {
            bool: column(PropertyType::Boolean),
            int: column(PropertyType::Integer),
            float: column(PropertyType::Double),
            text: column(PropertyType::String),
            json: match (column(PropertyType::Json), column(PropertyType::Texts)) {
                (Some(json), Some(texts)) => Some(coalesce(vec![json, texts])),
                (json, texts) => json.or(texts),
            },
            null: column(PropertyType::Null),
            ..PropertyColumns::default()
        }
    }
}

impl PropertyResolver for EventResolver {
    fn property(&self, source: Source, key: &str) -> PropertyColumns {
        match source {
            Source::User | Source::Behaviors => PropertyColumns::default(),
            Source::Properties | Source::Event => self.metadata(key).unwrap_or_else(|| self.stored(key)),
        }
    }
}

/// A reference to a built-in column of the table.
pub fn builtin(column: Builtin) -> Expr {
    by_name(column.name())
}

/// The columns of whole rows, which can be read as events.
pub fn whole_row() -> Vec<Expr> {
    Builtin::ALL.into_iter().map(builtin).chain([by_name(REST)]).collect()
}

/// The time of arrival as the export shows it.
fn received_millis() -> Expr {
    let millis = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    cast(cast(cast(builtin(Builtin::ReceivedAt), millis), DataType::Int64), DataType::Float64)
}

/// A reference that takes the name as it is; `col("a.B")` would parse it.
pub(crate) fn by_name(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}
