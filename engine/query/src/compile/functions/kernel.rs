//! One [`ScalarUDFImpl`] for all functions: which they are, what they return, which array function runs.

use std::any::Any;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::columns::{Args, result};
use super::{dates, numbers, texts};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Op {
    Finite,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Seconds,
    Floor,
    Ceil,
    Round,
    Min,
    Max,
    NumberText,
    TextNumber,
    NumberDatetime,
    TextDatetime,
    DatetimeText,
    DatePart,
    Datedif,
    HasPrefix,
    HasSuffix,
    Upper,
    Lower,
    Length,
    Left,
    Right,
    Mid,
    SplitPart,
    Concat,
    RegexMatch,
    RegexExtract,
}

static FUNCTIONS: LazyLock<Vec<(Op, Arc<ScalarUDF>)>> =
    LazyLock::new(|| Op::ALL.iter().map(|op| (*op, Arc::new(Kernel::udf(*op)))).collect());

impl Op {
    pub(super) const ALL: [Self; 31] = [
        Self::Finite,
        Self::Add,
        Self::Subtract,
        Self::Multiply,
        Self::Divide,
        Self::Remainder,
        Self::Seconds,
        Self::Floor,
        Self::Ceil,
        Self::Round,
        Self::Min,
        Self::Max,
        Self::NumberText,
        Self::TextNumber,
        Self::NumberDatetime,
        Self::TextDatetime,
        Self::DatetimeText,
        Self::DatePart,
        Self::Datedif,
        Self::HasPrefix,
        Self::HasSuffix,
        Self::Upper,
        Self::Lower,
        Self::Length,
        Self::Left,
        Self::Right,
        Self::Mid,
        Self::SplitPart,
        Self::Concat,
        Self::RegexMatch,
        Self::RegexExtract,
    ];

    /// The shared function object.
    pub(super) fn udf(self) -> Arc<ScalarUDF> {
        let found = FUNCTIONS.iter().find(|(op, _)| *op == self).map(|(_, udf)| Arc::clone(udf));
        found.unwrap_or_else(|| Arc::new(Kernel::udf(self)))
    }

    /// Which of them a function is.
    pub(super) fn of(function: &ScalarUDF) -> Option<Self> {
        let implementation: &dyn Any = function.inner().as_ref();
        implementation.downcast_ref::<Kernel>().map(|kernel| kernel.op)
    }

    /// The name, the result's type and the number of arguments.
    fn shape(self) -> (&'static str, DataType, usize) {
        use DataType::{Boolean, Float64, Int64, Utf8};
        match self {
            Self::Finite => ("expression_finite", Float64, 1),
            Self::Add => ("expression_add", Float64, 2),
            Self::Subtract => ("expression_subtract", Float64, 2),
            Self::Multiply => ("expression_multiply", Float64, 2),
            Self::Divide => ("expression_divide", Float64, 2),
            Self::Remainder => ("expression_remainder", Float64, 2),
            Self::Seconds => ("expression_seconds", Int64, 1),
            Self::Floor => ("expression_floor", Float64, 1),
            Self::Ceil => ("expression_ceil", Float64, 1),
            Self::Round => ("expression_round", Float64, 1),
            Self::Min => ("expression_min", Float64, 2),
            Self::Max => ("expression_max", Float64, 2),
            Self::NumberText => ("expression_number_text", Utf8, 1),
            Self::TextNumber => ("expression_text_number", Float64, 1),
            Self::NumberDatetime => ("expression_number_datetime", Int64, 1),
            Self::TextDatetime => ("expression_text_datetime", Int64, 1),
            Self::DatetimeText => ("expression_datetime_text", Utf8, 2),
            Self::DatePart => ("expression_date_part", Float64, 3),
            Self::Datedif => ("expression_datedif", Float64, 4),
            Self::HasPrefix => ("expression_has_prefix", Boolean, 2),
            Self::HasSuffix => ("expression_has_suffix", Boolean, 2),
            Self::Upper => ("expression_upper", Utf8, 1),
            Self::Lower => ("expression_lower", Utf8, 1),
            Self::Length => ("expression_length", Float64, 1),
            Self::Left => ("expression_left", Utf8, 2),
            Self::Right => ("expression_right", Utf8, 2),
            Self::Mid => ("expression_mid", Utf8, 3),
            Self::SplitPart => ("expression_split_part", Utf8, 3),
            Self::Concat => ("expression_concat", Utf8, 2),
            Self::RegexMatch => ("expression_regex_match", Boolean, 2),
            Self::RegexExtract => ("expression_regex_extract", Utf8, 3),
        }
    }

    fn run(self, args: &Args) -> Result<ArrayRef> {
        match self {
            Self::Finite => numbers::finite(args),
            Self::Add => numbers::combine(args, |a, b| a + b),
            Self::Subtract => numbers::combine(args, |a, b| a - b),
            Self::Multiply => numbers::combine(args, |a, b| a * b),
            Self::Divide => numbers::combine(args, |a, b| a / b),
            Self::Remainder => numbers::combine(args, |a, b| a % b),
            Self::Seconds => dates::seconds(args),
            Self::Floor => numbers::map(args, f64::floor),
            Self::Ceil => numbers::map(args, f64::ceil),
            Self::Round => numbers::map(args, f64::round),
            Self::Min => numbers::combine(args, f64::min),
            Self::Max => numbers::combine(args, f64::max),
            Self::NumberText => numbers::to_text(args),
            Self::TextNumber => numbers::from_text(args),
            Self::NumberDatetime => dates::from_number(args),
            Self::TextDatetime => dates::from_text(args),
            Self::DatetimeText => dates::to_text(args),
            Self::DatePart => dates::part(args),
            Self::Datedif => dates::difference(args),
            Self::HasPrefix => texts::has_prefix(args),
            Self::HasSuffix => texts::has_suffix(args),
            Self::Upper => texts::upper(args),
            Self::Lower => texts::lower(args),
            Self::Length => texts::length(args),
            Self::Left => texts::left(args),
            Self::Right => texts::right(args),
            Self::Mid => texts::mid(args),
            Self::SplitPart => texts::split_part(args),
            Self::Concat => texts::concat(args),
            Self::RegexMatch => texts::regex_match(args),
            Self::RegexExtract => texts::regex_extract(args),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Kernel {
    op: Op,
    signature: Signature,
}

impl Kernel {
    fn udf(op: Op) -> ScalarUDF {
        let (_, _, arguments) = op.shape();
        ScalarUDF::new_from_impl(Self { op, signature: Signature::any(arguments, Volatility::Immutable) })
    }
}

impl ScalarUDFImpl for Kernel {
    fn name(&self) -> &str {
        self.op.shape().0
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.op.shape().1)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let args = Args::new(args.args);
        result(self.op.run(&args)?, args.all_scalar())
    }
}
