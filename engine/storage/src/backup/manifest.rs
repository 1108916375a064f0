//! What a backup consists of.
//!
//! ```text
//! {"footfall_backup":1,"number":…,"created_at":…,"objects":…,"crc32c":<of all that follows the first newline>}
//! {"path":…,"bytes":…,"crc32c":…,"copy":…}       one line an object
//! {"path":…,"text":…}                            an object that lies here
//! ```

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, PutMode, PutOptions};
use serde::{Deserialize, Serialize};

use super::object;
use crate::error::StorageError;
use crate::sealed::get;
use crate::sound::read_sound;

const FOLDER: &str = "backups";
const FORMAT: u32 = 1;

#[derive(Debug)]
pub(super) struct Manifest {
    pub header: Header,
    pub objects: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub footfall_backup: u32,
    pub number: u64,
    pub created_at: DateTime<Utc>,
    pub objects: u64,
    pub bytes: u64,
    /// What this backup had to copy.
    pub new_bytes: u64,
    /// Folder and version of each table.
    pub tables: Vec<(String, u64)>,
    #[serde(default)]
    pub crc32c: u32,
}

/// One object: in the target, or in `text`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub path: String,
    pub bytes: u64,
    pub crc32c: u32,
    /// Where the copy lies among the target's objects, if not under the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Entry {
    /// Where the copy is in the target.
    pub fn location(&self) -> Path {
        object(self.copy.as_ref().unwrap_or(&self.path))
    }

    pub fn is(&self, bytes: &Bytes) -> bool {
        bytes.len() as u64 == self.bytes && crc32c::crc32c(bytes) == self.crc32c
    }
}

/// A backup, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupSummary {
    pub number: u64,
    pub created_at: DateTime<Utc>,
    pub objects: u64,
    pub bytes: u64,
    pub new_bytes: u64,
}

/// Which backup of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    Newest,
    Number(u64),
    /// The newest that was made at or before a time.
    At(DateTime<Utc>),
}

/// All backups in a target, oldest first.
pub async fn list(target: &Arc<dyn ObjectStore>) -> Result<Vec<BackupSummary>, StorageError> {
    let mut backups = Vec::new();
    for number in numbers(target).await? {
        backups.push(Manifest::load(target, number).await?.summary());
    }
    Ok(backups)
}

/// The numbers of a target's backups, ascending.
pub(super) async fn numbers(target: &Arc<dyn ObjectStore>) -> Result<Vec<u64>, StorageError> {
    let listing: Vec<_> = target.list(Some(&Path::from(FOLDER))).try_collect().await?;
    let number = |name: &str| name.strip_suffix(".ndjson")?.parse().ok();
    let mut numbers: Vec<u64> = listing.iter().filter_map(|object| number(object.location.filename()?)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

impl Manifest {
    pub fn path(number: u64) -> Path {
        Path::from(format!("{FOLDER}/{number:08}.ndjson"))
    }

    pub fn summary(&self) -> BackupSummary {
        let Header { number, created_at, objects, bytes, new_bytes, .. } = self.header;
        BackupSummary { number, created_at, objects, bytes, new_bytes }
    }

    pub async fn load(target: &Arc<dyn ObjectStore>, number: u64) -> Result<Self, StorageError> {
        let path = Self::path(number);
        let found = read_sound(|| get(&**target, &path), |bytes| Self::decode(number, &bytes)).await?;
        found.ok_or_else(|| StorageError::corrupt(path.as_ref(), "missing"))
    }

    fn decode(number: u64, bytes: &Bytes) -> Result<Self, StorageError> {
        let path = Self::path(number);
        let corrupt = |what: &str| StorageError::corrupt(path.as_ref(), what);
        let text = std::str::from_utf8(bytes).map_err(|_| corrupt("not text"))?;
        let (header, lines) = text.split_once('\n').ok_or_else(|| corrupt("no header"))?;
        let header: Header = serde_json::from_str(header).map_err(|_| corrupt("header malformed"))?;
        if header.footfall_backup > FORMAT {
            let (found, known) = (header.footfall_backup, FORMAT);
            return Err(StorageError::NewerFormat { what: path.to_string(), found, known });
        }
        // The number in the name is under no sum.
        if header.crc32c != crc32c::crc32c(lines.as_bytes()) || header.number != number {
            return Err(corrupt("checksum mismatch"));
        }
        let objects = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Entry>, _>>();
        let objects = objects.map_err(|_| corrupt("line malformed"))?;
        if objects.len() as u64 != header.objects {
            return Err(corrupt("lines missing"));
        }
        Ok(Self { header, objects })
    }

    /// The backup that a selection means.
    pub async fn find(target: &Arc<dyn ObjectStore>, selection: Selection) -> Result<Self, StorageError> {
        let missing = || StorageError::NoBackup;
        let numbers = numbers(target).await?;
        match selection {
            Selection::Newest => Self::load(target, *numbers.last().ok_or_else(missing)?).await,
            Selection::Number(number) if numbers.contains(&number) => Self::load(target, number).await,
            Selection::Number(_) => Err(missing()),
            Selection::At(time) => {
                for number in numbers.into_iter().rev() {
                    let manifest = Self::load(target, number).await?;
                    if manifest.header.created_at <= time {
                        return Ok(manifest);
                    }
                }
                Err(missing())
            }
        }
    }

    /// Publishes the backup (B1). Two at once get different numbers, and the loser is told.
    pub async fn save(&mut self, target: &Arc<dyn ObjectStore>) -> Result<(), StorageError> {
        let json = |error: serde_json::Error| StorageError::corrupt("manifest", &error.to_string());
        let mut lines = String::new();
        for entry in &self.objects {
            lines.push_str(&serde_json::to_string(entry).map_err(json)?);
            lines.push('\n');
        }
        self.header.crc32c = crc32c::crc32c(lines.as_bytes());
        let text = format!("{}\n{lines}", serde_json::to_string(&self.header).map_err(json)?);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        target.put_opts(&Self::path(self.header.number), text.into(), options).await?;
        Ok(())
    }

    pub fn new(number: u64, created_at: DateTime<Utc>, tables: Vec<(String, u64)>) -> Self {
        let header = Header {
            footfall_backup: FORMAT,
            number,
            created_at,
            objects: 0,
            bytes: 0,
            new_bytes: 0,
            tables,
            crc32c: 0,
        };
        Self { header, objects: Vec::new() }
    }

    pub fn add(&mut self, entry: Entry) {
        self.header.objects += 1;
        self.header.bytes += entry.bytes;
        self.objects.push(entry);
    }
}
