//! `/api/app/*`: what clients ask before anything else, to learn which projects there are
//! (`reference/mixpanel-http-api.md` §11.1).
//!
//! Upstream's projects belong to organizations and have workspaces. Here the server is the one organization, and each
//! project has the one workspace that every project has upstream too, under the project's own number.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use footfall_model::ProjectId;
use serde_json::{Map, Value, json};

use super::ApiError;
use crate::auth::{Principal, authenticate};
use crate::projects::Project;
use crate::state::AppState;

const ORGANIZATION: u32 = 1;

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/app/me", get(me))
        .route("/api/app/projects/metadata/index", get(metadata))
        .route("/api/app/projects/{project}/workspaces/public", get(workspaces))
        .route("/api/app/projects/{project}/data-groups", get(data_groups))
}

/// The reply of a route of this family.
struct Answer(Result<Value, ApiError>);

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self.0 {
            Ok(results) => Json(json!({"status": "ok", "results": results})).into_response(),
            Err(error) => error.into_app(),
        }
    }
}

async fn me(State(state): State<AppState>, headers: HeaderMap) -> Answer {
    Answer(describe_caller(&state, &headers).await)
}

async fn metadata(State(state): State<AppState>, headers: HeaderMap) -> Answer {
    Answer(list_workspaces(&state, &headers).await)
}

async fn workspaces(State(state): State<AppState>, headers: HeaderMap, Path(project): Path<String>) -> Answer {
    let project = visible(&state, &headers, &project).await;
    Answer(project.map(|project| json!([workspace(&project)])))
}

async fn data_groups(State(state): State<AppState>, headers: HeaderMap, Path(project): Path<String>) -> Answer {
    Answer(list_data_groups(&state, &headers, &project).await)
}

async fn describe_caller(state: &AppState, headers: &HeaderMap) -> Result<Value, ApiError> {
    let caller = authenticate(state, headers).await?;
    let name = match &caller {
        Principal::Account(account) => account.username.clone(),
        Principal::Project(project) => project.name.clone(),
        Principal::Local => "local".to_owned(),
    };
    let mut projects = Map::new();
    let mut workspaces = Map::new();
    for project in visible_to(state, &caller).await? {
        let timezone = project.timezone.name();
        let entry = json!({"name": project.name, "organization_id": ORGANIZATION, "timezone": timezone});
        projects.insert(project.id.to_string(), entry);
        workspaces.insert(project.id.to_string(), workspace(&project));
    }
    Ok(json!({
        "user_id": user_id(&name),
        "user_email": name,
        "user_name": name,
        "organizations": {ORGANIZATION.to_string(): {"id": ORGANIZATION, "name": "Footfall"}},
        "projects": projects,
        "workspaces": workspaces,
    }))
}

async fn list_workspaces(state: &AppState, headers: &HeaderMap) -> Result<Value, ApiError> {
    let caller = authenticate(state, headers).await?;
    let projects = visible_to(state, &caller).await?;
    let of_project = |project: &Arc<Project>| {
        let id = project.id.to_string();
        (id.clone(), json!({"workspaces": {id: workspace(project)}}))
    };
    Ok(Value::Object(projects.iter().map(of_project).collect()))
}

/// A kind of groups exists from the first profile on that is sent for one of them.
async fn list_data_groups(state: &AppState, headers: &HeaderMap, project: &str) -> Result<Value, ApiError> {
    let project = visible(state, headers, project).await?;
    let keys = state.engine.group_keys(project.id).await?;
    let described = |key: &String| json!({"property_name": key, "data_group_id": data_group_id(key).to_string()});
    Ok(Value::Array(keys.iter().map(described).collect()))
}

fn workspace(project: &Project) -> Value {
    json!({
        "id": project.id,
        "name": "All Project Data",
        "project_id": project.id,
        "is_default": true,
        "is_global": true,
    })
}

/// The projects that the caller may see; whoever may see all is also shown what was created a moment ago.
async fn visible_to(state: &AppState, caller: &Principal) -> Result<Vec<Arc<Project>>, ApiError> {
    let only = match caller {
        Principal::Project(project) => return Ok(vec![project.clone()]),
        Principal::Account(account) => account.only_project(),
        Principal::Local => None,
    };
    Ok(match only {
        Some(id) => state.projects.by_id(id).await?.into_iter().collect(),
        None => state.projects.list().await?,
    })
}

/// The project in the path, provided that the caller may see it.
async fn visible(state: &AppState, headers: &HeaderMap, id: &str) -> Result<Arc<Project>, ApiError> {
    let caller = authenticate(state, headers).await?;
    let id = id.parse().map(ProjectId).map_err(|_| ApiError::parameter("project_id", "must be a whole number"))?;
    // Access first: whether another tenant's project exists is not the caller's business.
    let may = match &caller {
        Principal::Project(project) => project.id == id,
        Principal::Account(account) => account.may_access(id),
        Principal::Local => true,
    };
    if !may {
        return Err(ApiError::forbidden());
    }
    state.projects.by_id(id).await?.ok_or_else(|| ApiError::not_found("project not found"))
}

/// The number of a kind of groups: made from its key, so that it is the same on every server and after any restore.
/// Upstream's are signed 64-bit numbers too; clients hand them back as text.
fn data_group_id(key: &str) -> i64 {
    xxhash_rust::xxh3::xxh3_64(key.as_bytes()) as i64
}

/// A positive number that is always the same for the same account.
fn user_id(name: &str) -> u64 {
    (xxhash_rust::xxh3::xxh3_64(name.as_bytes()) >> 33) + 1
}
