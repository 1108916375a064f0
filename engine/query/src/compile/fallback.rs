//! What has no columnar form: one function that holds a sub-tree and evaluates it row by row.
//!
//! Its arguments are just the columns of the properties that the sub-tree names; JSON is parsed only where the
//! evaluation asks for that property. Its result is a struct with a field for each lane the value can have, and one for
//! the type error; on rows of an error all other fields are null.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringArray, StringBuilder, StructArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use footfall_eval::segment::value_json;
use footfall_eval::{EvalValue as Value, segment_keys};
use footfall_lang::ast::{self, BinaryOp, ExprKind, Function, Source};

use super::compiler::Compiler;
use super::kinds::Kinds;
use super::lanes::{Errors, Instant, Lanes, NumberPart, Truth};
use super::nested::memo::Memo;
use super::{Clock, PropertyColumns};

mod record;

pub(super) use record::{Column, Lane as Held};
use record::{Columns, Lane};

/// Compiles a closed tree to the fallback; `kinds` are the types its value can have.
pub(super) fn lanes(tree: ast::Expr, kinds: Kinds, compiler: &Compiler<'_>) -> Lanes {
    let output = Output::Lanes { fails: can_fail(&tree), kinds };
    let call = Evaluate::call(tree, output, compiler);
    let field = |name: &str, kind: Kinds| kinds.meets(kind).then(|| get_field(call.clone(), name));
    let errors = match output.has(ERROR) {
        true => vec![get_field(call.clone(), ERROR)],
        false => Vec::new(),
    };
    Lanes {
        bool: field(BOOL, Kinds::BOOL).map(|term| Truth::partial(vec![term])),
        number: field(NUMBER, Kinds::NUMBER).map(NumberPart::Computed).into_iter().collect(),
        text: field(TEXT, Kinds::TEXT),
        datetime: field(DATETIME, Kinds::DATETIME).map(Instant::Seconds),
        null: field(NULL, Kinds::NULL),
        nested: field(NESTED, Kinds::LIST | Kinds::MAP),
        total: !kinds.meets(Kinds::UNDEFINED) && errors.is_empty(),
        // An error leaves no value, so a true value excludes it.
        errors: Errors { all: errors, open: Vec::new() },
        ..Lanes::default()
    }
}

/// The segment keys of a closed tree: `List<Utf8>`, at least one in each row.
pub(super) fn segments(tree: ast::Expr, compiler: &Compiler<'_>) -> Expr {
    Evaluate::call(tree, Output::Segments, compiler)
}

/// The compact JSON of a closed tree's lists and maps, as text; null where its value is neither.
pub(super) fn json(tree: ast::Expr, compiler: &Compiler<'_>) -> Expr {
    Evaluate::call(tree, Output::Json, compiler)
}

const BOOL: &str = "bool";
const NUMBER: &str = "number";
const TEXT: &str = "text";
const DATETIME: &str = "datetime";
const NULL: &str = "null";
const NESTED: &str = "nested";
const ERROR: &str = "error";

/// Whether a type error can happen in the tree at all.
fn can_fail(tree: &ast::Expr) -> bool {
    tree.walk().any(|node| match &node.kind {
        ExprKind::Binary { op, .. } => matches!(op, BinaryOp::And | BinaryOp::Or),
        ExprKind::Call { function, .. } => matches!(function, Function::If | Function::Ifs | Function::RegexReplace),
        // These can also exceed the evaluator's budget.
        ExprKind::Quantifier { .. } | ExprKind::Let { .. } => true,
        _ => false,
    })
}

/// What the function returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Output {
    Lanes { kinds: Kinds, fails: bool },
    Segments,
    Json,
}

impl Output {
    fn data_type(self) -> DataType {
        match self {
            Self::Lanes { .. } => DataType::Struct(self.fields()),
            Self::Segments => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
            Self::Json => DataType::Utf8,
        }
    }

    fn has(self, name: &str) -> bool {
        self.fields().iter().any(|field| field.name() == name)
    }

