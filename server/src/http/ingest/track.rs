//! `/track`: what apps and pages send. The project's token stands in every record, and anyone may know it; so an unknown
//! one gets the same reply as a known one.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use footfall_ingest::{
    Damage, DecodeError, Item, MergeMode, Outcome, Rejected, Route, Rules, decode_in_slices, validate,
};
use footfall_model::Event;

use super::replies::{Counter, Verdict, busy, not_stored, reply, too_many_records};
use super::senders::Senders;
use super::store::{Batch, Records, Stray};
use super::visit::Visit;
use super::{IDS, SLICE_RECORDS, refused, stored};
use crate::admission::Pace;
use crate::ledger::{Kind, Settled};
use crate::projects::Project;
use crate::quality::Observed;
use crate::state::AppState;

pub(super) async fn track(State(state): State<AppState>, request: Request) -> Response {
    let (mut visit, wire) = match Visit::receive(&state, "/track", request).await {
        Ok(received) => received,
        Err(refusal) => return refusal,
    };
    let settings = &state.intake.settings;
    let answer = |verdict| reply(&wire.params, settings, &verdict, Counter::GoodEvents);
    let undecodable = |visit: &Visit, error: DecodeError| {
        visit.refuse_undecodable(error);
        match error {
            DecodeError::TooManyRecords => too_many_records(),
            error => answer(Verdict::Bad { reason: error.to_string() }),
        }
    };
    let text = match wire.text.clone() {
        Ok(text) => text,
        Err(e) => return undecodable(&visit, e),
    };
    let (form, records_max) = (wire.form, settings.records_max.get());
    let decoding = visit
        .compute(move |pace| decode_in_slices(&text, form, Damage::Refuse, records_max, &mut || pace.slice_done()));
    let items = match decoding.await {
        Ok(Ok(items)) => items,
        Ok(Err(e)) => return undecodable(&visit, e),
        Err(refused) => return visit.refuse_busy(refused),
    };
    let receipt = visit.open(Kind::Event, items.len());
    let senders = match visit.ask(Senders::find(&state, items.iter().map(Item::token))).await {
        Ok(senders) => senders,
        Err(e) => {
            visit.close(receipt, "unavailable");
            return not_stored(&e);
        }
    };
    let judge = Judge {
        now_ms: visit.now_ms,
        track_window: settings.track_window(),
        reject_unknown_token: settings.reject_unknown_token,
        address: wire.address.clone().filter(|_| wire.params.flag("ip")),
    };
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
    if let Err(e) = stored() {
        return not_stored(&e);
    }
    match judged.good {
        0 => answer(Verdict::Bad { reason: judged.reason.unwrap_or_default() }),
        records => answer(Verdict::Good { records }),
    }
}

/// What the records of this request are held to.
struct Judge {
    now_ms: i64,
    track_window: Option<Duration>,
    reject_unknown_token: bool,
    address: Option<String>,
}

#[derive(Default)]
struct Judged {
    /// One for each project, with its events in the order sent.
    batches: Vec<Batch>,
    /// What became of records of no project.
    stray: Stray,
    /// Accepted, those included that are ignored or dropped.
    good: usize,
    /// Of the first that was rejected.
    reason: Option<String>,
}

impl Judge {
    fn all(&self, items: Vec<Item>, senders: Senders, pace: &mut Pace<'_>) -> Judged {
        let mut judged = Judged::default();
        let mut parts: Vec<Part> = senders.projects.into_iter().map(Part::of).collect();
        for (nth, (item, sender)) in items.into_iter().zip(senders.of_item).enumerate() {
            if nth % SLICE_RECORDS == SLICE_RECORDS - 1 {
                pace.slice_done();
            }
            let part = sender.and_then(|at| parts.get_mut(at)).filter(|part| part.project.is_some());
            let merge = part.as_ref().and_then(|part| part.project.as_ref()).map(|project| project.merge);
            let outcome = validate(item, &self.rules(merge), &IDS);
            match (outcome, part) {
                (Outcome::Rejected(rejected), part) => judged.reject(part, &rejected),
                (_, None) if self.reject_unknown_token => {
                    judged.stray.settled.reject("token_unknown");
                    judged.reason.get_or_insert_with(|| "token, unknown".to_owned());
                }
                (Outcome::Accepted(accepted), Some(part)) => {
                    part.observed.accepted(&accepted, self.now_ms);
                    part.events.push(accepted.event);
                    judged.good += 1;
                }
                (Outcome::Accepted(_), None) => {
                    judged.stray.settled.drop_one("unknown_token");
                    judged.good += 1;
                }
                (Outcome::Ignored, part) => {
                    part.map_or(&mut judged.stray.settled, |part| &mut part.settled).drop_one("ignored");
                    judged.good += 1;
                }
            }
        }
        judged.batches = parts.into_iter().filter_map(Part::batch).collect();
        judged
    }

    fn rules(&self, merge: Option<MergeMode>) -> Rules<'_> {
        Rules {
            route: Route::Track,
            strict: false,
            merge: merge.unwrap_or_default(),
            now_ms: self.now_ms,
            track_window: self.track_window,
            request_address: self.address.as_deref(),
        }
    }
}

impl Judged {
    fn reject(&mut self, part: Option<&mut Part>, rejected: &Rejected) {
        let Rejected { fault, insert_id } = rejected;
        let (observed, settled) = match part {
            Some(part) => (&mut part.observed, &mut part.settled),
            None => (&mut self.stray.observed, &mut self.stray.settled),
        };
        observed.refused(|| refused(fault, insert_id));
        settled.reject(fault.code());
        self.reason.get_or_insert_with(|| fault.reason().into_owned());
    }
}

/// What the records of one token came to.
struct Part {
    /// `None`: the token is of no project.
    project: Option<Arc<Project>>,
    events: Vec<Event>,
    observed: Observed,
    settled: Settled,
}

impl Part {
    fn of(project: Option<Arc<Project>>) -> Self {
        Self { project, events: Vec::new(), observed: Observed::default(), settled: Settled::default() }
    }

    fn batch(self) -> Option<Batch> {
        let Self { project, events, observed, settled } = self;
        Some(Batch { project: project?, records: Records::Events(events), observed, settled })
    }
}
