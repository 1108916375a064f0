//! Changes of profiles, as they were sent, for whoever builds people and groups from them.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use footfall_model::{ProfileTarget, ProfileUpdate};
use serde::{Deserialize, Serialize};

use super::JournalRow;
use super::columns::{Columns, heap_bytes, value};

/// One change and its place in the order of a project's arrivals, which it shares with the events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfileEntry {
    /// Microseconds since the epoch.
    pub received_at: i64,
    /// The way in; `None`: not known.
    pub source: Option<Cow<'static, str>>,
    pub update: ProfileUpdate,
}

const PERSON: &str = "person";
const GROUP: &str = "group";

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        Field::new("received_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        text("kind", false),
        text("distinct_id", true),
        text("group_key", true),
        text("group_id", true),
        text("record", false),
        text("source", true),
    ]))
});

impl JournalRow for ProfileEntry {
    const TABLE: &'static str = "profile_updates";
    const ORDER: &'static str = "received_at";

    fn schema() -> SchemaRef {
        SCHEMA.clone()
    }

    fn order(&self) -> i64 {
        self.received_at
    }

    fn bytes(&self) -> usize {
        let texts = match &self.update.target {
            ProfileTarget::Person { distinct_id } => distinct_id.len(),
            ProfileTarget::Group { key, id } => key.len() + id.len(),
        };
        size_of::<Self>() + texts + heap_bytes(&self.update.record)
    }

    fn to_batch<'a>(rows: impl Iterator<Item = &'a Self>) -> Result<RecordBatch, ArrowError> {
        let rows: Vec<&Self> = rows.collect();
        let texts = |of: fn(&Self) -> Option<&str>| Arc::new(rows.iter().map(|row| of(row)).collect::<StringArray>());
        let received_at = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.received_at));
        let records = rows.iter().map(|row| serde_json::Value::from(&row.update.record).to_string());
        RecordBatch::try_new(
            Self::schema(),
            vec![
                Arc::new(received_at.with_timezone("UTC")),
                texts(|row| match row.update.target {
                    ProfileTarget::Person { .. } => Some(PERSON),
                    ProfileTarget::Group { .. } => Some(GROUP),
                }),
                texts(|row| match &row.update.target {
                    ProfileTarget::Person { distinct_id } => Some(distinct_id),
                    ProfileTarget::Group { .. } => None,
                }),
                texts(|row| match &row.update.target {
                    ProfileTarget::Person { .. } => None,
                    ProfileTarget::Group { key, .. } => Some(key),
                }),
                texts(|row| match &row.update.target {
                    ProfileTarget::Person { .. } => None,
                    ProfileTarget::Group { id, .. } => Some(id),
                }),
                Arc::new(StringArray::from_iter_values(records)),
                texts(|row| row.source.as_deref()),
            ],
        )
    }

    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ArrowError> {
        let columns = Columns(batch);
        let received_at = columns.micros("received_at")?;
        let (kind, distinct_id) = (columns.texts("kind")?, columns.texts("distinct_id")?);
        let (key, id) = (columns.texts("group_key")?, columns.texts("group_id")?);
        let (record, source) = (columns.texts("record")?, columns.texts("source")?);
        (0..batch.num_rows())
            .map(|row| {
                let target = match kind.value(row) {
                    PERSON => ProfileTarget::Person { distinct_id: distinct_id.value(row).to_owned() },
                    GROUP => ProfileTarget::Group { key: key.value(row).to_owned(), id: id.value(row).to_owned() },
                    other => return Err(ArrowError::ParseError(format!("unknown kind {other}"))),
                };
                Ok(Self {
                    received_at: received_at.value(row),
                    source: source.is_valid(row).then(|| Cow::Owned(source.value(row).to_owned())),
                    update: ProfileUpdate { target, record: value(record.value(row))? },
                })
            })
            .collect()
    }
}
