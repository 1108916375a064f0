//! Lookup tables: small tables that people upload to join to their events, kept as the CSV text they came as.
//!
//! ```text
//! {project}/lookup_tables/{id}/table.json              the name; written once
//! {project}/lookup_tables/{id}/{version}.csv.zst       the rows; each replacement is the next version
//! ```
//!
//! - T1: every object is written once and never changed; the highest version is the table, so a replacement happens
//!   whole or not at all, and of two at once the one with the higher number counts: as if the other had come before.
//! - T2: a table exists once it has a version. What a creation that broke off left behind is completed by the next one
//!   of that name.
//! - T3: an id is made from the project and the name, so that no two tables of a project have one name.
//!
//! The version before the newest is kept for readers under way; older ones are deleted.

use std::sync::Arc;

use bytes::Bytes;
use footfall_model::ProjectId;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::error::StorageError;
use crate::sealed;
use crate::sound::TRIES;

const COMPRESSION: i32 = 3;
const READS_IN_FLIGHT: usize = 16;

/// The lookup tables of one project.
#[derive(Clone)]
pub struct LookupTables {
    store: Arc<dyn ObjectStore>,
    project: ProjectId,
}

/// One table by its names, and which rows it has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupTable {
    pub id: Uuid,
    pub name: String,
    /// Equal versions of a table hold equal rows.
    pub version: u64,
}

/// What a version of a table says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupRows {
    pub version: u64,
    pub csv: Bytes,
}

/// How a table that should be new came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Creation {
    Created(LookupTable),
    /// There is a table of this name.
    Exists,
}

/// What to do about a table that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Refuse,
    /// Create it under the id, which is then its name too.
    Create,
}

#[derive(Serialize, Deserialize)]
struct TableFile {
    format: u32,
    name: String,
}

impl LookupTables {
    pub fn new(store: Arc<dyn ObjectStore>, project: ProjectId) -> Self {
        Self { store, project }
    }

    pub fn project(&self) -> ProjectId {
        self.project
    }

