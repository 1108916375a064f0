//! Which row groups can hold rows that a filter keeps, by the statistics in their footers.
//!
//! Only columns that are stored as the table shows them: one type of a property, or a property that has one type. Whatever
//! a filter says of others, or says in a way that statistics do not answer, keeps every group.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use footfall_storage::columns::{Builtin, PropertyType, RestIndex};
use footfall_storage::segment::{ColumnStatistics, OpenSegment};

use super::columns::{Source, TableColumn};

/// What the filters of a scan ask of statistics.
pub struct GroupFilter {
    predicate: Arc<PruningPredicate>,
    /// The table's columns that the predicate asks about, as far as statistics tell of them.
    columns: Vec<TableColumn>,
}

impl GroupFilter {
    /// Absent if statistics can answer nothing of it.
    pub fn of(
        filters: &[Expr],
        columns: &[TableColumn],
        schema: &SchemaRef,
        state: &dyn Session,
    ) -> Result<Option<Self>> {
        let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(None) };
        let named = filter.column_refs();
        let told = columns.iter().filter(|column| stored_name(column).is_some());
        let told: Vec<TableColumn> =
            told.filter(|column| named.contains(&Column::from_name(column.field.name()))).cloned().collect();
        if told.is_empty() {
            return Ok(None);
        }
        let filter = state.create_physical_expr(filter, &DFSchema::try_from(schema.as_ref().clone())?)?;
        let predicate = PruningPredicateBuilder::new().with_file_schema(schema.clone()).build(filter);
        Ok(predicate.map(|predicate| Self { predicate, columns: told }))
    }

    /// The rows of the groups that may hold some that are wanted; absent if that is all of them.
    pub fn rows(&self, open: &OpenSegment, rest: &RestIndex) -> Result<Option<Vec<Range<usize>>>> {
        let kept = self.predicate.prune(&Groups { filter: self, open, rest })?;
        if kept.iter().all(|kept| *kept) {
            return Ok(None);
        }
        let mut start = 0;
        let groups = open.group_rows().map(|rows| {
            start += rows;
            start - rows..start
        });
        Ok(Some(groups.zip(kept).filter(|(_, kept)| *kept).map(|(rows, _)| rows).collect()))
    }

    /// As `EXPLAIN` shows it.
    pub fn describe(&self) -> String {
        self.predicate.predicate_expr().to_string()
    }

    fn column(&self, name: &str) -> Option<&TableColumn> {
        self.columns.iter().find(|column| column.field.name() == name)
    }
}

/// The stored column that a table's column is, value by value.
fn stored_name(column: &TableColumn) -> Option<&str> {
    match (&column.source, column.properties()) {
        (Source::Builtin, _) if column.field.name() == Builtin::Time.name() => Some(Builtin::Time.name()),
        (Source::Property(own), _) => Some(&own.column),
        (Source::Unified(_), [own]) if own.kind != PropertyType::Texts => Some(&own.column),
        _ => None,
    }
}

/// The statistics of one file, as a predicate asks for them.
struct Groups<'a> {
    filter: &'a GroupFilter,
    open: &'a OpenSegment,
    rest: &'a RestIndex,
}

impl Groups<'_> {
    fn statistics(&self, name: &str) -> Option<ColumnStatistics> {
        let column = self.filter.column(name)?;
        let stored = stored_name(column)?;
        if self.open.metadata.schema().field_with_name(stored).is_ok() {
            return self.open.statistics(stored);
        }
        // Nothing tells of values in `rest`; a property that is not there either has no value in this file.
        let is_in_rest = column.properties().iter().any(|own| self.rest.holds(&own.property, own.kind));
        let groups = self.num_containers();
        (!is_in_rest).then(|| ColumnStatistics {
            mins: new_null_array(column.field.data_type(), groups),
            maxes: new_null_array(column.field.data_type(), groups),
            nulls: self.group_rows(),
        })
    }

    fn group_rows(&self) -> UInt64Array {
        self.open.group_rows().map(|rows| rows as u64).collect::<Vec<_>>().into()
    }

    fn as_shown(&self, name: &str, values: &ArrayRef) -> Option<ArrayRef> {
        let shown: &DataType = self.filter.column(name)?.field.data_type();
        cast(values, shown).ok()
    }
}

impl PruningStatistics for Groups<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.as_shown(&column.name, &self.statistics(&column.name)?.mins)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.as_shown(&column.name, &self.statistics(&column.name)?.maxes)
    }

    fn num_containers(&self) -> usize {
        self.open.metadata.metadata().num_row_groups()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        Some(Arc::new(self.statistics(&column.name)?.nulls))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.group_rows()))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
