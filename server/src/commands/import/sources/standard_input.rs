//! `-`: standard input, copied into a file whose folder is named by the content.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::{Place, Source, Stamp, unreadable};
use crate::commands::CommandError;

/// The copy's name within the import's folder.
pub const COPY: &str = "standard-input";
const BUFFER: usize = 1 << 20;

/// What came in by standard input, not yet at its place.
pub struct Received {
    file: PathBuf,
    bytes: u64,
    /// Tells this input from any other.
    pub content: u128,
}

/// Reads standard input to its end. A copy that a killed run left in `folder` is overwritten.
pub fn receive(folder: &Path) -> Result<Received, CommandError> {
    fs::create_dir_all(folder).map_err(|e| unwritable(folder, &e))?;
    let path = folder.join(format!("{COPY}.{}", std::process::id()));
    let mut file = File::create(&path).map_err(|e| unwritable(&path, &e))?;
    let (mut hasher, mut bytes, mut buffer) = (Xxh3::new(), 0, vec![0; BUFFER]);
    let mut input = io::stdin().lock();
    loop {
        let read = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(unreadable("standard input", &e)),
        };
        let piece = buffer.get(..read).unwrap_or_default();
        hasher.update(piece);
        file.write_all(piece).map_err(|e| unwritable(&path, &e))?;
        bytes += read as u64;
    }
    file.sync_data().map_err(|e| unwritable(&path, &e))?;
    Ok(Received { file: path, bytes, content: hasher.digest128() })
}

impl Received {
    /// Moves the copy into the import's folder.
    pub fn settle(self, folder: &Path) -> Result<Source, CommandError> {
        let path = folder.join(COPY);
        fs::rename(&self.file, &path).map_err(|e| unwritable(&path, &e))?;
        let address = format!("standard input ({:032x})", self.content);
        let stamp = Stamp { address, bytes: self.bytes, modified: 0, etag: None };
        Ok(Source { place: Place::File(path), name: "-".to_owned(), stamp })
    }
}

/// A copy that did not get to its place is of no use to anybody.
impl Drop for Received {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.file));
    }
}

fn unwritable(path: &Path, error: &io::Error) -> CommandError {
    CommandError::failed(format!("cannot write {}: {error}", path.display()))
}
