//! Records as typed columns, and what the compiled forms of an expression give on them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray, UInt32Array,
};
use datafusion::arrow::compute::{cast, filter_record_batch};
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, UInt32Type};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr_fn::ident;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, lit};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::create_physical_expr;
use datafusion::prelude::{SessionConfig, SessionContext};
use footfall_eval::{EvalValue, Lookup, Record, TypeError, evaluate};
use footfall_lang::ast::{self, Source};
use footfall_model::Value;

use super::reference::{self, Datum, Reach, segment_keys};
use crate::blockwise;
use crate::compile::analysis::{Analysis, Role};
use crate::compile::compiler::Compiler;
use crate::compile::lanes::{Errors, Instant, Truth};
use crate::compile::{
    Clock, CompileError, PropertyColumns, PropertyResolver, compile_number, compile_segment, compile_where,
};

/// One event and its profile.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub properties: BTreeMap<String, Value>,
    pub user: BTreeMap<String, Value>,
    /// Milliseconds; absent: no `$time` and no `time`.
    pub time: Option<i64>,
}

struct Event<'a>(&'a Row);

impl Lookup for Event<'_> {
    fn get(&self, key: &str) -> EvalValue {
        let seconds = self.0.time.map(|ms| ms.div_euclid(1000));
        match (key, seconds) {
            ("$time", Some(seconds)) => EvalValue::Datetime(seconds),
            ("time", Some(seconds)) => EvalValue::Number(seconds as f64),
            _ => self.0.properties.get(key).map_or(EvalValue::Undefined, EvalValue::from),
        }
    }
}

struct User<'a>(&'a Row);

impl Lookup for User<'_> {
    fn get(&self, key: &str) -> EvalValue {
        self.0.user.get(key).map_or(EvalValue::Undefined, EvalValue::from)
    }
}

impl Row {
    pub fn evaluate(&self, tree: &ast::Expr, clock: &Clock) -> Result<EvalValue, TypeError> {
        let (event, user) = (Event(self), User(self));
        let record = Record { user: &user, ..Record::event(&event) };
        evaluate(tree, &record, clock)
    }
}

/// Which string type the text columns have.
#[derive(Clone, Copy, Debug)]
pub enum TextType {
    Utf8,
    View,
    Dictionary,
}

impl TextType {
    fn data_type(self) -> DataType {
        match self {
            Self::Utf8 => DataType::Utf8,
            Self::View => DataType::Utf8View,
            Self::Dictionary => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        }
    }
}

/// How compiled expressions are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In a query, through DataFusion's whole planner.
    Query,
    /// By themselves on the batch, which takes a fraction of the time.
    Batch,
}

/// Rows with a column for each property and type that occurs.
pub struct Table {
    pub rows: Vec<Row>,
    pub way: Way,
    columns: BTreeMap<(bool, String), PropertyColumns>,
    batch: RecordBatch,
    named: Arc<DFSchema>,
    context: SessionContext,
}

const TIME: &str = "the time";
const ROW: &str = "the row";

