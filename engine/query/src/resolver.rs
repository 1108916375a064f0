//! Which columns of the `events` table a property of an expression is.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, cast, lit, when};
use footfall_lang::ast::Source;
use footfall_storage::columns::{Builtin, Catalog, PropertyColumn, PropertyType};

use crate::compile::{PropertyColumns, PropertyResolver};

/// Resolves against the table in its stored shape. Event properties and metadata; profiles have no columns here.
pub struct EventResolver {
    catalog: Arc<Catalog>,
}

impl EventResolver {
    pub fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog }
    }

    fn stored(&self, property: &str) -> PropertyColumns {
        let column = |kind| self.catalog.column(property, kind).map(|c| by_name(&c.column));
        let json = column(PropertyType::Json);
        let null = self.catalog.column(property, PropertyType::Null);
        PropertyColumns {
            bool: column(PropertyType::Boolean),
            int: column(PropertyType::Integer),
            float: column(PropertyType::Double),
            text: column(PropertyType::String),
            json: null.map(|null| json_or_null(null, json.clone())).or(json),
            ..PropertyColumns::default()
        }
    }
}

impl PropertyResolver for EventResolver {
    fn property(&self, source: Source, key: &str) -> PropertyColumns {
        match source {
            Source::User | Source::Behaviors => PropertyColumns::default(),
            Source::Properties | Source::Event => match key {
                "$event_name" => PropertyColumns::text(builtin(Builtin::Event)),
                "$distinct_id" => PropertyColumns::text(builtin(Builtin::UserId)),
                "distinct_id" if self.catalog.columns_of(key).next().is_none() => {
                    PropertyColumns::text(builtin(Builtin::UserId))
                }
                "$insert_id" => PropertyColumns::text(builtin(Builtin::InsertId)),
                "$time" => PropertyColumns::datetime(builtin(Builtin::Time)),
                "time" => PropertyColumns::unix_time(builtin(Builtin::Time)),
                "mp_processing_time_ms" => PropertyColumns::float(received_millis()),
                _ => self.stored(key),
            },
        }
    }
}

/// A reference to a built-in column of the table.
pub fn builtin(column: Builtin) -> Expr {
    by_name(column.name())
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

/// The json lane with explicit nulls in it, which are stored apart.
fn json_or_null(null: &PropertyColumn, json: Option<Expr>) -> Expr {
    let is_null = by_name(&null.column).is_true();
    let otherwise = json.unwrap_or_else(|| lit(datafusion::common::ScalarValue::Utf8(None)));
    // The branches have one type, so building the case cannot fail.
    when(is_null, lit("null")).otherwise(otherwise.clone()).unwrap_or(otherwise)
}
