//! Files and folders of this machine.

use std::fs::{self, Metadata};
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::{Found, Place, Source, Stamp, is_left_out, plain_name, unreadable};
use crate::commands::CommandError;

/// `path` itself, or all files below it in the order of their names.
pub fn find(path: &Path, data_dir: &Path) -> Result<Found, CommandError> {
    let meta = fs::metadata(path).map_err(|e| unreadable(path.display(), &e))?;
    let mut found = Found::default();
    if meta.is_dir() {
        let walk = Walk { root: path, data_dir: fs::canonicalize(data_dir).ok() };
        walk.folder(path, &mut found)?;
        found.sources.sort_by(|a, b| a.name.cmp(&b.name));
        if found.sources.is_empty() {
            return Err(CommandError::failed(format!("{} holds no files", path.display())));
        }
    } else {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        found.sources.push(source(path, plain_name(&name), &meta)?);
    }
    Ok(found)
}

struct Walk<'a> {
    root: &'a Path,
    /// Our own files are nobody's events, should the folder be above them.
    data_dir: Option<std::path::PathBuf>,
}

impl Walk<'_> {
    fn folder(&self, folder: &Path, found: &mut Found) -> Result<(), CommandError> {
        if self.data_dir.is_some() && fs::canonicalize(folder).ok() == self.data_dir {
            return Ok(());
        }
        for entry in fs::read_dir(folder).map_err(|e| unreadable(folder.display(), &e))? {
            let path = entry.map_err(|e| unreadable(folder.display(), &e))?.path();
            if path.file_name().is_some_and(|name| is_left_out(&name.to_string_lossy())) {
                found.left_out += 1;
                continue;
            }
            let meta = fs::metadata(&path).map_err(|e| unreadable(path.display(), &e))?;
            if meta.is_dir() {
                self.folder(&path, found)?;
            } else if meta.is_file() {
                let name = path.strip_prefix(self.root).unwrap_or(&path).to_string_lossy();
                found.sources.push(source(&path, plain_name(&name), &meta)?);
            }
        }
        Ok(())
    }
}

pub(super) fn source(path: &Path, name: String, meta: &Metadata) -> Result<Source, CommandError> {
    // The same file, wherever the command is run.
    let path = fs::canonicalize(path).map_err(|e| unreadable(path.display(), &e))?;
    let modified = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified = modified.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX));
    let stamp = Stamp { address: path.display().to_string(), bytes: meta.len(), modified, etag: None };
    Ok(Source { place: Place::File(path), name, stamp })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_in_the_order_of_names() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["b", "data", "_delta_log"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let files = ["c.ndjson.gz", "a.ndjson", "b/x.json", ".hidden", "_SUCCESS", "_delta_log/0.json", "data/log"];
        for name in files {
            fs::write(dir.path().join(name), "{}").unwrap();
        }
        let found = find(dir.path(), &dir.path().join("data")).unwrap();
        let names: Vec<_> = found.sources.into_iter().map(|source| source.name).collect();
        assert_eq!(names, ["a.ndjson", "b/x.json", "c.ndjson"]);
        assert_eq!(found.left_out, 3);
        let one = find(&dir.path().join("c.ndjson.gz"), dir.path()).unwrap();
        assert_eq!(one.sources[0].name, "c.ndjson");
        assert!(find(&dir.path().join("none"), dir.path()).is_err());
    }

    #[test]
    fn a_stamp_changes_with_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let stamp = || find(&path, dir.path()).unwrap().sources.remove(0).stamp;
        fs::write(&path, "a").unwrap();
        let first = stamp();
        assert_eq!(first, stamp());
        fs::write(&path, "ab").unwrap();
        assert_ne!(first, stamp());
    }
}
