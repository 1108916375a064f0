//! A tree as a list of steps, each distinct one once, and how it runs over a batch.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, StringArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{Float64Type, Int64Type, Schema};
use datafusion::physical_expr::PhysicalExpr;

use super::kernels::{
    ALL, Arithmetic, BLOCK, Bits, Column, Comparison, NONE, Operand, Truths, all_plain, arithmetic, choose, compare,
    compare_integers, from_arrow, one_of, to_arrow, widen, zip,
};
use super::texts::TextSet;
use super::translate::Translator;

/// Where an earlier step has put its result.
pub(super) type Register = usize;

/// What a step computes. Numbers are named by their bits, so that steps can be looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// A Float64 column of the batch, by its place.
    Float(usize),
    /// An Int64 column.
    Integer(usize),
    /// A Boolean column.
    Boolean(usize),
    /// Which rows of a column of any type are not null.
    Present(usize),
    /// The same number on every row.
    Number(u64),
    /// The same truth on every row.
    Truth(Option<bool>),
    Widen(Register),
    Arithmetic(Arithmetic, Register, Register),
    Choose(Register, Register, Option<Register>),
    Compare(Comparison, Register, Register),
    /// An integer with a constant on its right, or on its left.
    CompareInteger(Comparison, bool, Register, i64),
    OneOf(Register, Vec<u64>),
    OneOfIntegers(Register, Vec<i64>),
    /// Whether a Utf8 column, by its place, is one of several texts.
    OneOfTexts(usize, TextSet),
    And(Register, Register),
    Or(Register, Register),
    Not(Register),
    /// Whether a truth is true: never null.
    IsTrue(Register),
    /// Whether there is a value: never null.
    IsPresent(Register),
}

impl Step {
    /// What it spares, about, in passes over a batch.
    fn work(&self) -> usize {
        match self {
            Self::Float(_) | Self::Integer(_) | Self::Boolean(_) | Self::Present(_) => 0,
            Self::Number(_) | Self::Truth(_) => 0,
            // DataFusion filters, computes and merges; or hashes.
            Self::Choose(..) | Self::OneOfTexts(..) => 3,
            _ => 1,
        }
    }
}

/// The steps of a tree; the last one's result is the tree's.
#[derive(Clone, Debug)]
pub(super) struct Program {
    steps: Vec<Step>,
}

/// Of the batch, what the steps read.
enum Input<'a> {
    Floats(&'a [f64], Option<&'a NullBuffer>),
    Integers(&'a [i64], Option<&'a NullBuffer>),
    Booleans(&'a BooleanBuffer, Option<&'a NullBuffer>),
    Texts(&'a StringArray),
    Nulls(Option<NullBuffer>),
    Nothing,
}

/// What a step has put down for the current block.
enum Value {
    Number(f64),
    Floats(Column<f64>),
    Integers(Column<i64>),
    Truths(Truths),
}

impl Program {
    /// With less, the plain tree is as good, and is a form that a reader of the plan knows.
    const WORK_MIN: usize = 3;

