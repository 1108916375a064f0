//! Parquet files, a few thousand rows at a time.
//!
//! Parquet is read from its end and then here and there, so what is not a plain local file is copied to one first.

use std::fs::File;
use std::io;
use std::sync::Arc;

use arrow::array::RecordBatch;
use footfall_model::Value;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::cell::{CellFault, moment};
use super::{Chunk, Columns, Opening, Row};
use crate::commands::CommandError;
use crate::commands::import::sources::{Input, unreadable};
use crate::config::TimeUnit;

mod value;

/// Of rows with large values, a chunk of these fits in memory many times.
const CHUNK_ROWS: usize = 1_000;
/// The copy's name in the import's folder.
const COPY: &str = "parquet-copy";

pub struct Rows {
    reader: ParquetRecordBatchReader,
    columns: Arc<Columns>,
    next: u64,
    address: String,
}

impl Rows {
    pub fn open(
        input: Input,
        opening: &Opening<'_>,
        address: &str,
        skip: u64,
        notes: &mut Vec<String>,
    ) -> Result<Self, CommandError> {
        let failed = |e: &dyn std::fmt::Display| CommandError::failed(format!("cannot read {address}: {e}"));
        let file = match input.file {
            Some(file) => file,
            None => copied(input, opening).map_err(|e| unreadable(address, &e))?,
        };
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| failed(&e))?;
        let names = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
        let columns = Columns::resolve(names, opening.mapping, notes);
        let columns = columns.map_err(|reason| CommandError::failed(format!("{address} {reason}")))?;
        let offset = usize::try_from(skip).unwrap_or(usize::MAX);
        let reader = builder.with_batch_size(CHUNK_ROWS).with_offset(offset).build().map_err(|e| failed(&e))?;
        Ok(Self { reader, columns: Arc::new(columns), next: skip, address: address.to_owned() })
    }

    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, CommandError> {
        let rows = self.reader.next().transpose().and_then(|rows| rows.as_ref().map(value::plain).transpose());
        let rows = rows.map_err(|e| CommandError::failed(format!("cannot read {}: {e}", self.address)))?;
        Ok(rows.map(|rows| {
            let first = self.next;
            self.next += rows.num_rows() as u64;
            Chunk::Parquet { columns: self.columns.clone(), rows, first }
        }))
    }
}

/// Copies the content to a file that is gone when it is closed.
fn copied(mut input: Input, opening: &Opening<'_>) -> io::Result<File> {
    let path = opening.scratch.join(COPY);
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    io::copy(&mut input.content, &mut file)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// One row of a batch.
pub struct ParquetRow<'a> {
    pub rows: &'a RecordBatch,
    pub row: usize,
}

impl ParquetRow<'_> {
    fn at(&self, column: usize) -> Result<Option<Value>, CellFault> {
        let array = self.rows.columns().get(column);
        let value = array.map(|array| value::of(array, self.row)).transpose();
        Ok(value.map_err(|reason| CellFault::new(column, reason))?.flatten())
    }
}

impl Row for ParquetRow<'_> {
    fn id(&self, column: usize) -> Result<Option<Value>, CellFault> {
        self.at(column)
    }

    fn time(&self, column: usize, unit: Option<TimeUnit>) -> Result<Option<Value>, CellFault> {
        let array = self.rows.columns().get(column);
        match array.and_then(|array| value::moment_of(array, self.row)) {
            Some(moment) => Ok(Some(moment)),
            None => Ok(self.at(column)?.map(|value| moment(value, unit))),
        }
    }

    fn object(&self, column: usize) -> Result<Option<Vec<(String, Value)>>, CellFault> {
        match self.at(column)? {
            None => Ok(None),
            Some(Value::Map(members)) => Ok(Some(members)),
            Some(Value::Text(text)) => super::cell::object(column, &text),
            Some(_) => Err(CellFault::new(column, "must be a JSON object, a struct or a map")),
        }
    }

    fn value(&self, column: usize) -> Result<Option<Value>, CellFault> {
        self.at(column)
    }
}
