//! How much the log may hold and how much it leaves free: the room that flushing needs on the same disk.

use rustix::fs::fstatvfs;

use super::Stall;
use super::segment::{ActiveSegment, Segments};

/// What is left free unless the options say otherwise: this, or a twentieth of a small disk.
const FREE_BYTES_MIN: u64 = 256 << 20;
const FREE_PART_MIN: u64 = 20;

#[derive(Debug, Clone)]
pub(super) struct Space {
    /// Most bytes that have not been released.
    pub bytes_max: u64,
    /// Least bytes free on the disk; `None` for the usual.
    pub free_bytes_min: Option<u64>,
}

impl Space {
    /// Whether there is room for more entries. A few groups that were let in before are always written, so the margins
    /// are far larger than the queue.
    pub fn check(&self, active: &ActiveSegment, segments: &Segments) -> Result<(), Stall> {
        let (bytes, max_bytes) = (segments.bytes(), self.bytes_max);
        if bytes > max_bytes {
            return Err(Stall::OverBudget { bytes, max_bytes });
        }
        // A file system that cannot say has its own way of refusing.
        let Ok(disk) = fstatvfs(active.file()) else { return Ok(()) };
        let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        let all_bytes = disk.f_blocks.saturating_mul(disk.f_frsize);
        let min_bytes = self.free_bytes_min.unwrap_or_else(|| FREE_BYTES_MIN.min(all_bytes / FREE_PART_MIN));
        if free_bytes < min_bytes {
            return Err(Stall::LowSpace { free_bytes, min_bytes });
        }
        Ok(())
    }
}
