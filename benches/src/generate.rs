//! Writes the data: one pass over the days, each day into both files.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, StringArray, StructArray,
        TimestampMillisecondArray, UInt8Array,
    },
    buffer::OffsetBuffer,
    datatypes::Field,
    record_batch::RecordBatch,
};
use clap::Args;
use flate2::{Compression, write::GzEncoder};
use parquet::{arrow::ArrowWriter, basic, file::properties::WriterProperties};
use serde_json::json;

use crate::shape::{Days, Item, NAMES, Row, Shape};

#[derive(Args)]
pub struct GenerateOptions {
    #[arg(long, default_value_t = 5_000_000)]
    events: u64,
    /// Default: one per 40 events.
    #[arg(long)]
    users: Option<u32>,
    #[arg(long, default_value_t = 90)]
    days: u32,
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// The folder to write into; it is created.
    #[arg(long)]
    out: PathBuf,
    /// All events are orders with a list of things, each with a list of tags.
    #[arg(long)]
    orders: bool,
    /// Compress the NDJSON (events.ndjson.gz).
    #[arg(long)]
    gzip: bool,
}

impl GenerateOptions {
    fn shape(&self) -> anyhow::Result<Shape> {
        let users = self.users.unwrap_or((self.events / 40).clamp(1, 100_000_000) as u32);
        anyhow::ensure!(users > 0 && self.days > 0, "users and days must be at least 1");
        Ok(Shape { events: self.events, users, days: self.days, seed: self.seed, orders: self.orders })
    }
}

pub fn generate(options: &GenerateOptions) -> anyhow::Result<()> {
    let shape = options.shape()?;
    fs::create_dir_all(&options.out).with_context(|| format!("create {}", options.out.display()))?;
    let mut lines = Lines::create(&options.out, options)?;
    let mut table = Table::create(&options.out.join("events.parquet"), options.orders)?;
    for rows in Days::new(shape) {
        lines.write(&rows)?;
        table.write(&rows)?;
    }
    let meta = json!({
        "events": shape.events, "users": shape.users, "days": shape.days, "seed": shape.seed,
        "orders": shape.orders, "from_date": "2024-01-01", "json_bytes": lines.bytes, "ndjson": lines.name,
    });
    lines.finish()?;
    table.finish()?;
    fs::write(options.out.join("meta.json"), format!("{meta}\n"))?;
    println!("{meta}");
    Ok(())
}

enum Sink {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
}

/// The records as an SDK sends them to `/import`, one a line.
struct Lines {
    name: &'static str,
    sink: Sink,
    orders: bool,
    /// Before compression.
    bytes: u64,
    buffer: Vec<u8>,
}

impl Lines {
    fn create(dir: &Path, GenerateOptions { gzip, orders, .. }: &GenerateOptions) -> anyhow::Result<Self> {
        let (gzip, orders) = (*gzip, *orders);
        let name = if gzip { "events.ndjson.gz" } else { "events.ndjson" };
        let file = BufWriter::with_capacity(1 << 20, File::create(dir.join(name))?);
        let sink = if gzip { Sink::Gzip(GzEncoder::new(file, Compression::fast())) } else { Sink::Plain(file) };
        Ok(Self { name, sink, orders, bytes: 0, buffer: Vec::new() })
    }

