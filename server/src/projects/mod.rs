//! The registry of projects: who may write to which, with which credentials.
//!
//! One create-only file per project in the object store is the whole truth, so any process may create a project while
//! servers run, without telling them. A server keeps an index in memory and lists the store again when it meets a
//! token, secret or id that it does not know.
//!
//! - R1: a file under `projects/` is written once and never changed; a rotated token is a further file.
//! - R2: ids are given in order without gaps, so whoever creates `n` has seen all names below `n`; names are unique.
//! - R3: a project is in the index only after the engine has been told of it.
//! - R4: a look-up that fails has seen every project created before it began.
//! - R5: however many unknown tokens arrive, the store is listed at most once per [`LISTING_INTERVAL`].

mod announce;
mod create;
mod index;
mod record;
mod secret;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use footfall_engine::{Engine, Error, ErrorKind, ProjectConfig, sealed};
use footfall_ingest::MergeMode;
use footfall_model::ProjectId;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use object_store::path::Path;
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::Instant;

pub use create::{CreatedProject, NewAccount, NewProject};
pub use secret::random_hex;

use index::{Entry, Index};
use record::{AdminRecord, FileName, ProjectRecord, TokenRecord};

const FOLDER: &str = "projects";
const ADMIN_FILE: &str = "admin.json";
/// Garbage tokens cost at most this many listings; a project created a moment ago is found within it.
const LISTING_INTERVAL: Duration = Duration::from_millis(250);
const READS_IN_FLIGHT: usize = 16;

/// A tenant as requests see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    pub id: ProjectId,
    pub name: String,
    /// 32 hex digits; public, it only allows to send events.
    pub token: String,
    pub timezone: chrono_tz::Tz,
    pub merge: MergeMode,
    pub shards: u16,
}

impl Project {
    /// What the engine has to know of it.
    pub fn config(&self) -> ProjectConfig {
        ProjectConfig { id: self.id, timezone: self.timezone, shards: self.shards }
    }
}

/// Somebody who proved to know a service account's secret.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceAccount {
    pub username: String,
    pub role: Role,
    /// `None` is all projects: the administrator of the server.
    scope: Option<ProjectId>,
}

/// What an account may do within its projects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Ingest,
    Viewer,
    Analyst,
    Admin,
    Gdpr,
}

pub struct Projects {
    store: Arc<dyn ObjectStore>,
    /// Told of every project before it can be looked up; absent in commands that only manage projects.
    engine: Option<Arc<Engine>>,
    index: RwLock<Arc<Index>>,
    /// Held while listing, so that many waiters share one.
    listings: Mutex<Listings>,
}

/// Two times, for a listing may fail, or be given up with the request that made it: it then counts for R5, not for R4.
#[derive(Default)]
struct Listings {
    /// When the newest listing began.
    began: Option<Instant>,
    /// When the newest listing began that was read to its end.
    complete_since: Option<Instant>,
}

impl ServiceAccount {
    pub fn may_access(&self, project: ProjectId) -> bool {
        self.scope.is_none_or(|only| only == project)
    }

    /// The project that the account alone names.
    pub fn only_project(&self) -> Option<ProjectId> {
        self.scope
    }
}

impl Role {
    pub fn may_ingest(self) -> bool {
        matches!(self, Self::Ingest | Self::Admin)
    }

    pub fn may_query(self) -> bool {
        matches!(self, Self::Viewer | Self::Analyst | Self::Admin)
    }
}

impl Projects {
    /// Reads all projects of `store`.
    pub async fn open(store: Arc<dyn ObjectStore>, engine: Option<Arc<Engine>>) -> Result<Self, Error> {
        let projects = Self { store, engine, index: RwLock::default(), listings: Mutex::default() };
        projects.restore_announced().await?;
        projects.refresh().await?;
        Ok(projects)
    }

    /// All projects by id, those included that other processes created until now.
    pub async fn list(&self) -> Result<Vec<Arc<Project>>, Error> {
        self.refresh().await?;
        Ok(self.index().projects().cloned().collect())
    }

    pub async fn by_id(&self, id: ProjectId) -> Result<Option<Arc<Project>>, Error> {
        self.look_up(|index| index.by_id(id).map(|e| e.project.clone())).await
    }

