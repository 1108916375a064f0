//! `footfall inspect`: what is in one Parquet file of ours.

use std::fmt::Write;
use std::path::Path;

use bytes::Bytes;
use footfall_engine::care::{self, ColumnReport, FileReport};
use object_store::ObjectStoreExt;
use object_store::path::Path as ObjectPath;
use url::Url;

use super::CommandError;
use super::output::{print, print_json};
use crate::config::Settings;

pub async fn run(file: &str, settings: &Settings) -> Result<(), CommandError> {
    let bytes = read(file, settings).await?;
    let report = care::inspect(file, &bytes)?;
    if settings.inspect.json { print_json(&report) } else { print(text(file, &report).trim_end()) }
}

async fn read(file: &str, settings: &Settings) -> Result<Bytes, CommandError> {
    let unreadable = |error: &dyn std::fmt::Display| CommandError::failed(format!("cannot read {file}: {error}"));
    let Some(url) = Url::parse(file).ok().filter(|url| matches!(url.scheme(), "gs" | "s3")) else {
        let path = file.strip_prefix("file://").unwrap_or(file);
        return tokio::fs::read(path).await.map(Bytes::from).map_err(|e| unreadable(&e));
    };
    let mut bucket = url.clone();
    bucket.set_path("");
    let store = footfall_engine::open_store(Path::new(""), Some(&bucket), &settings.store_policy())
        .map_err(|e| unreadable(&e))?;
    let path = ObjectPath::from_url_path(url.path()).map_err(|e| unreadable(&e))?;
    store.get(&path).await.map_err(|e| unreadable(&e))?.bytes().await.map_err(|e| unreadable(&e))
}

fn text(file: &str, report: &FileReport) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut out, file, report);
    out
}

fn write(out: &mut String, file: &str, report: &FileReport) -> std::fmt::Result {
    let (format, writer) =
        (report.format.map_or("not said".to_owned(), |format| format.to_string()), &report.created_by);
    writeln!(out, "{} {file}", report.kind)?;
    writeln!(out, "  rows        {}", report.rows)?;
    writeln!(out, "  bytes       {}, footer {}", report.bytes, report.footer_bytes)?;
    writeln!(out, "  format      {format} (this program knows up to {})", report.format_known)?;
    writeln!(out, "  written by  {}", writer.as_deref().unwrap_or("unknown"))?;
    let sums = match report.sound {
        None => "none in the file",
        Some(true) => "all hold",
        Some(false) => "DAMAGED, see below",
    };
    writeln!(out, "  checksums   crc32c {} of the file; of its parts: {sums}", report.crc32c)?;
    if !report.sort_order.is_empty() {
        writeln!(out, "  sorted by   {}", report.sort_order.join(", "))?;
    }
    for (nth, group) in report.row_groups.iter().enumerate() {
        writeln!(
            out,
            "\nrow group {nth}: {} rows, {} bytes, {} unpacked",
            group.rows, group.compressed_bytes, group.uncompressed_bytes
        )?;
        columns(out, &group.columns)?;
    }
    if let Some(index) = &report.event_index {
        writeln!(out, "\nevent index: {} names", index.len())?;
        for event in index {
            writeln!(out, "  {:>10}..{:<10} {}", event.first, event.end, event.event)?;
        }
    }
    if let Some(filter) = &report.key_filter {
        let sound = if filter.sound { "sound" } else { "DAMAGED" };
        let (offset, bytes) = (filter.offset, filter.bytes);
        writeln!(out, "\nkey filter: {bytes} bytes at {offset}, crc32c {}, {sound}", filter.crc32c)?;
    }
    if !report.other_entries.is_empty() {
        writeln!(out, "\nfurther entries: {}", report.other_entries.join(", "))?;
    }
    Ok(())
}

fn columns(out: &mut String, columns: &[ColumnReport]) -> std::fmt::Result {
    let rows: Vec<[String; 9]> = columns.iter().map(cells).collect();
    let head = ["column", "type", "encodings", "compression", "dictionary", "bytes", "nulls", "crc32c", "min … max"];
    let head = head.map(str::to_owned);
    let widths = std::array::from_fn::<usize, 9, _>(|at| {
        rows.iter().chain([&head]).map(|row| row.get(at).map_or(0, |cell| cell.chars().count())).max().unwrap_or(0)
    });
    for row in std::iter::once(&head).chain(&rows) {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "  {}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

fn cells(column: &ColumnReport) -> [String; 9] {
    let sum = column.crc32c.as_ref().map_or("-".to_owned(), |sum| match column.sound {
        Some(false) => format!("{sum} DAMAGED"),
        _ => sum.clone(),
    });
    let bounds = column.min.as_ref().zip(column.max.as_ref()).map(|(min, max)| format!("{min} … {max}"));
    [
        column.name.clone(),
        column.r#type.clone(),
        column.encodings.join("+"),
        column.compression.clone(),
        if column.dictionary { "yes" } else { "no" }.to_owned(),
        column.compressed_bytes.to_string(),
        column.nulls.map_or("-".to_owned(), |nulls| nulls.to_string()),
        sum,
        bounds.unwrap_or_default(),
    ]
}
