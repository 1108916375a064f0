//! `/import`: history, by somebody who can prove it is theirs. Strict unless told otherwise or the client is too old to
//! know: then every record that failed is reported, and the others are stored.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use footfall_engine::Error;
use footfall_ingest::{Damage, DecodeError, Item, Outcome, Rejected, Route, Rules, decode_in_slices, validate};
use footfall_model::ProjectId;

use super::replies::{
    Counter, Verdict, failure, forbidden, invalid_credentials, not_stored, reply, strict, strict_undecodable,
    too_many_records,
};
use super::store::{Batch, Records, Stray};
use super::visit::Visit;
use super::wire::{Params, Wrapping};
use super::{IDS, SLICE_RECORDS, refused, stored};
use crate::admission::Pace;
use crate::auth;
use crate::ledger::{Kind, Settled};
use crate::projects::Project;
use crate::quality::Observed;
use crate::state::AppState;

pub(super) async fn import(State(state): State<AppState>, request: Request) -> Response {
    let (mut visit, wire) = match Visit::receive(&state, "/import", request).await {
        Ok(received) => received,
        Err(refusal) => return refusal,
    };
    let settings = &state.intake.settings;
    let project = match visit.ask(authorize(&state, &wire.headers, &wire.params)).await {
        Ok(project) => project,
        Err(refusal) => {
            visit.refuse(refusal.reason());
            return refusal.into_reply();
        }
    };
    let is_strict = wire.params.flag_given("strict").unwrap_or(wire.wrapping == Wrapping::Bare);
    let answer = |verdict| reply(&wire.params, settings, &verdict, Counter::RecordsImported);
    let undecodable = |visit: &Visit, error: DecodeError| {
        visit.refuse_undecodable(error);
        match error {
            DecodeError::TooManyRecords => too_many_records(),
            error if is_strict => strict_undecodable(error),
            error => answer(Verdict::Bad { reason: error.to_string() }),
        }
    };
    let text = match wire.text.clone() {
        Ok(text) => text,
        Err(e) => return undecodable(&visit, e),
    };
    let address = wire.address.clone().filter(|_| wire.params.flag("ip"));
    let (form, records_max) = (wire.form, settings.records_max.get());
    let (open, now_ms) = (visit.opener(Kind::Event), visit.now_ms);
    let judging = visit.compute(move |pace| {
        let damage = if is_strict { Damage::Report } else { Damage::Refuse };
        let rules = Rules {
            route: Route::Import,
            strict: is_strict,
            merge: project.merge,
            now_ms,
            track_window: None,
            request_address: address.as_deref(),
        };
        let items = decode_in_slices(&text, form, damage, records_max, &mut || pace.slice_done())?;
        let receipt = open(items.len());
        Ok((judge(items, &rules, project, pace), receipt))
    });
    let (judged, receipt) = match judging.await {
        Ok(Ok(judged)) => judged,
        Ok(Err(e)) => return undecodable(&visit, e),
        Err(refused) => return visit.refuse_busy(refused),
    };
    let Judged { batch, good, failed } = judged;
    if let Err(refusal) = visit.store(receipt, vec![batch], Stray::default()).await {
        return refusal;
    }
    if let Err(e) = stored() {
        return not_stored(&e);
    }
    if is_strict {
        return strict(good, &failed);
    }
    match failed.first() {
        Some((_, first)) if good == 0 => answer(Verdict::Bad { reason: first.fault.reason().into_owned() }),
        _ => answer(Verdict::Good { records: good }),
    }
}

struct Judged {
    batch: Batch,
    /// Accepted, those included that are ignored.
    good: usize,
    /// With their place in the request.
    failed: Vec<(usize, Rejected)>,
}

fn judge(items: Vec<Item>, rules: &Rules<'_>, project: Arc<Project>, pace: &mut Pace<'_>) -> Judged {
    let mut events = Vec::with_capacity(items.len());
    let (mut observed, mut settled) = (Observed::default(), Settled::default());
    let (mut good, mut failed) = (0, Vec::new());
    for (index, item) in items.into_iter().enumerate() {
        if index % SLICE_RECORDS == SLICE_RECORDS - 1 {
            pace.slice_done();
        }
        match validate(item, rules, &IDS) {
            Outcome::Accepted(accepted) => {
                observed.accepted(&accepted, rules.now_ms);
                events.push(accepted.event);
                good += 1;
            }
            Outcome::Ignored => {
                settled.drop_one("ignored");
                good += 1;
            }
            Outcome::Rejected(rejected) => {
                observed.refused(|| refused(&rejected.fault, &rejected.insert_id));
                settled.reject(rejected.fault.code());
                failed.push((index, rejected));
            }
        }
    }
    Judged { batch: Batch { project, records: Records::Events(events), observed, settled }, good, failed }
}

/// Why a request may not import.
enum Refusal {
    Unauthenticated,
    Forbidden,
    ProjectMissing,
    /// The registry cannot be asked now.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Refusal {
    /// The word in metrics.
    fn reason(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::ProjectMissing => "project_missing",
            Self::Failed(_) => "unavailable",
        }
    }

    fn into_reply(self) -> Response {
        match self {
            Self::Unauthenticated => invalid_credentials(),
            Self::Forbidden => forbidden(),
            Self::ProjectMissing => failure(StatusCode::BAD_REQUEST, "project_id, missing or invalid"),
            Self::Failed(error) => not_stored(&error),
        }
    }
}

/// The project that the request may import into. Tried in this order: bearer token, service account, project secret or
/// token as a user name without password, `api_key`. Where the credentials name a project by themselves, `project_id`
/// may be left out but not differ.
async fn authorize(state: &AppState, headers: &HeaderMap, params: &Params) -> Result<Arc<Project>, Refusal> {
    let asked = params.get("project_id").map(str::trim).filter(|id| !id.is_empty());
    if let Some(token) = auth::bearer(headers) {
        if !state.local_token.matches(token) {
            return Err(Refusal::Unauthenticated);
        }
        let asked = asked.ok_or(Refusal::ProjectMissing)?;
        return state.projects.by_name_or_id(asked).await?.ok_or(Refusal::ProjectMissing);
    }
    let credentials = auth::basic_credentials(headers);
    if let Some(credentials) = &credentials
        && let Some(secret) = &credentials.password
        && let Some(account) = state.projects.by_service_account(&credentials.username, secret).await?
    {
        let id = match asked {
            Some(id) => parse_id(id)?,
            None => account.only_project().ok_or(Refusal::ProjectMissing)?,
        };
        // Access first: whether another tenant's project exists is not this account's business.
        if !account.may_access(id) || !account.role.may_ingest() {
            return Err(Refusal::Forbidden);
        }
        return state.projects.by_id(id).await?.ok_or(Refusal::Forbidden);
    }
    let mut own = None;
    if let Some(user) = credentials.as_ref().filter(|c| c.password.is_none()).map(|c| &c.username) {
        own = state.projects.by_secret_or_token(user).await?;
    }
    if own.is_none()
        && let Some(key) = params.get("api_key")
    {
        own = state.projects.by_api_secret(key.trim()).await?;
    }
    let project = own.ok_or(Refusal::Unauthenticated)?;
    match asked {
        Some(id) if parse_id(id)? != project.id => Err(Refusal::Forbidden),
        _ => Ok(project),
    }
}

fn parse_id(text: &str) -> Result<ProjectId, Refusal> {
    text.parse().map(ProjectId).map_err(|_| Refusal::ProjectMissing)
}
