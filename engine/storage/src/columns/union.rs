//! Rows of several batches as one, their columns chosen anew.
//!
//! What is a column here may be in `rest` there. Uses are counted over all rows, the layout's budget chooses, and each
//! batch is laid out alike: columns that are chosen come out of its `rest`, others go into it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::rest::{RestBuilder, columns_from, for_each_member, kind_of, rest_of};
use super::rows::PropertyReader;
use super::slots::Slots;
use super::{Builtin, Catalog, Layout, PropertyColumn, PropertyType, rest_field};

/// All rows under one layout; columns that are null in all of them are left out. `None` if there is no batch.
pub(crate) fn union(batches: &[RecordBatch], layout: &Layout) -> Result<Option<RecordBatch>, ArrowError> {
    if batches.is_empty() {
        return Ok(None);
    }
    let mut uses = Uses::default();
    for batch in batches {
        uses.add_batch(batch, &layout.catalog)?;
    }
    let target = Target::choose(uses, layout);
    let parts = batches.iter().map(|batch| target.lay_out(batch)).collect::<Result<Vec<_>, _>>()?;
    concat_batches(&target.schema, &parts).map(Some)
}

/// How many of some rows each (property, type) occurs in.
#[derive(Default)]
pub(crate) struct Uses {
    rows: u64,
    slots: Slots,
    uses: Vec<(Arc<PropertyColumn>, u64)>,
    /// Whether some occur that the catalog does not know: written by somebody else, they stay in `rest`.
    has_unknown: bool,
}

impl Uses {
    pub fn add_rows(&mut self, rows: u64) {
        self.rows += rows;
    }

    /// A column that is set in so many rows.
    pub fn add_column(&mut self, column: &Arc<PropertyColumn>, set: u64) {
        let uses = &mut self.uses;
        let at = self.slots.get_or_insert(&column.property, column.kind, || {
            uses.push((column.clone(), 0));
            uses.len() - 1
        });
        self.uses[at].1 += set;
    }

    /// What is in `rest` in so many rows.
    pub fn add_in_rest(&mut self, property: &str, kind: PropertyType, set: u64, catalog: &Catalog) {
        let known = self.slots.get(property, kind).or_else(|| {
            self.uses.push((catalog.column(property, kind)?.clone(), 0));
            self.slots.insert(property, kind, self.uses.len() - 1);
            Some(self.uses.len() - 1)
        });
        match known {
            Some(at) => self.uses[at].1 += set,
            None => self.has_unknown = true,
        }
    }

    pub fn add_batch(&mut self, batch: &RecordBatch, catalog: &Catalog) -> Result<(), ArrowError> {
        self.add_rows(batch.num_rows() as u64);
        for column in Catalog::from_schema(&batch.schema()).columns() {
            let set = batch.column_by_name(&column.column).map_or(0, |array| array.len() - array.null_count());
            self.add_column(column, set as u64);
        }
        for text in rest_of(batch).into_iter().flatten().flatten() {
            for_each_member(text, |name, json| self.add_in_rest(&name, kind_of(json), 1, catalog))?;
        }
        Ok(())
    }
}

/// The columns that every batch gets.
pub(crate) struct Target {
    columns: Vec<Arc<PropertyColumn>>,
    chosen: Slots,
    has_rest: bool,
    pub schema: SchemaRef,
}

impl Target {
    pub fn choose(uses: Uses, layout: &Layout) -> Self {
        let Uses { rows, uses, has_unknown, .. } = uses;
        let chosen = layout.budget.choose(&uses, rows, Some(&layout.table));
        let has_rest = has_unknown || uses.iter().zip(&chosen).any(|((_, count), chosen)| *count > 0 && !chosen);
        let columns: Vec<_> = uses.into_iter().zip(chosen).filter(|(_, c)| *c).map(|((column, _), _)| column).collect();
        let mut slots = Slots::default();
        for (at, column) in columns.iter().enumerate() {
            slots.insert(&column.property, column.kind, at);
        }
        let mut fields: Vec<Field> = Builtin::ALL.into_iter().map(Builtin::field).collect();
        fields.extend(columns.iter().map(|column| column.field()));
        fields.extend(has_rest.then(rest_field));
        Self { columns, chosen: slots, has_rest, schema: Arc::new(Schema::new(fields)) }
    }

    /// A batch under these columns.
    pub fn lay_out(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let mut arrays = Vec::with_capacity(self.schema.fields().len());
        for builtin in Builtin::ALL {
            let array = batch
                .column_by_name(builtin.name())
                .ok_or_else(|| ArrowError::SchemaError(format!("column missing, column={}", builtin.name())))?;
            arrays.push(as_type(array, &builtin.data_type())?);
        }
        let absent = |column: &&Arc<PropertyColumn>| batch.column_by_name(&column.column).is_none();
        let mut from_rest = match rest_of(batch) {
            Some(rest) => {
                let wanted: Vec<_> = self.columns.iter().filter(absent).cloned().collect();
                columns_from(rest, &wanted)?.into_iter()
            }
            None => Vec::new().into_iter(),
        };
        for column in &self.columns {
            let data_type = column.kind.data_type();
            arrays.push(match batch.column_by_name(&column.column) {
                Some(array) => as_type(array, &data_type)?,
                // In the order of `wanted`.
                None => from_rest.next().unwrap_or_else(|| new_null_array(&data_type, batch.num_rows())),
            });
        }
        if self.has_rest {
            arrays.push(self.rest(batch)?);
        }
        RecordBatch::try_new(self.schema.clone(), arrays)
    }

    /// What of a batch's rows is not in columns.
    fn rest(&self, batch: &RecordBatch) -> Result<ArrayRef, ArrowError> {
        let not_chosen = |column: &&Arc<PropertyColumn>| self.chosen.get(&column.property, column.kind).is_none();
        let catalog = Catalog::from_schema(&batch.schema());
        let demoted: Vec<usize> = catalog
            .columns()
            .iter()
            .filter(not_chosen)
            .filter_map(|column| batch.schema().index_of(&column.column).ok())
            .collect();
        let before = rest_of(batch);
        if demoted.is_empty() && before.is_none() {
            return Ok(new_null_array(&DataType::Utf8, batch.num_rows()));
        }
        let demoted = PropertyReader::try_new(&batch.project(&demoted)?)?;
        let mut rest = RestBuilder::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            demoted.add_to(row, &mut rest);
            if let Some(text) = before.filter(|before| before.is_valid(row)).map(|before| before.value(row)) {
                for_each_member(text, |name, json| {
                    let is_column = self.chosen.has_property(&name) && self.chosen.get(&name, kind_of(json)).is_some();
                    if !is_column {
                        rest.add_json(&name, json);
                    }
                })?;
            }
            rest.end_row();
        }
        Ok(Arc::new(rest.finish()))
    }
}

fn as_type(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == target { Ok(array.clone()) } else { cast(array, target) }
}

#[cfg(test)]
mod tests;
