//! A journal in memory: which files it has, and its live rows.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use object_store::ObjectStore;
use object_store::path::Path;

use super::file::JournalFile;
use super::{JournalRow, JournalView};
use crate::log::Lsn;

/// Rows per block: appending to the last block copies at most this many when a reader holds it.
const BLOCK_ROWS: usize = 1_024;

/// The files and live rows of one journal. Rows are appended in log order, and visible once they are durable.
pub(crate) struct JournalRows<R> {
    files: Arc<[JournalFile]>,
    visible: Vec<Arc<Vec<R>>>,
    pending: VecDeque<(Lsn, Vec<R>)>,
    len: usize,
    bytes: usize,
    /// The table's transaction that the live rows rest on (J4).
    flushed_lsn: Option<Lsn>,
    /// Earlier lists of files, as long as a view has them.
    retired: Vec<Weak<[JournalFile]>>,
    store: Arc<dyn ObjectStore>,
    root: Path,
}

impl<R: JournalRow> JournalRows<R> {
    pub(super) fn new(
        files: Arc<[JournalFile]>,
        flushed_lsn: Option<Lsn>,
        store: Arc<dyn ObjectStore>,
        root: Path,
    ) -> Self {
        let (visible, pending, retired) = (Vec::new(), VecDeque::new(), Vec::new());
        Self { files, visible, pending, len: 0, bytes: 0, flushed_lsn, retired, store, root }
    }

    /// Live rows, visible or not.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Memory that they take, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn flushed_lsn(&self) -> Option<Lsn> {
        self.flushed_lsn
    }

    /// The last value of the order column in files.
    pub fn last_flushed(&self) -> Option<i64> {
        self.files.last().map(|file| file.last)
    }

    /// Adds rows that are on their way to the disk.
    pub fn append(&mut self, lsn: Lsn, rows: Vec<R>) {
        if !rows.is_empty() {
            self.count(&rows, true);
            self.pending.push_back((lsn, rows));
        }
    }

    /// Makes the rows of a log record visible, if it has any.
    pub fn publish(&mut self, lsn: Lsn) {
        if self.pending.front().is_none_or(|(pending, _)| *pending != lsn) {
            return;
        }
        let Some((_, rows)) = self.pending.pop_front() else { return };
        match self.visible.last_mut() {
            Some(last) if last.len() + rows.len() <= BLOCK_ROWS => Arc::make_mut(last).extend(rows),
            _ => self.visible.push(Arc::new(rows)),
        }
    }

    /// Forgets what was on its way to the disk: it failed.
    pub fn drop_pending(&mut self) {
        for (_, rows) in std::mem::take(&mut self.pending) {
            self.count(&rows, false);
        }
    }

    /// Visible rows up to a value of the order column: what a flush writes.
    pub fn up_to(&self, order: i64) -> Vec<R> {
        self.visible.iter().flat_map(|block| block.iter()).filter(|row| row.order() <= order).cloned().collect()
    }

    /// The rows up to a value of the order column, those of log records up to `lsn`, are in files now (J3).
    pub fn flushed(&mut self, files: Arc<[JournalFile]>, order: i64, lsn: Lsn) {
        self.replace_files(files);
        self.flushed_lsn = Some(lsn);
        for mut block in std::mem::take(&mut self.visible) {
            let gone = block.partition_point(|row| row.order() <= order);
            self.count(block.get(..gone).unwrap_or_default(), false);
            if gone < block.len() {
                Arc::make_mut(&mut block).drain(..gone);
                self.visible.push(block);
            }
        }
    }

    /// The same rows are in other files now.
    pub fn replace_files(&mut self, files: Arc<[JournalFile]>) {
        self.retired.retain(|list| list.strong_count() > 0);
        self.retired.push(Arc::downgrade(&self.files));
        self.files = files;
    }

    /// Paths of all files that a view reads or may yet read.
    pub fn files_in_use(&self) -> impl Iterator<Item = String> {
        let lists = self.retired.iter().filter_map(Weak::upgrade).chain([self.files.clone()]);
        lists.flat_map(|list| list.iter().map(|file| file.path.clone()).collect::<Vec<_>>())
    }

    fn count(&mut self, rows: &[R], added: bool) {
        let bytes: usize = rows.iter().map(R::bytes).sum();
        if added {
            (self.len, self.bytes) = (self.len + rows.len(), self.bytes + bytes);
        } else {
            (self.len, self.bytes) = (self.len - rows.len(), self.bytes - bytes);
        }
    }

    /// What is visible now.
    pub fn view(&self) -> JournalView<R> {
        JournalView::new(self.files.clone(), self.visible.clone(), self.store.clone(), self.root.clone())
    }
}