impl Table {
    pub fn new(rows: Vec<Row>, texts: TextType) -> Self {
        let mut builder = Builder { count: rows.len(), fields: Vec::new(), arrays: Vec::new(), texts };
        builder.push(ROW.to_owned(), Arc::new(UInt32Array::from_iter_values(0..rows.len() as u32)));
        let mut columns = BTreeMap::new();
        for of_user in [false, true] {
            let members = |row: &'_ Row| if of_user { row.user.clone() } else { row.properties.clone() };
            let rows: Vec<BTreeMap<String, Value>> = rows.iter().map(members).collect();
            let mut keys: Vec<&String> = rows.iter().flat_map(BTreeMap::keys).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let values: Vec<Option<&Value>> = rows.iter().map(|row| row.get(key)).collect();
                let prefix = if of_user { "user" } else { "event" };
                columns.insert((of_user, key.clone()), builder.property(&format!("{prefix} {key}"), &values));
            }
        }
        if rows.iter().any(|row| row.time.is_some()) {
            let times = TimestampMillisecondArray::from_iter(rows.iter().map(|row| row.time)).with_timezone("UTC");
            builder.push(TIME.to_owned(), Arc::new(times));
            columns.insert((false, "$time".to_owned()), PropertyColumns::datetime(ident(TIME)));
            columns.insert((false, "time".to_owned()), PropertyColumns::unix_time(ident(TIME)));
        }
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        let batch = RecordBatch::try_new(Arc::new(Schema::new(builder.fields)), builder.arrays).unwrap();
        let table = MemTable::try_new(batch.schema(), vec![vec![batch.clone()]]).unwrap();
        context.register_table("t", Arc::new(table)).unwrap();
        let named = Arc::new(DFSchema::try_from(batch.schema()).unwrap());
        Self { rows, way: Way::Query, columns, batch, named, context }
    }

    async fn select(&self, filter: Option<Expr>, exprs: Vec<Expr>) -> Result<RecordBatch, String> {
        match self.way {
            Way::Query => self.query(filter, exprs).await,
            Way::Batch => self.on_batch(filter, exprs).map_err(|error| error.to_string()),
        }
    }

    fn on_batch(&self, filter: Option<Expr>, exprs: Vec<Expr>) -> datafusion::error::Result<RecordBatch> {
        let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_schema(Arc::clone(&self.named)).build());
        let evaluate = |expr: Expr, batch: &RecordBatch| {
            let expr = simplifier.simplify(simplifier.coerce(expr, &self.named)?)?;
            let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
            let expr = create_physical_expr(&expr, &self.named, &props, &context)?;
            // The other way knows no programs.
            let expr = blockwise::rewrite(&expr, &batch.schema())?.unwrap_or(expr);
            expr.evaluate(batch)?.into_array(batch.num_rows())
        };
        let kept = match filter {
            Some(filter) => filter_record_batch(&self.batch, evaluate(filter, &self.batch)?.as_boolean())?,
            None => self.batch.clone(),
        };
        let arrays = exprs.into_iter().map(|expr| evaluate(expr, &kept));
        let named = arrays.enumerate().map(|(i, array)| Ok((format!("c{i}"), array?)));
        Ok(RecordBatch::try_from_iter(named.collect::<datafusion::error::Result<Vec<_>>>()?)?)
    }

    async fn query(&self, filter: Option<Expr>, exprs: Vec<Expr>) -> Result<RecordBatch, String> {
        let run = async {
            let mut frame = self.context.table("t").await?;
            if let Some(filter) = filter {
                frame = frame.filter(filter)?;
            }
            let named = exprs.into_iter().enumerate().map(|(i, e)| e.alias(format!("c{i}"))).collect::<Vec<_>>();
            let batches = frame.select(named)?.collect().await?;
            let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
            Ok(datafusion::arrow::compute::concat_batches(&schema, &batches)?)
        };
        run.await.map_err(|error: datafusion::error::DataFusionError| error.to_string())
    }

    /// Every lane of the value on every row, as the evaluator would give it; lists and maps only as [`Found::Nested`].
    pub async fn values(&self, tree: &ast::Expr, clock: &Clock) -> Result<Vec<Found>, Failure> {
        let analysis = Analysis::of(tree, Role::Value, clock)?;
        let lanes = Compiler::new(&analysis, self, clock).compile(tree, 0);
        let null = |data_type: &DataType| cast_null(data_type);
        let exprs = vec![
            lanes.bool.as_ref().map_or_else(|| null(&DataType::Boolean), Truth::value),
            lanes.float().unwrap_or_else(|| null(&DataType::Float64)),
            lanes.text.clone().unwrap_or_else(|| null(&DataType::Utf8)),
            lanes.datetime.as_ref().map_or_else(|| null(&DataType::Int64), Instant::seconds),
            lanes.null.clone().unwrap_or_else(|| lit(false)),
            lanes.nested.clone().unwrap_or_else(|| lit(false)),
            Errors::flag(&lanes.errors.all).unwrap_or_else(|| lit(false)),
        ];
        let batch = self.select(None, exprs).await?;
        let column = |position: usize, data_type: &DataType| cast(batch.column(position), data_type).unwrap();
        let flags = |position: usize| column(position, &DataType::Boolean).as_boolean().clone();
        let (bools, nulls, nested, errors) = (flags(0), flags(4), flags(5), flags(6));
        let numbers = column(1, &DataType::Float64).as_primitive::<Float64Type>().clone();
        let texts = column(2, &DataType::Utf8).as_string::<i32>().clone();
        let datetimes = column(3, &DataType::Int64).as_primitive::<Int64Type>().clone();
        let is = |flags: &BooleanArray, row: usize| flags.is_valid(row) && flags.value(row);
        let found = |row: usize| {
            if is(&errors, row) {
                return Found::TypeError;
            }
            let candidates = [
                bools.is_valid(row).then(|| Found::Bool(bools.value(row))),
                numbers.is_valid(row).then(|| Found::Number(numbers.value(row))),
                texts.is_valid(row).then(|| Found::Text(texts.value(row).to_owned())),
                datetimes.is_valid(row).then(|| Found::Datetime(datetimes.value(row))),
                is(&nulls, row).then_some(Found::Null),
                is(&nested, row).then_some(Found::Nested),
            ];
            let mut present = candidates.into_iter().flatten();
            let first = present.next().unwrap_or(Found::Undefined);
            match present.next() {
                Some(second) => Found::Several(Box::new(first), Box::new(second)),
                None => first,
            }
        };
        Ok((0..self.rows.len()).map(found).collect())
    }

    /// What an expression with lists and maps is compiled to: columns, the fallback, both, or plain expressions.
    pub fn form(&self, tree: &ast::Expr, clock: &Clock) -> &'static str {
        let Ok(analysis) = Analysis::of(tree, Role::Value, clock) else { return "an error" };
        let mut lanes = Compiler::new(&analysis, self, clock).compile(tree, 0);
        let (mut columns, mut rows) = (false, false);
        let mut look = |expr: Expr| {
            let visited = expr.apply(|node| {
                if let Expr::ScalarFunction(call) = node {
                    columns |= call.func.name().starts_with("expression_nested");
                    rows |= call.func.name().starts_with("expression_eval");
                }
                Ok(TreeNodeRecursion::Continue)
            });
            assert!(visited.is_ok());
            expr
        };
        lanes.replace(&mut look);
        match (columns, rows) {
            (true, false) => "columns",
            (false, true) => "the fallback",
            (true, true) => "both",
            (false, false) => "plain expressions",
        }
    }

    /// For each row: whether the filter keeps it, and whether it is a type error.
    pub async fn filter(&self, tree: &ast::Expr, clock: &Clock) -> Result<Vec<(bool, bool)>, Failure> {
        let compiled = compile_where(tree, self, clock)?;
        let kept = self.select(Some(compiled.predicate), vec![ident(ROW)]).await?;
        let errors = self.select(Some(compiled.type_error.unwrap_or_else(|| lit(false))), vec![ident(ROW)]).await?;
        let mut found = vec![(false, false); self.rows.len()];
        for_each_row(&kept, |row| found[row].0 = true);
        for_each_row(&errors, |row| found[row].1 = true);
        Ok(found)
    }

    /// Each row's segment keys.
    pub async fn segments(&self, tree: &ast::Expr, clock: &Clock) -> Result<Vec<Vec<String>>, Failure> {
        let compiled = compile_segment(tree, self, clock)?;
        let list = compiled.list.is_some();
        let batch = self.select(None, vec![compiled.list.unwrap_or(compiled.key)]).await?;
        let column = batch.column(0);
        let texts = |array: &ArrayRef| {
            let array = cast(array, &DataType::Utf8).unwrap();
            array.as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect::<Vec<_>>()
        };
        if !list {
            return Ok(texts(column).into_iter().map(|key| vec![key]).collect());
        }
        let lists = column.as_list::<i32>();
        Ok((0..lists.len()).map(|row| texts(&lists.value(row))).collect())
    }

    /// Each row's number.
    pub async fn numbers(&self, tree: &ast::Expr, clock: &Clock) -> Result<Vec<Option<f64>>, Failure> {
        let compiled = compile_number(tree, self, clock)?;
        let batch = self.select(None, vec![compiled.value]).await?;
        Ok(batch.column(0).as_primitive::<Float64Type>().iter().collect())
    }
}

