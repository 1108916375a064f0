//! A lookup table's CSV as typed columns.
//!
//! Each value has a type of its own: a number, a moment (RFC 3339), `true` or `false` in any case, a list of texts
//! written as JSON, or else a text. A column has that type if all its values do; a column of mixed types is text, as
//! written. An empty value is none.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, ListBuilder, RecordBatch, StringBuilder, TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use chrono::DateTime;
use csv::{Reader, ReaderBuilder, StringRecord};
use datafusion::datasource::MemTable;

use crate::error::QueryError;

/// Rows of one batch: a table is read in parallel from the second on.
const BATCH_ROWS: usize = 8_192;

/// Lookup tables are SQL tables under their name behind this.
pub const PREFIX: &str = "lookup_";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Moment,
    Truth,
    Texts,
    Text,
}

/// Reads a table that was checked when it was uploaded.
pub fn read(csv: &[u8]) -> Result<MemTable, QueryError> {
    let csv = csv.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(csv);
    let names: Vec<String> = reader(csv).headers().map_err(unreadable)?.iter().map(str::to_owned).collect();
    let kinds = kinds(csv, names.len())?;
    let fields = names.iter().zip(&kinds).map(|(name, kind)| Field::new(name, kind.data_type(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut batches = Vec::new();
    let mut records = reader(csv).into_records();
    loop {
        let rows: Vec<StringRecord> =
            records.by_ref().take(BATCH_ROWS).collect::<Result<_, _>>().map_err(unreadable)?;
        if rows.is_empty() && !batches.is_empty() {
            break;
        }
        let values = |column| rows.iter().map(move |row| row.get(column).filter(|value| !value.is_empty()));
        let columns = kinds.iter().enumerate().map(|(column, kind)| kind.array(values(column))).collect();
        batches.push(RecordBatch::try_new(schema.clone(), columns).map_err(datafusion::error::DataFusionError::from)?);
        if rows.len() < BATCH_ROWS {
            break;
        }
    }
    Ok(MemTable::try_new(schema, vec![batches])?)
}

fn reader(csv: &[u8]) -> Reader<&[u8]> {
    ReaderBuilder::new().has_headers(true).from_reader(csv)
}

fn unreadable(error: csv::Error) -> QueryError {
    tracing::error!(%error, "a stored lookup table cannot be read");
    QueryError::Execution(datafusion::error::DataFusionError::Internal("a lookup table is damaged".to_owned()))
}

/// The type of each column.
fn kinds(csv: &[u8], columns: usize) -> Result<Vec<Kind>, QueryError> {
    let mut kinds: Vec<Option<Kind>> = vec![None; columns];
    let mut reader = reader(csv);
    let mut row = StringRecord::new();
    while reader.read_record(&mut row).map_err(unreadable)? {
        for (kind, value) in kinds.iter_mut().zip(&row).filter(|(_, value)| !value.is_empty()) {
            *kind = match *kind {
                Some(Kind::Text) => Some(Kind::Text),
                Some(known) if known.admits(value) => Some(known),
                Some(_) => Some(Kind::Text),
                None => Some(Kind::of(value)),
            };
        }
    }
    Ok(kinds.into_iter().map(|kind| kind.unwrap_or(Kind::Text)).collect())
}

impl Kind {
    fn of(value: &str) -> Self {
        let typed = [Self::Number, Self::Truth, Self::Moment, Self::Texts];
        typed.into_iter().find(|kind| kind.admits(value)).unwrap_or(Self::Text)
    }

    fn admits(self, value: &str) -> bool {
        match self {
            Self::Number => number(value).is_some(),
            Self::Moment => moment(value).is_some(),
            Self::Truth => truth(value).is_some(),
            Self::Texts => texts(value).is_some(),
            Self::Text => true,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Number => DataType::Float64,
            Self::Moment => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::Truth => DataType::Boolean,
            Self::Texts => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
            Self::Text => DataType::Utf8,
        }
    }

    fn array<'v>(self, values: impl Iterator<Item = Option<&'v str>>) -> ArrayRef {
        match self {
            Self::Number => {
                let mut array = Float64Builder::new();
                values.for_each(|value| array.append_option(value.and_then(number)));
                Arc::new(array.finish())
            }
            Self::Moment => {
                let mut array = TimestampMillisecondBuilder::new().with_timezone("UTC");
                values.for_each(|value| array.append_option(value.and_then(moment)));
                Arc::new(array.finish())
            }
            Self::Truth => {
                let mut array = BooleanBuilder::new();
                values.for_each(|value| array.append_option(value.and_then(truth)));
                Arc::new(array.finish())
            }
            Self::Texts => {
                let mut array = ListBuilder::new(StringBuilder::new());
                values.for_each(|value| match value.and_then(texts) {
                    Some(items) => array.append_value(items.into_iter().map(Some)),
                    None => array.append_null(),
                });
                Arc::new(array.finish())
            }
            Self::Text => {
                let mut array = StringBuilder::new();
                values.for_each(|value| array.append_option(value));
                Arc::new(array.finish())
            }
        }
    }
}

/// What JSON calls a number. So `007` and `+7` are texts: as numbers they would be other codes.
fn number(value: &str) -> Option<f64> {
    let bare =
        value.starts_with(|c: char| c.is_ascii_digit() || c == '-') && value.ends_with(|c: char| c.is_ascii_digit());
    bare.then(|| serde_json::from_str(value).ok())?
}

fn moment(value: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(value).ok().map(|moment| moment.timestamp_millis())
}

fn truth(value: &str) -> Option<bool> {
    if value.eq_ignore_ascii_case("true") {
        return Some(true);
    }
    value.eq_ignore_ascii_case("false").then_some(false)
}

fn texts(value: &str) -> Option<Vec<String>> {
    value.starts_with('[').then(|| serde_json::from_str(value).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_type_that_they_are_written_in() {
        let check = |value: &str, expect: Kind| assert_eq!(Kind::of(value), expect, "{value}");
        for value in ["0", "-1", "5.0", "1e3", "0.25"] {
            check(value, Kind::Number);
        }
        for value in ["inf", "NaN", "-", "", "007", "-01", "+7", ".5", "1.", "1.2.3", "1e999", "0x1", " 1"] {
            check(value, Kind::Text);
        }
        for value in ["true", "FALSE", "True"] {
            check(value, Kind::Truth);
        }
        for value in ["2024-01-02T03:04:05Z", "2024-01-02T03:04:05.678+01:00"] {
            check(value, Kind::Moment);
        }
        for value in ["[]", r#"["a","b"]"#] {
            check(value, Kind::Texts);
        }
        for value in ["2024-01-02", "[1]", "[a]", "{}", "yes"] {
            check(value, Kind::Text);
        }
    }

    #[test]
    fn a_column_of_mixed_types_is_text() {
        let csv = b"id,n,mixed,none,late\n1,1,1,,\n2,,true,,x\n3,-2.5,,,y\n";
        assert_eq!(kinds(csv, 5).unwrap(), [Kind::Number, Kind::Number, Kind::Text, Kind::Text, Kind::Text]);
    }
}
