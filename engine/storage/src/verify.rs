//! A whole store read and checked: every commit, every file, every promise about them. Changes nothing.
//!
//! It may run beside a server: what the newest version of a table lists stays in the store long after it was replaced.
//! Files that no table lists are reported and left alone; younger ones may be what a flush is writing just now.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use footfall_model::ProjectId;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use object_store::path::Path;
use serde::Serialize;

use crate::error::StorageError;
use crate::lookup::LookupTables;
use crate::project::segment_of;
use crate::sealed;
use crate::segment::{CHECKSUM_TAG, check, checksum_tag};
use crate::sound::TRIES;
use crate::table::{FileEntry, TableSnapshot, audit};

/// Folder of a table's log, by which tables are told from other folders.
const LOG_FOLDER: &str = "_delta_log";
const EVENTS: &str = "events";
const LOOKUP_TABLES: &str = "lookup_tables";
const READS_IN_FLIGHT: usize = 2;

/// How much is read of each file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Its bytes, against their checksum.
    Checksums,
    /// All that is in it, too.
    Contents,
}

/// What a check came to.
#[derive(Debug, Default, Serialize)]
pub struct Verification {
    pub projects: Vec<VerifiedProject>,
    pub tables: u64,
    pub commits: u64,
    pub files: u64,
    pub bytes: u64,
    pub damages: Vec<StoreDamage>,
    /// Files in tables' folders that no table lists.
    pub orphans: Vec<Orphan>,
}