fn for_each_row(batch: &RecordBatch, mut action: impl FnMut(usize)) {
    if batch.num_rows() > 0 {
        batch.column(0).as_primitive::<UInt32Type>().values().iter().for_each(|row| action(*row as usize));
    }
}

fn cast_null(data_type: &DataType) -> Expr {
    datafusion::logical_expr::expr_fn::cast(lit(datafusion::common::ScalarValue::Null), data_type.clone())
}

impl PropertyResolver for Table {
    fn property(&self, source: Source, key: &str) -> PropertyColumns {
        let of_user = match source {
            Source::Properties | Source::Event => false,
            Source::User => true,
            Source::Behaviors => return PropertyColumns::default(),
        };
        self.columns.get(&(of_user, key.to_owned())).cloned().unwrap_or_default()
    }
}

/// Why a compiled expression gave no result.
#[derive(Debug)]
pub enum Failure {
    Certain(CompileError),
    DataFusion(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Certain(error) => write!(f, "{error} @{:?}", error.span),
            Self::DataFusion(error) => f.write_str(error),
        }
    }
}

impl From<CompileError> for Failure {
    fn from(error: CompileError) -> Self {
        Self::Certain(error)
    }
}

impl From<String> for Failure {
    fn from(error: String) -> Self {
        Self::DataFusion(error)
    }
}

