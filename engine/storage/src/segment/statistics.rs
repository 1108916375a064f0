//! What a footer says of a column's values, row group by row group.

use arrow::array::{ArrayRef, UInt64Array};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;

use super::OpenSegment;

/// Bounds of a column's values in each row group; null where the file does not tell.
pub struct ColumnStatistics {
    /// Not above any value.
    pub mins: ArrayRef,
    /// Not below any value.
    pub maxes: ArrayRef,
    /// How many rows have no value.
    pub nulls: UInt64Array,
}

impl OpenSegment {
    /// The rows of each row group.
    pub fn group_rows(&self) -> impl Iterator<Item = usize> {
        self.metadata.metadata().row_groups().iter().map(|group| group.num_rows().max(0) as usize)
    }

    /// The statistics of a column that the file has; nothing if it has none.
    pub fn statistics(&self, column: &str) -> Option<ColumnStatistics> {
        let metadata = self.metadata.metadata();
        let groups = || metadata.row_groups().iter();
        let converter = StatisticsConverter::try_new(column, self.metadata.schema(), self.metadata.parquet_schema());
        let converter = converter.ok()?.with_missing_null_counts_as_zero(false);
        Some(ColumnStatistics {
            mins: converter.row_group_mins(groups()).ok()?,
            maxes: converter.row_group_maxes(groups()).ok()?,
            nulls: converter.row_group_null_counts(groups()).ok()?,
        })
    }
}
