//! Which properties get columns of their own, and which share `rest`.
//!
//! Columns make a property cheap to read; width makes a file dear to open and live rows dear to hold. So a batch or file
//! has a bounded number of property columns, given out by use: in how many of its rows a (property, type) occurs. The
//! table's schema, the union of its files' columns, is bounded too.
//!
//! Invariants:
//! - B1: a (property, type) of a batch or file is a column or in `rest`, in all rows alike.
//! - B2: the choice depends on nothing but the rows, the table's columns and the bounds, so rewriting the same rows
//!   keeps their columns.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use parking_lot::Mutex;

use super::{Builtin, Catalog, PropertyColumn, rest_field};

/// Bounds of one batch's or file's columns.
#[derive(Clone, Copy, Debug)]
pub struct ColumnBudget {
    /// Property columns at most.
    pub columns_max: usize,
    /// So many are given out however rarely they are set.
    columns_free: usize,
    /// Beyond these, a property must occur in one of so many rows: a column takes memory for every row.
    rows_per_value_max: u64,
}

impl ColumnBudget {
    const COLUMNS_FREE: usize = 64;

    /// Of a segment: rarely used columns take some hundred bytes in the file, but their rows are built in memory.
    pub fn of_segment(columns_max: usize) -> Self {
        Self { columns_max, columns_free: Self::COLUMNS_FREE.min(columns_max), rows_per_value_max: 512 }
    }

    /// Of live rows, which wait in memory as they are.
    pub fn of_live_rows(columns_max: usize) -> Self {
        Self { columns_max, columns_free: Self::COLUMNS_FREE.min(columns_max), rows_per_value_max: 64 }
    }

    /// Whether so many columns need no choice.
    pub(super) fn is_free(&self, columns: usize) -> bool {
        columns <= self.columns_free
    }

    /// Which of the columns, with the number of rows that each occurs in, are columns.
    pub(super) fn choose(
        &self,
        uses: &[(Arc<PropertyColumn>, u64)],
        rows: u64,
        table: Option<&TableColumns>,
    ) -> Vec<bool> {
        let in_table: Vec<bool> =
            uses.iter().map(|(column, _)| table.is_none_or(|table| table.has(&column.column))).collect();
        let mut order: Vec<usize> = (0..uses.len()).collect();
        // What the table has already keeps its place unless something else is used twice as much: so its schema grows
        // slowly, and files of many days have the same columns.
        order.sort_by_key(|at| {
            let (column, count) = &uses[*at];
            (Reverse(count * if in_table[*at] { 2 } else { 1 }), column.column.clone())
        });
        let mut chosen = vec![false; uses.len()];
        let mut taken = 0;
        for at in order {
            let (column, count) = &uses[at];
            if taken == self.columns_max {
                break;
            }
            let pays = taken < self.columns_free || count * self.rows_per_value_max >= rows;
            if *count > 0 && pays && table.is_none_or(|table| table.admit(column, *count, rows)) {
                chosen[at] = true;
                taken += 1;
            }
        }
        chosen
    }
}

/// The property columns of a table's schema, and those that new files add.
pub struct TableColumns {
    columns_max: usize,
    state: Mutex<State>,
}

struct State {
    names: HashSet<Arc<str>>,
    added: HashSet<Arc<str>>,
}

impl TableColumns {
    /// So many times a file's budget any property may claim a column of the table, and as many again those that fill
    /// one row in sixteen of a large file.
    const FILES_FREE: usize = 4;
    const ROWS_LARGE_MIN: u64 = 1_000;
    const ROWS_PER_VALUE_MAX: u64 = 16;

    /// The columns of a schema, for files of at most `columns_max`.
    pub fn of(schema: &Schema, columns_max: usize) -> Self {
        let names = Catalog::from_schema(schema).columns().iter().map(|column| column.column.clone()).collect();
        Self { columns_max, state: Mutex::new(State { names, added: HashSet::new() }) }
    }

    /// The columns of a schema that stays as it is.
    pub fn fixed(schema: &Schema) -> Self {
        Self::of(schema, 0)
    }

    pub fn has(&self, column: &str) -> bool {
        self.state.lock().names.contains(column)
    }