/// What the lanes of a row say.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Datetime(i64),
    Nested,
    TypeError,
    /// A broken invariant.
    Several(Box<Found>, Box<Found>),
}

impl From<&Result<Datum, reference::TypeError>> for Found {
    fn from(result: &Result<Datum, reference::TypeError>) -> Self {
        match result {
            Err(_) => Self::TypeError,
            Ok(Datum::Undefined) => Self::Undefined,
            Ok(Datum::Null) => Self::Null,
            Ok(Datum::Bool(b)) => Self::Bool(*b),
            Ok(Datum::Number(x)) => Self::Number(*x),
            Ok(Datum::Text(text)) => Self::Text(text.clone()),
            Ok(Datum::Datetime(seconds)) => Self::Datetime(*seconds),
            Ok(Datum::List(_) | Datum::Map(_)) => Self::Nested,
        }
    }
}

struct Builder {
    count: usize,
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
    texts: TextType,
}

impl Builder {
    fn push(&mut self, name: String, array: ArrayRef) -> Expr {
        self.fields.push(Field::new(&name, array.data_type().clone(), true));
        self.arrays.push(array);
        ident(name)
    }

    fn property(&mut self, name: &str, values: &[Option<&Value>]) -> PropertyColumns {
        assert_eq!(values.len(), self.count);
        // Both ways of storing nulls, each with some of the string types.
        let nulls_apart = matches!(self.texts, TextType::View);
        let json = |value: &Value| serde_json::Value::from(value).to_string();
        let bools =
            BooleanArray::from_iter(values.iter().map(|v| if let Some(Value::Bool(b)) = v { Some(*b) } else { None }));
        let ints =
            Int64Array::from_iter(values.iter().map(|v| if let Some(Value::Int(i)) = v { Some(*i) } else { None }));
        let floats = values.iter().map(|v| if let Some(Value::Float(x)) = v { Some(*x) } else { None });
        let texts = values.iter().map(|v| if let Some(Value::Text(s)) = v { Some(s.as_str()) } else { None });
        let others = values.iter().map(|v| match v {
            Some(Value::Null) if nulls_apart => None,
            Some(value @ (Value::Null | Value::List(_) | Value::Map(_))) => Some(json(value)),
            _ => None,
        });
        let nulls = values.iter().map(|v| (nulls_apart && matches!(v, Some(Value::Null))).then_some(true));
        let mut add = |lane: &str, array: ArrayRef| {
            let text = array.data_type() == &DataType::Utf8;
            let array = if text { cast(&array, &self.texts.data_type()).unwrap() } else { array };
            (array.null_count() < array.len()).then(|| self.push(format!("{name} {lane}"), array))
        };
        PropertyColumns {
            bool: add("bool", Arc::new(bools)),
            int: add("int", Arc::new(ints)),
            float: add("float", Arc::new(Float64Array::from_iter(floats))),
            text: add("text", Arc::new(StringArray::from_iter(texts))),
            json: add("json", Arc::new(StringArray::from_iter(others))),
            null: add("null", Arc::new(BooleanArray::from_iter(nulls))),
            ..PropertyColumns::default()
        }
    }
}

