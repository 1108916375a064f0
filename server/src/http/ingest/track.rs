//! `/track`: what apps and pages send. The project's token stands in every record, and anyone may know it; so an unknown
//! one gets the same reply as a known one.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use footfall_engine::Arrival;
use footfall_ingest::{Damage, DecodeError, Item, MergeMode, Outcome, Route, Rules, decode, validate};
use footfall_model::Event;

use super::replies::{Counter, Verdict, not_received, not_stored, reply, too_many_records};
use super::senders::Senders;
use super::settings::IngestSettings;
use super::{IDS, arrival_ms, offload, stored, wire};
use crate::projects::Project;
use crate::state::AppState;

pub(super) async fn track(
    State(state): State<AppState>,
    Extension(settings): Extension<Arc<IngestSettings>>,
    request: Request,
) -> Response {
    let wire = match wire::receive(request, settings.body_bytes_max).await {
        Ok(wire) => wire,
        Err(e) => return not_received(e, &settings),
    };
    let answer = |verdict| reply(&wire.params, &settings, &verdict, Counter::GoodEvents);
    let text = match wire.text.clone() {
        Ok(text) => text,
        Err(e) => return answer(Verdict::Bad { reason: e.to_string() }),
    };
    let (bytes, form) = (text.len(), wire.form);
    let items = match offload(bytes, move || decode(&text, form, Damage::Refuse)).await {
        Ok(items) => items,
        Err(DecodeError::TooManyRecords) => return too_many_records(),
        Err(e) => return answer(Verdict::Bad { reason: e.to_string() }),
    };
    let senders = match Senders::find(&state, items.iter().map(Item::token)).await {
        Ok(senders) => senders,
        Err(e) => return not_stored(&e),
    };
    let judge = Judge {
        now_ms: arrival_ms(),
        track_window: settings.track_window,
        reject_unknown_token: settings.reject_unknown_token,
        address: wire.address.clone().filter(|_| wire.params.flag("ip")),
    };
    let judged = offload(bytes, move || judge.all(items, senders)).await;
    for (project, events) in judged.batches {
        if let Err(e) = state.engine.ingest(project.id, events, Arrival::from_source("/track")).await {
            return not_stored(&e);
        }
    }
    if let Err(e) = stored() {
        return not_stored(&e);
    }
    metrics::counter!("footfall_ingest_unknown_token_total").increment(judged.dropped as u64);
    metrics::counter!("footfall_ingest_rejected_total", "route" => "track").increment(judged.rejected as u64);
    metrics::counter!("footfall_ingest_accepted_total", "route" => "track")
        .increment((judged.good - judged.dropped) as u64);
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
    /// Events of each project, in the order sent.
    batches: Vec<(Arc<Project>, Vec<Event>)>,
    /// Accepted, those included that are ignored or dropped.
    good: usize,
    /// Accepted, but for no project.
    dropped: usize,
    rejected: usize,
    /// Of the first that was rejected.
    reason: Option<String>,
}

impl Judge {
    fn all(&self, items: Vec<Item>, senders: Senders) -> Judged {
        let mut judged = Judged::default();
        let mut events: Vec<Vec<Event>> = senders.projects.iter().map(|_| Vec::new()).collect();
        for (item, sender) in items.into_iter().zip(senders.of_item) {
            let project = sender.and_then(|at| senders.projects.get(at)).and_then(Option::as_ref);
            let outcome = validate(item, &self.rules(project.map(|p| p.merge)), &IDS);
            match (outcome, sender.and_then(|at| events.get_mut(at))) {
                (Outcome::Rejected(rejected), _) => judged.reject(&rejected.fault.reason()),
                _ if project.is_none() && self.reject_unknown_token => judged.reject("token, unknown"),
                (Outcome::Accepted(accepted), Some(events)) if project.is_some() => {
                    events.push(accepted.event);
                    judged.good += 1;
                }
                (Outcome::Accepted(_), _) => {
                    judged.good += 1;
                    judged.dropped += 1;
                }
                (Outcome::Ignored, _) => judged.good += 1,
            }
        }
        let projects = senders.projects.into_iter().zip(events);
        judged.batches = projects.filter_map(|(project, events)| Some((project?, events))).collect();
        judged.batches.retain(|(_, events)| !events.is_empty());
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
    fn reject(&mut self, reason: &str) {
        self.rejected += 1;
        self.reason.get_or_insert_with(|| reason.to_owned());
    }
}
