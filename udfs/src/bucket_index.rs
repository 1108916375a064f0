//! `bucket_index(time)`: which of a list of buckets a time falls in.
//!
//! Calendar buckets of a time zone are not of one length, so the caller works out where each begins and the function
//! only searches. Times before the first start or at or after the end have no bucket (null).

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{DataType, TimeUnit, TimestampMillisecondType};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// The function over stretches of time: where each begins (ascending, milliseconds since the epoch) and the bucket it
/// belongs to; the last ends at `end`. A bucket may have several stretches.
pub fn bucket_index(stretches: Vec<(i64, usize)>, end: i64) -> Arc<ScalarUDF> {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let signature = Signature::exact(vec![time], Volatility::Immutable);
    let (starts, buckets): (Vec<i64>, Vec<i64>) = stretches.into_iter().map(|(start, b)| (start, b as i64)).unzip();
    Arc::new(BucketIndex { signature, starts: starts.into(), buckets: buckets.into(), end }.into())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct BucketIndex {
    signature: Signature,
    starts: Arc<[i64]>,
    buckets: Arc<[i64]>,
    end: i64,
}

impl BucketIndex {
    /// Stretch of a time; `guess` is the stretch of the row before, which is mostly right because rows come by day.
    fn find(&self, time: i64, guess: usize) -> Option<usize> {
        let holds = |at: usize| {
            let from = self.starts.get(at).is_some_and(|start| *start <= time);
            from && time < self.starts.get(at + 1).copied().unwrap_or(self.end)
        };
        if holds(guess) {
            return Some(guess);
        }
        let at = self.starts.partition_point(|start| *start <= time).checked_sub(1)?;
        holds(at).then_some(at)
    }
}

impl ScalarUDFImpl for BucketIndex {
    fn name(&self) -> &str {
        "bucket_index"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [time] = args.args.as_slice() else {
            return Err(exec_datafusion_err!("bucket_index takes one argument"));
        };
        let times = time.to_array(args.number_rows)?;
        let times = times.as_primitive::<TimestampMillisecondType>();
        let mut guess = 0;
        let buckets: Int64Array = times
            .iter()
            .map(|time| {
                guess = self.find(time?, guess)?;
                self.buckets.get(guess).copied()
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(buckets)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_half_open_and_gaps_have_none() {
        let function = BucketIndex {
            signature: Signature::any(1, Volatility::Immutable),
            starts: vec![10, 20, 50].into(),
            buckets: vec![0, 1, 2].into(),
            end: 60,
        };
        for (time, expected) in
            [(9, None), (10, Some(0)), (19, Some(0)), (20, Some(1)), (49, Some(1)), (59, Some(2)), (60, None)]
        {
            for guess in 0..3 {
                assert_eq!(function.find(time, guess), expected, "time={time} guess={guess}");
            }
        }
    }
}
