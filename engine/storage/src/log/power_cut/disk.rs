//! An ext4 file system whose power can be cut.
//!
//! ```text
//! outer.img ─loop▶ outer (ext4) ── disk.img ─loop▶ inner (ext4) ◀── the load
//! ```
//!
//! Freezing `outer` stops every write to `disk.img` between two requests while the load goes on above it, so the copy
//! is what one instant left on the disk. A copy without the freeze would mix instants and show states no cut leaves.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

pub struct Disk {
    // Dropped in this order: the inner mount holds a file of the outer one.
    inner: Mount,
    outer: Mount,
    dir: TempDir,
}

impl Disk {
    /// The reason if this machine does not let us.
    pub fn mount() -> Result<Self, String> {
        let dir = TempDir::new().map_err(|error| error.to_string())?;
        let outer = Mount::new_disk(&dir.path().join("outer.img"), "640M", dir.path().join("outer"))?;
        let inner = Mount::new_disk(&outer.path().join("disk.img"), "320M", dir.path().join("inner"))?;
        Ok(Self { inner, outer, dir })
    }

    /// Where the load writes.
    pub fn path(&self) -> &Path {
        self.inner.path()
    }

    /// Copies what is on the disk at this instant.
    pub fn cut(&self) -> PathBuf {
        let copy = self.dir.path().join("cut.img");
        let _frozen = Frozen::freeze(self.outer.path());
        run("cp", &["--sparse=always".as_ref(), self.outer.path().join("disk.img").as_ref(), copy.as_ref()]).unwrap();
        copy
    }

    /// Mounts a copy, which replays the journal as a start after a power cut does.
    pub fn mount_copy(&self, image: &Path) -> Mount {
        Mount::new(image, self.dir.path().join("copy")).unwrap()
    }
}

pub struct Mount(PathBuf);

impl Mount {
    fn new_disk(image: &Path, size: &str, point: PathBuf) -> Result<Self, String> {
        run("truncate", &["-s".as_ref(), size.as_ref(), image])?;
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image])?;
        Self::new(image, point)
    }

    fn new(image: &Path, point: PathBuf) -> Result<Self, String> {
        std::fs::create_dir_all(&point).map_err(|error| error.to_string())?;
        run("mount", &["-o".as_ref(), "loop".as_ref(), image, &point])?;
        Ok(Self(point))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if run("umount", &[&self.0]).is_err() {
            // Somebody still has a file open, as after a failed test; the mount goes when they do.
            let _ = run("umount", &["-l".as_ref(), &self.0]);
        }
    }
}

struct Frozen<'a>(&'a Path);

impl<'a> Frozen<'a> {
    fn freeze(path: &'a Path) -> Self {
        run("fsfreeze", &["-f".as_ref(), path]).unwrap();
        Self(path)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        run("fsfreeze", &["-u".as_ref(), self.0]).unwrap();
    }
}

fn run(program: &str, args: &[&Path]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
