//! `/api/query/segmentation`: one event counted per bucket, optionally by segment.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast as arrow_cast;
use arrow::datatypes::{DataType, Int64Type};
use chrono::NaiveDate;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, cast, lit};
use footfall_lang::{parse_expression, parse_segment};
use footfall_storage::Snapshot;
use footfall_storage::columns::Builtin;
use footfall_udfs::{active_users, bucket_index};
use serde_json::Number;

use super::millis;
use crate::calendar::Buckets;
use crate::catalog::Shape;
use crate::compile::{Clock, CompiledFilter, CompiledSegment, compile_segment, compile_where};
use crate::error::QueryError;
use crate::resolver::{EventResolver, builtin, by_name};
use crate::session::Sessions;

/// Calendar bucket in the project's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Minute,
    Hour,
    Day,
    Week,
    Month,
}

/// What is counted (`type` on the wire).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Events.
    General,
    /// Distinct users per bucket.
    Unique,
    /// Events per distinct user; 0 where there is no user.
    Average,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SegmentationSpec {
    pub event: String,
    /// Local days of the project, inclusive.
    pub from: NaiveDate,
    pub to: NaiveDate,
    pub unit: Unit,
    pub count: Count,
    /// Expression whose value is the segment.
    pub on: Option<String>,
    /// Expression that keeps an event.
    pub filter: Option<String>,
    /// Segments kept, by their total over the range.
    pub limit: usize,
}

/// One value per bucket and segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Segmentation {
    /// Labels of all buckets in range, ascending: `YYYY-MM-DD`, or `YYYY-MM-DD HH:MM:00` below a day.
    pub buckets: Vec<String>,
    /// Segment key (the event's name without `on`) and its values, one per bucket, largest segment first.
    pub segments: Vec<(String, Vec<Number>)>,
    /// What the reader should know, such as how many events an expression could not be evaluated on.
    pub warnings: Vec<String>,
}

/// Computes the report over a snapshot.
pub async fn run(
    sessions: &Sessions,
    snapshot: &Arc<Snapshot>,
    spec: &SegmentationSpec,
    clock: &Clock,
) -> Result<Segmentation, QueryError> {
    let buckets = Buckets::new(spec.from, spec.to, spec.unit, clock.timezone);
    let resolver = EventResolver::new(snapshot.catalog.clone());
    let filter = spec.filter.as_deref().map(|text| compile_filter(text, &resolver, clock)).transpose()?;
    let on = spec.on.as_deref().map(|text| compile_on(text, &resolver, clock)).transpose()?;

    let context = sessions.context(snapshot, Shape::Stored, resolver.properties())?;
    let in_range =
        builtin(Builtin::Time).gt_eq(millis(buckets.range.0)).and(builtin(Builtin::Time).lt(millis(buckets.range.1)));
    let of_event = builtin(Builtin::Event).eq(lit(spec.event.as_str()));
    let looked_at = context.table("events").await?.filter(of_event)?.filter(in_range)?;
    let mut counted = looked_at.clone();
    if let Some(filter) = &filter {
        counted = counted.filter(filter.predicate.clone())?;
    }

    let bucket = bucket_index(buckets.stretches.clone(), buckets.range.1).call(vec![builtin(Builtin::Time)]);
    let cells = match &on {
        None => {
            let frame = counted.clone().aggregate(vec![bucket.alias(BUCKET)], measures(spec.count))?;
            let mut cells = Cells::collect(frame, &spec.event, buckets.labels.len()).await?;
            // The event's own line is there even if it is all zeros.
            cells.order = vec![spec.event.clone()];
            cells
        }
        Some(on) => {
            let keyed = keyed(counted.clone(), bucket, on)?;
            let frame = keyed.clone().aggregate(vec![by_name(BUCKET), by_name(KEY)], measures(spec.count))?;
            let mut cells = Cells::collect(frame, &spec.event, buckets.labels.len()).await?;
            cells.keep_largest(&keyed, spec).await?;
            cells
        }
    };
    let mut warnings = Vec::new();
    let errors =
        [("where", filter.and_then(|f| f.type_error), &looked_at), ("on", on.and_then(|o| o.type_error), &counted)];
    for (field, type_error, frame) in errors {
        let Some(type_error) = type_error else { continue };
        let rows = frame.clone().filter(type_error)?.count().await?;
        if rows > 0 {
            warnings.push(format!("{field}: {rows} events gave a type error and were treated as undefined"));
        }
    }
    Ok(Segmentation { buckets: buckets.labels, segments: cells.into_segments(spec.count), warnings })
}

const BUCKET: &str = "bucket";
const KEY: &str = "key";

fn compile_filter(text: &str, resolver: &EventResolver, clock: &Clock) -> Result<CompiledFilter, QueryError> {
    let tree = parse_expression(text).map_err(|e| QueryError::parse("where", e))?;
    compile_where(&tree, resolver, clock).map_err(|e| QueryError::compile("where", e))
}

