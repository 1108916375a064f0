//! Where a command finds the data: in the server that holds the data directory, or in an engine of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use footfall_engine::{Arrival, Engine, ErrorKind, IngestSummary, care};
use footfall_ingest::MergeMode;
use footfall_model::{Event, ProjectId};
use object_store::ObjectStore;

use super::CommandError;
use crate::compaction::{CollectReply, CompactReply};
use crate::config::Settings;
use crate::http::native::project_info;
use crate::local::{LocalClient, ProjectInfo, ViewCounts, ViewInfo};
use crate::packed;
use crate::projects::Projects;
use crate::tables_note;

pub enum Backend {
    Server(LocalClient),
    Engine { engine: Arc<Engine>, projects: Projects },
}

/// How a try to store something ended, if not with an error.
#[derive(Debug)]
pub enum Attempt {
    Applied(IngestSummary),
    /// Try again later.
    Busy {
        reason: String,
        again_after: Option<Duration>,
    },
}

/// As much of a project as commands need.
#[derive(Clone, Debug)]
pub struct ProjectHandle {
    pub id: ProjectId,
    pub merge: MergeMode,
}

impl Backend {
    pub async fn open(settings: &Settings) -> Result<Self, CommandError> {
        if let Some(server) = LocalClient::connect(&settings.data_dir).await {
            return Ok(Self::Server(server));
        }
        let engine = Engine::open(settings.engine_options()).await?;
        tables_note::remember(settings);
        let projects = open_projects(settings, Some(engine.clone())).await?;
        Ok(Self::Engine { engine, projects })
    }

    /// The project of this name or id.
    pub async fn project(&self, name: &str) -> Result<ProjectHandle, CommandError> {
        let found = match self {
            Self::Server(server) => {
                let id = name.parse().ok();
                let all = server.projects().await?;
                let project = all.into_iter().find(|p| id == Some(p.project_id) || p.name == name);
                project.map(|p| ProjectHandle { id: ProjectId(p.project_id), merge: p.merge })
            }
            Self::Engine { projects, .. } => {
                projects.by_name_or_id(name).await?.map(|p| ProjectHandle { id: p.id, merge: p.merge })
            }
        };
        found.ok_or_else(|| CommandError::failed(format!("there is no project {name}")))
    }

