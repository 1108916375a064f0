//! All projects in memory, by everything a request may name one with.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use footfall_engine::Error;
use footfall_model::ProjectId;

use super::record::{AdminRecord, FileName, ProjectRecord};
use super::secret::HashedSecret;
use super::{Project, Role, ServiceAccount};

/// An immutable picture of the registry; a new file makes a new one.
#[derive(Clone, Default)]
pub struct Index {
    projects: BTreeMap<ProjectId, Arc<Entry>>,
    names: HashMap<String, ProjectId>,
    tokens: HashMap<String, ProjectId>,
    accounts: HashMap<String, ProjectId>,
    admin: Option<Arc<AdminRecord>>,
}

#[derive(Clone)]
pub struct Entry {
    pub project: Arc<Project>,
    /// How often the token was rotated; the token is that of the last rotation.
    rotations: u32,
    /// As they are in the store.
    files: Vec<(FileName, Bytes)>,
    api_secret: HashedSecret,
    username: String,
    account_role: Role,
    account_secret: HashedSecret,
}

impl Entry {
    pub fn new(id: ProjectId, record: ProjectRecord, file: Bytes) -> Result<Self, Error> {
        let project = record.project(id)?;
        Ok(Self {
            project: Arc::new(project),
            rotations: 0,
            files: vec![(FileName::Project(id), file)],
            api_secret: record.api_secret,
            username: record.service_account.username,
            account_role: record.service_account.role,
            account_secret: record.service_account.secret,
        })
    }

    pub fn rotations(&self) -> u32 {
        self.rotations
    }

    /// Everything the store has of the project.
    pub fn files(&self) -> impl Iterator<Item = (FileName, &Bytes)> {
        self.files.iter().map(|(name, bytes)| (*name, bytes))
    }
}

impl Index {
    pub fn projects(&self) -> impl Iterator<Item = &Arc<Project>> {
        self.projects.values().map(|entry| &entry.project)
    }

    /// The id after the highest.
    pub fn next_id(&self) -> ProjectId {
        ProjectId(self.projects.last_key_value().map_or(1, |(id, _)| id.0 + 1))
    }

    pub fn by_id(&self, id: ProjectId) -> Option<&Arc<Entry>> {
        self.projects.get(&id)
    }

    pub fn by_name(&self, name: &str) -> Option<&Arc<Entry>> {
        self.by_id(*self.names.get(name)?)
    }

    pub fn by_token(&self, token: &str) -> Option<&Arc<Entry>> {
        self.by_id(*self.tokens.get(token)?)
    }

    /// Each project salts its secret, so each is tried: half a microsecond apiece.
    pub fn by_api_secret(&self, secret: &str) -> Option<&Arc<Entry>> {
        self.projects.values().find(|entry| entry.api_secret.matches(secret))
    }

    /// The account of this name and what its secret must match.
    pub fn account(&self, username: &str) -> Option<(ServiceAccount, HashedSecret)> {
        if let Some(admin) = self.admin.as_ref().filter(|admin| admin.username == username) {
            let account = ServiceAccount { username: username.to_owned(), role: Role::Admin, scope: None };
            return Some((account, admin.secret.clone()));
        }
        let id = *self.accounts.get(username)?;
        let entry = self.by_id(id)?;
        let account = ServiceAccount { username: username.to_owned(), role: entry.account_role, scope: Some(id) };
        Some((account, entry.account_secret.clone()))
    }

    pub fn has_admin(&self) -> bool {
        self.admin.is_some()
    }

    pub fn set_admin(&mut self, admin: AdminRecord) {
        self.admin = Some(Arc::new(admin));
    }

    pub fn holds(&self, file: &FileName) -> bool {
        match *file {
            FileName::Project(id) => self.projects.contains_key(&id),
            FileName::Token(id, number) => self.by_id(id).is_some_and(|entry| entry.rotations >= number),
        }
    }

    pub fn insert(&mut self, entry: Entry) {
        let id = entry.project.id;
        self.names.insert(entry.project.name.clone(), id);
        self.tokens.insert(entry.project.token.clone(), id);
        self.accounts.insert(entry.username.clone(), id);
        self.projects.insert(id, Arc::new(entry));
    }

    /// The `number`-th rotation gave the project this token; the one before is void.
    pub fn set_token(&mut self, id: ProjectId, number: u32, token: String, file: Bytes) {
        let Some(entry) = self.projects.get_mut(&id).filter(|entry| entry.rotations < number) else { return };
        let entry = Arc::make_mut(entry);
        let project = Arc::make_mut(&mut entry.project);
        self.tokens.remove(&project.token);
        project.token.clone_from(&token);
        entry.rotations = number;
        entry.files.push((FileName::Token(id, number), file));
        self.tokens.insert(token, id);
    }
}
