//! Several clients at once: batches of every size over both routes, resends, changed copies, several projects.
//!
//! A batch spans days and users, so "whole" is a claim about all shards and segments together. It is made from its id and
//! version alone: a resend is the same to the byte, a changed copy differs in every event's properties and in no key.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use super::ledger::{BatchId, Ledger, Version};
use crate::harness::{DAY_MS, Project, Reply};
use crate::oracle::RawEvent;

const CLIENTS: usize = 6;
const BATCH_SIZE_MAX: u64 = 120;
/// Users of all batches together, so that they share shards and numbers.
const USERS: u32 = 400;
const DAYS: i64 = 2;
/// Pause after a reply that says "later", shorter than any client's: the refusals are load too.
const LATER: Duration = Duration::from_millis(5);

/// What the clients send, in percent of the batches.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Sent before, in this version or another.
    pub again: u32,
    /// Of those: in a version that is new.
    pub changed: u32,
}

/// What all clients of a test share.
pub struct Load {
    pub projects: Vec<Project>,
    mix: Mix,
    ledgers: Vec<Mutex<Ledger>>,
    seed: u64,
    /// `/track` takes the last days only: its batches begin here. Fixed, so that a resend has the same times.
    track_from_ms: i64,
    next_batch: AtomicU64,
    pub resends: AtomicU64,
    pub changed: AtomicU64,
    /// Replies that promised nothing: 429 and 503.
    pub put_off: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Track,
    Import,
}

/// One batch as it is sent once.
#[derive(Clone, Copy, Debug)]
struct Part {
    project: usize,
    batch: BatchId,
    version: Version,
}

const IMPORT_FROM_MS: i64 = 1_704_067_200_000;

impl Load {
    pub fn new(projects: Vec<Project>, mix: Mix, seed: u64, now_ms: i64) -> Arc<Self> {
        let ledgers = projects.iter().map(|_| Mutex::default()).collect();
        Arc::new(Self {
            projects,
            mix,
            ledgers,
            seed,
            track_from_ms: now_ms - (DAYS + 1) * DAY_MS,
            next_batch: AtomicU64::new(0),
            resends: AtomicU64::new(0),
            changed: AtomicU64::new(0),
            put_off: AtomicU64::new(0),
        })
    }