    /// By name, or by id written as a number; names are never numbers.
    pub async fn by_name_or_id(&self, name: &str) -> Result<Option<Arc<Project>>, Error> {
        match name.parse() {
            Ok(id) => self.by_id(ProjectId(id)).await,
            Err(_) => self.look_up(|index| index.by_name(name).map(|e| e.project.clone())).await,
        }
    }

    /// The project whose token this is.
    pub async fn by_token(&self, token: &str) -> Result<Option<Arc<Project>>, Error> {
        if !secret::is_hex_32(token) {
            return Ok(None);
        }
        self.look_up(|index| index.by_token(token).map(|e| e.project.clone())).await
    }

    /// The project whose API secret this is.
    pub async fn by_api_secret(&self, secret: &str) -> Result<Option<Arc<Project>>, Error> {
        if !secret::is_hex_32(secret) {
            return Ok(None);
        }
        self.look_up(|index| index.by_api_secret(secret).map(|e| e.project.clone())).await
    }

    /// The project whose API secret or token this is. Both look alike, and asking for one after the other would list
    /// the store for every token that is no secret.
    pub async fn by_secret_or_token(&self, text: &str) -> Result<Option<Arc<Project>>, Error> {
        if !secret::is_hex_32(text) {
            return Ok(None);
        }
        let find = |index: &Index| {
            let found = index.by_token(text).or_else(|| index.by_api_secret(text));
            found.map(|entry| entry.project.clone())
        };
        self.look_up(find).await
    }

    /// The account, provided that the secret is right.
    pub async fn by_service_account(&self, username: &str, secret: &str) -> Result<Option<ServiceAccount>, Error> {
        let known = self.look_up(|index| index.account(username)).await?;
        Ok(known.filter(|(_, stored)| stored.matches(secret)).map(|(account, _)| account))
    }

    /// The project of this token as far as it is known here: never looks at the store, so a new one may be missing.
    pub fn known_by_token(&self, token: &str) -> Option<ProjectId> {
        if !secret::is_hex_32(token) {
            return None;
        }
        self.index().by_token(token).map(|entry| entry.project.id)
    }

    /// As [`Self::known_by_token`], by API secret.
    pub fn known_by_api_secret(&self, secret: &str) -> Option<ProjectId> {
        if !secret::is_hex_32(secret) {
            return None;
        }
        self.index().by_api_secret(secret).map(|entry| entry.project.id)
    }

    /// As [`Self::known_by_token`], by id.
    pub fn known_by_id(&self, id: ProjectId) -> Option<ProjectId> {
        self.index().by_id(id).map(|entry| entry.project.id)
    }

    /// The account as far as it is known here, provided that the secret is right.
    pub fn known_account(&self, username: &str, secret: &str) -> Option<ServiceAccount> {
        let known = self.index().account(username);
        known.filter(|(_, stored)| stored.matches(secret)).map(|(account, _)| account)
    }

    /// Lists the store now, whatever the rate: for administrators and the periodic check.
    pub async fn refresh(&self) -> Result<(), Error> {
        let mut listings = self.listings.lock().await;
        self.list_now(&mut listings, None).await
    }

    /// As [`Self::refresh`], where the caller knows of a file that a listing may not show yet.
    async fn refresh_with(&self, file: FileName) -> Result<(), Error> {
        let mut listings = self.listings.lock().await;
        self.list_now(&mut listings, Some(file)).await
    }

    fn index(&self) -> Arc<Index> {
        self.index.read().clone()
    }

    async fn look_up<T>(&self, find: impl Fn(&Index) -> Option<T>) -> Result<Option<T>, Error> {
        if let Some(found) = find(&self.index()) {
            return Ok(Some(found));
        }
        let asked = Instant::now();
        let mut listings = self.listings.lock().await;
        // A listing that began after the question was asked answers it (R4), ours or another waiter's.
        if listings.complete_since.is_none_or(|began| began < asked) {
            if let Some(began) = listings.began {
                tokio::time::sleep_until(began + LISTING_INTERVAL).await;
            }
            self.list_now(&mut listings, None).await?;
        }
        drop(listings);
        Ok(find(&self.index()))
    }

    async fn list_now(&self, listings: &mut Listings, known: Option<FileName>) -> Result<(), Error> {
        let began = Instant::now();
        listings.began = Some(began);
        self.read_new_files(known).await?;
        listings.complete_since = Some(began);
        Ok(())
    }

