//! From the elements back to their lists: `any`, `all`, `filter`, `map`, `sum`, `len`.
//!
//! A row whose list is none has no value. A row with an error in any element has the error and no value: nothing
//! short-circuits.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, Float64Array, ListViewArray, StructArray, UInt32Array,
};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Float64Type};
use datafusion::common::Result;

use super::block::Places;
use super::demand::{Lane, column_name, elements_field};

/// What becomes of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::compile) enum Reduction {
    /// Of the body's [`Lane::Bool`].
    Any,
    All,
    Filter,
    /// Of all lanes of the body.
    Map,
    /// Of the body's [`Lane::Number`].
    Sum,
    /// Without a body.
    Len,
}

impl Reduction {
    pub(super) fn needs_body(self) -> bool {
        self != Self::Len
    }

    /// The lane of its value.
    pub(super) fn lane(self) -> Lane {
        match self {
            Self::Any | Self::All => Lane::Bool,
            Self::Filter | Self::Map => Lane::List,
            Self::Sum | Self::Len => Lane::Number,
        }
    }

    /// The columns that a step adds: its value and, always, its errors.
    pub(super) fn apply(
        self,
        lists: &ListViewArray,
        elements: &Elements,
        results: &[(Lane, ArrayRef)],
    ) -> Result<Vec<(Lane, ArrayRef)>> {
        let result = |lane: Lane| results.iter().find(|(known, _)| *known == lane).map(|(_, array)| array);
        let errors = elements.errors(result(Lane::Error).map(|array| array.as_boolean()));
        let present = |row: usize| lists.is_valid(row) && !errors.value(row);
        let truths = || result(Lane::Bool).map_or_else(|| none(elements.count()), |array| trues(array.as_boolean()));
        let value: ArrayRef = match self {
            Self::Any => {
                let truths = truths();
                elements.collect(present, |mut range| range.any(|at| truths.value(at)))
            }
            Self::All => {
                let truths = truths();
                elements.collect(present, |mut range| range.all(|at| truths.value(at)))
            }
            Self::Filter => filter(lists, elements, &truths(), present)?,
            Self::Map => {
                let lanes = results.iter().filter(|(lane, _)| *lane != Lane::Error);
                map(elements, lanes, present)?
            }
            Self::Sum => {
                let numbers = result(Lane::Number).map(|array| array.as_primitive::<Float64Type>().clone());
                let number = |at: usize| numbers.as_ref().filter(|n| n.is_valid(at)).map(|n| n.value(at));
                let sum = |range: Range<usize>| range.filter_map(number).fold(0.0, |sum, number| sum + number);
                let sums = elements.ranges().enumerate().map(|(row, range)| present(row).then(|| sum(range)));
                Arc::new(sums.map(|sum| sum.filter(|sum| sum.is_finite())).collect::<Float64Array>())
            }
            Self::Len => {
                let lengths = (0..elements.rows()).map(|row| present(row).then(|| elements.size(row) as f64));
                Arc::new(lengths.collect::<Float64Array>())
            }
        };
        Ok(vec![(self.lane(), value), (Lane::Error, Arc::new(errors))])
    }
}

/// Where a truth is true.
fn trues(truths: &BooleanArray) -> BooleanBuffer {
    match truths.nulls() {
        Some(nulls) => truths.values() & nulls.inner(),
        None => truths.values().clone(),
    }
}

fn none(count: usize) -> BooleanBuffer {
    BooleanBuffer::new_unset(count)
}

fn filter(
    lists: &ListViewArray,
    elements: &Elements,
    truths: &BooleanBuffer,
    present: impl Fn(usize) -> bool,
) -> Result<ArrayRef> {
    let (mut kept, mut offsets, mut sizes, mut valid) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (row, range) in elements.ranges().enumerate() {
        let before = kept.len();
        offsets.push(before as i32);
        let first = elements.offset(row);
        let start = range.start;
        kept.extend(range.filter(|at| truths.value(*at)).map(|at| (first + at - start) as u32));
        sizes.push((kept.len() - before) as i32);
        valid.push(present(row));
    }
    let values = take(lists.values(), &UInt32Array::from(kept), None)?;
    let DataType::ListView(field) = lists.data_type() else { return Ok(Arc::new(lists.clone())) };
    let nulls = Some(NullBuffer::from(valid));
    let (offsets, sizes) = (ScalarBuffer::from(offsets), ScalarBuffer::from(sizes));
    Ok(Arc::new(ListViewArray::try_new(Arc::clone(field), offsets, sizes, values, nulls)?))
}

