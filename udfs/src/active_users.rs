//! `active_users(uid)`: how many distinct users, exactly.
//!
//! A user is a 64-bit number whose high half names a set of users and whose low half is dense within it, so a group's
//! users are a few Roaring bitmaps. The state is their serialised form, mergeable in any order; partitions that hold
//! different users need no shuffle. A low half of 0 means "no user" and is not counted; neither is null.
//!
//! Semantics: `COUNT(DISTINCT uid)` of SQL, `uniqExact` of ClickHouse, without the reserved numbers.

use std::mem::size_of;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use roaring::{RoaringBitmap, RoaringTreemap};

/// The function, one instance for the process.
pub fn active_users() -> Arc<AggregateUDF> {
    static FUNCTION: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(ActiveUsers::new().into()));
    FUNCTION.clone()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ActiveUsers {
    signature: Signature,
}

impl ActiveUsers {
    fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Int64], Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for ActiveUsers {
    fn name(&self) -> &str {
        "active_users"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn default_value(&self, _: &DataType) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(0)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[users]", args.name), DataType::Binary, false))])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup::default()))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(UserSets::default()))
    }
}

/// The users of each group.
#[derive(Debug, Default)]
struct UserSets {
    sets: Vec<RoaringTreemap>,
    /// Low halves of the run being collected; kept to reuse its memory.
    run: Vec<u32>,
    /// Bytes of the sets, counted as they grow: asking every bitmap on every batch would cost more than the work.
    bytes: usize,
}

impl UserSets {
    fn resize(&mut self, groups: usize) {
        if groups > self.sets.len() {
            self.sets.resize_with(groups, RoaringTreemap::new);
        }
    }

    /// Adds rows in runs of one group and one high half. Sorted input, which is what a segment gives, makes long runs.
    fn add(&mut self, uids: &Int64Array, groups: &[usize], filter: Option<&BooleanArray>) {
        let mut run = std::mem::take(&mut self.run);
        let mut current: Option<(usize, u32)> = None;
        for (row, (uid, group)) in uids.values().iter().zip(groups).enumerate() {
            let kept = filter.is_none_or(|f| f.is_valid(row) && f.value(row)) && uids.is_valid(row);
            let (high, low) = ((*uid as u64 >> 32) as u32, *uid as u32);
            if !kept || low == 0 {
                continue;
            }
            if current != Some((*group, high)) {
                self.add_run(current, &mut run);
                current = Some((*group, high));
            }
            if run.last() != Some(&low) {
                run.push(low);
            }
        }
        self.add_run(current, &mut run);
        self.run = run;
    }

    fn add_run(&mut self, of: Option<(usize, u32)>, run: &mut Vec<u32>) {
        let Some((group, high)) = of else { return };
        let Some(set) = self.sets.get_mut(group) else { return };
        // Two bytes a user is what an array container takes; runs and dense containers take less.
        self.bytes += run.len() * 2;
        match run.as_slice() {
            [] => {}
            [low] => {
                set.insert(u64::from(high) << 32 | u64::from(*low));
            }
            _ => {
                if !run.is_sorted() {
                    run.sort_unstable();
                }
                run.dedup();
                if let Ok(bitmap) = RoaringBitmap::from_sorted_iter(run.iter().copied()) {
                    *set |= RoaringTreemap::from_bitmaps([(high, bitmap)]);
                }
            }
        }
        run.clear();
    }
}

impl GroupsAccumulator for UserSets {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let uids = values.first().ok_or_else(|| exec_datafusion_err!("active_users takes one argument"))?;
        self.add(uids.as_primitive::<Int64Type>(), group_indices, opt_filter);
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sets = emit_to.take_needed(&mut self.sets);
        Ok(Arc::new(Int64Array::from_iter_values(sets.iter().map(|set| set.len() as i64))))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sets = emit_to.take_needed(&mut self.sets);
        let mut states = BinaryBuilder::with_capacity(sets.len(), self.bytes);
        for set in &sets {
            states.append_value(serialise(set)?);
        }
        Ok(vec![Arc::new(states.finish())])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.resize(total_num_groups);
        let states = values.first().ok_or_else(|| exec_datafusion_err!("active_users has one state column"))?;
        for (state, group) in states.as_binary::<i32>().iter().zip(group_indices) {
            if let (Some(state), Some(set)) = (state, self.sets.get_mut(*group)) {
                self.bytes += state.len();
                *set |= deserialise(state)?;
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |v| v.len());
        let mut each = Self::default();
        each.update_batch(values, &(0..rows).collect::<Vec<_>>(), opt_filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.bytes + self.sets.capacity() * size_of::<RoaringTreemap>() + self.run.capacity() * size_of::<u32>()
    }
}

/// The same for a query without groups.
#[derive(Debug, Default)]
struct OneGroup(UserSets);

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |v| v.len());
        GroupsAccumulator::update_batch(&mut self.0, values, &vec![0; rows], None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(self.0.sets.first().map_or(0, |set| set.len() as i64))))
    }

    fn size(&self) -> usize {
        GroupsAccumulator::size(&self.0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let empty = RoaringTreemap::new();
        Ok(vec![ScalarValue::Binary(Some(serialise(self.0.sets.first().unwrap_or(&empty))?))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states.first().map_or(0, |v| v.len());
        GroupsAccumulator::merge_batch(&mut self.0, states, &vec![0; rows], 1)
    }
}

fn serialise(set: &RoaringTreemap) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(set.serialized_size());
    set.serialize_into(&mut bytes)?;
    Ok(bytes)
}

fn deserialise(bytes: &[u8]) -> Result<RoaringTreemap> {
    Ok(RoaringTreemap::deserialize_from(bytes)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn uids(values: &[(u32, u32)]) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(
            values.iter().map(|(high, low)| (i64::from(*high) << 32) | i64::from(*low)),
        ))
    }

    /// Any split of the rows into batches and partial states gives the distinct counts by group.
    #[test]
    fn any_split_counts_the_same() {
        let mut seed = 7u64;
        let mut random = move |below: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % below
        };
        let rows: Vec<((u32, u32), usize)> =
            (0..5000).map(|_| ((random(3) as u32, random(400) as u32), random(5) as usize)).collect();
        let expected: Vec<i64> = (0..5)
            .map(|g| {
                let users: BTreeSet<_> =
                    rows.iter().filter(|(u, group)| *group == g && u.1 != 0).map(|r| r.0).collect();
                users.len() as i64
            })
            .collect();
        for parts in [1usize, 2, 7] {
            let mut total = UserSets::default();
            for part in rows.chunks(rows.len().div_ceil(parts)) {
                let mut partial = UserSets::default();
                for batch in part.chunks(97) {
                    let (values, groups): (Vec<_>, Vec<_>) = batch.iter().copied().unzip();
                    partial.update_batch(&[uids(&values)], &groups, None, 5).unwrap();
                }
                let state = partial.state(EmitTo::All).unwrap();
                total.merge_batch(&state, &[0, 1, 2, 3, 4], 5).unwrap();
            }
            let counts = total.evaluate(EmitTo::All).unwrap();
            assert_eq!(counts.as_primitive::<Int64Type>().values().as_ref(), expected.as_slice(), "parts={parts}");
        }
    }
}