    /// All tables by name.
    pub async fn list(&self) -> Result<Vec<LookupTable>, StorageError> {
        let folders = self.store.list_with_delimiter(Some(&self.root())).await?.common_prefixes;
        let ids: Vec<Uuid> = folders.iter().filter_map(|folder| folder.filename()?.parse().ok()).collect();
        let reads: Vec<_> = ids.into_iter().map(|id| self.describe(id)).collect();
        let found: Vec<Option<LookupTable>> =
            stream::iter(reads).buffer_unordered(READS_IN_FLIGHT).try_collect().await?;
        let mut tables: Vec<_> = found.into_iter().flatten().collect();
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tables)
    }

    /// Makes a table of a new name. It is durable when this returns.
    pub async fn create(&self, name: &str, csv: Bytes) -> Result<Creation, StorageError> {
        let id = self.id_of(name);
        let packed = pack(csv).await?;
        if self.newest_version(id).await?.is_some() {
            return Ok(Creation::Exists);
        }
        self.put_name(id, name).await?;
        // Whoever takes version 1 has made the table.
        Ok(match self.put_version(id, 1, packed).await? {
            true => Creation::Created(LookupTable { id, name: name.to_owned(), version: 1 }),
            false => Creation::Exists,
        })
    }

    /// Replaces all rows of a table; durable when this returns. Tells whether there is such a table.
    pub async fn replace(&self, id: Uuid, csv: Bytes, missing: Missing) -> Result<bool, StorageError> {
        let mut newest = match (self.newest_version(id).await?, missing) {
            (Some(version), _) => version,
            (None, Missing::Refuse) => return Ok(false),
            (None, Missing::Create) => {
                self.put_name(id, &id.to_string()).await?;
                0
            }
        };
        let packed = pack(csv).await?;
        while !self.put_version(id, newest + 1, packed.clone()).await? {
            newest = self.newest_version(id).await?.unwrap_or(0).max(newest + 1);
        }
        self.delete_before(id, newest).await;
        Ok(true)
    }

    /// The newest rows of a table; `None` if there is no such table.
    pub async fn read(&self, id: Uuid) -> Result<Option<LookupRows>, StorageError> {
        loop {
            let Some(version) = self.newest_version(id).await? else { return Ok(None) };
            // If it is not there any more, it was replaced twice since we looked.
            if let Some(csv) = self.read_version(id, version).await? {
                return Ok(Some(LookupRows { version, csv }));
            }
        }
    }

    /// The text of a version; `None` if it is not there. Damage on the way passes.
    async fn read_version(&self, id: Uuid, version: u64) -> Result<Option<Bytes>, StorageError> {
        let path = self.version_path(id, version);
        let mut tries = 1;
        loop {
            let Some(packed) = sealed::get(&*self.store, &path).await? else { return Ok(None) };
            match unpack(packed).await? {
                Ok(csv) => return Ok(Some(csv)),
                Err(_) if tries < TRIES => tries += 1,
                Err(what) => return Err(StorageError::corrupt(path.as_ref(), &what.to_string())),
            }
        }
    }

    fn id_of(&self, name: &str) -> Uuid {
        let hash = xxh3_128(format!("{}/{name}", self.project).as_bytes());
        uuid::Builder::from_random_bytes(hash.to_be_bytes()).into_uuid()
    }

    fn root(&self) -> Path {
        Path::from(format!("{}/lookup_tables", self.project))
    }

    fn folder(&self, id: Uuid) -> Path {
        self.root().join(id.to_string())
    }

    fn version_path(&self, id: Uuid, version: u64) -> Path {
        self.folder(id).join(format!("{version:020}.csv.zst"))
    }

    /// `None` for a folder that is no table (T2).
    async fn describe(&self, id: Uuid) -> Result<Option<LookupTable>, StorageError> {
        let Some(version) = self.newest_version(id).await? else { return Ok(None) };
        Ok(self.name(id).await?.map(|name| LookupTable { id, name, version }))
    }

    async fn versions(&self, id: Uuid) -> Result<Vec<u64>, StorageError> {
        let files: Vec<_> = self.store.list(Some(&self.folder(id))).try_collect().await?;
        let number = |path: &Path| path.filename()?.strip_suffix(".csv.zst")?.parse().ok();
        Ok(files.iter().filter_map(|file| number(&file.location)).collect())
    }

    async fn newest_version(&self, id: Uuid) -> Result<Option<u64>, StorageError> {
        Ok(self.versions(id).await?.into_iter().max())
    }

    async fn name(&self, id: Uuid) -> Result<Option<String>, StorageError> {
        let found = sealed::read_sealed(&*self.store, &self.folder(id).join("table.json")).await?;
        Ok(found.map(|(file, _): (TableFile, _)| file.name))
    }

    async fn put_name(&self, id: Uuid, name: &str) -> Result<(), StorageError> {
        let file = TableFile { format: 1, name: name.to_owned() };
        // The same id has the same name (T3), so whoever was first wrote what we would.
        self.put_new(&self.folder(id).join("table.json"), sealed::seal(&file)?.into()).await.map(drop)
    }

    /// Tells whether the version was free.
    async fn put_version(&self, id: Uuid, version: u64, packed: Bytes) -> Result<bool, StorageError> {
        self.put_new(&self.version_path(id, version), packed.into()).await
    }

    async fn put_new(&self, path: &Path, payload: PutPayload) -> Result<bool, StorageError> {
        match self.store.put_opts(path, payload, PutOptions::from(PutMode::Create)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Space is all that is lost when this fails.
    async fn delete_before(&self, id: Uuid, keep: u64) {
        let Ok(versions) = self.versions(id).await else { return };
        for version in versions.into_iter().filter(|version| *version < keep) {
            if let Err(error) = self.store.delete(&self.version_path(id, version)).await {
                tracing::warn!(%error, project = %self.project, %id, "an old version of a lookup table stays");
            }
        }
    }
}

/// A hundred megabytes take long enough to be no work for a thread that others wait for.
async fn pack(csv: Bytes) -> Result<Bytes, StorageError> {
    let encode = move || {
        let mut encoder = zstd::Encoder::new(Vec::new(), COMPRESSION)?;
        encoder.include_checksum(true)?;
        std::io::Write::write_all(&mut encoder, &csv)?;
        encoder.finish()
    };
    let packed: Result<std::io::Result<Vec<u8>>, _> = tokio::task::spawn_blocking(encode).await;
    Ok(packed.map_err(|_| StorageError::Closed)?.expect("a compressor has room in memory").into())
}

async fn unpack(packed: Bytes) -> Result<std::io::Result<Bytes>, StorageError> {
    let csv = tokio::task::spawn_blocking(move || zstd::decode_all(packed.as_ref())).await;
    Ok(csv.map_err(|_| StorageError::Closed)?.map(Bytes::from))
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn tables() -> LookupTables {
        LookupTables::new(Arc::new(InMemory::new()), ProjectId(7))
    }

    async fn rows(tables: &LookupTables, id: Uuid) -> Option<(u64, Bytes)> {
        tables.read(id).await.unwrap().map(|rows| (rows.version, rows.csv))
    }

    #[tokio::test]
    async fn a_name_is_given_once_and_rows_are_replaced_whole() {
        let tables = tables();
        let Creation::Created(table) = tables.create("Accounts", Bytes::from_static(b"id\na\n")).await.unwrap() else {
            panic!()
        };
        assert_eq!(tables.create("Accounts", Bytes::from_static(b"id\nb\n")).await.unwrap(), Creation::Exists);
        assert_eq!(rows(&tables, table.id).await, Some((1, Bytes::from_static(b"id\na\n"))));
        for text in ["id\nc\n", "id\nd\n", "id\ne\n"] {
            assert!(tables.replace(table.id, text.into(), Missing::Refuse).await.unwrap());
        }
        assert_eq!(rows(&tables, table.id).await, Some((4, Bytes::from_static(b"id\ne\n"))));
        assert_eq!(tables.versions(table.id).await.unwrap(), [3, 4]);
        assert_eq!(tables.list().await.unwrap(), [LookupTable { version: 4, ..table }]);
        let other = LookupTables::new(tables.store.clone(), ProjectId(8));
        assert_eq!(other.list().await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_table_that_is_not_there_is_created_only_if_asked_for() {
        let tables = tables();
        let id = Uuid::from_u128(5);
        assert!(!tables.replace(id, "id\n".into(), Missing::Refuse).await.unwrap());
        assert_eq!((rows(&tables, id).await, tables.list().await.unwrap()), (None, vec![]));
        assert!(tables.replace(id, "id\n".into(), Missing::Create).await.unwrap());
        assert_eq!(tables.list().await.unwrap(), [LookupTable { id, name: id.to_string(), version: 1 }]);
    }

    #[tokio::test]
    async fn a_creation_that_broke_off_left_no_table_and_is_completed_by_the_next() {
        let tables = tables();
        let id = tables.id_of("Accounts");
        tables.put_name(id, "Accounts").await.unwrap();
        assert_eq!(tables.list().await.unwrap(), []);
        assert!(!tables.replace(id, "id\n".into(), Missing::Refuse).await.unwrap());
        assert!(matches!(tables.create("Accounts", "id\n".into()).await.unwrap(), Creation::Created(_)));
    }

    #[tokio::test]
    async fn of_replacements_at_once_one_counts_and_it_is_whole() {
        let tables = tables();
        let Creation::Created(table) = tables.create("Accounts", "id\n0\n".into()).await.unwrap() else { panic!() };
        let texts: Vec<String> = (1..=8).map(|n| format!("id\n{n}\n")).collect();
        let all = texts.iter().map(|text| tables.replace(table.id, text.clone().into(), Missing::Refuse));
        assert_eq!(futures::future::try_join_all(all).await.unwrap(), [true; 8]);
        let (version, csv) = rows(&tables, table.id).await.unwrap();
        assert!((2..=9).contains(&version), "{version}");
        assert!(texts.iter().any(|text| text.as_bytes() == csv));
    }
}
