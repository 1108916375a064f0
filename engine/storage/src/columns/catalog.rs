//! Which physical column holds which type of which property.
//!
//! A property name may carry several JSON types over its life. Each (name, type) is a column of its own; in a row at
//! most one of a property's columns is set, none means undefined. The first type seen takes the property's own name,
//! later ones a suffix (`price`, `price__string`). The mapping travels in the field metadata of the table's schema, and
//! for what no file has a column of in a property of the table, so a reader needs nothing but the table.
//!
//! Invariants:
//! - C1: a (property, type) keeps its column name for ever; the catalog only grows.
//! - C2: column names are unique without regard to case, as Delta demands.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use footfall_model::Value;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{REST, TableColumns};

/// Metadata key: the property's name as sent.
const PROPERTY_KEY: &str = "footfall.property";
/// Metadata key: the JSON type the column holds.
const TYPE_KEY: &str = "footfall.type";

/// Characters that Delta or Parquet readers do not take in a column name, and the escape itself.
const ESCAPED: &AsciiSet =
    &CONTROLS.add(b' ').add(b',').add(b';').add(b'{').add(b'}').add(b'(').add(b')').add(b'=').add(b'%').add(b'`');

/// The JSON types that have columns of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PropertyType {
    Boolean,
    Integer,
    Double,
    String,
    /// Other lists, and objects, as JSON text.
    Json,
    /// Lists of nothing but texts, as JSON text too: SQL shows them as lists.
    Texts,
    /// An explicit JSON null: true where it was sent. Apart from the others, so that an occasional null does not turn a
    /// column of numbers into text.
    Null,
}

impl PropertyType {
    pub const ALL: [Self; 7] =
        [Self::Boolean, Self::Integer, Self::Double, Self::String, Self::Json, Self::Texts, Self::Null];

    /// The column type for a value.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Bool(_) => Self::Boolean,
            Value::Int(_) => Self::Integer,
            Value::Float(_) => Self::Double,
            Value::Text(_) => Self::String,
            Value::List(items) if items.iter().all(|item| matches!(item, Value::Text(_))) => Self::Texts,
            Value::List(_) | Value::Map(_) => Self::Json,
            Value::Null => Self::Null,
        }
    }

    /// The word in metadata and in the suffix of a second column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::String => "string",
            Self::Json => "json",
            Self::Texts => "texts",
            Self::Null => "null",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }

    /// The Arrow type of the column.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Boolean | Self::Null => DataType::Boolean,
            Self::Integer => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::String | Self::Json | Self::Texts => DataType::Utf8,
        }
    }
}

/// Columns every event has, in the order of the table's schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Builtin {
    Uid,
    Time,
    Event,
    DistinctId,
    UserId,
    InsertId,
    ReceivedAt,
}

impl Builtin {
    pub const ALL: [Self; 7] =
        [Self::Uid, Self::Time, Self::Event, Self::DistinctId, Self::UserId, Self::InsertId, Self::ReceivedAt];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Uid => "uid",
            Self::Time => "time",
            Self::Event => "event",
            Self::DistinctId => "distinct_id",
            Self::UserId => "user_id",
            Self::InsertId => "insert_id",
            Self::ReceivedAt => "received_at",
        }
    }

    pub fn data_type(self) -> DataType {
        match self {
            Self::Uid => DataType::Int64,
            Self::Time => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::ReceivedAt => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Event | Self::DistinctId | Self::UserId | Self::InsertId => DataType::Utf8,
        }
    }

    /// `user_id` is null for events without a user; everything else is always there.
    pub fn field(self) -> Field {
        Field::new(self.name(), self.data_type(), self == Self::UserId)
    }
}

/// One physical column of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyColumn {
    pub property: Arc<str>,
    pub kind: PropertyType,
    /// Name in Parquet and Delta.
    pub column: Arc<str>,
}

impl PropertyColumn {
    /// The Arrow field, with the property's own name and type in its metadata.
    pub fn field(&self) -> Field {
        Field::new(self.column.as_ref(), self.kind.data_type(), true).with_metadata(HashMap::from([
            (PROPERTY_KEY.to_owned(), self.property.to_string()),
            (TYPE_KEY.to_owned(), self.kind.name().to_owned()),
        ]))
    }
}

/// All property columns of a project, in the order they were first seen.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    columns: Vec<Arc<PropertyColumn>>,
    by_property: HashMap<Arc<str>, Vec<usize>>,
    /// Lower-cased names in use (C2).
    taken: HashMap<String, usize>,
}

impl Catalog {
    /// Reads the mapping back from a table's or a file's schema. Fields without our metadata are not properties.
    pub fn from_schema(schema: &Schema) -> Self {
        let mut catalog = Self::default();
        for field in schema.fields() {
            let property = field.metadata().get(PROPERTY_KEY);
            let kind = field.metadata().get(TYPE_KEY).and_then(|t| PropertyType::parse(t));
            if let (Some(property), Some(kind)) = (property, kind) {
                catalog.insert(property.as_str().into(), kind, field.name().as_str().into());
            }
        }
        catalog
    }

    /// Adds what [`Self::without_columns`] wrote down.
    pub fn restore(&mut self, without_columns: &str) -> Result<(), serde_json::Error> {
        for (property, kind, column) in serde_json::from_str::<Vec<(String, PropertyType, String)>>(without_columns)? {
            let is_free = !self.taken.contains_key(&column.to_lowercase());
            if self.column(&property, kind).is_none() && is_free {
                self.insert(property.as_str().into(), kind, column.as_str().into());
            }
        }
        Ok(())
    }