    fn fields(self) -> Fields {
        let Self::Lanes { kinds, fails } = self else { return Fields::empty() };
        let lanes = [
            (BOOL, Kinds::BOOL, DataType::Boolean),
            (NUMBER, Kinds::NUMBER, DataType::Float64),
            (TEXT, Kinds::TEXT, DataType::Utf8),
            (DATETIME, Kinds::DATETIME, DataType::Int64),
            (NULL, Kinds::NULL, DataType::Boolean),
            (NESTED, Kinds::LIST | Kinds::MAP, DataType::Boolean),
        ];
        let mut fields: Vec<Field> = Vec::new();
        for (name, kind, data_type) in lanes {
            if kinds.meets(kind) {
                fields.push(Field::new(name, data_type, true));
            }
        }
        // A struct needs a field.
        if fails || fields.is_empty() {
            fields.push(Field::new(ERROR, DataType::Boolean, true));
        }
        Fields::from(fields)
    }
}

/// The function `expression_eval`, or `expression_keys` of a value's segments, or `expression_json` of its text.
#[derive(Clone, Debug)]
pub(super) struct Evaluate {
    name: String,
    tree: Arc<ast::Expr>,
    /// The tree's text, which tells one function from another.
    text: Arc<str>,
    nodes: usize,
    inputs: Arc<[Input]>,
    clock: Clock,
    output: Output,
    /// Each of its lanes is taken by a call of its own.
    memo: Arc<Memo<ArrayRef>>,
    signature: Signature,
}

/// A property of the tree, and which columns of it are arguments; in the order of the arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Input {
    source: Source,
    key: String,
    lanes: Vec<Lane>,
}

impl PartialEq for Evaluate {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, &self.inputs, self.clock, self.output) == (&other.text, &other.inputs, other.clock, other.output)
    }
}

impl Eq for Evaluate {}

impl Hash for Evaluate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.text, &self.inputs, self.clock.now, self.clock.timezone, self.output).hash(state);
    }
}

impl Evaluate {
    fn call(tree: ast::Expr, output: Output, compiler: &Compiler<'_>) -> Expr {
        let (mut inputs, mut args) = (Vec::new(), Vec::new());
        for (source, key) in super::properties_of(&tree) {
            let (lanes, columns) = split(compiler.columns_of(source, &key));
            args.extend(columns);
            inputs.push(Input { source, key, lanes });
        }
        let signature = match args.len() {
            0 => Signature::nullary(Volatility::Immutable),
            count => Signature::any(count, Volatility::Immutable),
        };
        let named = match output {
            Output::Lanes { .. } => "expression_eval",
            Output::Segments => "expression_keys",
            Output::Json => "expression_json",
        };
        let function = Self {
            name: name(named, &tree, &compiler.clock),
            text: tree.to_string().into(),
            nodes: tree.walk().count(),
            tree: Arc::new(tree),
            inputs: inputs.into(),
            clock: compiler.clock,
            output,
            memo: Arc::default(),
            signature,
        };
        ScalarUDF::new_from_impl(function).call(args)
    }

    /// The size of the tree.
    pub(super) fn nodes(&self) -> usize {
        self.nodes
    }

    fn run(&self, arrays: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let columns = self.columns(arrays)?;
        Ok(match self.output {
            Output::Lanes { .. } => {
                let mut lanes = LaneBuilders::default();
                for row in 0..rows {
                    lanes.append(columns.evaluate(&self.tree, row, &self.clock).ok());
                }
                lanes.finish(self.output.fields())?
            }
            Output::Segments => {
                let mut keys = ListBuilder::new(StringBuilder::new());
                for row in 0..rows {
                    match columns.evaluate(&self.tree, row, &self.clock) {
                        Ok(value) => {
                            let texts = segment_keys(&value, self.clock.timezone);
                            texts.into_iter().for_each(|key| keys.values().append_value(key));
                        }
                        Err(_) => keys.values().append_value("undefined"),
                    }
                    keys.append(true);
                }
                Arc::new(keys.finish())
            }
            Output::Json => {
                let texts = (0..rows).map(|row| match columns.evaluate(&self.tree, row, &self.clock) {
                    Ok(value @ (Value::List(_) | Value::Map(_))) => Some(value_json(&value, self.clock.timezone)),
                    _ => None,
                });
                Arc::new(texts.collect::<StringArray>())
            }
        })
    }

