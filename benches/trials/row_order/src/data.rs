//! Made-up events in visits, and their segments in either order of rows.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use arrow::{
    array::{ArrayRef, DictionaryArray, Float64Array, Int64Array, StringArray, UInt16Array},
    datatypes::{DataType, Field, Schema, SchemaRef, UInt16Type},
    record_batch::RecordBatch,
};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, Encoding, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const DAYS: usize = 90;
pub const SHARDS: usize = 4;
pub const DAY_MS: i64 = 86_400_000;
/// 2023-11-15, a midnight in UTC.
pub const BASE_MS: i64 = 1_700_006_400_000;
const ZIPF_EXPONENT: f64 = 1.5;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Copy)]
pub struct Shape {
    pub events: usize,
    pub users: usize,
    pub names: usize,
    pub page_rows: usize,
}

impl Shape {
    pub fn users_per_shard(&self) -> usize {
        self.users / SHARDS
    }
}

/// Which columns lead the sort within a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    EventUserTime,
    UserTime,
}

#[derive(Clone, Copy)]
struct Row {
    user: u32,
    event: u16,
    time: i64,
}

/// Row numbers of one event name in a segment: where they start, how many.
pub type Ranges = Vec<(usize, usize)>;

/// A written segment. `ranges` is empty unless rows are ordered by event.
pub struct Written {
    pub path: PathBuf,
    pub ranges: Ranges,
}

/// The share of events with each name, the most frequent first.
pub fn shares(names: usize) -> Vec<f64> {
    let weights: Vec<f64> = (1..=names).map(|rank| (rank as f64).powf(-ZIPF_EXPONENT)).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|w| w / total).collect()
}

/// Writes every segment in both orders; the result is indexed `[order][shard][day]`.
pub fn write_all(shape: &Shape, dir: &Path) -> Result<[Vec<Vec<Written>>; 2], Failure> {
    let shards: Vec<Result<_, Failure>> = thread::scope(|scope| {
        let handles: Vec<_> = (0..2)
            .map(|lane| scope.spawn(move || (lane..SHARDS).step_by(2).map(|s| write_shard(shape, s, dir)).collect()))
            .collect();
        let lanes: Vec<Vec<_>> = handles.into_iter().map(|h| h.join().expect("a writer does not panic")).collect();
        let mut lanes: Vec<_> = lanes.into_iter().map(Vec::into_iter).collect();
        (0..SHARDS).filter_map(|shard| lanes[shard % 2].next()).collect()
    });
    let (mut by_event, mut by_user) = (Vec::new(), Vec::new());
    for shard in shards {
        let (event, user) = shard?;
        by_event.push(event);
        by_user.push(user);
    }
    Ok([by_event, by_user])
}

fn write_shard(shape: &Shape, shard: usize, dir: &Path) -> Result<(Vec<Written>, Vec<Written>), Failure> {
    let (mut by_event, mut by_user) = (Vec::new(), Vec::new());
    for (day, mut rows) in make_shard(shape, shard).into_iter().enumerate() {
        by_user.push(write(shape, shard, day, &rows, dir, Order::UserTime)?);
        rows.sort_unstable_by_key(|r| (r.event, r.user, r.time));
        by_event.push(write(shape, shard, day, &rows, dir, Order::EventUserTime)?);
    }
    Ok((by_event, by_user))
}

/// A shard's rows per day, each ordered by (user, time), the times of a user all different.
fn make_shard(shape: &Shape, shard: usize) -> Vec<Vec<Row>> {
    let mut rng = ChaCha8Rng::seed_from_u64(7 + shard as u64);
    let cumulative: Vec<f64> = shares(shape.names)
        .iter()
        .scan(0.0, |sum, share| {
            *sum += share;
            Some(*sum)
        })
        .collect();
    let users = shape.users_per_shard();
    let mut days: Vec<Vec<Row>> = vec![Vec::new(); DAYS];
    let mut left = shape.events / SHARDS;
    while left > 0 {
        let skew: f64 = rng.random();
        // Ordinal 0 is nobody's.
        let user = 1 + ((skew * skew) * (users - 1) as f64) as u32;
        let day = rng.random_range(0..DAYS);
        let mut time = BASE_MS + day as i64 * DAY_MS + rng.random_range(0..DAY_MS - 3_600_000);
        for _ in 0..rng.random_range(1..=13).min(left) {
            let x: f64 = rng.random();
            let event = cumulative.partition_point(|c| *c < x).min(shape.names - 1) as u16;
            days[day].push(Row { user, event, time });
            time += rng.random_range(1_000..90_000);
            left -= 1;
        }
    }
    for rows in &mut days {
        rows.sort_unstable_by_key(|r| (r.user, r.time));
        for i in 1..rows.len() {
            if rows[i].user == rows[i - 1].user && rows[i].time <= rows[i - 1].time {
                rows[i].time = rows[i - 1].time + 1;
            }
        }
    }
    days
}

