//! Views: statements whose results are kept for each shard and day, and only made anew where rows have changed.
//!
//! ```text
//! {project}/views/{name}/view.json                                         the statement; written once
//! {project}/views/{name}/cells/day=2026-11-28/shard=3/{fingerprint}.cell   what it makes of one shard and day
//! ```
//!
//! The one idea: a cell's name says what it was made from (the segments of its shard and day, and the plan), so a cell
//! that is found is right, and one that is not found is made anew. There is no list of cells that could be out of date,
//! two refreshes at once write the same objects, and a crash leaves nothing half done. What no present fingerprint names
//! is litter, which a refresh sweeps away.
//!
//! Invariants:
//! - V1: an object is written once and never changed.
//! - V2: cells are a copy of what segments say. Losing or damaging one costs work and never an answer.

mod cell;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use footfall_model::{ProjectId, Shard};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::StorageError;
use crate::sealed;

const FORMAT: u32 = 1;

/// The views of one project.
#[derive(Clone)]
pub struct Views {
    store: Arc<dyn ObjectStore>,
    project: ProjectId,
}

/// One view by its definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    format: u32,
    /// Tells this view from an earlier one of the same name.
    id: Uuid,
    pub name: String,
    /// The statement.
    pub sql: String,
    pub created_at: DateTime<Utc>,
}

/// How a view that should be new came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewCreation {
    Created(View),
    /// There is a view of this name.
    Exists,
}

/// Names one cell.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CellKey {
    /// Days since the epoch, UTC.
    pub day: i32,
    pub shard: Shard,
    /// Of everything that the cell was made from.
    pub fingerprint: u128,
}

impl Views {
    pub fn new(store: Arc<dyn ObjectStore>, project: ProjectId) -> Self {
        Self { store, project }
    }

    /// All views by name.
    pub async fn list(&self) -> Result<Vec<View>, StorageError> {
        let folders = self.store.list_with_delimiter(Some(&self.root())).await?.common_prefixes;
        let mut views = Vec::new();
        for folder in folders {
            if let Some(name) = folder.filename()
                && let Some(view) = self.get(name).await?
            {
                views.push(view);
            }
        }
        Ok(views)
    }

    pub async fn get(&self, name: &str) -> Result<Option<View>, StorageError> {
        let path = self.definition(name);
        let Some((view, _)) = sealed::read_sealed::<View>(&*self.store, &path).await? else { return Ok(None) };
        match view.format {
            FORMAT => Ok(Some(view)),
            newer => {
                let what = format!("written by a newer version, format={newer}");
                Err(StorageError::corrupt(path.as_ref(), &what))
            }
        }
    }

    /// Writes a definition down. It is durable when this returns.
    pub async fn create(&self, name: &str, sql: &str, at: DateTime<Utc>) -> Result<ViewCreation, StorageError> {
        let (name, sql) = (name.to_owned(), sql.to_owned());
        let view = View { format: FORMAT, id: Uuid::new_v4(), name, sql, created_at: at };
        match self.put_new(&self.definition(&view.name), sealed::seal(&view)?).await? {
            true => Ok(ViewCreation::Created(view)),
            // A store may say so of our own object, after a reply that was lost.
            false => Ok(match self.get(&view.name).await? {
                Some(found) if found.id == view.id => ViewCreation::Created(found),
                _ => ViewCreation::Exists,
            }),
        }
    }

    /// Forgets a view and deletes its cells. Tells whether there was one.
    pub async fn drop(&self, name: &str) -> Result<bool, StorageError> {
        // Not from the reply to the deletion: some stores delete what is not there.
        let known = self.get(name).await?.is_some();
        self.store.delete(&self.definition(name)).await.or_else(gone_is_fine)?;
        for (_, path) in self.cells(name).await? {
            self.sweep(&path).await;
        }
        Ok(known)
    }

    /// The cells that are stored, and where.
    pub async fn cells(&self, name: &str) -> Result<HashMap<CellKey, Path>, StorageError> {
        let objects: Vec<_> = self.store.list(Some(&self.folder(name).join("cells"))).try_collect().await?;
        Ok(objects.into_iter().filter_map(|o| Some((CellKey::parse(&o.location)?, o.location))).collect())
    }

    /// What a cell holds; `None` if it is not there, or damaged.
    pub async fn read(
        &self,
        name: &str,
        key: &CellKey,
        schema: &SchemaRef,
    ) -> Result<Option<Vec<RecordBatch>>, StorageError> {
        let path = self.cell(name, key);
        let Some(bytes) = sealed::get(&*self.store, &path).await? else { return Ok(None) };
        match cell::decode(&bytes, schema) {
            Ok(batches) => Ok(Some(batches)),
            Err(what) => {
                tracing::warn!(%path, what, "a damaged cell of a view is passed over");
                Ok(None)
            }
        }
    }

    /// Keeps a cell. It is there whole, or not at all.
    pub async fn write(
        &self,
        name: &str,
        key: &CellKey,
        schema: &SchemaRef,
        batches: &[RecordBatch],
    ) -> Result<(), StorageError> {
        let bytes = cell::encode(schema, batches)?;
        // Whoever was first wrote what we would (V1).
        self.put_new(&self.cell(name, key), bytes).await.map(drop)
    }

    /// Deletes a cell that no present fingerprint names. Space is all that is lost when this fails.
    pub async fn sweep(&self, path: &Path) {
        if let Err(error) = self.store.delete(path).await.or_else(gone_is_fine) {
            tracing::warn!(%error, "an old cell of a view stays");
        }
    }

    async fn put_new(&self, path: &Path, bytes: Bytes) -> Result<bool, StorageError> {
        match self.store.put_opts(path, bytes.into(), PutOptions::from(PutMode::Create)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    fn root(&self) -> Path {
        Path::from(format!("{}/views", self.project))
    }

    fn folder(&self, name: &str) -> Path {
        self.root().join(name)
    }

    fn definition(&self, name: &str) -> Path {
        self.folder(name).join("view.json")
    }

    fn cell(&self, name: &str, key: &CellKey) -> Path {
        let day = crate::project::date(key.day);
        Path::from(format!("{}/cells/day={day}/shard={}/{:032x}.cell", self.folder(name), key.shard.0, key.fingerprint))
    }
}

fn gone_is_fine(error: object_store::Error) -> Result<(), object_store::Error> {
    match error {
        object_store::Error::NotFound { .. } => Ok(()),
        other => Err(other),
    }
}

impl CellKey {
    fn parse(path: &Path) -> Option<Self> {
        let mut parts = path.parts().collect::<Vec<_>>().into_iter().rev();
        let fingerprint = u128::from_str_radix(parts.next()?.as_ref().strip_suffix(".cell")?, 16).ok()?;
        let shard = Shard(parts.next()?.as_ref().strip_prefix("shard=")?.parse().ok()?);
        let date = parts.next()?.as_ref().strip_prefix("day=")?.parse::<chrono::NaiveDate>().ok()?;
        let day = i32::try_from((date - chrono::NaiveDate::default()).num_days()).ok()?;
        Some(Self { day, shard, fingerprint })
    }
}

#[cfg(test)]
mod tests;