fn map<'a>(
    elements: &Elements,
    lanes: impl Iterator<Item = &'a (Lane, ArrayRef)>,
    present: impl Fn(usize) -> bool,
) -> Result<ArrayRef> {
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = lanes
        .map(|(lane, array)| {
            (Field::new(column_name("", &[], *lane), array.data_type().clone(), true), Arc::clone(array))
        })
        .unzip();
    let fields = Fields::from(fields);
    let values = StructArray::try_new_with_length(fields.clone(), arrays, None, elements.count())?;
    let offsets = elements.ranges().map(|range| range.start as i32).collect::<Vec<_>>();
    let sizes = (0..elements.rows()).map(|row| elements.size(row) as i32).collect::<Vec<_>>();
    let valid = (0..elements.rows()).map(present).collect::<Vec<_>>();
    let (offsets, sizes) = (ScalarBuffer::from(offsets), ScalarBuffer::from(sizes));
    let nulls = Some(NullBuffer::from(valid));
    Ok(Arc::new(ListViewArray::try_new(elements_field(fields), offsets, sizes, Arc::new(values), nulls)?))
}

/// The elements of a column of lists, counted through: those of the first row first.
pub(super) struct Elements {
    /// Where a row's first element is among all values.
    offsets: ScalarBuffer<i32>,
    sizes: Vec<usize>,
    /// Rows that were too expensive.
    given_up: Vec<bool>,
}

impl Elements {
    pub(super) fn new(lists: &ListViewArray) -> Self {
        let size = |row: usize| if lists.is_valid(row) { lists.value_size(row) as usize } else { 0 };
        Self {
            offsets: lists.value_offsets().to_vec().into(),
            sizes: (0..lists.len()).map(size).collect(),
            given_up: vec![false; lists.len()],
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.sizes.len()
    }

    pub(super) fn size(&self, row: usize) -> usize {
        self.sizes.get(row).copied().unwrap_or(0)
    }

    fn offset(&self, row: usize) -> usize {
        self.offsets.get(row).map_or(0, |offset| *offset as usize)
    }

    fn count(&self) -> usize {
        self.sizes.iter().sum()
    }

    /// Elements of a group.
    pub(super) fn count_of(&self, group: Range<usize>) -> usize {
        self.sizes.get(group).unwrap_or_default().iter().sum()
    }

    /// Leaves a row's elements out; it becomes an error.
    pub(super) fn give_up(&mut self, row: usize) {
        if let (Some(size), Some(given_up)) = (self.sizes.get_mut(row), self.given_up.get_mut(row)) {
            (*size, *given_up) = (0, true);
        }
    }

    /// Each row's elements.
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.sizes.iter().scan(0, |at, size| {
            let start = *at;
            *at += size;
            Some(start..*at)
        })
    }

    /// Rows in groups of no more elements than so many, at least one row each; one group if there are no rows.
    pub(super) fn groups(&self, elements_max: usize) -> Vec<Range<usize>> {
        let (mut groups, mut start, mut elements) = (Vec::new(), 0, 0);
        for (row, size) in self.sizes.iter().enumerate() {
            if row > start && elements + size > elements_max {
                groups.push(start..row);
                (start, elements) = (row, 0);
            }
            elements += size;
        }
        groups.push(start..self.sizes.len());
        groups
    }

    /// For each element of a group, its row.
    pub(super) fn parents(&self, group: Range<usize>) -> UInt32Array {
        let rows = group.flat_map(|row| std::iter::repeat_n(row as u32, self.size(row)));
        UInt32Array::from_iter_values(rows)
    }

    /// For each element of a group, its place among the values.
    pub(super) fn indices(&self, group: Range<usize>) -> Places {
        let mut run: Option<(usize, usize)> = None;
        for row in group.clone().filter(|row| self.size(*row) > 0) {
            let (first, count) = run.unwrap_or((self.offset(row), 0));
            if first + count != self.offset(row) {
                let places = group.flat_map(|row| (self.offset(row)..).take(self.size(row)).map(|at| at as u32));
                return Places::Scattered(UInt32Array::from_iter_values(places));
            }
            run = Some((first, count + self.size(row)));
        }
        let (first, count) = run.unwrap_or((0, 0));
        Places::Run(first, count)
    }

    /// For each row, whether it was given up or one of its elements has an error.
    fn errors(&self, errors: Option<&BooleanArray>) -> BooleanArray {
        let errors = errors.map(trues).filter(|errors| errors.count_set_bits() > 0);
        let given_up = BooleanBuffer::from_iter(self.given_up.iter().copied());
        let Some(errors) = errors else { return BooleanArray::new(given_up, None) };
        let of_elements = self.ranges().map(|mut range| range.any(|at| errors.value(at))).collect::<BooleanBuffer>();
        BooleanArray::new(&given_up | &of_elements, None)
    }

    fn collect(&self, present: impl Fn(usize) -> bool, value: impl Fn(Range<usize>) -> bool) -> ArrayRef {
        let mut builder = BooleanBuilder::with_capacity(self.rows());
        for (row, range) in self.ranges().enumerate() {
            builder.append_option(present(row).then(|| value(range)));
        }
        Arc::new(builder.finish())
    }
}