/// Compares the evaluator and every compiled form of an expression with the reference, on every row. Gives the values, or
/// what differs.
pub async fn compare(text: &str, tree: &ast::Expr, table: &Table, clock: &Clock) -> Result<Vec<Found>, String> {
    compare_noting(text, tree, table, clock, &mut Reach::default()).await
}

/// What the reference says of every row. It recurses as deep as a tree nests, so it gets a stack of its own.
fn expect(
    tree: &ast::Expr,
    table: &Table,
    clock: &Clock,
    reach: &mut Reach,
) -> Vec<Result<Datum, reference::TypeError>> {
    let evaluate = || table.rows.iter().map(|row| reference::evaluate(tree, row, clock, reach)).collect();
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(64 << 20).spawn_scoped(scope, evaluate).unwrap();
        thread.join().unwrap()
    })
}

/// As [`compare`], noting what was come across.
pub async fn compare_noting(
    text: &str,
    tree: &ast::Expr,
    table: &Table,
    clock: &Clock,
    reach: &mut Reach,
) -> Result<Vec<Found>, String> {
    let expected = expect(tree, table, clock, reach);
    let differ = |form: &str, row: usize, found: &dyn std::fmt::Debug, expect: &dyn std::fmt::Debug| {
        Err(format!("{form} of {text}\n  on {:?}\n  gives {found:?}\n  expected {expect:?}", table.rows[row]))
    };
    for (row, expect) in expected.iter().enumerate() {
        let found = table.rows[row].evaluate(tree, clock).map(|value| Datum::from(&value));
        if found.as_ref().ok() != expect.as_ref().ok() {
            return differ("evaluator", row, &found, expect);
        }
    }
    let certain = |form: &str, failure: Failure, all_fail: bool| match failure {
        Failure::Certain(_) if all_fail => Ok(vec![Found::TypeError; table.rows.len()]),
        other => Err(format!("{form} of {text}: {other}")),
    };
    let all_fail = expected.iter().all(Result::is_err);
    match table.values(tree, clock).await {
        Err(failure) => return certain("value", failure, all_fail),
        Ok(found) => {
            for (row, (found, expect)) in found.iter().zip(&expected).enumerate() {
                let expect = Found::from(expect);
                if *found != expect {
                    return differ("value", row, found, &expect);
                }
            }
        }
    }
    let kept = |expect| (reference::keeps(expect) == Ok(true), reference::keeps(expect).is_err());
    match table.filter(tree, clock).await {
        Err(failure) => certain("filter", failure, expected.iter().all(|expect| kept(expect).1)).map(|_| ())?,
        Ok(found) => {
            for (row, (found, expect)) in found.iter().zip(&expected).enumerate() {
                if *found != kept(expect) {
                    return differ("filter (kept, error)", row, found, &kept(expect));
                }
            }
        }
    }
    let found = table.segments(tree, clock).await.map_err(|failure| format!("segments of {text}: {failure}"))?;
    for (row, (found, expect)) in found.iter().zip(&expected).enumerate() {
        let undefined = || vec!["undefined".to_owned()];
        let expect = expect.as_ref().map_or_else(|_| undefined(), |value| segment_keys(value, clock.timezone));
        if *found != expect {
            return differ("segments", row, found, &expect);
        }
    }
    let found = table.numbers(tree, clock).await.map_err(|failure| format!("number of {text}: {failure}"))?;
    for (row, (found, expect)) in found.iter().zip(&expected).enumerate() {
        let expect = if let Ok(Datum::Number(x)) = expect { Some(*x) } else { None };
        if *found != expect {
            return differ("number", row, found, &expect);
        }
    }
    Ok(expected.iter().map(Found::from).collect())
}