    fn write(&mut self, rows: &[Row]) -> anyhow::Result<()> {
        for row in rows {
            self.buffer.clear();
            write_line(row, self.orders, &mut self.buffer)?;
            self.bytes += self.buffer.len() as u64;
            match &mut self.sink {
                Sink::Plain(file) => file.write_all(&self.buffer)?,
                Sink::Gzip(file) => file.write_all(&self.buffer)?,
            }
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        match self.sink {
            Sink::Plain(mut file) => file.flush()?,
            Sink::Gzip(file) => file.finish()?.flush()?,
        }
        Ok(())
    }
}

/// No word in the lists needs escaping.
fn write_line(row: &Row, orders: bool, out: &mut Vec<u8>) -> std::io::Result<()> {
    let (os, browser) = row.system();
    write!(
        out,
        r#"{{"event":"{}","properties":{{"time":{},"distinct_id":"{}","$insert_id":"{:016x}","#,
        NAMES[usize::from(row.name)],
        row.time,
        row.distinct_id(),
        row.insert_id
    )?;
    write!(
        out,
        r#""mp_country_code":"{}","$os":"{os}","$browser":"{browser}","plan":"{}","app_version":"{}""#,
        row.country(),
        row.plan(),
        row.app_version()
    )?;
    if let Some(path) = row.path {
        write!(out, r#","path":"{}""#, path_text(path))?;
    }
    if let Some(cents) = row.price {
        write!(out, r#","price":{},"in_stock":{}"#, f64::from(cents) / 100.0, in_stock(cents))?;
    }
    if orders {
        write!(out, r#","items":["#)?;
        for (n, item) in row.items().into_iter().enumerate() {
            write_item(n, &item, out)?;
        }
        write!(out, "]")?;
    }
    writeln!(out, "}}}}")
}

fn write_item(n: usize, item: &Item, out: &mut Vec<u8>) -> std::io::Result<()> {
    let comma = if n > 0 { "," } else { "" };
    let (sku, price, quantity) = (sku_text(item), f64::from(item.price) / 100.0, item.quantity);
    write!(
        out,
        r#"{comma}{{"sku":"{sku}","category":"{}","price":{price},"quantity":{quantity},"tags":["#,
        item.category
    )?;
    for (n, tag) in item.tags.iter().enumerate() {
        write!(out, r#"{}"{tag}""#, if n > 0 { "," } else { "" })?;
    }
    write!(out, "]}}")
}

fn sku_text(item: &Item) -> String {
    format!("sku-{:05}", item.sku)
}

fn path_text(path: u16) -> String {
    format!("/catalog/section/{path}/page")
}

fn in_stock(cents: u32) -> bool {
    !cents.is_multiple_of(7)
}

/// The same rows for the peers: the user as an integer beside its text, properties as columns, zstd.
struct Table {
    writer: ArrowWriter<File>,
    orders: bool,
}

impl Table {
    fn create(path: &Path, orders: bool) -> anyhow::Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(basic::Compression::ZSTD(basic::ZstdLevel::try_new(1)?))
            .set_max_row_group_row_count(Some(1 << 20))
            .build();
        let writer = ArrowWriter::try_new(File::create(path)?, batch(&[], orders)?.schema(), Some(properties))?;
        Ok(Self { writer, orders })
    }

    fn write(&mut self, rows: &[Row]) -> anyhow::Result<()> {
        Ok(self.writer.write(&batch(rows, self.orders)?)?)
    }

    fn finish(self) -> anyhow::Result<()> {
        self.writer.close()?;
        Ok(())
    }
}

fn batch(rows: &[Row], orders: bool) -> anyhow::Result<RecordBatch> {
    let text =
        |word: &dyn Fn(&Row) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(word))) };
    let paths = rows.iter().map(|row| row.path.map(path_text)).collect::<StringArray>();
    let prices = rows.iter().map(|row| row.price.map(|cents| f64::from(cents) / 100.0)).collect::<Float64Array>();
    let mut columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("uid", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| i64::from(row.user)))), false),
        ("distinct_id", text(&Row::distinct_id), false),
        ("event", text(&|row| NAMES[usize::from(row.name)].to_owned()), false),
        ("time", Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.time))), false),
        ("insert_id", text(&|row| format!("{:016x}", row.insert_id)), false),
        ("country", text(&|row| row.country().to_owned()), false),
        ("os", text(&|row| row.system().0.to_owned()), false),
        ("browser", text(&|row| row.system().1.to_owned()), false),
        ("plan", text(&|row| row.plan().to_owned()), false),
        ("app_version", text(&Row::app_version), false),
        ("path", Arc::new(paths), true),
        ("price", Arc::new(prices), true),
        ("in_stock", Arc::new(rows.iter().map(|row| row.price.map(in_stock)).collect::<BooleanArray>()), true),
    ];
    if orders {
        let lists: Vec<Vec<Item>> = rows.iter().map(Row::items).collect();
        columns.push(("items", items(&lists)?, false));
    }
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

/// A list of structs for each row, each with a list of texts.
fn items(lists: &[Vec<Item>]) -> anyhow::Result<ArrayRef> {
    let all: Vec<&Item> = lists.iter().flatten().collect();
    let tags: Vec<&str> = all.iter().flat_map(|item| item.tags.iter().copied()).collect();
    let tags = list(Arc::new(StringArray::from(tags)), all.iter().map(|item| item.tags.len()))?;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("sku", Arc::new(StringArray::from_iter_values(all.iter().map(|item| sku_text(item))))),
        ("category", Arc::new(StringArray::from_iter_values(all.iter().map(|item| item.category)))),
        ("price", Arc::new(Float64Array::from_iter_values(all.iter().map(|item| f64::from(item.price) / 100.0)))),
        ("quantity", Arc::new(UInt8Array::from_iter_values(all.iter().map(|item| item.quantity)))),
        ("tags", tags),
    ];
    let fields = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), false)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    list(Arc::new(StructArray::try_new(fields, arrays, None)?), lists.iter().map(Vec::len))
}

fn list(values: ArrayRef, lengths: impl Iterator<Item = usize>) -> anyhow::Result<ArrayRef> {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), false));
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), values, None)?))
}
