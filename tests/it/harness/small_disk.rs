//! A disk that is soon full: a small tmpfs, gone with the test.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Mounted until it is dropped.
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one of this many KiB at `path`, which it creates. `None`, loudly, without the right to
    /// mount.
    pub fn mount(path: PathBuf, kib: u32) -> Option<Self> {
        std::fs::create_dir_all(&path).expect("a folder to mount at");
        let size = format!("size={kib}k");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self { path });
        }
        eprintln!("SKIPPED: a tmpfs cannot be mounted here, which takes root: a full disk is NOT tested");
        None
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes all the space that is left, until [`SmallDisk::make_room`].
    pub fn fill(&self) {
        let mut filler = File::create(self.filler()).expect("the filler is created");
        for size in [64 << 10, 512, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    pub fn make_room(&self) {
        std::fs::remove_file(self.filler()).expect("the filler can be deleted");
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server of a failed test may still have files open.
        drop(Command::new("umount").arg("--lazy").arg(&self.path).status());
    }
}
