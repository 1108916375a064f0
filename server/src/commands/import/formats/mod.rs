//! From bytes to chunks of records that are not judged yet: lines of JSON, rows of CSV, rows of Parquet.
//!
//! Cutting a source into chunks is one thread's work and has to be quick; what is in them is other threads' business
//! (`judge`). A chunk ends between records, and a source can be entered after any number of them.

mod cell;
mod columns;
mod csv;
mod lines;
mod parquet;

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::sources::{self, Source, unreadable};
use crate::commands::CommandError;
use crate::config::ImportFormat;

pub use cell::CellFault;
pub use columns::{Columns, Mapping, Row};
pub use csv::CsvRow;
pub use parquet::ParquetRow;

/// Some records of one source, in their order.
pub enum Chunk {
    Lines {
        text: Vec<u8>,
        /// Where the text begins in the uncompressed content.
        offset: u64,
        /// Number of the first line, from 1.
        line: u64,
        lines: u64,
    },
    /// One line that is longer than any event may be.
    LongLine {
        line: u64,
    },
    Csv {
        columns: Arc<Columns>,
        rows: Vec<::csv::ByteRecord>,
    },
    Parquet {
        columns: Arc<Columns>,
        rows: arrow::array::RecordBatch,
        /// Number of the first row, from 0.
        first: u64,
    },
}

impl Chunk {
    /// How many records of the source it takes up, lines without content included.
    pub fn records(&self) -> u64 {
        match self {
            Self::Lines { lines, .. } => *lines,
            Self::LongLine { .. } => 1,
            Self::Csv { rows, .. } => rows.len() as u64,
            Self::Parquet { rows, .. } => rows.num_rows() as u64,
        }
    }
}

/// A source that is cut into chunks.
pub struct Chunks {
    kind: Kind,
    address: String,
    consumed: Rc<Cell<u64>>,
    /// What the user should know of the file, once.
    pub notes: Vec<String>,
}

enum Kind {
    Empty,
    Lines(lines::Lines),
    Csv(Box<csv::Rows>),
    Parquet(Box<parquet::Rows>),
}

/// What opening a source needs to know.
pub struct Opening<'a> {
    pub format: Option<ImportFormat>,
    pub mapping: &'a Mapping,
    /// Folder for a copy of what has to be read at many places and is not a plain file here.
    pub scratch: &'a Path,
    pub runtime: &'a tokio::runtime::Handle,
}

impl Chunks {
    /// Opens a source behind its first `skip` records.
    pub fn open(source: &Source, opening: &Opening<'_>, skip: u64) -> Result<Self, CommandError> {
        let address = &source.stamp.address;
        let failed = |e: std::io::Error| unreadable(address, &e);
        let input = sources::open(source, opening.runtime).map_err(failed)?;
        let consumed = input.consumed.clone();
        if input.head.is_empty() {
            return Ok(Self { kind: Kind::Empty, address: address.clone(), consumed, notes: Vec::new() });
        }
        let format = match opening.format {
            Some(format) => format,
            None => detect(&source.name, &input.head)
                .map_err(|reason| CommandError::failed(format!("{address} {reason}")))?,
        };
        let mut notes = Vec::new();
        let kind = match format {
            ImportFormat::Ndjson | ImportFormat::MixpanelExport => {
                if !opening.mapping.is_empty() {
                    let message =
                        "--map, --time-unit and --event are for CSV and Parquet, but this holds lines of JSON";
                    return Err(CommandError::failed(format!("{address}: {message}")));
                }
                if first_sign(&input.head) == Some(b'[') {
                    let message = "begins with [: write one record a line, without a list around them (jq -c '.[]')";
                    return Err(CommandError::failed(format!("{address} {message}")));
                }
                let mut lines = lines::Lines::new(input.content);
                lines.skip(skip).map_err(failed)?;
                Kind::Lines(lines)
            }
            ImportFormat::Csv => {
                let mut rows = csv::Rows::new(input.content, opening.mapping, address, &mut notes)?;
                rows.skip(skip)?;
                Kind::Csv(Box::new(rows))
            }
            ImportFormat::Parquet => {
                Kind::Parquet(Box::new(parquet::Rows::open(input, opening, address, skip, &mut notes)?))
            }
        };
        Ok(Self { kind, address: address.clone(), consumed, notes })
    }

    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, CommandError> {
        match &mut self.kind {
            Kind::Empty => Ok(None),
            Kind::Lines(lines) => lines.next_chunk().map_err(|e| unreadable(&self.address, &e)),
            Kind::Csv(rows) => rows.next_chunk(),
            Kind::Parquet(rows) => rows.next_chunk(),
        }
    }

    /// Bytes of the source, as it is stored, that have been read.
    pub fn consumed(&self) -> u64 {
        self.consumed.get()
    }
}

/// What a file holds. The content decides where it can; a name only where the content looks like anything.
fn detect(name: &str, head: &[u8]) -> Result<ImportFormat, &'static str> {
    if head.starts_with(b"PAR1") {
        return Ok(ImportFormat::Parquet);
    }
    let extension = name.rsplit_once('.').map_or(String::new(), |(_, extension)| extension.to_ascii_lowercase());
    match (extension.as_str(), first_sign(head)) {
        ("csv", _) => Ok(ImportFormat::Csv),
        ("parquet" | "pq", _) => Err("is named like Parquet but does not begin as Parquet does"),
        ("ndjson" | "jsonl" | "json", _) | (_, Some(b'{')) => Ok(ImportFormat::Ndjson),
        _ => Err("is neither JSON lines nor Parquet by its content; say with --format what it is"),
    }
}

/// The first byte that is neither space nor the mark of a byte order.
fn first_sign(head: &[u8]) -> Option<u8> {
    without_mark(head).trim_ascii_start().first().copied()
}

/// Text without the mark of a byte order that some programs put before UTF-8.
fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_tells_the_format_before_the_name_does() {
        let check = |name: &str, head: &str, expect: Option<ImportFormat>| {
            assert_eq!(detect(name, head.as_bytes()).ok(), expect, "{name} {head}");
        };
        check("a.txt", "PAR1...", Some(ImportFormat::Parquet));
        check("a.csv", "PAR1...", Some(ImportFormat::Parquet));
        check("a.parquet", "{}", None);
        check("a.CSV", "event,time", Some(ImportFormat::Csv));
        check("a.csv", "{x},y", Some(ImportFormat::Csv));
        check("export", " \n{\"event\":", Some(ImportFormat::Ndjson));
        check("export", "\u{feff}{", Some(ImportFormat::Ndjson));
        check("a.json", "terminated early", Some(ImportFormat::Ndjson));
        check("a", "event,time", None);
        check("a.gif", "GIF89a", None);
    }
}
