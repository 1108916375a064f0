//! The demo's secrets. Other projects' are shown once and kept nowhere; these stay in the data directory, readable by its
//! owner, so that the commands printed at every start can be pasted.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::PROJECT;
use crate::commands::CommandError;
use crate::config::Settings;
use crate::projects::{NewProject, Projects};

const FILE: &str = "demo-credentials.json";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DemoCredentials {
    pub username: String,
    pub secret: String,
    pub api_secret: String,
}

/// Creates the project unless it exists. `None` when it was created elsewhere, or its secrets got lost on the way here.
pub async fn ensure(
    projects: &Projects,
    settings: &Settings,
    new: NewProject,
) -> Result<Option<DemoCredentials>, CommandError> {
    let path = settings.data_dir.join(FILE);
    if projects.by_name_or_id(PROJECT).await?.is_some() {
        return read_valid(&path, projects).await;
    }
    let made = projects.create(new).await?;
    let credentials = DemoCredentials {
        username: made.service_account.username,
        secret: made.service_account.secret,
        api_secret: made.api_secret,
    };
    write(&path, &credentials).map_err(|e| CommandError::failed(format!("cannot write {}: {e}", path.display())))?;
    Ok(Some(credentials))
}

/// The file may belong to a store that is no longer the configured one.
async fn read_valid(path: &Path, projects: &Projects) -> Result<Option<DemoCredentials>, CommandError> {
    let Some(found) = fs::read(path).ok().and_then(|json| serde_json::from_slice::<DemoCredentials>(&json).ok()) else {
        return Ok(None);
    };
    let account = projects.by_service_account(&found.username, &found.secret).await?;
    Ok(account.map(|_| found))
}

fn write(path: &Path, credentials: &DemoCredentials) -> std::io::Result<()> {
    // A left-over could have other permissions.
    drop(fs::remove_file(path));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&serde_json::to_vec_pretty(credentials)?)
}
