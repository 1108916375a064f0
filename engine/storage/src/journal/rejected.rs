//! Copies of an event that lost against another copy, once each.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, RecordBatch, StringArray, TimestampMicrosecondArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use footfall_model::Value;
use serde::{Deserialize, Serialize};

use super::JournalRow;
use super::columns::{Columns, heap_bytes_of, json_object, members};

/// Why a copy is not among the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RejectReason {
    /// It was equal to a copy that was there already.
    Duplicate,
    /// A later copy had other properties, and the latest arrival's count.
    Superseded,
}

impl RejectReason {
    pub const ALL: [Self; 2] = [Self::Duplicate, Self::Superseded];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::Superseded => "superseded",
        }
    }

    /// The reason of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// A copy that lost. The first four fields are the key that it shares with the copy that stayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RejectedEvent {
    pub event: String,
    /// As sent; empty for an event of nobody.
    pub distinct_id: String,
    /// Milliseconds since the epoch.
    pub time: i64,
    pub insert_id: String,
    /// When this copy arrived, in microseconds since the epoch.
    pub received_at: i64,
    /// When the copy arrived that stayed.
    pub kept_received_at: i64,
    pub reason: RejectReason,
    /// The way in of this copy. `None`: not known, as of a copy that has been flushed before it lost.
    pub source: Option<Cow<'static, str>>,
    pub properties: Vec<(String, Value)>,
}

impl RejectedEvent {
    /// When it lost: at its own arrival, or at that of its successor. No two copies of a project lose at once, for each
    /// loses by an arrival of its own.
    pub fn rejected_at(&self) -> i64 {
        self.received_at.max(self.kept_received_at)
    }
}

const REJECTED_AT: &str = "rejected_at";

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let instant = |name, unit| Field::new(name, DataType::Timestamp(unit, Some("UTC".into())), false);
    let text = |name, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        instant(REJECTED_AT, TimeUnit::Microsecond),
        text("reason", false),
        instant("time", TimeUnit::Millisecond),
        text("event", false),
        text("distinct_id", false),
        text("user_id", true),
        text("insert_id", false),
        instant("received_at", TimeUnit::Microsecond),
        instant("kept_received_at", TimeUnit::Microsecond),
        text("source", true),
        text("properties", false),
    ]))
});

impl JournalRow for RejectedEvent {
    const TABLE: &'static str = "rejected_events";
    const ORDER: &'static str = REJECTED_AT;

    fn schema() -> SchemaRef {
        SCHEMA.clone()
    }

    fn order(&self) -> i64 {
        self.rejected_at()
    }

    fn bytes(&self) -> usize {
        let texts = self.event.len() + self.distinct_id.len() + self.insert_id.len();
        size_of::<Self>() + texts + heap_bytes_of(&self.properties)
    }

    fn to_batch<'a>(rows: impl Iterator<Item = &'a Self>) -> Result<RecordBatch, ArrowError> {
        let rows: Vec<&Self> = rows.collect();
        let micros = |of: fn(&Self) -> i64| {
            let values = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| of(row)));
            Arc::new(values.with_timezone("UTC"))
        };
        let texts = |of: fn(&Self) -> &str| Arc::new(StringArray::from_iter_values(rows.iter().map(|row| of(row))));
        let optional =
            |of: fn(&Self) -> Option<&str>| Arc::new(rows.iter().map(|row| of(row)).collect::<StringArray>());
        let time = TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.time)).with_timezone("UTC");
        let properties = StringArray::from_iter_values(rows.iter().map(|row| json_object(&row.properties)));
        RecordBatch::try_new(
            Self::schema(),
            vec![
                micros(Self::rejected_at),
                texts(|row| row.reason.name()),
                Arc::new(time),
                texts(|row| &row.event),
                texts(|row| &row.distinct_id),
                optional(|row| Some(row.distinct_id.as_str()).filter(|id| !id.is_empty())),
                texts(|row| &row.insert_id),
                micros(|row| row.received_at),
                micros(|row| row.kept_received_at),
                optional(|row| row.source.as_deref()),
                Arc::new(properties),
            ],
        )
    }

    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ArrowError> {
        let columns = Columns(batch);
        let (event, distinct_id, insert_id) =
            (columns.texts("event")?, columns.texts("distinct_id")?, columns.texts("insert_id")?);
        let (reason, source, properties) =
            (columns.texts("reason")?, columns.texts("source")?, columns.texts("properties")?);
        let (received_at, kept) = (columns.micros("received_at")?, columns.micros("kept_received_at")?);
        let time = columns.millis("time")?;
        (0..batch.num_rows())
            .map(|row| {
                let unknown = || ArrowError::ParseError(format!("unknown reason {}", reason.value(row)));
                Ok(Self {
                    event: event.value(row).to_owned(),
                    distinct_id: distinct_id.value(row).to_owned(),
                    time: time.value(row),
                    insert_id: insert_id.value(row).to_owned(),
                    received_at: received_at.value(row),
                    kept_received_at: kept.value(row),
                    reason: RejectReason::parse(reason.value(row)).ok_or_else(unknown)?,
                    source: source.is_valid(row).then(|| Cow::Owned(source.value(row).to_owned())),
                    properties: members(properties.value(row))?,
                })
            })
            .collect()
    }
}
