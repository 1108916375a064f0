//! `GET /v1/projects`: the projects that the caller may see; the administrator sees all.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;

use crate::auth::{Principal, authenticate};
use crate::http::ApiError;
use crate::local::{ProjectInfo, ProjectList};
use crate::projects::Project;
use crate::state::AppState;

pub async fn list(State(state): State<AppState>, headers: HeaderMap) -> Result<Json<ProjectList>, ApiError> {
    let principal = authenticate(&state, &headers).await?;
    // Lists the store, so that a token rotated by another process is known here from now on.
    let all = state.projects.list().await?;
    let visible = all.iter().filter(|project| match &principal {
        Principal::Account(account) => account.may_access(project.id),
        Principal::Project(own) => own.id == project.id,
        Principal::Local => true,
    });
    Ok(Json(ProjectList { projects: visible.map(|project| info(project)).collect() }))
}

pub fn info(project: &Project) -> ProjectInfo {
    ProjectInfo {
        project_id: project.id.0,
        name: project.name.clone(),
        token: project.token.clone(),
        timezone: project.timezone.name().to_owned(),
        merge: project.merge,
        shards: project.shards,
    }
}
