//! `/engage` and `/groups`: changes of profiles, which travel like events and are answered like `/track`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use footfall_ingest::profiles::{ProfileItem, RejectedProfile, Subject, decode_in_slices, validate};
use footfall_ingest::{Damage, DecodeError};
use footfall_model::ProfileUpdate;

use super::SLICE_RECORDS;
use super::replies::{
    Counter, Verdict, busy, not_stored, reply, strict_profiles, strict_profiles_undecodable, too_many_records,
};
use super::senders::Senders;
use super::store::{Batch, Records, Stray};
use super::visit::Visit;
use crate::admission::Pace;
use crate::ledger::{Kind, Settled};
use crate::projects::Project;
use crate::quality::{Observed, Refused};
use crate::state::AppState;

pub(super) async fn engage(state: State<AppState>, request: Request) -> Response {
    change(Subject::People, state, request).await
}

pub(super) async fn groups(state: State<AppState>, request: Request) -> Response {
    change(Subject::Groups, state, request).await
}

async fn change(subject: Subject, State(state): State<AppState>, request: Request) -> Response {
    let (mut visit, wire) = match Visit::receive(&state, route(subject), request).await {
        Ok(received) => received,
        Err(refusal) => return refusal,
    };
    let settings = &state.intake.settings;
    let is_strict = wire.params.flag("strict");
    let answer = |verdict| reply(&wire.params, settings, &verdict, Counter::GoodEvents);
    let undecodable = |visit: &Visit, error: DecodeError| {
        visit.refuse_undecodable(error);
        match error {
            DecodeError::TooManyRecords => too_many_records(),
            error if is_strict => strict_profiles_undecodable(error),
            error => answer(Verdict::Bad { reason: error.to_string() }),
        }
    };
    let text = match wire.text.clone() {
        Ok(text) => text,
        Err(e) => return undecodable(&visit, e),
    };
    let (form, records_max) = (wire.form, settings.records_max.get());
    let damage = if is_strict { Damage::Report } else { Damage::Refuse };
    let decoding =
        visit.compute(move |pace| decode_in_slices(&text, form, damage, records_max, &mut || pace.slice_done()));
    let items = match decoding.await {
        Ok(Ok(items)) => items,
        Ok(Err(e)) => return undecodable(&visit, e),
        Err(refused) => return visit.refuse_busy(refused),
    };
    let receipt = visit.open(kind(subject), items.len());
    let senders = match visit.ask(Senders::find(&state, items.iter().map(ProfileItem::token))).await {
        Ok(senders) => senders,
        Err(e) => {
            visit.close(receipt, "unavailable");
            return not_stored(&e);
        }
    };
    let judge = Judge { subject, is_strict, reject_unknown_token: settings.reject_unknown_token };
    let judged = match visit.compute(move |pace| judge.all(items, senders, pace)).await {
        Ok(judged) => judged,
        Err(refused) => {
            visit.close(receipt, refused.reason());
            return busy(refused);
        }
    };
    if let Err(refusal) = visit.store(receipt, judged.batches, judged.stray).await {
        return refusal;
    }
    if is_strict {
        return strict_profiles(subject, judged.good, &judged.failed);
    }
    match judged.failed.first() {
        Some((_, first)) if judged.good == 0 => answer(Verdict::Bad { reason: first.reason() }),
        _ => answer(Verdict::Good { records: judged.good }),
    }
}

fn kind(subject: Subject) -> Kind {
    match subject {
        Subject::People => Kind::People,
        Subject::Groups => Kind::Group,
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
    /// One for each project, with its updates in the order sent.
    batches: Vec<Batch>,
    /// What became of records of no project.
    stray: Stray,
    /// Accepted, those included that are dropped.
    good: usize,
    /// With their place in the request.
    failed: Vec<(usize, Failed)>,
}

impl Judge {
    fn all(&self, items: Vec<ProfileItem>, senders: Senders, pace: &mut Pace<'_>) -> Judged {
        let mut judged = Judged::default();
        let mut parts: Vec<Part> = senders.projects.into_iter().map(Part::of).collect();
        for (index, (item, sender)) in items.into_iter().zip(senders.of_item).enumerate() {
            if index % SLICE_RECORDS == SLICE_RECORDS - 1 {
                pace.slice_done();
            }
            let part = sender.and_then(|at| parts.get_mut(at)).filter(|part| part.project.is_some());
            match (validate(item, self.subject, self.is_strict), part) {
                (Err(rejected), part) => {
                    let (observed, settled) = match part {
                        Some(part) => (&mut part.observed, &mut part.settled),
                        None => (&mut judged.stray.observed, &mut judged.stray.settled),
                    };
                    observed.refused(|| refused(&rejected));
                    settled.reject(rejected.fault.code());
                    judged.failed.push((index, Failed::Rejected(rejected)));
                }
                (Ok(update), Some(part)) => {
                    part.updates.push(update);
                    judged.good += 1;
                }
                (Ok(update), None) if self.reject_unknown_token => {
                    judged.stray.settled.reject("token_unknown");
                    judged.failed.push((index, Failed::UnknownToken { id: id_of(update) }));
                }
                (Ok(_), None) => {
                    judged.stray.settled.drop_one("unknown_token");
                    judged.good += 1;
                }
            }
        }
        judged.batches = parts.into_iter().filter_map(Part::batch).collect();
        judged
    }
}

/// What the records of one token came to.
struct Part {
    /// `None`: the token is of no project.
    project: Option<Arc<Project>>,
    updates: Vec<ProfileUpdate>,
    observed: Observed,
    settled: Settled,
}

impl Part {
    fn of(project: Option<Arc<Project>>) -> Self {
        Self { project, updates: Vec::new(), observed: Observed::default(), settled: Settled::default() }
    }

    fn batch(self) -> Option<Batch> {
        let Self { project, updates, observed, settled } = self;
        Some(Batch { project: project?, records: Records::Profiles(updates), observed, settled })
    }
}

/// A refused update, for the report on its project's data.
fn refused(rejected: &RejectedProfile) -> Refused {
    let RejectedProfile { fault, id } = rejected;
    Refused {
        reason: fault.code(),
        field: fault.field().into_owned(),
        message: fault.message().into_owned(),
        id: id.clone(),
    }
}

fn id_of(update: ProfileUpdate) -> String {
    match update.target {
        footfall_model::ProfileTarget::Person { distinct_id } => distinct_id,
        footfall_model::ProfileTarget::Group { id, .. } => id,
    }
}