    /// The program of a tree, if all of it can be in one and there is something to gain.
    pub(super) fn of(tree: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<Self> {
        let steps = Translator::new(schema).translate(tree)?;
        let work: usize = steps.iter().map(Step::work).sum();
        (work >= Self::WORK_MIN).then_some(Self { steps })
    }

    /// Whether a tree can be in a program.
    pub(super) fn knows(tree: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
        Translator::new(schema).translate(tree).is_some()
    }

    /// What the tree gives for a batch; absent if the tree has to be asked (B3).
    pub(super) fn run(&self, batch: &RecordBatch) -> Option<ArrayRef> {
        let inputs: Vec<Input<'_>> = self.steps.iter().map(|step| input(step, batch)).collect::<Option<_>>()?;
        let mut values: Vec<Value> = self.steps.iter().map(empty).collect();
        let rows = batch.num_rows();
        let mut output = Output::new(values.last()?, rows)?;
        for start in (0..rows).step_by(BLOCK) {
            let length = BLOCK.min(rows - start);
            for (at, (step, input)) in self.steps.iter().zip(&inputs).enumerate() {
                let (earlier, rest) = values.split_at_mut(at);
                run_step(step, input, start..start + length, earlier, rest.first_mut()?)?;
            }
            output.extend(values.last()?, length)?;
        }
        Some(output.finish(rows))
    }
}

/// The column that a step reads, if it is of the type that was planned for and holds what a program may hold.
fn input<'a>(step: &Step, batch: &'a RecordBatch) -> Option<Input<'a>> {
    let column = |place: usize| batch.columns().get(place);
    Some(match step {
        Step::Float(place) => {
            let array = column(*place)?.as_primitive_opt::<Float64Type>()?;
            holds_plain_numbers(array).then(|| Input::Floats(array.values(), array.nulls()))?
        }
        Step::Integer(place) => {
            let array = column(*place)?.as_primitive_opt::<Int64Type>()?;
            Input::Integers(array.values(), array.nulls())
        }
        Step::Boolean(place) => {
            let array = column(*place)?.as_boolean_opt()?;
            Input::Booleans(array.values(), array.nulls())
        }
        Step::OneOfTexts(place, _) => Input::Texts(column(*place)?.as_string_opt()?),
        Step::Present(place) => Input::Nulls(column(*place)?.logical_nulls()),
        _ => Input::Nothing,
    })
}

/// B3. A look at everything first: what is odd is rare, also under nulls.
fn holds_plain_numbers(array: &Float64Array) -> bool {
    all_plain(array.values()) || array.iter().flatten().all(|value| all_plain(&[value]))
}

/// A register as the step needs it.
fn empty(step: &Step) -> Value {
    match step {
        Step::Number(bits) => Value::Number(f64::from_bits(*bits)),
        Step::Float(_) | Step::Widen(_) | Step::Arithmetic(..) | Step::Choose(..) => Value::Floats(Column::new()),
        Step::Integer(_) => Value::Integers(Column::new()),
        Step::Truth(value) => Value::Truths(Truths::constant(*value)),
        _ => Value::Truths(Truths::constant(None)),
    }
}

fn run_step(
    step: &Step,
    input: &Input<'_>,
    rows: std::ops::Range<usize>,
    earlier: &[Value],
    into: &mut Value,
) -> Option<()> {
    match (input, &mut *into) {
        (Input::Floats(values, nulls), Value::Floats(into)) => load(values, *nulls, rows, into)?,
        (Input::Integers(values, nulls), Value::Integers(into)) => load(values, *nulls, rows, into)?,
        (Input::Booleans(values, nulls), Value::Truths(into)) => {
            let (values, valid) = (bits(values, &rows), valid_bits(*nulls, &rows));
            *into = Truths {
                yes: zip(&values, &valid, |value, valid| value & valid),
                no: zip(&values, &valid, |value, valid| !value & valid),
            };
        }
        (Input::Texts(texts), Value::Truths(into)) => {
            let Step::OneOfTexts(_, set) = step else { return None };
            *into = Truths::within(set.holds(texts, &rows)?, &valid_bits(texts.nulls(), &rows));
        }
        (Input::Nulls(nulls), Value::Truths(into)) => *into = Truths::total(valid_bits(nulls.as_ref(), &rows)),
        _ => compute(step, earlier, into)?,
    }
    Some(())
}

fn load<T: Copy>(
    values: &[T],
    nulls: Option<&NullBuffer>,
    rows: std::ops::Range<usize>,
    into: &mut Column<T>,
) -> Option<()> {
    into.values.get_mut(..rows.len())?.copy_from_slice(values.get(rows.clone())?);
    into.valid = valid_bits(nulls, &rows);
    Some(())
}

fn valid_bits(nulls: Option<&NullBuffer>, rows: &std::ops::Range<usize>) -> Bits {
    nulls.map_or(ALL, |nulls| bits(nulls.inner(), rows))
}

fn bits(buffer: &BooleanBuffer, rows: &std::ops::Range<usize>) -> Bits {
    let mut words = NONE;
    let slice = buffer.slice(rows.start, rows.len());
    words.iter_mut().zip(slice.bit_chunks().iter_padded()).for_each(|(into, word)| *into = word);
    from_arrow(&words)
}

