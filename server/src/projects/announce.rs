//! Projects in the log, so that a log kept whole makes everything anew: the registry's files of each project, announced
//! to the engine whenever they change, and put back where the store lacks them.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use footfall_engine::Error;
use footfall_model::ProjectId;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{ObjectStore as _, PutMode, PutOptions};
use serde::{Deserialize, Serialize};

use super::record::FileName;
use super::{FOLDER, Projects, damaged, folder_path, unavailable};

/// A newer format is passed over rather than half understood.
const FORMAT: u32 = 1;
const ANNOUNCED_AT_ONCE: usize = 256;

/// What is announced of a project: its files by name, to the byte.
#[derive(Serialize, Deserialize)]
struct Announcement {
    format: u32,
    files: BTreeMap<String, String>,
}

/// The announcement of a project with these files.
fn announcement<'a>(files: impl Iterator<Item = (FileName, &'a Bytes)>) -> Option<Bytes> {
    let text = |(name, bytes): (FileName, &Bytes)| Some((name.to_string(), String::from_utf8(bytes.to_vec()).ok()?));
    let files = files.map(text).collect::<Option<_>>()?;
    serde_json::to_vec(&Announcement { format: FORMAT, files }).ok().map(Bytes::from)
}

impl Projects {
    /// Tells the log what the registry has of these projects.
    pub(super) async fn announce(&self, projects: &HashSet<ProjectId>) -> Result<(), Error> {
        let Some(engine) = &self.engine else { return Ok(()) };
        let index = self.index();
        let mut announcing = Vec::with_capacity(projects.len());
        for id in projects {
            let Some(bytes) = index.by_id(*id).and_then(|entry| announcement(entry.files())) else { continue };
            let (engine, id) = (engine.clone(), *id);
            announcing.push(async move { engine.announce(id, bytes).await });
        }
        // Together, so that the projects of a start share the log's syncs.
        stream::iter(announcing).buffer_unordered(ANNOUNCED_AT_ONCE).try_collect().await
    }

    /// Puts back the projects that the log knows and the store does not: a start from a log alone.
    pub(super) async fn restore_announced(&self) -> Result<(), Error> {
        let Some(engine) = &self.engine else { return Ok(()) };
        let announced = engine.announced();
        if announced.is_empty() {
            return Ok(());
        }
        let folder = Path::from(FOLDER);
        let listing: Vec<_> = self.store.list(Some(&folder)).try_collect().await.map_err(unavailable)?;
        let there: HashSet<FileName> =
            listing.iter().filter_map(|meta| FileName::parse(meta.location.filename()?)).collect();
        for (id, bytes) in announced {
            let announcement: Announcement =
                serde_json::from_slice(&bytes).map_err(|_| damaged("announcement in the log"))?;
            if announcement.format != FORMAT {
                tracing::warn!(project = %id, "the log announces a project in a newer format");
                continue;
            }
            for (name, text) in announcement.files {
                let missing = FileName::parse(&name).filter(|name| name.project() == id && !there.contains(name));
                if let Some(name) = missing {
                    self.put_back(name, text).await?;
                }
            }
        }
        Ok(())
    }

    async fn put_back(&self, name: FileName, text: String) -> Result<(), Error> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&folder_path(&name.to_string()), text.into(), options).await {
            Ok(_) => tracing::info!(file = %name, "project put back from the log"),
            // Another process has been quicker, with the same file or a newer truth.
            Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(unavailable(error)),
        }
        Ok(())
    }
}