    /// Property, type and the name kept for the column of each that the table has no column of.
    pub fn without_columns(&self, table: &TableColumns) -> String {
        let without = self.columns.iter().filter(|c| !table.has(&c.column));
        let entries: Vec<_> = without.map(|c| (c.property.as_ref(), c.kind, c.column.as_ref())).collect();
        // A list of texts always serialises.
        serde_json::to_string(&entries).unwrap_or_default()
    }

    /// The schema of all columns, as if each (property, type) had one.
    pub fn schema(&self) -> SchemaRef {
        let builtin = Builtin::ALL.into_iter().map(Builtin::field);
        Arc::new(Schema::new(builtin.chain(self.columns.iter().map(|c| c.field())).collect::<Vec<_>>()))
    }

    pub fn columns(&self) -> &[Arc<PropertyColumn>] {
        &self.columns
    }

    /// Property names in the order first seen, each once.
    pub fn properties(&self) -> impl Iterator<Item = &Arc<str>> {
        let first = |c: &&Arc<PropertyColumn>| {
            self.columns_of(&c.property).next().is_some_and(|first| first.column == c.column)
        };
        self.columns.iter().filter(first).map(|c| &c.property)
    }

    /// The columns of one property, first seen first; none if the property never occurred.
    pub fn columns_of(&self, property: &str) -> impl Iterator<Item = &Arc<PropertyColumn>> {
        self.by_property.get(property).into_iter().flatten().filter_map(|i| self.columns.get(*i))
    }

    /// The column of a property's type, if it has occurred.
    pub fn column(&self, property: &str, kind: PropertyType) -> Option<&Arc<PropertyColumn>> {
        self.columns_of(property).find(|c| c.kind == kind)
    }

    /// The column of a property's type, made if this is its first occurrence.
    pub fn column_or_add(&mut self, property: &str, kind: PropertyType) -> Arc<PropertyColumn> {
        if let Some(found) = self.column(property, kind) {
            return found.clone();
        }
        let name = self.free_name(property, kind);
        self.insert(property.into(), kind, name.into())
    }

    fn free_name(&self, property: &str, kind: PropertyType) -> String {
        let own = escape(property);
        // A null says nothing about a property's type: it never takes the plain name.
        let base = if kind == PropertyType::Null || self.by_property.contains_key(property) {
            format!("{own}__{}", kind.name())
        } else {
            own
        };
        let free = |name: &str| !self.taken.contains_key(&name.to_lowercase());
        if free(&base) {
            return base;
        }
        let mut suffix = 2u32;
        loop {
            let name = format!("{base}_{suffix}");
            if free(&name) {
                return name;
            }
            suffix += 1;
        }
    }

    fn insert(&mut self, property: Arc<str>, kind: PropertyType, column: Arc<str>) -> Arc<PropertyColumn> {
        let index = self.columns.len();
        let added = Arc::new(PropertyColumn { property: property.clone(), kind, column });
        self.taken.insert(added.column.to_lowercase(), index);
        self.by_property.entry(property).or_default().push(index);
        self.columns.push(added.clone());
        added
    }
}

/// A property's own column name: readable, legal in Delta, never that of a built-in or partition column, or `rest`.
fn escape(property: &str) -> String {
    let escaped = utf8_percent_encode(property, ESCAPED).to_string();
    // percent-encoding leaves only ASCII; other scripts are legal column names and read better as they are.
    let readable = if property.is_ascii() { escaped } else { escape_ascii_only(property) };
    let lower = readable.to_lowercase();
    let reserved = Builtin::ALL.iter().any(|b| b.name() == lower) || matches!(lower.as_str(), "day" | "shard" | REST);
    if reserved { format!("properties.{readable}") } else { readable }
}

fn escape_ascii_only(property: &str) -> String {
    let mut out = String::with_capacity(property.len());
    for c in property.chars() {
        if c.is_ascii() {
            let mut buffer = [0u8; 4];
            out.extend(utf8_percent_encode(c.encode_utf8(&mut buffer), ESCAPED));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(catalog: &mut Catalog, property: &str, kind: PropertyType) -> String {
        catalog.column_or_add(property, kind).column.to_string()
    }

    #[test]
    fn first_type_takes_the_plain_name_and_later_ones_a_suffix() {
        let mut catalog = Catalog::default();
        assert_eq!(added(&mut catalog, "price", PropertyType::Double), "price");
        assert_eq!(added(&mut catalog, "price", PropertyType::String), "price__string");
        assert_eq!(added(&mut catalog, "price", PropertyType::Double), "price");
    }

    #[test]
    fn names_are_legal_readable_and_unique_without_case() {
        let mut catalog = Catalog::default();
        for (property, column) in [
            ("$city", "$city"),
            ("Amount (EUR)", "Amount%20%28EUR%29"),
            ("100%", "100%25"),
            ("größe m", "größe%20m"),
            ("time", "properties.time"),
            ("Day", "properties.Day"),
            ("REST", "properties.REST"),
            ("plan", "plan"),
            ("Plan", "Plan_2"),
        ] {
            assert_eq!(added(&mut catalog, property, PropertyType::String), column, "{property}");
        }
    }

    #[test]
    fn the_schema_carries_the_mapping() {
        let mut catalog = Catalog::default();
        added(&mut catalog, "a b", PropertyType::Integer);
        added(&mut catalog, "a b", PropertyType::Json);
        let read = Catalog::from_schema(&catalog.schema());
        assert_eq!(read.columns(), catalog.columns());
        assert_eq!(read.properties().map(|p| p.as_ref()).collect::<Vec<_>>(), ["a b"]);
    }
}
