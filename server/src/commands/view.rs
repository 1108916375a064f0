//! `footfall view create | list | refresh | drop`, whether a server runs or not.

use serde_json::json;

use super::CommandError;
use super::backend::Backend;
use super::output::{print, print_json};
use crate::config::{Settings, ViewCommand};
use crate::local::{ViewCounts, ViewInfo};

pub async fn run(command: ViewCommand, settings: &Settings) -> Result<(), CommandError> {
    let project = settings.view.project.as_deref().ok_or_else(|| CommandError::usage("--project is missing"))?;
    let backend = Backend::open(settings).await?;
    let result = execute(&command, &backend, project, settings.view.json).await;
    backend.close().await?;
    result
}

async fn execute(command: &ViewCommand, backend: &Backend, project: &str, json: bool) -> Result<(), CommandError> {
    let project = backend.project(project).await?.id;
    match command {
        ViewCommand::Create { name, sql, .. } => report(&backend.create_view(project, name, sql).await?, json),
        ViewCommand::Refresh { name, .. } => report(&backend.refresh_view(project, name).await?, json),
        ViewCommand::List { .. } => list(&backend.views(project).await?, json),
        ViewCommand::Drop { name, .. } => {
            backend.drop_view(project, name).await?;
            if json { print_json(&json!({"dropped": name})) } else { print(&format!("dropped {name}")) }
        }
    }
}

fn report(counts: &ViewCounts, json: bool) -> Result<(), CommandError> {
    if json {
        return print_json(counts);
    }
    let ViewCounts { name, computed, kept, swept, bytes_read } = counts;
    print(&format!(
        "view_{name}: {computed} days of shards computed, {kept} kept as they were, {swept} old ones deleted, {bytes_read} bytes read"
    ))
}

fn list(views: &[ViewInfo], json: bool) -> Result<(), CommandError> {
    if json {
        return print_json(&views);
    }
    for view in views {
        print(&format!("view_{}  {}", view.name, view.sql))?;
    }
    Ok(())
}