    pub fn ledger(&self, project: usize) -> MutexGuard<'_, Ledger> {
        self.ledgers[project].lock().expect("no client panicked")
    }

    /// Starts the clients. Each ends when its connection breaks or `stop` is set.
    pub fn start(self: &Arc<Self>, cycle: u64, stop: &Arc<AtomicBool>) -> JoinSet<()> {
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (load, stop) = (self.clone(), stop.clone());
            let rng = ChaCha8Rng::seed_from_u64(self.seed ^ (cycle << 8 | client as u64));
            clients.spawn(async move { load.send_until_broken(rng, &stop).await });
        }
        clients
    }

    async fn send_until_broken(&self, mut rng: ChaCha8Rng, stop: &AtomicBool) {
        while !stop.load(Ordering::Acquire) {
            let request = self.compose(&mut rng);
            match self.send(&request).await {
                Sent::Acknowledged => {}
                Sent::PutOff => tokio::time::sleep(LATER).await,
                Sent::Broken => return,
            }
        }
    }

    /// Sends what nobody acknowledged until everybody did, as every client would: now all that was sent is there.
    pub async fn settle(&self) {
        for project in 0..self.projects.len() {
            let unsettled = self.ledger(project).unsettled();
            for (batch, version) in unsettled {
                let sent = self.send(&[Part { project, batch, version }]).await;
                assert!(matches!(sent, Sent::Acknowledged), "batch {batch:x} is refused by an idle server: {sent:?}");
            }
        }
    }

    /// One request: new batches, resends and changed copies, mostly one of them, at times two.
    fn compose(&self, rng: &mut ChaCha8Rng) -> Vec<Part> {
        let first = self.pick(rng, None);
        let mut parts = vec![first];
        if rng.random_bool(0.2) {
            let second = self.pick(rng, Some(first));
            // Twice the same batch in one request is a case of its own: see `duplicates`.
            if second.batch != first.batch {
                parts.push(second);
            }
        }
        parts
    }

    /// A batch to send. Beside another one it takes the same route, and for an import the same project.
    fn pick(&self, rng: &mut ChaCha8Rng, beside: Option<Part>) -> Part {
        let project = match beside {
            Some(part) if route_of(part.batch) == Route::Import => part.project,
            _ => rng.random_range(0..self.projects.len()),
        };
        let again = rng.random_range(0..100) < self.mix.again;
        let drawn = if again { self.ledger(project).draw(rng) } else { None };
        let fits = |id: BatchId| beside.is_none_or(|part| route_of(part.batch) == route_of(id));
        match drawn.filter(|(id, ..)| fits(*id)) {
            Some((batch, _, highest)) if rng.random_range(0..100) < self.mix.changed => {
                self.changed.fetch_add(1, Ordering::Relaxed);
                Part { project, batch, version: highest + 1 }
            }
            Some((batch, version, _)) => {
                self.resends.fetch_add(1, Ordering::Relaxed);
                Part { project, batch, version }
            }
            None => {
                let route = beside.map_or_else(|| rng.random_range(0..2), |part| part.batch % 2);
                let number = self.next_batch.fetch_add(1, Ordering::Relaxed);
                Part { project, batch: number << 1 | route, version: 0 }
            }
        }
    }

    /// The events of a batch in one version.
    fn events(&self, part: &Part) -> Vec<Value> {
        let Part { batch, version, .. } = *part;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed.wrapping_mul(31).wrapping_add(batch));
        let size = size_of(&mut rng);
        let from = match route_of(batch) {
            Route::Import => IMPORT_FROM_MS,
            Route::Track => self.track_from_ms,
        };
        let event = |n: u64| {
            let time = from + rng.random_range(0..DAYS * DAY_MS);
            let user = format!("u{}", rng.random_range(0..USERS));
            let event = RawEvent::new(["A", "B", "C"][n as usize % 3], &user, time, &format!("b{batch:x}-{n}"));
            let event = event.with("batch", batch).with("size", size).with("version", version);
            // A changed copy may lose a property or change its type.
            match version % 3 {
                0 => event.with("note", "first").to_json(),
                1 => event.with("note", n).to_json(),
                _ => event.to_json(),
            }
        };
        (0..size).map(event).collect()
    }

    fn size(&self, batch: BatchId) -> u64 {
        size_of(&mut ChaCha8Rng::seed_from_u64(self.seed.wrapping_mul(31).wrapping_add(batch)))
    }

    async fn send(&self, parts: &[Part]) -> Sent {
        let request = self.request(parts);
        let tickets: Vec<_> = parts
            .iter()
            .map(|part| {
                let size = self.size(part.batch);
                (part.project, self.ledger(part.project).sends(part.batch, size, part.version))
            })
            .collect();
        let sent = Sent::of(Reply::try_of(request).await);
        for (project, ticket) in &tickets {
            let mut ledger = self.ledger(*project);
            match sent {
                Sent::Acknowledged => ledger.acknowledged(ticket),
                Sent::PutOff | Sent::Broken => ledger.unanswered(ticket),
            }
        }
        if matches!(sent, Sent::PutOff) {
            self.put_off.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    fn request(&self, parts: &[Part]) -> reqwest::RequestBuilder {
        let first = &self.projects[parts[0].project];
        match route_of(parts[0].batch) {
            Route::Import => {
                let events = parts.iter().flat_map(|part| self.events(part)).collect::<Vec<_>>();
                first.import_request(&events)
            }
            Route::Track => {
                let of_part = |part: &Part| {
                    let events = self.events(part);
                    events.into_iter().map(|event| self.projects[part.project].with_token(&event)).collect::<Vec<_>>()
                };
                first.anonymous(Method::POST, "/track").json(&parts.iter().flat_map(of_part).collect::<Vec<_>>())
            }
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Acknowledged,
    PutOff,
    Broken,
}

impl Sent {
    fn of(reply: Result<Reply, reqwest::Error>) -> Self {
        match reply {
            Ok(reply) if reply.status == 200 => {
                let text = reply.text();
                let taken = text == "1" || reply.json()["status"] == "OK";
                assert!(taken, "every event is valid, so every one is taken: {text}");
                Self::Acknowledged
            }
            Ok(reply) if matches!(reply.status, 429 | 503) => {
                assert!(
                    !reply.header("retry-after").is_empty(),
                    "'later' says when: {} {}",
                    reply.status,
                    reply.text()
                );
                Self::PutOff
            }
            Ok(reply) => panic!("a valid batch was refused: {} {}", reply.status, reply.text()),
            Err(_) => Self::Broken,
        }
    }
}

/// A batch keeps to one route: `/import` marks its events, so the other route's copy would not be the same.
fn route_of(batch: BatchId) -> Route {
    if batch % 2 == 0 { Route::Track } else { Route::Import }
}

/// The batch whose event has this insert id.
pub fn batch_of(insert_id: &str) -> BatchId {
    let batch = insert_id.strip_prefix('b').and_then(|id| id.split_once('-')).map(|(batch, _)| batch);
    let batch = batch.and_then(|batch| BatchId::from_str_radix(batch, 16).ok());
    batch.unwrap_or_else(|| panic!("no insert id of a batch: {insert_id}"))
}

/// Mostly small, at times at the limit.
fn size_of(rng: &mut ChaCha8Rng) -> u64 {
    if rng.random_bool(0.5) { rng.random_range(1..=8) } else { rng.random_range(1..=BATCH_SIZE_MAX) }
}
