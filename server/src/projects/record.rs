//! The registry's files: `projects/{id}.json`, `projects/{id}.token.{n}.json` and `admin.json`.

use std::fmt;

use footfall_engine::{Error, ErrorKind};
use footfall_ingest::MergeMode;
use footfall_model::ProjectId;
use serde::{Deserialize, Serialize};

use super::secret::HashedSecret;
use super::{Project, Role};

/// A newer format is refused rather than half understood.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
pub struct ProjectRecord {
    format: u32,
    pub name: String,
    pub token: String,
    /// IANA name.
    pub timezone: String,
    pub merge: MergeMode,
    pub shards: u16,
    pub created_at: String,
    pub api_secret: HashedSecret,
    pub service_account: AccountRecord,
}

#[derive(Serialize, Deserialize)]
pub struct AccountRecord {
    pub username: String,
    pub role: Role,
    pub secret: HashedSecret,
}

#[derive(Serialize, Deserialize)]
pub struct TokenRecord {
    pub token: String,
    pub created_at: String,
}

#[derive(Serialize, Deserialize)]
pub struct AdminRecord {
    pub username: String,
    pub secret: HashedSecret,
    pub created_at: String,
}

impl ProjectRecord {
    pub fn new(project: &Project, api_secret: HashedSecret, service_account: AccountRecord) -> Self {
        Self {
            format: FORMAT,
            name: project.name.clone(),
            token: project.token.clone(),
            timezone: project.timezone.name().to_owned(),
            merge: project.merge,
            shards: project.shards,
            created_at: timestamp(),
            api_secret,
            service_account,
        }
    }

    pub fn project(&self, id: ProjectId) -> Result<Project, Error> {
        let unreadable = |what: &str| {
            let message = format!("project file has an unknown {what}, project={id}");
            Error::new(ErrorKind::Corrupt, "corrupt", message)
        };
        if self.format != FORMAT {
            return Err(unreadable("format"));
        }
        Ok(Project {
            id,
            name: self.name.clone(),
            token: self.token.clone(),
            timezone: self.timezone.parse().map_err(|_| unreadable("time zone"))?,
            merge: self.merge,
            shards: self.shards,
        })
    }
}

/// RFC 3339, for people who look into the files.
pub fn timestamp() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// What lies under `projects/`. The order is that of reading: a project before its tokens, tokens by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileName {
    Project(ProjectId),
    Token(ProjectId, u32),
}

impl FileName {
    pub fn project(&self) -> ProjectId {
        match *self {
            Self::Project(id) | Self::Token(id, _) => id,
        }
    }

    /// `None` for names that are not ours, such as a store's temporary files.
    pub fn parse(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".json")?;
        let parsed = match stem.split_once(".token.") {
            Some((id, number)) => Self::Token(ProjectId(id.parse().ok()?), number.parse().ok()?),
            None => Self::Project(ProjectId(stem.parse().ok()?)),
        };
        // `+1.json` and `01.json` parse as numbers too; only the one spelling we write counts.
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project(id) => write!(f, "{id}.json"),
            Self::Token(id, number) => write!(f, "{id}.token.{number}.json"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_file_names_are_read() {
        assert_eq!(FileName::parse("7.json"), Some(FileName::Project(ProjectId(7))));
        assert_eq!(FileName::parse("7.token.2.json"), Some(FileName::Token(ProjectId(7), 2)));
        for other in
            ["7.json#1", "07.json", "+7.json", "7.token.json", "x.json", "7", "7.token.-1.json", "99999999999.json"]
        {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }
}