    /// Whether a file may have the column; the table will have it from then on.
    fn admit(&self, column: &Arc<PropertyColumn>, count: u64, rows: u64) -> bool {
        let mut state = self.state.lock();
        if state.names.contains(&column.column) {
            return true;
        }
        let free = Self::FILES_FREE * self.columns_max;
        let is_hot = rows >= Self::ROWS_LARGE_MIN && count * Self::ROWS_PER_VALUE_MAX >= rows;
        let has_room = state.names.len() < if is_hot { 2 * free } else { free };
        if has_room {
            state.names.insert(column.column.clone());
            state.added.insert(column.column.clone());
        }
        has_room
    }

    /// Columns that files may have and the table lacks so far, in the catalog's order, behind those that every file has.
    pub fn added_schema(&self, catalog: &Catalog) -> SchemaRef {
        let state = self.state.lock();
        let builtin = Builtin::ALL.into_iter().map(Builtin::field).chain([rest_field()]);
        let added = catalog.columns().iter().filter(|column| state.added.contains(&column.column));
        let fields: Vec<Field> = builtin.chain(added.map(|column| column.field())).collect();
        Arc::new(Schema::new(fields))
    }
}

/// How a project's rows become a segment's columns.
#[derive(Clone)]
pub struct Layout {
    /// Knows every (property, type) of the rows.
    pub catalog: Arc<Catalog>,
    pub budget: ColumnBudget,
    pub table: Arc<TableColumns>,
}

#[cfg(test)]
mod tests {
    use super::super::PropertyType;
    use super::*;

    fn uses(catalog: &mut Catalog, counts: &[(&str, u64)]) -> Vec<(Arc<PropertyColumn>, u64)> {
        counts.iter().map(|(name, count)| (catalog.column_or_add(name, PropertyType::Integer), *count)).collect()
    }

    fn chosen(budget: ColumnBudget, uses: &[(Arc<PropertyColumn>, u64)], table: &TableColumns) -> Vec<String> {
        let chosen = budget.choose(uses, 1_000, Some(table));
        let mut names: Vec<_> =
            uses.iter().zip(chosen).filter(|(_, c)| *c).map(|((u, _), _)| u.column.to_string()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_most_used_are_columns_and_the_tables_own_before_others() {
        let mut catalog = Catalog::default();
        let budget = ColumnBudget::of_segment(2);
        let table = TableColumns::of(&Schema::empty(), 2);
        let first = uses(&mut catalog, &[("a", 3), ("b", 9), ("c", 5), ("unused", 0)]);
        assert_eq!(chosen(budget, &first, &table), ["b", "c"]);
        assert_eq!(chosen(budget, &first, &table), ["b", "c"], "B2");
        let close = uses(&mut catalog, &[("a", 9), ("b", 5), ("c", 5)]);
        assert_eq!(chosen(budget, &close, &table), ["b", "c"]);
        let grown = uses(&mut catalog, &[("a", 11), ("b", 5), ("c", 5)]);
        assert_eq!(chosen(budget, &grown, &table), ["a", "b"], "twice as much");
    }

    #[test]
    fn rare_properties_get_only_the_first_columns() {
        let mut catalog = Catalog::default();
        let names: Vec<String> = (0..300).map(|i| format!("p{i:03}")).collect();
        let counts: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let rare = uses(&mut catalog, &counts);
        let table = TableColumns::of(&Schema::empty(), 256);
        assert_eq!(chosen(ColumnBudget::of_segment(256), &rare, &table).len(), 64);
        let common: Vec<_> = rare.iter().map(|(column, _)| (column.clone(), 2)).collect();
        assert_eq!(chosen(ColumnBudget::of_segment(256), &common, &table).len(), 256);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_room_for_what_is_hot() {
        let mut catalog = Catalog::default();
        let table = TableColumns::of(&Schema::empty(), 2);
        for round in 0..20 {
            let names = [format!("a{round}"), format!("b{round}")];
            let uses = uses(&mut catalog, &[(&names[0], 2), (&names[1], 2)]);
            chosen(ColumnBudget::of_segment(2), &uses, &table);
        }
        assert_eq!(table.state.lock().names.len(), 8);
        let hot = uses(&mut catalog, &[("hot", 900), ("cold", 10)]);
        assert_eq!(chosen(ColumnBudget::of_segment(2), &hot, &table), ["hot"]);
        assert_eq!(table.added_schema(&catalog).fields().len(), Builtin::ALL.len() + 1 + 9);
    }
}
