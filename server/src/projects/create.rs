//! New projects, new tokens, and the administrator's account.

use std::sync::Arc;

use footfall_engine::{Error, ErrorKind, sealed};
use footfall_ingest::MergeMode;
use footfall_model::ProjectId;
use object_store::path::Path;
use object_store::{ObjectStore as _, PutMode, PutOptions};
use serde::Serialize;

use super::record::{AccountRecord, AdminRecord, FileName, ProjectRecord, TokenRecord, timestamp};
use super::secret::{HashedSecret, random_hex};
use super::{ADMIN_FILE, Project, Projects, Role, folder_path, unavailable};

const NAME_MAX: usize = 100;

/// What a new project is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct NewProject {
    pub name: String,
    pub timezone: chrono_tz::Tz,
    pub merge: MergeMode,
    pub shards: u16,
}

/// A project just made, with the secrets that nobody can read again.
#[derive(Clone, Debug, Serialize)]
pub struct CreatedProject {
    pub project_id: ProjectId,
    pub name: String,
    pub token: String,
    pub api_secret: String,
    pub service_account: NewAccount,
}

#[derive(Clone, Debug, Serialize, serde::Deserialize)]
pub struct NewAccount {
    pub username: String,
    pub secret: String,
}

enum Put {
    Created,
    Exists,
}

impl Projects {
    /// Creates a project under the next free id. `Conflict` when the name is taken.
    pub async fn create(&self, new: NewProject) -> Result<CreatedProject, Error> {
        check_name(&new.name)?;
        let account = NewAccount { username: account_name(&new.name), secret: random_hex(32) };
        let (token, api_secret) = (random_hex(16), random_hex(16));
        loop {
            // Seen anew in every round: whoever took the id we wanted may have taken the name too (R2).
            self.refresh().await?;
            let index = self.index();
            if index.by_name(&new.name).is_some() {
                return Err(
                    Error::new(ErrorKind::Conflict, "conflict", "a project of this name exists").with_field("name")
                );
            }
            let id = index.next_id();
            let project = Project {
                id,
                name: new.name.clone(),
                token: token.clone(),
                timezone: new.timezone,
                merge: new.merge,
                shards: new.shards,
            };
            let record = ProjectRecord::new(
                &project,
                HashedSecret::new(&api_secret),
                AccountRecord {
                    username: account.username.clone(),
                    role: Role::Admin,
                    secret: HashedSecret::new(&account.secret),
                },
            );
            let put = self.put_new(&folder_path(&FileName::Project(id).to_string()), &record).await?;
            self.refresh().await?;
            // A retry inside the store's client may find our own first try: the token tells whose file it is.
            let ours = self.index().by_token(&token).is_some();
            if matches!(put, Put::Created) || ours {
                let name = new.name;
                return Ok(CreatedProject { project_id: id, name, token, api_secret, service_account: account });
            }
        }
    }

    /// Gives the project a new token; the old one stops working when servers look next.
    pub async fn rotate_token(&self, id: ProjectId) -> Result<Arc<Project>, Error> {
        let token = random_hex(16);
        loop {
            self.refresh().await?;
            let rotations = self.index().by_id(id).map(|entry| entry.rotations());
            let rotations =
                rotations.ok_or_else(|| Error::new(ErrorKind::NotFound, "not_found", "project not found"))?;
            let file = FileName::Token(id, rotations + 1);
            let record = TokenRecord { token: token.clone(), created_at: timestamp() };
            self.put_new(&folder_path(&file.to_string()), &record).await?;
            self.refresh_with(file).await?;
            if let Some(entry) = self.index().by_token(&token) {
                return Ok(entry.project.clone());
            }
        }
    }

    /// Makes the server administrator's account unless there is one; `Some` only for the caller that made it.
    pub async fn ensure_admin(&self) -> Result<Option<NewAccount>, Error> {
        if self.index().has_admin() {
            return Ok(None);
        }
        let account = NewAccount { username: account_name("admin"), secret: random_hex(32) };
        let record = AdminRecord {
            username: account.username.clone(),
            secret: HashedSecret::new(&account.secret),
            created_at: timestamp(),
        };
        let put = self.put_new(&Path::from(ADMIN_FILE), &record).await?;
        self.refresh().await?;
        let ours = self.index().account(&account.username).is_some();
        Ok((matches!(put, Put::Created) || ours).then_some(account))
    }

    async fn put_new(&self, path: &Path, record: &impl Serialize) -> Result<Put, Error> {
        let file = sealed::seal(record)
            .map_err(|_| Error::new(ErrorKind::Internal, "internal", "project file cannot be written as JSON"))?;
        match self.store.put_opts(path, file.into(), PutOptions::from(PutMode::Create)).await {
            Ok(_) => Ok(Put::Created),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::Exists),
            Err(e) => Err(unavailable(e)),
        }
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let problem = if name.trim().is_empty() {
        "must not be empty"
    } else if name.chars().count() > NAME_MAX {
        "must not exceed 100 characters"
    } else if name.chars().any(char::is_control) || name.trim() != name {
        "must not hold control characters or begin or end with a space"
    } else if name.parse::<u64>().is_ok() {
        "must not be a number, which would be taken for an id"
    } else {
        return Ok(());
    };
    Err(Error::invalid("invalid", format!("name, {problem}")).with_field("name"))
}

/// `my-shop.a1b2c3.mp-service-account`: clients know service accounts by this ending.
fn account_name(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars().take(24) {
        let c = if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        if c != '-' || !(slug.is_empty() || slug.ends_with('-')) {
            slug.push(c);
        }
    }
    let slug = slug.trim_matches('-');
    let slug = if slug.is_empty() { "project" } else { slug };
    format!("{slug}.{}.mp-service-account", random_hex(3))
}