    /// Tries once to apply a part of an import. `unpacked` are the events of `packed`, where the caller has taken them
    /// apart already; a server does that itself.
    pub async fn ingest(
        &self,
        project: ProjectId,
        packed: &Bytes,
        unpacked: Option<Vec<Event>>,
        arrival: Arrival,
    ) -> Result<Attempt, CommandError> {
        match self {
            Self::Server(server) => server.ingest(project, packed.clone(), &arrival).await,
            Self::Engine { engine, .. } => {
                let events = match unpacked {
                    Some(events) => events,
                    None => packed::unpack(packed).map_err(|e| CommandError::failed(e.to_string()))?,
                };
                match engine.ingest(project, events, arrival).await {
                    Ok(summary) => Ok(Attempt::Applied(summary)),
                    Err(busy) if busy.kind == ErrorKind::Unavailable => {
                        Ok(Attempt::Busy { reason: busy.message, again_after: None })
                    }
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// Looks for the server again, should it have been started anew.
    pub fn find_again(&self) {
        if let Self::Server(server) = self {
            server.find_again();
        }
    }

    /// Whether it wants events as values; a server takes them packed.
    pub fn takes_events(&self) -> bool {
        matches!(self, Self::Engine { .. })
    }

    /// The last part of an import that was applied and is durable.
    pub async fn import_position(&self, project: ProjectId, import: &str) -> Result<Option<u64>, CommandError> {
        match self {
            Self::Server(server) => server.import_position(project, import).await,
            Self::Engine { engine, .. } => Ok(engine.import_position(project, import).await?),
        }
    }

    pub async fn views(&self, project: ProjectId) -> Result<Vec<ViewInfo>, CommandError> {
        match self {
            Self::Server(server) => server.views(project).await,
            Self::Engine { engine, .. } => Ok(engine.views(project).await?.into_iter().map(ViewInfo::from).collect()),
        }
    }

    pub async fn create_view(&self, project: ProjectId, name: &str, sql: &str) -> Result<ViewCounts, CommandError> {
        match self {
            Self::Server(server) => server.create_view(project, name, sql).await,
            Self::Engine { engine, .. } => {
                Ok(ViewCounts::new(name.to_owned(), engine.create_view(project, name, sql).await?))
            }
        }
    }

    pub async fn refresh_view(&self, project: ProjectId, name: &str) -> Result<ViewCounts, CommandError> {
        match self {
            Self::Server(server) => server.refresh_view(project, name).await,
            Self::Engine { engine, .. } => {
                Ok(ViewCounts::new(name.to_owned(), engine.refresh_view(project, name).await?))
            }
        }
    }

    pub async fn drop_view(&self, project: ProjectId, name: &str) -> Result<(), CommandError> {
        match self {
            Self::Server(server) => server.drop_view(project, name).await,
            Self::Engine { engine, .. } => Ok(engine.drop_view(project, name).await?),
        }
    }

    /// All projects.
    pub async fn projects(&self) -> Result<Vec<ProjectInfo>, CommandError> {
        match self {
            Self::Server(server) => server.projects().await,
            Self::Engine { projects, .. } => {
                Ok(projects.list().await?.iter().map(|project| project_info(project)).collect())
            }
        }
    }

    /// One step of a compaction; see [`CompactReply::step`].
    pub async fn compact(&self, project: ProjectId, arrived_by: Option<i64>) -> Result<CompactReply, CommandError> {
        match self {
            Self::Server(server) => server.compact(project, arrived_by).await,
            Self::Engine { engine, .. } => Ok(CompactReply::step(engine, project, arrived_by).await?),
        }
    }

    /// Deletes dead files.
    pub async fn collect(&self, project: ProjectId) -> Result<CollectReply, CommandError> {
        match self {
            Self::Server(server) => server.collect(project).await,
            Self::Engine { engine, .. } => Ok(engine.collect(project).await?.into()),
        }
    }

    pub async fn close(&self) -> Result<(), CommandError> {
        match self {
            Self::Server(_) => Ok(()),
            Self::Engine { engine, .. } => Ok(engine.close().await?),
        }
    }
}

/// The configured store, for commands that make nothing new: a directory that is missing is most likely mistyped.
pub async fn existing_store(settings: &Settings) -> Result<Arc<dyn ObjectStore>, CommandError> {
    footfall_engine::check_directory(&settings.data_dir).map_err(footfall_engine::Error::from)?;
    if settings.store.is_none() && !settings.data_dir.join("store").is_dir() {
        return Err(CommandError::failed(format!("{} is no data directory", settings.data_dir.display())));
    }
    let store = open_store(settings)?;
    reach(&store, settings).await?;
    Ok(store)
}

fn open_store(settings: &Settings) -> Result<Arc<dyn ObjectStore>, CommandError> {
    footfall_engine::open_store(&settings.data_dir, settings.store.as_ref(), &settings.store_policy())
        .map_err(|e| CommandError::failed(format!("cannot open the store: {e}")))
}

/// A bucket that is missing, or closed to us, is told as that.
async fn reach(store: &Arc<dyn ObjectStore>, settings: &Settings) -> Result<(), CommandError> {
    match &settings.store {
        Some(url) => Ok(care::reach(store, url).await?),
        None => Ok(()),
    }
}

/// The registry of the configured store.
pub async fn open_projects(settings: &Settings, engine: Option<Arc<Engine>>) -> Result<Projects, CommandError> {
    let store = match &engine {
        Some(engine) => engine.store(),
        None => {
            let store = open_store(settings)?;
            reach(&store, settings).await?;
            store
        }
    };
    footfall_engine::check_store(&store).await.map_err(footfall_engine::Error::from)?;
    Ok(Projects::open(store, engine).await?)
}
