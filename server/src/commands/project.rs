//! `footfall project create | list | rotate-token`: the registry, whether a server runs or not.

use serde_json::json;

use super::CommandError;
use super::backend::open_projects;
use super::output::{print, print_json};
use crate::config::{ProjectCommand, Settings};
use crate::http::native::project_info;
use crate::local::LocalClient;
use crate::projects::{NewProject, Projects};

pub async fn run(command: ProjectCommand, settings: &Settings) -> Result<(), CommandError> {
    let projects = open_projects(settings, None).await?;
    match command {
        ProjectCommand::Create { name, .. } => create(&projects, name, settings).await,
        ProjectCommand::List { .. } => list(&projects, settings).await,
        ProjectCommand::RotateToken { project, .. } => rotate_token(&projects, &project, settings).await,
    }
}

async fn create(projects: &Projects, name: String, settings: &Settings) -> Result<(), CommandError> {
    let new = NewProject {
        name,
        timezone: settings.project.timezone.0,
        merge: settings.project.merge,
        shards: settings.shards.get(),
    };
    let made = projects.create(new).await?;
    if settings.project.json {
        return print_json(&made);
    }
    print(&format!(
        "project {} ({})\n  token            {}   sends events; not a secret\n  api secret       {}\n  service account  {}\n  secret           {}\nThe secrets are not shown again.",
        made.project_id,
        made.name,
        made.token,
        made.api_secret,
        made.service_account.username,
        made.service_account.secret,
    ))
}

async fn list(projects: &Projects, settings: &Settings) -> Result<(), CommandError> {
    let all: Vec<_> = projects.list().await?.iter().map(|project| project_info(project)).collect();
    if settings.project.json {
        return print_json(&all);
    }
    for p in all {
        print(&format!("{:>6}  {}  {}  {}  {}", p.project_id, p.token, p.timezone, p.merge, p.name))?;
    }
    Ok(())
}

async fn rotate_token(projects: &Projects, name: &str, settings: &Settings) -> Result<(), CommandError> {
    let project = projects.by_name_or_id(name).await?;
    let project = project.ok_or_else(|| CommandError::failed(format!("there is no project {name}")))?;
    let rotated = projects.rotate_token(project.id).await?;
    // Asking a running server for its projects makes it look at the store: from here on the old token is void there.
    if let Some(server) = LocalClient::connect(&settings.data_dir).await {
        server.projects().await?;
    }
    if settings.project.json {
        return print_json(&json!({"project_id": rotated.id, "name": rotated.name, "token": rotated.token}));
    }
    print(&format!("token of {}: {}", rotated.name, rotated.token))
}
