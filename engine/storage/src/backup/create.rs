//! Making a backup, also while the store is written to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use footfall_model::ProjectId;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use xxhash_rust::xxh3::xxh3_128;

use super::manifest::{BackupSummary, Entry, Manifest, numbers};
use super::{Copied, IN_FLIGHT, OBJECTS, OF_THE_PLACE, location};
use crate::error::StorageError;
use crate::sealed::get;
use crate::segment::{CHECKSUM_TAG, checksum_tag};
use crate::sound::{read_agreed, read_sound};
use crate::table::{TableSnapshot, pin};
use crate::verify::{projects, tables};

/// How often a moment is fixed anew because files of the last one were deleted before they were copied.
const TRIES: usize = 3;
const LOG_FOLDER: &str = "_delta_log";
const ANNOUNCEMENT: &str = "_last_checkpoint";

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    pub backup: BackupSummary,
    pub new_objects: u64,
}

/// An object to back up.
struct Wanted {
    path: String,
    bytes: u64,
    /// As its table has it.
    checksum: Option<String>,
    naming: Naming,
}

/// What an object's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    /// For ever these bytes.
    Forever,
    /// Perhaps other bytes at another time.
    ForNow,
}

impl Wanted {
    fn other(path: &str, bytes: u64, naming: Naming) -> Self {
        Self { path: path.to_owned(), bytes, checksum: None, naming }
    }
}

/// What is to be backed up.
struct Moment {
    tables: Vec<(String, u64)>,
    objects: Vec<Wanted>,
    /// Objects that change, read already.
    texts: Vec<(String, String)>,
}

/// Copies what `target` lacks of `source`, and writes down what makes up the backup. What is not in tables yet is not
/// part of it: flush first.
pub async fn create(
    source: &Arc<dyn ObjectStore>,
    target: &Arc<dyn ObjectStore>,
    now: DateTime<Utc>,
    progress: &mut (dyn FnMut(Copied) + Send),
) -> Result<Created, StorageError> {
    let mut tries = 1;
    loop {
        match try_create(source, target, now, progress).await {
            // Compaction has deleted what the moment needs.
            Err(StorageError::Store(object_store::Error::NotFound { .. })) if tries < TRIES => tries += 1,
            outcome => return outcome,
        }
    }
}

async fn try_create(
    source: &Arc<dyn ObjectStore>,
    target: &Arc<dyn ObjectStore>,
    now: DateTime<Utc>,
    progress: &mut (dyn FnMut(Copied) + Send),
) -> Result<Created, StorageError> {
    let last = numbers(target).await?.last().copied();
    let known = match last {
        Some(number) => Manifest::load(target, number).await?.objects,
        None => Vec::new(),
    };
    let known: HashMap<String, Entry> = known.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
    let there = &listed(target).await?;
    let moment = fix(source).await?;
    let mut manifest = Manifest::new(last.map_or(1, |last| last + 1), now, moment.tables);
    for (path, text) in moment.texts {
        let (bytes, crc32c) = (text.len() as u64, crc32c::crc32c(text.as_bytes()));
        manifest.add(Entry { path, bytes, crc32c, copy: None, text: Some(text) });
    }
    let total = moment.objects.iter().map(|wanted| wanted.bytes).sum();
    let copies = moment.objects.into_iter().map(|wanted| {
        let is_there = there.get(&wanted.path) == Some(&wanted.bytes);
        let known = known.get(&wanted.path).filter(|entry| is_there && entry.bytes == wanted.bytes);
        let known = known.filter(|_| wanted.naming == Naming::Forever).cloned();
        async move {
            match known {
                Some(entry) => Ok::<_, StorageError>((entry, false)),
                None => copy(source, target, wanted, there).await,
            }
        }
    });
    let (mut done, mut new_objects) = (0, 0);
    let mut copies = stream::iter(copies).buffer_unordered(IN_FLIGHT);
    while let Some((entry, is_new)) = copies.try_next().await? {
        done += entry.bytes;
        if is_new {
            manifest.header.new_bytes += entry.bytes;
            new_objects += 1;
        }
        manifest.add(entry);
        progress(Copied { done, total });
    }
    manifest.objects.sort_by(|a, b| a.path.cmp(&b.path));
    manifest.save(target).await?;
    Ok(Created { backup: manifest.summary(), new_objects })
}

/// Copies one object, unless there is a copy.
async fn copy(
    source: &Arc<dyn ObjectStore>,
    target: &Arc<dyn ObjectStore>,
    wanted: Wanted,
    there: &HashMap<String, u64>,
) -> Result<(Entry, bool), StorageError> {
    let bytes = read(source, &wanted).await?;
    let crc32c = crc32c::crc32c(&bytes);
    let copy = match wanted.naming {
        Naming::Forever => None,
        Naming::ForNow => Some(format!("{}@{:032x}", wanted.path, xxh3_128(&bytes))),
    };
    let entry = Entry { path: wanted.path, bytes: wanted.bytes, crc32c, copy, text: None };
    let is_there = there.get(entry.copy.as_ref().unwrap_or(&entry.path)) == Some(&entry.bytes);
    // One that no earlier backup speaks for was left by a backup that was broken off.
    let has_copy = is_there && get(&**target, &entry.location()).await?.is_some_and(|copy| entry.is(&copy));
    if !has_copy {
        target.put(&entry.location(), bytes.into()).await?;
    }
    Ok((entry, !has_copy))
}

