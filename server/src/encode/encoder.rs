//! From batches to the bytes of one [`Format`].
//!
//! Call order: `start` once, `batch` for each batch, `finish` once; the pieces in a row are the document.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::EncoderOptions;

use super::json::{self, Columns};
use super::{Format, csv};

/// A value that the format cannot hold; which of ours that is, no input can choose.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode the result")]
pub struct EncodeError(#[from] ArrowError);

pub struct Encoder {
    schema: SchemaRef,
    options: EncoderOptions,
    form: Form,
}

enum Form {
    Json { rows_written: bool },
    Ndjson { names: Vec<String> },
    Csv,
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

impl Encoder {
    pub fn new(format: Format, schema: SchemaRef) -> Result<Self, EncodeError> {
        let form = match format {
            Format::Json => Form::Json { rows_written: false },
            Format::Ndjson => {
                let name = |name: &String| serde_json::Value::from(name.as_str()).to_string();
                Form::Ndjson { names: schema.fields().iter().map(|field| name(field.name())).collect() }
            }
            Format::Csv => Form::Csv,
            Format::Arrow => Form::Arrow(Box::new(StreamWriter::try_new(Vec::new(), &schema)?)),
        };
        Ok(Self { schema, options: json::options(), form })
    }

    pub fn start(&mut self) -> Vec<u8> {
        match &mut self.form {
            Form::Json { .. } => json::head(&self.schema).into_bytes(),
            Form::Ndjson { .. } => Vec::new(),
            Form::Csv => csv_header(&self.schema).into_bytes(),
            Form::Arrow(writer) => std::mem::take(writer.get_mut()),
        }
    }

    pub fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        match &mut self.form {
            Form::Json { rows_written } => {
                let mut columns = Columns::new(batch, &self.options)?;
                for row in 0..batch.num_rows() {
                    if std::mem::replace(rows_written, true) {
                        out.push(b',');
                    }
                    columns.push_array(row, &mut out);
                }
            }
            Form::Ndjson { names } => {
                let mut columns = Columns::new(batch, &self.options)?;
                for row in 0..batch.num_rows() {
                    columns.push_object(names, row, &mut out);
                    out.push(b'\n');
                }
            }
            Form::Csv => push_csv(batch, &self.options, &mut out)?,
            Form::Arrow(writer) => {
                writer.write(batch)?;
                out = std::mem::take(writer.get_mut());
            }
        }
        Ok(out)
    }

    pub fn finish(mut self) -> Result<Vec<u8>, EncodeError> {
        Ok(match &mut self.form {
            Form::Json { .. } => b"]}".to_vec(),
            Form::Ndjson { .. } | Form::Csv => Vec::new(),
            Form::Arrow(writer) => {
                writer.finish()?;
                std::mem::take(writer.get_mut())
            }
        })
    }
}

fn csv_header(schema: &SchemaRef) -> String {
    let mut out = String::new();
    for (column, field) in schema.fields().iter().enumerate() {
        if column > 0 {
            out.push(',');
        }
        csv::push_text(&mut out, field.name());
    }
    out.push('\n');
    out
}

fn push_csv(batch: &RecordBatch, options: &EncoderOptions, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let texts: Vec<bool> = batch.schema_ref().fields().iter().map(|field| is_text(field.data_type())).collect();
    let mut columns = Columns::new(batch, options)?;
    let mut scratch = Vec::new();
    let mut line = String::new();
    for row in 0..batch.num_rows() {
        line.clear();
        let mut cells = texts.iter();
        let mut first = true;
        columns.for_each_cell(row, &mut scratch, |json| {
            if !std::mem::take(&mut first) {
                line.push(',');
            }
            let text = cells.next().is_some_and(|text| *text);
            if let Some(json) = json {
                push_csv_cell(text, json, &mut line);
            }
        });
        line.push('\n');
        out.extend_from_slice(line.as_bytes());
    }
    Ok(())
}

/// Texts and everything nested are texts to a spreadsheet; the rest is written as it is, times without their quotes.
fn push_csv_cell(text: bool, json: &[u8], line: &mut String) {
    if text {
        let value: String = serde_json::from_slice(json).unwrap_or_default();
        return csv::push_text(line, &value);
    }
    let json = String::from_utf8_lossy(json);
    match json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) => line.push_str(plain),
        // NaN and infinity; a NULL does not come here.
        None if json == "null" => {}
        None if json.starts_with(['[', '{']) => csv::push_text(line, &json),
        None => line.push_str(&json),
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        DataType::RunEndEncoded(_, value) => is_text(value.data_type()),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
