//! `/engage` and `/groups`: changes of profiles, which travel like events and are answered like `/track`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use footfall_engine::Arrival;
use footfall_ingest::profiles::{ProfileItem, RejectedProfile, Subject, decode, validate};
use footfall_ingest::{Damage, DecodeError};
use footfall_model::ProfileUpdate;

use super::replies::{
    Counter, Verdict, not_received, not_stored, reply, strict_profiles, strict_profiles_undecodable, too_many_records,
};
use super::senders::Senders;
use super::settings::IngestSettings;
use super::{offload, wire};
use crate::projects::Project;
use crate::state::AppState;

pub(super) async fn engage(
    state: State<AppState>,
    settings: Extension<Arc<IngestSettings>>,
    request: Request,
) -> Response {
    change(Subject::People, state, settings, request).await
}

pub(super) async fn groups(
    state: State<AppState>,
    settings: Extension<Arc<IngestSettings>>,
    request: Request,
) -> Response {
    change(Subject::Groups, state, settings, request).await
}

async fn change(
    subject: Subject,
    State(state): State<AppState>,
    Extension(settings): Extension<Arc<IngestSettings>>,
    request: Request,
) -> Response {
    let wire = match wire::receive(request, settings.body_bytes_max).await {
        Ok(wire) => wire,
        Err(e) => return not_received(e, &settings),
    };
    let is_strict = wire.params.flag("strict");
    let answer = |verdict| reply(&wire.params, &settings, &verdict, Counter::GoodEvents);
    let undecodable = |error: DecodeError| match error {
        DecodeError::TooManyRecords => too_many_records(),
        error if is_strict => strict_profiles_undecodable(error),
        error => answer(Verdict::Bad { reason: error.to_string() }),
    };
    let text = match wire.text.clone() {
        Ok(text) => text,
        Err(e) => return undecodable(e),
    };
    let (bytes, form) = (text.len(), wire.form);
    let damage = if is_strict { Damage::Report } else { Damage::Refuse };
    let items = match offload(bytes, move || decode(&text, form, damage)).await {
        Ok(items) => items,
        Err(e) => return undecodable(e),
    };
    let senders = match Senders::find(&state, items.iter().map(ProfileItem::token)).await {
        Ok(senders) => senders,
        Err(e) => return not_stored(&e),
    };
    let judge = Judge { subject, is_strict, reject_unknown_token: settings.reject_unknown_token };
    let judged = offload(bytes, move || judge.all(items, senders)).await;
    for (project, updates) in judged.batches {
        if let Err(e) = state.engine.record_profiles(project.id, updates, Arrival::from_source(route(subject))).await {
            return not_stored(&e);
        }
    }
    let label = route(subject).trim_start_matches('/');
    metrics::counter!("footfall_ingest_unknown_token_total").increment(judged.dropped as u64);
    metrics::counter!("footfall_ingest_rejected_total", "route" => label).increment(judged.failed.len() as u64);
    metrics::counter!("footfall_ingest_accepted_total", "route" => label)
        .increment((judged.good - judged.dropped) as u64);
    if is_strict {
        return strict_profiles(subject, judged.good, &judged.failed);
    }
    match judged.failed.first() {
        Some((_, first)) if judged.good == 0 => answer(Verdict::Bad { reason: first.reason() }),
        _ => answer(Verdict::Good { records: judged.good }),
    }
}

fn route(subject: Subject) -> &'static str {
    match subject {
        Subject::People => "/engage",
        Subject::Groups => "/groups",
    }
}

/// Why a record changes nothing.
pub(super) enum Failed {
    Rejected(RejectedProfile),
    /// Its token is of no project, and the server was told to say so.
    UnknownToken {
        id: String,
    },
}

const UNKNOWN_TOKEN: &str = "token, unknown";

impl Failed {
    fn reason(&self) -> String {
        match self {
            Self::Rejected(rejected) => rejected.fault.reason().into_owned(),
            Self::UnknownToken { .. } => UNKNOWN_TOKEN.to_owned(),
        }
    }

    /// The record's id, the field at fault, and what is wrong with it, as strict mode reports them.
    pub fn report(&self) -> (&str, String, String) {
        match self {
            Self::Rejected(RejectedProfile { fault, id }) => (id, fault.field().into(), fault.message().into()),
            Self::UnknownToken { id } => (id, "$token".to_owned(), "'$token' is invalid: unknown".to_owned()),
        }
    }
}

/// What the records of this request are held to.
struct Judge {
    subject: Subject,
    is_strict: bool,
    reject_unknown_token: bool,
}

#[derive(Default)]
struct Judged {
    /// Updates of each project, in the order sent.
    batches: Vec<(Arc<Project>, Vec<ProfileUpdate>)>,
    /// Accepted, those included that are dropped.
    good: usize,
    /// Accepted, but for no project.
    dropped: usize,
    /// With their place in the request.
    failed: Vec<(usize, Failed)>,
}

impl Judge {
    fn all(&self, items: Vec<ProfileItem>, senders: Senders) -> Judged {
        let mut judged = Judged::default();
        let mut batches: Vec<Vec<ProfileUpdate>> = senders.projects.iter().map(|_| Vec::new()).collect();
        for (index, (item, sender)) in items.into_iter().zip(senders.of_item).enumerate() {
            let known = sender.and_then(|at| senders.projects.get(at)).is_some_and(Option::is_some);
            match (validate(item, self.subject, self.is_strict), sender.and_then(|at| batches.get_mut(at))) {
                (Err(rejected), _) => judged.failed.push((index, Failed::Rejected(rejected))),
                (Ok(update), Some(batch)) if known => {
                    batch.push(update);
                    judged.good += 1;
                }
                (Ok(update), _) if self.reject_unknown_token => {
                    judged.failed.push((index, Failed::UnknownToken { id: id_of(update) }));
                }
                (Ok(_), _) => {
                    judged.good += 1;
                    judged.dropped += 1;
                }
            }
        }
        let projects = senders.projects.into_iter().zip(batches);
        judged.batches = projects.filter_map(|(project, batch)| Some((project?, batch))).collect();
        judged.batches.retain(|(_, batch)| !batch.is_empty());
        judged
    }
}

fn id_of(update: ProfileUpdate) -> String {
    match update.target {
        footfall_model::ProfileTarget::Person { distinct_id } => distinct_id,
        footfall_model::ProfileTarget::Group { id, .. } => id,
    }
}
