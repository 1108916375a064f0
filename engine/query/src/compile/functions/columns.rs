//! Reading a function's arguments, whichever of the forms that DataFusion passes.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, LargeStringArray, StringArray, StringViewArray,
    TimestampMillisecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMillisecondType};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err, internal_datafusion_err};
use datafusion::logical_expr::ColumnarValue;

/// The arguments of one call.
pub(super) struct Args {
    values: Vec<ColumnarValue>,
    /// One if every argument is a scalar.
    pub(super) rows: usize,
}

impl Args {
    pub(super) fn new(values: Vec<ColumnarValue>) -> Self {
        let rows = values.iter().find_map(|value| match value {
            ColumnarValue::Array(array) => Some(array.len()),
            ColumnarValue::Scalar(_) => None,
        });
        Self { values, rows: rows.unwrap_or(1) }
    }

    pub(super) fn all_scalar(&self) -> bool {
        self.values.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)))
    }

    fn value(&self, position: usize) -> Result<&ColumnarValue> {
        self.values.get(position).ok_or_else(|| internal_datafusion_err!("missing argument, position={position}"))
    }

    pub(super) fn numbers(&self, position: usize) -> Result<Numbers<Float64Array>> {
        Numbers::read(self.value(position)?, &DataType::Float64, |array| {
            array.as_primitive_opt::<Float64Type>().cloned()
        })
    }

    pub(super) fn integers(&self, position: usize) -> Result<Numbers<Int64Array>> {
        Numbers::read(self.value(position)?, &DataType::Int64, |array| array.as_primitive_opt::<Int64Type>().cloned())
    }

    pub(super) fn timestamps(&self, position: usize) -> Result<Numbers<TimestampMillisecondArray>> {
        let value = self.value(position)?;
        let data_type = value.data_type();
        let read = |array: &ArrayRef| array.as_primitive_opt::<TimestampMillisecondType>().cloned();
        Numbers::read(value, &data_type, read)
    }

    pub(super) fn texts(&self, position: usize) -> Result<Texts> {
        match self.value(position)? {
            ColumnarValue::Array(array) => Texts::new(array),
            ColumnarValue::Scalar(scalar) => Ok(Texts::Scalar(scalar.try_as_str().flatten().map(str::to_owned))),
        }
    }

    /// A literal text; null gives none.
    pub(super) fn literal(&self, position: usize) -> Result<Option<String>> {
        match self.value(position)? {
            ColumnarValue::Scalar(scalar) => Ok(scalar.try_as_str().flatten().map(str::to_owned)),
            // A literal may come back as a constant column.
            ColumnarValue::Array(array) => {
                let texts = Texts::new(array)?;
                Ok((0..array.len()).find_map(|row| texts.get(row).map(str::to_owned)))
            }
        }
    }
}

/// A column of fixed-width values, or one value for all rows.
pub(super) struct Numbers<A> {
    array: A,
    scalar: bool,
}

impl<A: Array> Numbers<A> {
    fn read(value: &ColumnarValue, expected: &DataType, read: impl Fn(&ArrayRef) -> Option<A>) -> Result<Self> {
        let (array, scalar) = match value {
            ColumnarValue::Array(array) => (Arc::clone(array), false),
            ColumnarValue::Scalar(scalar) => (scalar.to_array()?, true),
        };
        // An all-null argument may have any type.
        let array = if array.data_type() == expected { array } else { cast(&array, expected)? };
        let found = read(&array).ok_or_else(|| wrong_type(array.data_type()))?;
        Ok(Self { array: found, scalar })
    }

    fn row(&self, row: usize) -> usize {
        if self.scalar { 0 } else { row }
    }

    /// The whole column; absent for a scalar.
    pub(super) fn column(&self) -> Option<&A> {
        (!self.scalar).then_some(&self.array)
    }
}

macro_rules! get {
    ($array:ty, $native:ty) => {
        impl Numbers<$array> {
            pub(super) fn get(&self, row: usize) -> Option<$native> {
                let row = self.row(row);
                (row < self.array.len() && self.array.is_valid(row)).then(|| self.array.value(row))
            }
        }
    };
}

get!(Float64Array, f64);
get!(Int64Array, i64);
get!(TimestampMillisecondArray, i64);

fn wrong_type(found: &DataType) -> DataFusionError {
    internal_datafusion_err!("unexpected argument type, type={found}")
}

/// A column of texts of any string type, or one text for all rows.
#[derive(Debug)]
pub(in crate::compile) enum Texts {
    Scalar(Option<String>),
    Utf8(StringArray),
    View(StringViewArray),
    Large(LargeStringArray),
}

impl Texts {
    /// Reads a column of a string type, of a dictionary of strings, or of nulls.
    pub(in crate::compile) fn new(array: &ArrayRef) -> Result<Self> {
        match array.data_type() {
            DataType::Utf8 => Ok(Self::Utf8(array.as_string().clone())),
            DataType::Utf8View => Ok(Self::View(array.as_string_view().clone())),
            DataType::LargeUtf8 => Ok(Self::Large(array.as_string().clone())),
            DataType::Null => Ok(Self::Scalar(None)),
            // A view shares the dictionary's bytes.
            DataType::Dictionary(..) => Ok(Self::View(cast(array, &DataType::Utf8View)?.as_string_view().clone())),
            other => exec_err!("expected a column of texts, found {other}"),
        }
    }

    pub(in crate::compile) fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Scalar(text) => text.as_deref(),
            Self::Utf8(array) => (row < array.len() && array.is_valid(row)).then(|| array.value(row)),
            Self::View(array) => (row < array.len() && array.is_valid(row)).then(|| array.value(row)),
            Self::Large(array) => (row < array.len() && array.is_valid(row)).then(|| array.value(row)),
        }
    }
}

/// Collects one text for each row.
pub(super) fn text_column<S: AsRef<str>>(rows: usize, value: impl Fn(usize) -> Option<S>) -> ArrayRef {
    Arc::new((0..rows).map(value).collect::<StringArray>())
}

pub(super) fn number_column(rows: usize, value: impl Fn(usize) -> Option<f64>) -> ArrayRef {
    Arc::new((0..rows).map(|row| value(row).and_then(presentable)).collect::<Float64Array>())
}

pub(super) fn integer_column(rows: usize, value: impl Fn(usize) -> Option<i64>) -> ArrayRef {
    Arc::new((0..rows).map(value).collect::<Int64Array>())
}

pub(super) fn bool_column(rows: usize, value: impl Fn(usize) -> Option<bool>) -> ArrayRef {
    Arc::new((0..rows).map(value).collect::<BooleanArray>())
}

/// Finite, and never −0.
pub(super) fn presentable(number: f64) -> Option<f64> {
    number.is_finite().then_some(number + 0.0)
}

/// A scalar if every argument was one, so that constants stay constants.
pub(super) fn result(array: ArrayRef, scalar: bool) -> Result<ColumnarValue> {
    if scalar {
        Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
    } else {
        Ok(ColumnarValue::Array(array))
    }
}