    /// Reads the files that the index does not hold yet and publishes a new index. Callers hold `listings`.
    async fn read_new_files(&self, known: Option<FileName>) -> Result<(), Error> {
        let old = self.index();
        let folder = Path::from(FOLDER);
        let listing: Vec<_> = self.store.list(Some(&folder)).try_collect().await.map_err(unavailable)?;
        let mut new: HashSet<FileName> = listing
            .iter()
            .filter_map(|meta| FileName::parse(meta.location.filename()?))
            .chain(known)
            .filter(|name| !old.holds(name))
            .collect();
        self.add_unlisted(&old, &mut new).await?;
        let admin_missing = !old.has_admin();
        if new.is_empty() && !admin_missing {
            return Ok(());
        }
        let mut index = Index::clone(&old);
        if admin_missing && let Some((admin, _)) = self.read::<AdminRecord>(&Path::from(ADMIN_FILE)).await? {
            index.set_admin(admin);
        }
        let reads = new.into_iter().map(|name| async move { Ok::<_, Error>((name, self.read_file(name).await?)) });
        let mut files: Vec<_> = stream::iter(reads).buffer_unordered(READS_IN_FLIGHT).try_collect().await?;
        // Projects before their rotated tokens, older tokens before newer ones.
        files.sort_by_key(|(name, _)| *name);
        let mut changed = HashSet::new();
        for (name, file) in files {
            let Some(file) = file else { continue };
            changed.insert(name.project());
            match (name, file) {
                (FileName::Project(id), File::Project(record, bytes)) => {
                    let entry = Entry::new(id, record, bytes)?;
                    self.attach(&entry.project).await?;
                    index.insert(entry);
                }
                (FileName::Token(id, number), File::Token(record, bytes)) => {
                    index.set_token(id, number, record.token, bytes);
                }
                (FileName::Project(_), File::Token(..)) | (FileName::Token(..), File::Project(..)) => {}
            }
        }
        *self.index.write() = Arc::new(index);
        self.announce(&changed).await
    }

    /// Adds the newest projects where the listing does not show them yet, as a store may take its time with that: ids have
    /// no gaps (R2), so they are what is found by reading on after the last.
    async fn add_unlisted(&self, old: &Index, new: &mut HashSet<FileName>) -> Result<(), Error> {
        let listed = new.iter().map(|name| name.project().0).max().unwrap_or(0);
        let mut last = listed.max(old.next_id().0.saturating_sub(1));
        while let Some(id) = last.checked_add(1) {
            let file = FileName::Project(ProjectId(id));
            if self.read_file(file).await?.is_none() {
                break;
            }
            new.insert(file);
            last = id;
        }
        Ok(())
    }

    async fn attach(&self, project: &Project) -> Result<(), Error> {
        let Some(engine) = &self.engine else { return Ok(()) };
        let config = project.config();
        engine.attach(config).await
    }

    async fn read_file(&self, name: FileName) -> Result<Option<File>, Error> {
        let path = folder_path(&name.to_string());
        Ok(match name {
            FileName::Project(_) => self.read(&path).await?.map(|(record, bytes)| File::Project(record, bytes)),
            FileName::Token(..) => self.read(&path).await?.map(|(record, bytes)| File::Token(record, bytes)),
        })
    }

    /// A record and the file it is in; `None` if there is none.
    async fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<(T, Bytes)>, Error> {
        let read = sealed::read_sealed(&*self.store, path).await;
        // Which has said it to the log.
        read.map_err(|error| match Error::from(error).kind {
            ErrorKind::Corrupt => damaged(path.as_ref()),
            _ => out_of_reach(),
        })
    }
}

/// What is in a file of the registry, and its bytes.
enum File {
    Project(ProjectRecord, Bytes),
    Token(TokenRecord, Bytes),
}

fn folder_path(file: &str) -> Path {
    Path::from(FOLDER).join(file)
}

fn damaged(file: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "corrupt", format!("project file is damaged, file={file}"))
}

/// The store's own words may hold paths and keys, so they go to the log and not to the client.
fn unavailable(error: object_store::Error) -> Error {
    tracing::warn!(%error, "project registry is unreachable");
    out_of_reach()
}

fn out_of_reach() -> Error {
    Error::new(ErrorKind::Unavailable, "unavailable", "project registry is unreachable")
}

#[cfg(test)]
mod tests;
