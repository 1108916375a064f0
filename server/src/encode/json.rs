//! Values of a batch as JSON: one encoder per column, so that a cell costs no look at its type.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json::EncoderOptions;
use arrow::json::writer::{NullableEncoder, make_encoder};
use serde_json::{Value, json};

use super::type_name::type_name;

/// The notation of values. Times without a zone are UTC throughout Footfall, so they are written with a `Z`.
pub fn options() -> EncoderOptions {
    EncoderOptions::default().with_explicit_nulls(true).with_timestamp_format("%Y-%m-%dT%H:%M:%S%.fZ".to_owned())
}

/// `{"columns":[…],"rows":[`, to which rows and `]}` are appended.
pub fn head(schema: &SchemaRef) -> String {
    let columns: Vec<Value> = schema
        .fields()
        .iter()
        .map(|field| json!({"name": field.name(), "type": type_name(field.data_type())}))
        .collect();
    format!("{{\"columns\":{},\"rows\":[", Value::Array(columns))
}

/// The cells of a batch.
pub struct Columns<'a> {
    encoders: Vec<NullableEncoder<'a>>,
}

impl<'a> Columns<'a> {
    pub fn new(batch: &'a RecordBatch, options: &'a EncoderOptions) -> Result<Self, ArrowError> {
        let fields = batch.schema_ref().fields();
        let encoders = fields.iter().zip(batch.columns()).map(|(field, array)| make_encoder(field, array, options));
        Ok(Self { encoders: encoders.collect::<Result<_, _>>()? })
    }

    /// `[1,"a",null]`
    pub fn push_array(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'[');
        for (column, encoder) in self.encoders.iter_mut().enumerate() {
            if column > 0 {
                out.push(b',');
            }
            push_cell(encoder, row, out);
        }
        out.push(b']');
    }

    /// `{"n":1,"text":"a","none":null}`; `names` are JSON texts.
    pub fn push_object(&mut self, names: &[String], row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        for (column, (encoder, name)) in self.encoders.iter_mut().zip(names).enumerate() {
            if column > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            push_cell(encoder, row, out);
        }
        out.push(b'}');
    }

    /// Calls `cell` with each value as JSON; NULL is `None`.
    pub fn for_each_cell(&mut self, row: usize, scratch: &mut Vec<u8>, mut cell: impl FnMut(Option<&[u8]>)) {
        for encoder in &mut self.encoders {
            scratch.clear();
            if encoder.is_null(row) {
                cell(None);
            } else {
                encoder.encode(row, scratch);
                cell(Some(scratch));
            }
        }
    }
}

fn push_cell(encoder: &mut NullableEncoder<'_>, row: usize, out: &mut Vec<u8>) {
    if encoder.is_null(row) {
        out.extend_from_slice(b"null");
    } else {
        encoder.encode(row, out);
    }
}
