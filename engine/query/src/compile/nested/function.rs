//! `expression_nested`: the part of an expression that looks into lists and maps, as one function of the property columns
//! that it names.
//!
//! Its result is a struct with a field for each lane that the value can have; on rows of an error all others are null.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, StructArray};
use datafusion::arrow::compute::{cast, nullif};
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use footfall_lang::ast;

use super::block::{Block, Costs, Rows};
use super::decode::Decoder;
use super::demand::Lane;
use super::memo::Memo;
use crate::compile::fallback::Held;
use crate::compile::{Clock, fallback};

/// A property that is decoded: the name of its columns, and the arguments that hold its JSON.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) name: String,
    pub(super) texts: Vec<usize>,
    /// Those that hold its other values, for `list(x)`.
    pub(super) others: Vec<(Held, usize)>,
    pub(super) decoder: Arc<Decoder>,
}

/// What a function computes, apart from its name.
#[derive(Debug)]
pub(super) struct Body {
    /// The arguments' names as columns.
    pub(super) arguments: Vec<String>,
    pub(super) decoded: Vec<Decoded>,
    pub(super) block: Block,
    pub(super) memo: Memo<ArrayRef>,
}

#[derive(Clone, Debug)]
pub(in crate::compile) struct Nested {
    name: String,
    /// The tree's text, which with the arguments tells one function from another.
    text: Arc<str>,
    nodes: usize,
    clock: Clock,
    body: Arc<Body>,
    fields: Fields,
    signature: Signature,
}

impl PartialEq for Nested {
    fn eq(&self, other: &Self) -> bool {
        let names = &self.body.arguments;
        (&self.text, self.clock, &self.fields, names)
            == (&other.text, other.clock, &other.fields, &other.body.arguments)
    }
}

impl Eq for Nested {}

impl Hash for Nested {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.text, self.clock.now, self.clock.timezone, &self.fields, &self.body.arguments).hash(state);
    }
}

impl Nested {
    /// A call; the body was compiled from the tree.
    pub(super) fn call(tree: &ast::Expr, clock: Clock, body: Body, arguments: Vec<Expr>) -> Expr {
        let lanes = body.block.results.iter().map(|(lane, _)| *lane);
        let fields = lanes.map(|lane| Field::new(lane.name(), data_type(lane), true)).collect();
        let signature = match arguments.len() {
            0 => Signature::nullary(Volatility::Immutable),
            count => Signature::any(count, Volatility::Immutable),
        };
        let function = Self {
            name: fallback::name("expression_nested", tree, &clock),
            text: tree.to_string().into(),
            nodes: tree.walk().count(),
            clock,
            body: Arc::new(body),
            fields,
            signature,
        };
        ScalarUDF::new_from_impl(function).call(arguments)
    }

    /// The size of the tree.
    pub(in crate::compile) fn nodes(&self) -> usize {
        self.nodes
    }

    fn run(&self, arrays: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let body = &self.body;
        let mut columns: Vec<(String, ArrayRef)> =
            body.arguments.iter().cloned().zip(arrays.iter().map(Arc::clone)).collect();
        for decoded in &body.decoded {
            let texts: Vec<ArrayRef> = decoded.texts.iter().filter_map(|at| arrays.get(*at).cloned()).collect();
            let other = |(held, at): &(Held, usize)| Some((*held, arrays.get(*at)?.clone()));
            let others: Vec<(Held, ArrayRef)> = decoded.others.iter().filter_map(other).collect();
            let values = decoded.decoder.decode(&texts, &others)?;
            for (field, column) in values.fields().iter().zip(values.columns()) {
                columns.push((decoded.name.clone() + field.name(), Arc::clone(column)));
            }
        }
        let rows_of_batch = Rows::new(columns, rows, (0..rows as u32).collect())?;
        let mut results = body.block.run(rows_of_batch, &mut Costs::new(rows))?;
        let lanes = || body.block.results.iter().map(|(lane, _)| *lane);
        let errors = lanes().position(|lane| lane == Lane::Error).and_then(|at| results.get(at).cloned());
        for (lane, result) in lanes().zip(&mut results) {
            if let (Some(errors), true) = (&errors, lane != Lane::Error) {
                *result = nullif(result, errors.as_boolean())?;
            }
            *result = cast(result, &data_type(lane))?;
        }
        Ok(Arc::new(StructArray::try_new_with_length(self.fields.clone(), results, None, rows)?))
    }
}

fn data_type(lane: Lane) -> DataType {
    match lane {
        Lane::Number => DataType::Float64,
        Lane::Datetime => DataType::Int64,
        Lane::Text => DataType::Utf8View,
        _ => DataType::Boolean,
    }
}

impl ScalarUDFImpl for Nested {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(self.fields.clone()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let arrays: Vec<ArrayRef> = args.args.into_iter().map(|arg| arg.into_array(rows)).collect::<Result<_>>()?;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&self.run(&arrays, rows)?, 0)?));
        }
        Ok(ColumnarValue::Array(self.body.memo.get(&arrays, || self.run(&arrays, rows))?))
    }
}
