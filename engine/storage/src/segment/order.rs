//! The order of rows in a segment: (event, uid, time, received_at), S2.
//!
//! Names are few, so each is looked at once: a row is then four numbers, and sorting them is several times as fast as a
//! sort that compares columns.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType, TimestampMillisecondType};
use arrow::error::ArrowError;
use hashbrown::HashMap;

use super::write::column;
use crate::columns::Builtin;

/// The rows of a batch in segment order.
pub(crate) fn segment_order(batch: &RecordBatch) -> Result<Vec<u32>, ArrowError> {
    let ranks = ranks(&column(batch, Builtin::Event)?)?;
    let uids = numbers::<Int64Type>(batch, Builtin::Uid)?;
    let times = numbers::<TimestampMillisecondType>(batch, Builtin::Time)?;
    let arrivals = numbers::<TimestampMicrosecondType>(batch, Builtin::ReceivedAt)?;
    let columns = ranks.into_iter().zip(&uids).zip(&times).zip(&arrivals);
    let mut rows: Vec<(u32, i64, i64, i64, u32)> =
        columns.zip(0..).map(|((((rank, uid), time), arrival), row)| (rank, *uid, *time, *arrival, row)).collect();
    rows.sort_unstable();
    Ok(rows.into_iter().map(|(.., row)| row).collect())
}

/// For each row the place of its name among all names that occur.
fn ranks(names: &ArrayRef) -> Result<Vec<u32>, ArrowError> {
    let names = names.as_string_opt::<i32>().ok_or_else(|| unexpected(names))?;
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let mut of_rows = Vec::with_capacity(names.len());
    for row in 0..names.len() {
        let next = numbers.len() as u32;
        of_rows.push(*numbers.entry(names.value(row)).or_insert(next));
    }
    let mut sorted: Vec<(&str, u32)> = numbers.into_iter().collect();
    sorted.sort_unstable();
    let mut ranks = vec![0; sorted.len()];
    for (rank, (_, number)) in (0..).zip(sorted) {
        ranks[number as usize] = rank;
    }
    Ok(of_rows.into_iter().map(|number| ranks[number as usize]).collect())
}

fn numbers<T: ArrowPrimitiveType<Native = i64>>(
    batch: &RecordBatch,
    builtin: Builtin,
) -> Result<ScalarBuffer<i64>, ArrowError> {
    let column = column(batch, builtin)?;
    column.as_primitive_opt::<T>().map(|column| column.values().clone()).ok_or_else(|| unexpected(&column))
}

fn unexpected(column: &ArrayRef) -> ArrowError {
    ArrowError::SchemaError(format!("column of an unexpected type, type={}", column.data_type()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::compute::{SortColumn, lexsort_to_indices};
    use footfall_model::{Event, Shard, StoredEvent, Uid};
    use proptest::prelude::*;

    use super::*;
    use crate::columns::{Catalog, ColumnBudget, to_batch};

    fn stored((name, ordinal, time): (String, u32, i64), received_at: i64) -> StoredEvent {
        let event = Event {
            name,
            distinct_id: ordinal.to_string(),
            time,
            insert_id: String::new(),
            insert_id_generated: false,
            properties: Vec::new(),
        };
        StoredEvent { event, uid: Uid::new(Shard((ordinal % 3) as u16), ordinal), received_at }
    }

    proptest! {
        #[test]
        fn it_is_the_order_of_the_columns(rows in prop::collection::vec(("[a-c]{0,2}", 0..4u32, -3..3i64), 0..60)) {
            let rows: Vec<_> = rows.into_iter().zip(1..).map(|(row, at)| stored(row, at)).collect();
            let batch = to_batch(rows.iter(), &mut Arc::new(Catalog::default()), &ColumnBudget::of_live_rows(4)).unwrap().0;
            let keys = [Builtin::Event, Builtin::Uid, Builtin::Time, Builtin::ReceivedAt]
                .map(|key| SortColumn { values: column(&batch, key).unwrap(), options: None });
            let expected = lexsort_to_indices(&keys, None).unwrap();
            prop_assert_eq!(segment_order(&batch).unwrap(), expected.values().to_vec());
        }
    }
}
