//! Which files an import reads, in which order.

use std::fs;
use std::path::{Path, PathBuf};

use crate::commands::CommandError;

/// One file.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub path: PathBuf,
    /// Name within the import, without `.gz`: part of the ids that its events are given, so that neither moving the
    /// folder nor compressing the file makes them other events.
    pub name: String,
    /// Size on disk.
    pub bytes: u64,
}

/// `path` itself, or all files below it in the order of their names. Hidden files are left out.
pub fn find(path: &Path) -> Result<Vec<Source>, CommandError> {
    let meta = fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    let mut sources = Vec::new();
    if meta.is_dir() {
        walk(path, path, &mut sources)?;
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        if sources.is_empty() {
            return Err(CommandError::failed(format!("{} holds no files", path.display())));
        }
    } else {
        let name = path.file_name().unwrap_or_default();
        sources.push(Source { path: path.to_owned(), name: plain_name(Path::new(name)), bytes: meta.len() });
    }
    Ok(sources)
}

fn walk(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> Result<(), CommandError> {
    for entry in fs::read_dir(folder).map_err(|e| unreadable(folder, &e))? {
        let path = entry.map_err(|e| unreadable(folder, &e))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            continue;
        }
        let meta = fs::metadata(&path).map_err(|e| unreadable(&path, &e))?;
        if meta.is_dir() {
            walk(root, &path, sources)?;
        } else if meta.is_file() {
            let name = plain_name(path.strip_prefix(root).unwrap_or(&path));
            sources.push(Source { path, name, bytes: meta.len() });
        }
    }
    Ok(())
}

fn plain_name(path: &Path) -> String {
    let name = path.to_string_lossy();
    name.strip_suffix(".gz").unwrap_or(&name).to_owned()
}

pub fn unreadable(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::failed(format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_in_the_order_of_names() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("b")).unwrap();
        for name in ["c.ndjson.gz", "a.ndjson", "b/x.json", ".hidden"] {
            fs::write(dir.path().join(name), "{}").unwrap();
        }
        let names: Vec<_> = find(dir.path()).unwrap().into_iter().map(|source| source.name).collect();
        assert_eq!(names, ["a.ndjson", "b/x.json", "c.ndjson"]);
        assert_eq!(find(&dir.path().join("c.ndjson.gz")).unwrap()[0].name, "c.ndjson");
        assert!(find(&dir.path().join("none")).is_err());
    }
}