    fn columns<'a>(&'a self, args: &[ArrayRef]) -> Result<Columns<'a>> {
        let mut columns = Columns::default();
        let mut args = args.iter();
        for input in self.inputs.iter() {
            let arrays = args.by_ref().take(input.lanes.len());
            columns.add(input.source, &input.key, input.lanes.iter().copied().zip(arrays))?;
        }
        Ok(columns)
    }
}

/// A name that says all of what a function of a tree computes: plans are told apart by the names in them. Of a long one the
/// beginning and a hash, since enclosing names repeat it, some of them squarely.
pub(super) fn name(function: &str, tree: &ast::Expr, clock: &Clock) -> String {
    const CHARS_MAX: usize = 200;
    let mut text = tree.to_string();
    if super::time_word(tree).is_some() {
        text += &format!(" now {}", clock.now);
    }
    if clock.timezone != Tz::UTC {
        text += &format!(" in {}", clock.timezone);
    }
    if text.len() > CHARS_MAX {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        text = format!("{}… #{:016x}", text.chars().take(CHARS_MAX).collect::<String>(), hasher.finish());
    }
    format!("{function}[{text}]")
}

/// A property's columns, with what each is.
fn split(columns: PropertyColumns) -> (Vec<Lane>, Vec<Expr>) {
    let all = [
        (Lane::Bool, columns.bool),
        (Lane::Int, columns.int),
        (Lane::Float, columns.float),
        (Lane::Text, columns.text),
        (Lane::Json, columns.json),
        (Lane::Null, columns.null),
        (Lane::Datetime, columns.datetime),
        (Lane::UnixTime, columns.unix_time),
    ];
    all.into_iter().filter_map(|(lane, column)| Some((lane, column?))).unzip()
}

impl ScalarUDFImpl for Evaluate {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.output.data_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let arrays: Vec<ArrayRef> = args.args.into_iter().map(|arg| arg.into_array(rows)).collect::<Result<_>>()?;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&self.run(&arrays, rows)?, 0)?));
        }
        Ok(ColumnarValue::Array(self.memo.get(&arrays, || self.run(&arrays, rows))?))
    }
}

/// One column for each lane; those that the output does not have stay null.
#[derive(Default)]
struct LaneBuilders {
    rows: usize,
    bool: BooleanBuilder,
    number: Float64Builder,
    text: StringBuilder,
    datetime: Int64Builder,
    null: BooleanBuilder,
    nested: BooleanBuilder,
    error: BooleanBuilder,
}

impl LaneBuilders {
    /// Appends a row's value, or its type error.
    fn append(&mut self, value: Option<Value>) {
        let flag = |is: bool| is.then_some(true);
        self.rows += 1;
        self.error.append_option(flag(value.is_none()));
        self.null.append_option(flag(matches!(value, Some(Value::Null))));
        self.nested.append_option(flag(matches!(value, Some(Value::List(_) | Value::Map(_)))));
        self.bool.append_option(if let Some(Value::Bool(b)) = &value { Some(*b) } else { None });
        self.number.append_option(if let Some(Value::Number(x)) = &value { Some(*x + 0.0) } else { None });
        self.datetime.append_option(if let Some(Value::Datetime(at)) = &value { Some(*at) } else { None });
        self.text.append_option(if let Some(Value::Text(text)) = &value { Some(text) } else { None });
    }

    fn finish(mut self, fields: Fields) -> Result<ArrayRef> {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(fields.len());
        for field in &fields {
            arrays.push(match field.name().as_str() {
                BOOL => Arc::new(self.bool.finish()),
                NUMBER => Arc::new(self.number.finish()),
                TEXT => Arc::new(self.text.finish()),
                DATETIME => Arc::new(self.datetime.finish()),
                NULL => Arc::new(self.null.finish()),
                NESTED => Arc::new(self.nested.finish()),
                ERROR => Arc::new(self.error.finish()),
                other => return exec_err!("unknown lane, lane={other}"),
            });
        }
        Ok(Arc::new(StructArray::try_new_with_length(fields, arrays, None, self.rows)?))
    }
}
