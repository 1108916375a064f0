//! Which kinds of groups a project has.

use std::collections::BTreeSet;

use arrow::array::AsArray;
use footfall_model::ProjectId;
use footfall_query::QueryError;
use futures::TryStreamExt;

use crate::{Engine, Error, snapshot_of};

impl Engine {
    /// The group keys (`company`, …) that any profile of a group was ever sent for, in order. Reads all changes of
    /// profiles, a file at a time: for calls that are made once by an importer, not for reports.
    pub async fn group_keys(&self, project: ProjectId) -> Result<Vec<String>, Error> {
        let project = self.project(project)?;
        let keys = self.pool.run(async move {
            let mut batches = snapshot_of(&project)?.profiles.batches();
            let mut keys: BTreeSet<String> = BTreeSet::new();
            while let Some(batch) = batches.try_next().await? {
                let Some(column) = batch.column_by_name("group_key").and_then(|c| c.as_string_opt::<i32>()) else {
                    continue;
                };
                for key in column.iter().flatten() {
                    if !keys.contains(key) {
                        keys.insert(key.to_owned());
                    }
                }
            }
            Ok::<_, QueryError>(keys)
        });
        Ok(keys.await?.into_iter().collect())
    }
}
