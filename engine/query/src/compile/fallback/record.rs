//! Rows of property columns as records of the scalar evaluator.

use std::collections::HashMap;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::Result;
use footfall_lang::ast::Source;

use crate::compile::functions::Texts;
use crate::compile::scalar::{self, Record, Value};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    Bool,
    Int,
    Float,
    Text,
    Json,
    Datetime,
    UnixTime,
}

/// A column, read.
enum Column {
    Bool(BooleanArray),
    Int(Int64Array),
    Float(Float64Array),
    Text(Texts),
    Json(Texts),
    /// Milliseconds.
    Datetime(Int64Array),
    UnixTime(Int64Array),
}

impl Column {
    fn read(lane: Lane, array: &ArrayRef) -> Result<Self> {
        let to = |data_type: &DataType| cast(array, data_type);
        let milliseconds = || -> Result<Int64Array> {
            let zone = match array.data_type() {
                DataType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            };
            let timestamp = cast(array, &DataType::Timestamp(TimeUnit::Millisecond, zone))?;
            Ok(cast(&timestamp, &DataType::Int64)?.as_primitive().clone())
        };
        Ok(match lane {
            Lane::Bool => Self::Bool(to(&DataType::Boolean)?.as_boolean().clone()),
            Lane::Int => Self::Int(to(&DataType::Int64)?.as_primitive().clone()),
            Lane::Float => Self::Float(to(&DataType::Float64)?.as_primitive().clone()),
            Lane::Text => Self::Text(Texts::new(array)?),
            Lane::Json => Self::Json(Texts::new(array)?),
            Lane::Datetime => Self::Datetime(milliseconds()?),
            Lane::UnixTime => Self::UnixTime(milliseconds()?),
        })
    }

    /// The row's value; absent where the column is null.
    fn value(&self, row: usize) -> Option<Value> {
        match self {
            Self::Bool(array) => array.is_valid(row).then(|| Value::Bool(array.value(row))),
            Self::Int(array) => array.is_valid(row).then(|| Value::Number(array.value(row) as f64)),
            Self::Float(array) => array.is_valid(row).then(|| Value::Number(array.value(row))),
            Self::Text(texts) => texts.get(row).map(|text| Value::Text(text.into())),
            Self::Json(texts) => texts.get(row).map(scalar::json_value),
            Self::Datetime(array) => array.is_valid(row).then(|| Value::Datetime(array.value(row).div_euclid(1000))),
            Self::UnixTime(array) => {
                array.is_valid(row).then(|| Value::Number(array.value(row).div_euclid(1000) as f64))
            }
        }
    }
}

/// The columns of a batch, by property.
#[derive(Default)]
pub(super) struct Columns<'a> {
    properties: HashMap<(Source, &'a str), Vec<Column>>,
}

impl<'a> Columns<'a> {
    pub(super) fn add<'b>(
        &mut self,
        source: Source,
        key: &'a str,
        columns: impl Iterator<Item = (Lane, &'b ArrayRef)>,
    ) -> Result<()> {
        let columns = columns.map(|(lane, array)| Column::read(lane, array)).collect::<Result<Vec<_>>>()?;
        self.properties.insert((source, key), columns);
        Ok(())
    }

    pub(super) fn row(&self, row: usize) -> Row<'_> {
        Row { columns: self, row }
    }
}

/// One row.
pub(super) struct Row<'a> {
    columns: &'a Columns<'a>,
    row: usize,
}

impl Record for Row<'_> {
    fn property(&self, source: Source, key: &str) -> Value {
        let columns = self.columns.properties.get(&(source, key));
        columns.and_then(|columns| columns.iter().find_map(|column| column.value(self.row))).unwrap_or(Value::Undefined)
    }
}