fn compile_on(text: &str, resolver: &EventResolver, clock: &Clock) -> Result<CompiledSegment, QueryError> {
    let tree = parse_segment(text).into_result().map_err(|e| QueryError::parse("on", e))?;
    compile_segment(&tree, resolver, clock).map_err(|e| QueryError::compile("on", e))
}

fn measures(count: Count) -> Vec<Expr> {
    let events = datafusion::functions_aggregate::expr_fn::count(lit(1)).alias("events");
    let users = || active_users().call(vec![builtin(Builtin::Uid)]).alias("users");
    match count {
        Count::General => vec![events],
        Count::Unique | Count::Average => vec![events, users()],
    }
}

/// One row per event and segment key that it counts in.
fn keyed(frame: DataFrame, bucket: Expr, on: &CompiledSegment) -> Result<DataFrame, QueryError> {
    let columns = |key: Expr| vec![bucket.clone().alias(BUCKET), builtin(Builtin::Uid), key.alias(KEY)];
    Ok(match &on.list {
        None => frame.select(columns(cast(on.key.clone(), DataType::Utf8)))?,
        Some(list) => frame.select(columns(list.clone()))?.unnest_columns(&[KEY])?,
    })
}

/// Values by segment key and bucket.
struct Cells {
    segments: HashMap<String, Vec<(u64, u64)>>,
    order: Vec<String>,
    buckets: usize,
}

impl Cells {
    async fn collect(frame: DataFrame, event: &str, buckets: usize) -> Result<Self, QueryError> {
        let mut cells = Self { segments: HashMap::new(), order: Vec::new(), buckets };
        for batch in frame.collect().await? {
            let column = |name: &str| batch.column_by_name(name).cloned();
            let (Some(bucket), Some(events)) = (column(BUCKET), column("events")) else { continue };
            let keys = column(KEY)
                .map(|keys| arrow_cast(&keys, &DataType::Utf8))
                .transpose()
                .map_err(DataFusionError::from)?;
            let users = column("users");
            for row in 0..batch.num_rows() {
                let bucket = bucket.as_primitive::<Int64Type>();
                let Some(at) = bucket.is_valid(row).then(|| bucket.value(row) as usize) else { continue };
                let key = keys.as_ref().map_or(event, |keys| keys.as_string::<i32>().value(row));
                let events = events.as_primitive::<Int64Type>().value(row) as u64;
                let users = users.as_ref().map_or(0, |u| u.as_primitive::<Int64Type>().value(row) as u64);
                let line = cells.segments.entry(key.to_owned()).or_insert_with(|| vec![(0, 0); buckets]);
                if let Some(cell) = line.get_mut(at) {
                    *cell = (events, users);
                }
            }
        }
        cells.order = cells.segments.keys().cloned().collect();
        Ok(cells)
    }

    /// Keeps the largest segments by their total over the whole range: events, or users for uniques; ties by key.
    async fn keep_largest(&mut self, keyed: &DataFrame, spec: &SegmentationSpec) -> Result<(), QueryError> {
        let totals: HashMap<String, u64> = match spec.count {
            Count::General | Count::Average => {
                self.segments.iter().map(|(key, line)| (key.clone(), line.iter().map(|c| c.0).sum())).collect()
            }
            Count::Unique => {
                let users = active_users().call(vec![builtin(Builtin::Uid)]).alias("users");
                let whole = keyed.clone().aggregate(
                    vec![lit(0i64).alias(BUCKET), by_name(KEY)],
                    vec![datafusion::functions_aggregate::expr_fn::count(lit(1)).alias("events"), users],
                )?;
                let whole = Self::collect(whole, &spec.event, 1).await?;
                whole.segments.into_iter().map(|(key, line)| (key, line.first().map_or(0, |c| c.1))).collect()
            }
        };
        let total = |key: &String| totals.get(key).copied().unwrap_or(0);
        self.order.sort_by(|a, b| total(b).cmp(&total(a)).then_with(|| a.cmp(b)));
        self.order.truncate(spec.limit);
        Ok(())
    }

    fn into_segments(mut self, count: Count) -> Vec<(String, Vec<Number>)> {
        let value = |(events, users): (u64, u64)| match count {
            Count::General => Number::from(events),
            Count::Unique => Number::from(users),
            Count::Average if users == 0 => Number::from(0),
            Count::Average => Number::from_f64(events as f64 / users as f64).unwrap_or_else(|| Number::from(0)),
        };
        let order = std::mem::take(&mut self.order);
        let empty = vec![(0, 0); self.buckets];
        order
            .into_iter()
            .map(|key| {
                let line = self.segments.remove(&key).unwrap_or_else(|| empty.clone());
                (key, line.into_iter().map(value).collect())
            })
            .collect()
    }
}
