//! Raw export: stored events back as the JSON they came in.
//!
//! Day by day, each day sorted by time and then arrival, so that memory holds one day whatever the range.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use chrono::NaiveDate;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::SessionContext;
use footfall_lang::parse_expression;
use footfall_storage::Snapshot;
use footfall_storage::columns::{Builtin, RowReader};
use footfall_storage::segment::day_of;
use futures::StreamExt;
use serde_json::{Map, Value as Json};

use crate::catalog::Shape;
use crate::compile::{Clock, compile_where};
use crate::error::QueryError;
use crate::report::millis;
use crate::resolver::{EventResolver, builtin, whole_row};
use crate::session::Sessions;

#[derive(Clone, Debug, PartialEq)]
pub struct ExportSpec {
    /// UTC days, inclusive.
    pub from: NaiveDate,
    pub to: NaiveDate,
    /// Event names to keep; `None` is all.
    pub events: Option<Vec<String>>,
    /// Expression that keeps an event.
    pub filter: Option<String>,
    pub limit: Option<usize>,
    /// `time` in milliseconds instead of seconds.
    pub time_in_ms: bool,
}

/// An export under way: ask for chunks until there are no more.
pub struct Export {
    context: SessionContext,
    filter: Expr,
    days: std::vec::IntoIter<i32>,
    batches: Option<SendableRecordBatchStream>,
    left: usize,
    time_in_ms: bool,
}

impl Export {
    /// Checks the spec and fixes what will be read.
    pub fn new(
        sessions: &Sessions,
        snapshot: &Arc<Snapshot>,
        spec: &ExportSpec,
        clock: &Clock,
    ) -> Result<Self, QueryError> {
        let resolver = EventResolver::new(snapshot.catalog.clone());
        let mut filter = match &spec.filter {
            None => lit(true),
            Some(text) => {
                let tree = parse_expression(text).map_err(|e| QueryError::parse("where", e))?;
                compile_where(&tree, &resolver, clock).map_err(|e| QueryError::compile("where", e))?.predicate
            }
        };
        if let Some(events) = &spec.events {
            let names = events.iter().map(|name| lit(name.as_str())).collect();
            filter = builtin(Builtin::Event).in_list(names, false).and(filter);
        }
        let range = day_number(spec.from)..=day_number(spec.to);
        let days: Vec<i32> = days_with_events(snapshot).into_iter().filter(|day| range.contains(day)).collect();
        Ok(Self {
            context: sessions.context(snapshot, Shape::Stored, resolver.properties())?,
            filter,
            days: days.into_iter(),
            batches: None,
            left: spec.limit.unwrap_or(usize::MAX),
            time_in_ms: spec.time_in_ms,
        })
    }

    /// The next lines, or `None` at the end.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, QueryError> {
        while self.left > 0 {
            let Some(batches) = &mut self.batches else {
                let Some(day) = self.days.next() else { return Ok(None) };
                let opened = open_day(self.context.clone(), self.filter.clone(), day).await?;
                self.batches = Some(opened);
                continue;
            };
            match batches.next().await {
                None => self.batches = None,
                Some(batch) => {
                    let batch = batch?;
                    let rows = batch.num_rows().min(self.left);
                    self.left -= rows;
                    if rows > 0 {
                        return Ok(Some(lines(&batch.slice(0, rows), self.time_in_ms)?));
                    }
                }
            }
        }
        Ok(None)
    }
}

async fn open_day(context: SessionContext, filter: Expr, day: i32) -> Result<SendableRecordBatchStream, QueryError> {
    let start = i64::from(day) * 86_400_000;
    let time = || builtin(Builtin::Time);
    let of_day = time().gt_eq(millis(start)).and(time().lt(millis(start + 86_400_000)));
    let order = vec![time().sort(true, false), builtin(Builtin::ReceivedAt).sort(true, false)];
    let frame = context.table("events").await?.filter(of_day)?.filter(filter)?.select(whole_row())?.sort(order)?;
    Ok(frame.execute_stream().await?)
}

fn day_number(date: NaiveDate) -> i32 {
    (date - NaiveDate::default()).num_days() as i32
}

fn days_with_events(snapshot: &Snapshot) -> BTreeSet<i32> {
    let mut days: BTreeSet<i32> = snapshot.segments.days().collect();
    for chunk in &snapshot.live {
        days.extend((0..chunk.rows()).map(|row| day_of(chunk.time(row))));
    }
    days
}

/// One line per row, in the export's own form: `event`, and `properties` with the metadata first.
fn lines(batch: &RecordBatch, time_in_ms: bool) -> Result<Bytes, QueryError> {
    let reader = RowReader::try_new(batch).map_err(datafusion::error::DataFusionError::from)?;
    let mut out = Vec::with_capacity(batch.num_rows() * 256);
    for row in 0..batch.num_rows() {
        let time = if time_in_ms { reader.time(row) } else { reader.time(row).div_euclid(1000) };
        let mut properties = Map::new();
        properties.insert("time".to_owned(), Json::from(time));
        properties.insert("distinct_id".to_owned(), Json::from(reader.distinct_id(row)));
        properties.insert("$insert_id".to_owned(), Json::from(reader.insert_id(row)));
        properties.insert("mp_processing_time_ms".to_owned(), Json::from(reader.received_at(row) / 1000));
        for (name, value) in reader.properties(row) {
            properties.entry(name.into_owned()).or_insert_with(|| Json::from(&value));
        }
        let mut line = Map::new();
        line.insert("event".to_owned(), Json::from(reader.event(row)));
        line.insert("properties".to_owned(), Json::Object(properties));
        push_line(&mut out, &Json::Object(line).to_string());
    }
    Ok(out.into())
}

/// Clients split the body with Python's `splitlines`, which also breaks at these three.
fn push_line(out: &mut Vec<u8>, line: &str) {
    if line.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
        let escaped = line.replace('\u{85}', "\\u0085").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
        out.extend_from_slice(escaped.as_bytes());
    } else {
        out.extend_from_slice(line.as_bytes());
    }
    out.push(b'\n');
}