/// The bytes to be copied, as they are in the source: under their table's checksum, or read twice.
async fn read(source: &Arc<dyn ObjectStore>, wanted: &Wanted) -> Result<Bytes, StorageError> {
    let path = location(&wanted.path);
    // `NotFound` tells whoever asked that the moment has passed.
    let read = || async { Ok::<_, StorageError>(Some(source.get(&path).await?.bytes().await?)) };
    let check = |bytes: Bytes| {
        let is_sound = wanted.checksum.as_ref().is_none_or(|sum| *sum == checksum_tag(crc32c::crc32c(&bytes)));
        match is_sound && bytes.len() as u64 == wanted.bytes {
            true => Ok(bytes),
            false => Err(StorageError::corrupt(&wanted.path, "checksum mismatch, so it cannot be backed up")),
        }
    };
    let found = match wanted.checksum {
        Some(_) => read_sound(read, check).await?,
        None => read_agreed(read, || unsteady(&wanted.path)).await?.map(check).transpose()?,
    };
    found.ok_or_else(|| StorageError::corrupt(&wanted.path, "missing"))
}

fn unsteady(path: &str) -> StorageError {
    StorageError::corrupt(path, "reads differently each time, so it cannot be backed up")
}

/// The copies that a target has, with their lengths.
async fn listed(target: &Arc<dyn ObjectStore>) -> Result<HashMap<String, u64>, StorageError> {
    let folder = Path::from(OBJECTS);
    let listing = target.list(Some(&folder)).map_err(StorageError::from);
    let named = listing.try_filter_map(|object| {
        let path = object.location.as_ref().strip_prefix(OBJECTS).and_then(|path| path.strip_prefix('/'));
        futures::future::ready(Ok(path.map(|path| (path.to_owned(), object.size))))
    });
    named.try_collect().await
}

/// Fixes the moment that is backed up (B2).
async fn fix(source: &Arc<dyn ObjectStore>) -> Result<Moment, StorageError> {
    let mut moment = Moment { tables: Vec::new(), objects: Vec::new(), texts: Vec::new() };
    let mut pinned: BTreeMap<String, TableSnapshot> = BTreeMap::new();
    let projects = projects(source).await?;
    for project in &projects {
        pin_project(source, *project, &mut pinned).await?;
    }
    // Of a project that has come since, no moment is fixed.
    let is_later = |path: &str| {
        let project = path.split_once('/').and_then(|(folder, _)| folder.parse().ok());
        project.is_some_and(|project| !projects.contains(&ProjectId(project)))
    };
    for (root, snapshot) in &pinned {
        moment.tables.push((root.clone(), snapshot.version));
        for file in &snapshot.files {
            let path = Path::from(format!("{root}/{}", file.path)).to_string();
            let checksum = file.tags.get(CHECKSUM_TAG).cloned();
            moment.objects.push(Wanted { path, bytes: file.bytes, checksum, naming: Naming::Forever });
        }
    }
    // Logs of tables, and all that is not in a table.
    let mut listing = source.list(None);
    while let Some(object) = listing.try_next().await? {
        let path = object.location.as_ref();
        // `{project}/{table}/…`
        let within = path.match_indices('/').nth(1).map(|(at, _)| path.split_at(at));
        let table = within.and_then(|(root, within)| Some((pinned.get(root)?.version, within.trim_start_matches('/'))));
        match table {
            None if OF_THE_PLACE.contains(&path) || is_made_again(path) || is_later(path) => {}
            None => moment.objects.push(Wanted::other(path, object.size, Naming::ForNow)),
            Some((version, within)) => match within.strip_prefix(LOG_FOLDER).map(|name| name.trim_start_matches('/')) {
                Some(ANNOUNCEMENT) => {
                    let announced = read_agreed(|| get(&**source, &object.location), || unsteady(path)).await?;
                    let announced = announced.filter(|text| announces(text) <= Some(version));
                    let text = announced.and_then(|text| String::from_utf8(text.to_vec()).ok());
                    moment.texts.extend(text.map(|text| (path.to_owned(), text)));
                }
                Some(name) if version_of(name).is_some_and(|found| found <= version) => {
                    moment.objects.push(Wanted::other(path, object.size, Naming::Forever));
                }
                // A later version, or a file that none or another version lists.
                _ => {}
            },
        }
    }
    moment.objects.sort_by(|a, b| a.path.cmp(&b.path));
    moment.objects.dedup_by(|a, b| a.path == b.path);
    Ok(moment)
}

async fn pin_project(
    source: &Arc<dyn ObjectStore>,
    project: ProjectId,
    pinned: &mut BTreeMap<String, TableSnapshot>,
) -> Result<(), StorageError> {
    let names = tables(source, project).await?;
    let root = |name: &str| format!("{project}/{name}");
    let events = pin(source.clone(), &root("events"), None).await?;
    let limits = events.as_ref().map(|events| events.transactions.clone());
    pinned.extend(events.map(|events| (root("events"), events)));
    for name in names.iter().filter(|name| !matches!(name.as_str(), "events" | "users")) {
        let journal = pin(source.clone(), &root(name), limits.as_ref()).await?;
        pinned.extend(journal.map(|journal| (root(name), journal)));
    }
    if names.iter().any(|name| name == "users") {
        let users = pin(source.clone(), &root("users"), None).await?;
        pinned.extend(users.map(|users| (root("users"), users)));
    }
    Ok(())
}

/// Whether an object is a copy of what others say, and costs nothing but work when it is missing: a view's results.
fn is_made_again(path: &str) -> bool {
    matches!(path.split('/').collect::<Vec<_>>().as_slice(), [_, "views", _, "cells", ..])
}

/// The version that an object of a table's log is about.
fn version_of(name: &str) -> Option<u64> {
    name.split('.').next()?.parse().ok()
}

/// The version that `_last_checkpoint` names.
fn announces(text: &Bytes) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(text).ok()?.get("version")?.as_u64()
}
