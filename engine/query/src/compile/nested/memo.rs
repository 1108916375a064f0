//! Results by the columns that they were computed from, for as long as those columns live.
//!
//! One expression may name a property many times, and a plan may evaluate one expression at several places: each batch is
//! still decoded once. A column is known by its identity; nothing in it is compared, and nothing keeps it alive.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::common::Result;

/// As many batches as may be under way at the same time, each on a thread of its own.
const ENTRIES_MAX: usize = 32;

#[derive(Debug)]
pub(in crate::compile) struct Memo<T> {
    entries: Mutex<Vec<(Vec<Weak<dyn Array>>, T)>>,
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self { entries: Mutex::default() }
    }
}

impl<T: Clone> Memo<T> {
    /// The result for these columns, computed unless it is known.
    pub(in crate::compile) fn get(&self, columns: &[ArrayRef], compute: impl FnOnce() -> Result<T>) -> Result<T> {
        if columns.is_empty() {
            return compute();
        }
        let entries = || self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = entries().iter().find(|(key, _)| same(key, columns)) {
            return Ok(known.clone());
        }
        let computed = compute()?;
        let mut entries = entries();
        // A weak reference keeps the address from being given to another column.
        entries.retain(|(key, _)| key.iter().all(|column| column.strong_count() > 0));
        if entries.len() >= ENTRIES_MAX {
            entries.remove(0);
        }
        entries.push((columns.iter().map(Arc::downgrade).collect(), computed.clone()));
        Ok(computed)
    }
}

fn same(key: &[Weak<dyn Array>], columns: &[ArrayRef]) -> bool {
    key.len() == columns.len() && key.iter().zip(columns).all(|(k, c)| std::ptr::addr_eq(k.as_ptr(), Arc::as_ptr(c)))
}