#[derive(Debug, Serialize)]
pub struct VerifiedProject {
    pub project: ProjectId,
    /// How far each log is in the events table: application of the table's transactions, and its position.
    #[serde(skip)]
    pub transactions: Vec<(String, i64)>,
    /// Rows of the events table.
    pub events: u64,
    /// Whether its tables can be opened.
    pub readable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreDamage {
    /// In the store.
    pub path: String,
    pub what: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Orphan {
    pub path: String,
    pub bytes: u64,
    pub modified: DateTime<Utc>,
}

/// How far a check has got.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'a> {
    pub table: &'a str,
    pub bytes: u64,
}

/// Checks every table of every project. `progress` is told after each file, with the bytes read of `total`, which is
/// what the tables said so far.
pub async fn verify_store(
    store: &Arc<dyn ObjectStore>,
    depth: Depth,
    progress: &mut (dyn FnMut(Checked<'_>) + Send),
) -> Result<Verification, StorageError> {
    let mut verification = Verification::default();
    for project in projects(store).await? {
        let mut verified = VerifiedProject { project, transactions: Vec::new(), events: 0, readable: true };
        for table in tables(store, project).await? {
            let root = format!("{project}/{table}");
            let damaged_before = verification.damages.len();
            let snapshot = verification.check_table(store, &root, depth, progress).await?;
            verified.readable &= snapshot.is_some() && verification.damages.len() == damaged_before;
            if let (EVENTS, Some(snapshot)) = (table.as_str(), snapshot) {
                verified.events = snapshot.files.iter().map(|file| file.rows).sum();
                verified.transactions = snapshot.transactions.into_iter().collect();
            }
        }
        verification.check_lookup_tables(store, project).await?;
        verification.projects.push(verified);
    }
    Ok(verification)
}

/// The projects that have anything in a store, by id.
pub(crate) async fn projects(store: &Arc<dyn ObjectStore>) -> Result<Vec<ProjectId>, StorageError> {
    let folders = store.list_with_delimiter(None).await?.common_prefixes;
    let mut ids: Vec<ProjectId> =
        folders.iter().filter_map(|folder| Some(ProjectId(folder.filename()?.parse().ok()?))).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Names of a project's tables: folders with a log.
pub(crate) async fn tables(store: &Arc<dyn ObjectStore>, project: ProjectId) -> Result<Vec<String>, StorageError> {
    let folders = store.list_with_delimiter(Some(&Path::from(project.to_string()))).await?.common_prefixes;
    let mut names = Vec::new();
    for folder in folders {
        let within = store.list_with_delimiter(Some(&folder)).await?.common_prefixes;
        let is_table = within.iter().any(|inner| inner.filename() == Some(LOG_FOLDER));
        names.extend(folder.filename().filter(|_| is_table).map(str::to_owned));
    }
    Ok(names)
}

impl Verification {
    async fn check_table(
        &mut self,
        store: &Arc<dyn ObjectStore>,
        root: &str,
        depth: Depth,
        progress: &mut (dyn FnMut(Checked<'_>) + Send),
    ) -> Result<Option<TableSnapshot>, StorageError> {
        let audit = audit(store.clone(), root).await?;
        self.tables += 1;
        self.commits += audit.commits;
        self.damages.extend(audit.damages.into_iter().map(|(object, what)| damage(&format!("{root}/{object}"), &what)));
        let Some(snapshot) = audit.snapshot else {
            self.damages.push(damage(root, "the table cannot be opened"));
            return Ok(None);
        };
        let is_events = root.ends_with(&format!("/{EVENTS}"));
        let files = snapshot.files.clone();
        let mut checks = stream::iter(files)
            .map(|file| {
                let (store, root) = (store.clone(), root.to_owned());
                async move { check_file(&store, &root, file.as_ref(), is_events, depth).await }
            })
            .buffer_unordered(READS_IN_FLIGHT);
        while let Some((bytes, damages)) = checks.try_next().await? {
            self.files += 1;
            self.bytes += bytes;
            self.damages.extend(damages);
            progress(Checked { table: root, bytes: self.bytes });
        }
        self.find_orphans(store, root, &snapshot).await?;
        Ok(Some(snapshot))
    }

    async fn find_orphans(
        &mut self,
        store: &Arc<dyn ObjectStore>,
        root: &str,
        snapshot: &TableSnapshot,
    ) -> Result<(), StorageError> {
        let gone = snapshot.tombstones.iter().map(|gone| gone.path.as_str());
        let known: BTreeSet<&str> = snapshot.files.iter().map(|file| file.path.as_str()).chain(gone).collect();
        let folder = Path::from(root);
        let mut listing = store.list(Some(&folder));
        while let Some(object) = listing.try_next().await? {
            let Some(path) = object.location.as_ref().strip_prefix(root).map(|path| path.trim_start_matches('/'))
            else {
                continue;
            };
            if !path.starts_with(LOG_FOLDER) && !known.contains(path) {
                let (path, bytes, modified) = (object.location.to_string(), object.size, object.last_modified);
                self.orphans.push(Orphan { path, bytes, modified });
            }
        }
        Ok(())
    }

    async fn check_lookup_tables(
        &mut self,
        store: &Arc<dyn ObjectStore>,
        project: ProjectId,
    ) -> Result<(), StorageError> {
        let lookups = LookupTables::new(store.clone(), project);
        let root = format!("{project}/{LOOKUP_TABLES}");
        let tables = match lookups.list().await {
            Ok(tables) => tables,
            Err(StorageError::CorruptSegment { path, what }) => {
                self.damages.push(damage(&path, &what));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for table in tables {
            match lookups.read(table.id).await {
                Ok(_) => self.files += 1,
                Err(StorageError::CorruptSegment { path, what }) => self.damages.push(damage(&path, &what)),
                Err(error @ StorageError::Store(_)) => return Err(error),
                Err(error) => self.damages.push(damage(&format!("{root}/{}", table.id), &crate::chain(&error))),
            }
        }
        Ok(())
    }
}

/// A listed file's length and what is wrong with it.
async fn check_file(
    store: &Arc<dyn ObjectStore>,
    root: &str,
    file: &FileEntry,
    is_events: bool,
    depth: Depth,
) -> Result<(u64, Vec<StoreDamage>), StorageError> {
    let location = Path::from(format!("{root}/{}", file.path));
    let mut tries = 1;
    loop {
        let Some(bytes) = sealed::get(&**store, &location).await? else {
            return Ok((0, vec![damage(location.as_ref(), "missing")]));
        };
        let (length, entry) = (bytes.len() as u64, file.clone());
        let found = crate::project::run_blocking(move || {
            Ok(match is_events {
                true => match segment_of(&entry) {
                    Ok(segment) => check(&segment, entry.stats.as_deref(), &bytes, depth == Depth::Contents),
                    Err(error) => vec![crate::chain(&error)],
                },
                false => check_plain(&entry, &bytes, depth),
            })
        });
        // A decoder that panics on damaged bytes has found damage.
        let found = found.await.unwrap_or_else(|_| vec!["cannot be decoded".to_owned()]);
        if found.is_empty() || tries == TRIES {
            return Ok((length, found.into_iter().map(|what| damage(location.as_ref(), &what)).collect()));
        }
        // Damaged in the store, or on its way: the latter passes.
        tries += 1;
    }
}

/// A file of a table that is not made of segments.
fn check_plain(file: &FileEntry, bytes: &Bytes, depth: Depth) -> Vec<String> {
    let mut damages = Vec::new();
    if bytes.len() as u64 != file.bytes {
        damages.push(format!("{} bytes, the table says {}", bytes.len(), file.bytes));
    }
    if file.tags.get(CHECKSUM_TAG).is_some_and(|expected| *expected != checksum_tag(crc32c::crc32c(bytes))) {
        damages.push("checksum of the file does not match".to_owned());
    }
    if depth == Depth::Contents && damages.is_empty() {
        match count_rows(bytes) {
            Ok(rows) if rows == file.rows => {}
            Ok(rows) => damages.push(format!("{rows} rows, the table says {}", file.rows)),
            Err(error) => damages.push(format!("cannot be decoded: {}", crate::chain(&error))),
        }
    }
    damages
}

fn count_rows(bytes: &Bytes) -> Result<u64, StorageError> {
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes.clone())?.build()?;
    let mut rows = 0;
    for batch in reader {
        rows += batch?.num_rows() as u64;
    }
    Ok(rows)
}

fn damage(path: &str, what: &str) -> StoreDamage {
    StoreDamage { path: path.to_owned(), what: what.to_owned() }
}
