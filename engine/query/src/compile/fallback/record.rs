//! Rows of property columns as records of the scalar evaluator.

use std::cell::RefCell;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::Result;
use footfall_eval::{EvalValue as Value, Lookup, Record, TypeError, evaluate};
use footfall_lang::ast::{Expr, Source};

use crate::compile::functions::Texts;
use crate::compile::{Clock, scalar};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::compile) enum Lane {
    Bool,
    Int,
    Float,
    Text,
    Json,
    Null,
    Datetime,
    UnixTime,
}

/// A column, read.
pub(in crate::compile) enum Column {
    Bool(BooleanArray),
    Int(Int64Array),
    Float(Float64Array),
    Text(Texts),
    /// With the row read last: one evaluation may ask for it many times.
    Json(Texts, RefCell<Option<(usize, Value)>>),
    /// True where the value is null.
    Null(BooleanArray),
    /// Milliseconds.
    Datetime(Int64Array),
    UnixTime(Int64Array),
}

impl Column {
    pub(in crate::compile) fn read(lane: Lane, array: &ArrayRef) -> Result<Self> {
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
            Lane::Json => Self::Json(Texts::new(array)?, RefCell::default()),
            Lane::Null => Self::Null(to(&DataType::Boolean)?.as_boolean().clone()),
            Lane::Datetime => Self::Datetime(milliseconds()?),
            Lane::UnixTime => Self::UnixTime(milliseconds()?),
        })
    }

    /// The row's value; absent where the column is null.
    pub(in crate::compile) fn value(&self, row: usize) -> Option<Value> {
        match self {
            Self::Bool(array) => array.is_valid(row).then(|| Value::Bool(array.value(row))),
            Self::Int(array) => array.is_valid(row).then(|| Value::Number(array.value(row) as f64)),
            Self::Float(array) => array.is_valid(row).then(|| Value::Number(array.value(row))),
            Self::Text(texts) => texts.get(row).map(|text| Value::Text(text.into())),
            Self::Json(texts, last) => {
                let text = texts.get(row)?;
                let mut last = last.borrow_mut();
                if let Some((_, value)) = last.as_ref().filter(|(known, _)| *known == row) {
                    return Some(value.clone());
                }
                let value = scalar::json_value(text);
                *last = Some((row, value.clone()));
                Some(value)
            }
            Self::Null(array) => (array.is_valid(row) && array.value(row)).then_some(Value::Null),
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
    // Few enough to search.
    properties: Vec<(Source, &'a str, Vec<Column>)>,
}

impl<'a> Columns<'a> {
    pub(super) fn add<'b>(
        &mut self,
        source: Source,
        key: &'a str,
        columns: impl Iterator<Item = (Lane, &'b ArrayRef)>,
    ) -> Result<()> {
        let columns = columns.map(|(lane, array)| Column::read(lane, array)).collect::<Result<Vec<_>>>()?;
        self.properties.push((source, key, columns));
        Ok(())
    }

    /// Evaluates a tree on one row.
    pub(super) fn evaluate(&self, tree: &Expr, row: usize, clock: &Clock) -> Result<Value, TypeError> {
        let source = |source: Source| Row { columns: self, row, source };
        let (properties, event) = (source(Source::Properties), source(Source::Event));
        let (user, behaviors) = (source(Source::User), source(Source::Behaviors));
        evaluate(tree, &Record { properties: &properties, event: &event, user: &user, behaviors: &behaviors }, clock)
    }
}

/// One source of one row.
struct Row<'a> {
    columns: &'a Columns<'a>,
    row: usize,
    source: Source,
}

impl Lookup for Row<'_> {
    fn get(&self, key: &str) -> Value {
        let mut properties = self.columns.properties.iter();
        let found = properties.find(|(source, name, _)| *source == self.source && *name == key);
        let value = found.and_then(|(_, _, columns)| columns.iter().find_map(|column| column.value(self.row)));
        value.unwrap_or(Value::Undefined)
    }
}