fn write(shape: &Shape, shard: usize, day: usize, rows: &[Row], dir: &Path, order: Order) -> Result<Written, Failure> {
    let folder = dir.join(format!("{order:?}"));
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{shard}-{day:02}.parquet"));
    let schema = schema();
    let mut writer = ArrowWriter::try_new(File::create(&path)?, schema.clone(), Some(properties(shape.page_rows)?))?;
    writer.write(&batch(schema, shape, shard, rows)?)?;
    writer.close()?;
    Ok(Written { path, ranges: if order == Order::EventUserTime { ranges(shape.names, rows) } else { Vec::new() } })
}

fn ranges(names: usize, rows: &[Row]) -> Ranges {
    let start = |event: usize| rows.partition_point(|r| usize::from(r.event) < event);
    (0..names).map(|event| (start(event), start(event + 1) - start(event))).collect()
}

pub const UID: usize = 0;
pub const TIME: usize = 1;
pub const EVENT: usize = 2;

fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8))
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("uid", DataType::Int64, false),
        Field::new("time", DataType::Int64, false),
        Field::new("event", dictionary(), false),
        Field::new("country", dictionary(), false),
        Field::new("path", dictionary(), true),
        Field::new("amount", DataType::Float64, true),
    ]))
}

/// design.md §8: numbers delta-packed and not compressed, names as a dictionary, zstd for text.
fn properties(page_rows: usize) -> Result<WriterProperties, Failure> {
    let mut p = WriterProperties::builder()
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_data_page_row_count_limit(page_rows)
        .set_write_batch_size(page_rows.min(1024))
        .set_compression(Compression::UNCOMPRESSED);
    for column in ["uid", "time"] {
        p = p
            .set_column_encoding(column.into(), Encoding::DELTA_BINARY_PACKED)
            .set_column_dictionary_enabled(column.into(), false);
    }
    for column in ["country", "path", "amount"] {
        p = p.set_column_compression(column.into(), Compression::ZSTD(ZstdLevel::try_new(1)?));
    }
    Ok(p.build())
}

fn batch(schema: SchemaRef, shape: &Shape, shard: usize, rows: &[Row]) -> Result<RecordBatch, Failure> {
    let base = (shard as i64) << 32;
    let text = |keys: UInt16Array, values: Vec<String>| -> Result<ArrayRef, Failure> {
        Ok(Arc::new(DictionaryArray::<UInt16Type>::try_new(keys, Arc::new(StringArray::from(values)))?))
    };
    let mix = |r: &Row| (r.time as u64 ^ u64::from(r.user) << 20).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| base | i64::from(r.user)))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.time))),
        text(rows.iter().map(|r| Some(r.event)).collect(), (0..shape.names).map(name).collect())?,
        // A user's country does not change; the square makes the first ones frequent.
        text(
            rows.iter()
                .map(|r| Some(((u64::from((r.user.wrapping_mul(2_654_435_761) >> 16).pow(2)) * 60) >> 32) as u16))
                .collect(),
            (0..60).map(|i| format!("C{i:02}")).collect(),
        )?,
        // Half of the names carry a path, a quarter an amount: properties belong to events.
        text(
            rows.iter().map(|r| r.event.is_multiple_of(2).then(|| (mix(r) % 200) as u16)).collect(),
            (0..200).map(|i| format!("/catalog/section/{i}/page")).collect(),
        )?,
        Arc::new(Float64Array::from_iter(
            rows.iter().map(|r| (r.event % 4 == 1).then(|| (mix(r) % 20_000) as f64 / 100.0)),
        )),
    ];
    Ok(RecordBatch::try_new(schema, columns)?)
}

pub fn name(event: usize) -> String {
    format!("Event Number {event}")
}
