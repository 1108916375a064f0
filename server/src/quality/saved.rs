//! The files: one a project, replaced whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use footfall_model::ProjectId;
use serde::{Deserialize, Serialize};

use super::record::Record;

/// The form of the file. Others are passed over.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Saved<R> {
    version: u32,
    record: R,
}

/// All records that can be read.
pub(super) fn read_all(folder: &Path) -> Vec<(ProjectId, Record)> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!(%error, "data quality of earlier runs cannot be listed");
            return Vec::new();
        }
    };
    let mut records = Vec::new();
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".json"));
        let Some(project) = name.and_then(|id| id.parse().ok()).map(ProjectId) else { continue };
        match read(&path) {
            Ok(record) => records.push((project, record)),
            Err(error) => tracing::warn!(%project, %error, "data quality of earlier runs cannot be read"),
        }
    }
    records
}

fn read(path: &Path) -> io::Result<Record> {
    let saved: Saved<Record> = serde_json::from_slice(&fs::read(path)?)?;
    if saved.version != VERSION {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("unknown version {}", saved.version)));
    }
    Ok(saved.record)
}

/// Writes beside, syncs, then renames: after a crash the file is the old one or the new one.
pub(super) fn write(folder: &Path, project: ProjectId, record: &Record) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let staged = folder.join(format!("{project}.staged"));
    let mut file = File::create(&staged)?;
    file.write_all(&serde_json::to_vec(&Saved { version: VERSION, record })?)?;
    file.sync_all()?;
    fs::rename(&staged, folder.join(format!("{project}.json")))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Settled;
    use crate::quality::Observed;

    #[test]
    fn what_is_written_is_read_and_what_cannot_be_read_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::default();
        record.add(0, "/track", Observed::default(), &Settled { stored: 3, ..Settled::default() });
        write(folder.path(), ProjectId(7), &record).unwrap();
        fs::write(folder.path().join("8.json"), "{").unwrap();
        fs::write(folder.path().join("9.json"), r#"{"version":2,"record":{"days":{},"reasons":{}}}"#).unwrap();
        fs::write(folder.path().join("7.staged"), "half").unwrap();
        assert_eq!(read_all(folder.path()), [(ProjectId(7), record)]);
        assert_eq!(read_all(&folder.path().join("none")), []);
    }
}