/// Absent only if a step's registers are not of the kinds that it takes, which the translator sees to.
fn compute(step: &Step, earlier: &[Value], into: &mut Value) -> Option<()> {
    let number = |register: &Register| match earlier.get(*register)? {
        Value::Floats(column) => Some(Operand::Column(column)),
        Value::Number(value) => Some(Operand::Constant(*value)),
        _ => None,
    };
    let integers = |register: &Register| match earlier.get(*register)? {
        Value::Integers(column) => Some(column),
        _ => None,
    };
    let truths = |register: &Register| match earlier.get(*register)? {
        Value::Truths(truths) => Some(truths),
        _ => None,
    };
    match (step, into) {
        (Step::Number(_) | Step::Truth(_), _) => {}
        (Step::Widen(a), Value::Floats(into)) => widen(integers(a)?, into),
        (Step::Arithmetic(op, a, b), Value::Floats(into)) => arithmetic(*op, number(a)?, number(b)?, into),
        (Step::Choose(truth, a, b), Value::Floats(into)) => {
            let otherwise = match b {
                Some(register) => Some(number(register)?),
                None => None,
            };
            choose(truths(truth)?, number(a)?, otherwise, into);
        }
        (step, Value::Truths(into)) => {
            *into = match step {
                Step::Compare(comparison, a, b) => compare(*comparison, number(a)?, number(b)?),
                Step::CompareInteger(comparison, flipped, a, with) => {
                    compare_integers(*comparison, *flipped, integers(a)?, *with)
                }
                Step::OneOf(a, list) => {
                    let Operand::Column(column) = number(a)? else { return None };
                    one_of(column, &list.iter().map(|bits| f64::from_bits(*bits)).collect::<Vec<_>>())
                }
                Step::OneOfIntegers(a, list) => one_of(integers(a)?, list),
                Step::And(a, b) => truths(a)?.and(truths(b)?),
                Step::Or(a, b) => truths(a)?.or(truths(b)?),
                Step::Not(a) => truths(a)?.not(),
                Step::IsTrue(a) => Truths::total(truths(a)?.yes),
                Step::IsPresent(a) => Truths::total(match earlier.get(*a)? {
                    Value::Number(_) => ALL,
                    Value::Floats(column) => column.valid,
                    Value::Integers(column) => column.valid,
                    Value::Truths(truths) => truths.valid(),
                }),
                _ => return None,
            }
        }
        _ => return None,
    }
    Some(())
}

/// The blocks' results, one after the other.
enum Output {
    Numbers(Vec<f64>, Vec<u64>),
    Truths(Vec<u64>, Vec<u64>),
}

impl Output {
    /// Absent for what no tree is that is worth a program.
    fn new(last: &Value, rows: usize) -> Option<Self> {
        let words = || Vec::with_capacity(rows.div_ceil(BLOCK) * NONE.len());
        match last {
            Value::Floats(_) => Some(Self::Numbers(Vec::with_capacity(rows), words())),
            Value::Truths(_) => Some(Self::Truths(words(), words())),
            Value::Number(_) | Value::Integers(_) => None,
        }
    }

    fn extend(&mut self, value: &Value, length: usize) -> Option<()> {
        match (self, value) {
            (Self::Numbers(numbers, valid), Value::Floats(column)) => {
                numbers.extend_from_slice(column.values.get(..length)?);
                valid.extend(to_arrow(&column.valid));
            }
            (Self::Truths(yes, valid), Value::Truths(truths)) => {
                yes.extend(to_arrow(&truths.yes));
                valid.extend(to_arrow(&truths.valid()));
            }
            _ => return None,
        }
        Some(())
    }

    fn finish(self, rows: usize) -> ArrayRef {
        let packed = |words: Vec<u64>| BooleanBuffer::new(Buffer::from_vec(words), 0, rows);
        let nulls = |words: Vec<u64>| Some(NullBuffer::new(packed(words))).filter(|nulls| nulls.null_count() > 0);
        match self {
            Self::Numbers(numbers, valid) => Arc::new(Float64Array::new(ScalarBuffer::from(numbers), nulls(valid))),
            Self::Truths(yes, valid) => Arc::new(BooleanArray::new(packed(yes), nulls(valid))),
        }
    }
}
