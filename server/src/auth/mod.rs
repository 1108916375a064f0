//! Who is asking, and for which project.
//!
//! A request's credentials name a [`Principal`]; together with `project_id` they name the one project that the request
//! is about. Nothing here depends on a protocol: refusals are [`ApiError`]s that each protocol writes in its own form.

mod credentials;

use std::sync::Arc;

use axum::http::HeaderMap;
use footfall_model::ProjectId;

pub use credentials::{Credentials, basic_credentials, bearer};

use crate::http::{ApiError, Params};
use crate::projects::{Project, Role, ServiceAccount};
use crate::state::AppState;

/// What the credentials of a request name.
#[derive(Clone, Debug)]
pub enum Principal {
    /// A person or program; what it may touch is the account's business.
    Account(ServiceAccount),
    /// A project's own secret names the project.
    Project(Arc<Project>),
    /// A command on this machine that can read the data directory anyway; any project, also by name.
    Local,
}

/// Checks the credentials in `headers`.
pub async fn authenticate(state: &AppState, headers: &HeaderMap) -> Result<Principal, ApiError> {
    if let Some(token) = bearer(headers) {
        return if state.local_token.matches(token) { Ok(Principal::Local) } else { Err(ApiError::unauthenticated()) };
    }
    let Some(credentials) = basic_credentials(headers) else { return Err(ApiError::unauthenticated()) };
    let principal = match &credentials.password {
        Some(secret) => state.projects.by_service_account(&credentials.username, secret).await?.map(Principal::Account),
        None => state.projects.by_api_secret(&credentials.username).await?.map(Principal::Project),
    };
    principal.ok_or_else(ApiError::unauthenticated)
}

/// The project of a query or native request. `project_id` may be left out where the credentials name one project; where
/// both do and differ, the answer is 403.
pub async fn authorize(state: &AppState, headers: &HeaderMap, params: &Params) -> Result<Arc<Project>, ApiError> {
    authorize_for(state, headers, params, Role::may_query).await
}

/// As [`authorize`], for what only certain roles of accounts may do.
pub async fn authorize_for(
    state: &AppState,
    headers: &HeaderMap,
    params: &Params,
    may: fn(Role) -> bool,
) -> Result<Arc<Project>, ApiError> {
    let asked = params.text("project_id");
    match authenticate(state, headers).await? {
        Principal::Project(project) => match asked {
            Some(id) if parse_id(&id)? != project.id => Err(ApiError::forbidden()),
            _ => Ok(project),
        },
        Principal::Account(account) => {
            let id = match asked {
                Some(id) => parse_id(&id)?,
                None => account.only_project().ok_or_else(|| ApiError::parameter("project_id", "missing or empty"))?,
            };
            // Access first: whether another tenant's project exists is not this account's business.
            if !account.may_access(id) || !may(account.role) {
                return Err(ApiError::forbidden());
            }
            state.projects.by_id(id).await?.ok_or_else(|| ApiError::not_found("project not found"))
        }
        Principal::Local => {
            let asked = asked.ok_or_else(|| ApiError::parameter("project_id", "missing or empty"))?;
            state.projects.by_name_or_id(&asked).await?.ok_or_else(|| ApiError::not_found("project not found"))
        }
    }
}

fn parse_id(text: &str) -> Result<ProjectId, ApiError> {
    text.trim().parse().map(ProjectId).map_err(|_| ApiError::parameter("project_id", "must be a whole number"))
}
