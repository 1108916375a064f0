//! A disk that takes a part of a write and then refuses, when a test says so.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Shared by all segments of a log. Each write that fails is one of a group, or a look whether the disk takes more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    writes: Arc<AtomicUsize>,
}

impl Faults {
    /// The next `count` writes fail half-way.
    pub fn fail_writes(&self, count: usize) {
        self.writes.store(count, Ordering::SeqCst);
    }

    pub(super) fn strike(&self, file: &File, group: &[u8], at: u64) -> io::Result<()> {
        let left = self.writes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_err() {
            return Ok(());
        }
        file.write_all_at(&group[..group.len() / 2], at)?;
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }
}
