//! What goes wrong with a call, and how that looks to the client.

use std::time::Duration;

use rand::Rng as _;
use rand::SeedableRng as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;

use super::api::{self, error};
use super::wire::{Connection, Request};
use super::{Shared, lock};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// 503, and nothing was done.
    Refused,
    /// 429 with `Retry-After`, and nothing was done.
    Throttled,
    /// 500 although it was done: the client's repetition of a create meets its own object.
    DoneAndFailed,
    /// The connection is reset before anything was done.
    Reset,
    /// It was done, and the connection is reset in place of a reply.
    DoneAndReset,
    /// The reply ends early, with the connection.
    Short,
    /// The reply ends early and says that this is all of it, though not what was asked for: a range, or a page.
    Curt,
    /// Nothing is heard for longer than the client waits.
    Stalled,
    /// A listing without what was written lately.
    Behind,
    /// One bit of an object's bytes is another. (Of listings none: they have no checksum, and nothing rests on one.)
    Flipped,
}

impl Fault {
    pub const ALL: [Self; 10] = [
        Self::Refused,
        Self::Throttled,
        Self::DoneAndFailed,
        Self::Reset,
        Self::DoneAndReset,
        Self::Short,
        Self::Curt,
        Self::Stalled,
        Self::Behind,
        Self::Flipped,
    ];
}

/// Draws which calls meet a fault, from a seed.
pub struct Chaos {
    rng: ChaCha8Rng,
    share: f64,
    faults: Vec<Fault>,
    /// How long a stalled reply is held back.
    pub stall: Duration,
    /// How old an object is before every listing has it.
    pub behind: Duration,
}

impl Chaos {
    /// This share of all calls meets one of the faults.
    pub fn new(seed: u64, share: f64, faults: &[Fault]) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let (stall, behind) = (Duration::from_secs(3), Duration::from_secs(2));
        Self { rng, share, faults: faults.to_vec(), stall, behind }
    }

    pub(super) fn next(&mut self, request: &Request) -> Option<Fault> {
        if !self.rng.random_bool(self.share) || api::metadata(request).is_some() {
            return None;
        }
        // Listings are few, and stalls take long: each its own share. And a bit that flips at every fourth reading in a
        // row is damage for good.
        let (lists, stalls) = (self.rng.random_bool(0.5), self.rng.random_bool(0.2));
        let flips = self.faults.len() == 1 || self.rng.random_bool(0.3);
        if lists && request.is_listing() && self.faults.contains(&Fault::Behind) {
            return Some(Fault::Behind);
        }
        let fits = |fault: &&Fault| match fault {
            Fault::Behind => request.is_listing(),
            // A create that was cut short and took effect is `DoneAndReset`.
            Fault::Stalled => stalls,
            Fault::Short => request.method == "GET",
            Fault::Curt => request.is_listing() || request.header("range").is_some(),
            Fault::Flipped => flips && request.method == "GET" && !request.is_listing(),
            _ => true,
        };
        let fitting: Vec<&Fault> = self.faults.iter().filter(fits).collect();
        fitting.choose(&mut self.rng).map(|fault| **fault)
    }

    fn flip(&mut self, body: &mut [u8]) {
        if !body.is_empty() {
            let bit = self.rng.random_range(0..body.len() * 8);
            body[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

/// Answers a request, or fails to in the way that is asked for; whether the connection goes on.
pub(super) async fn answer(
    connection: &mut Connection,
    shared: &Shared,
    request: &Request,
    fault: Option<Fault>,
) -> bool {
    if let Some(answer) = api::metadata(request) {
        return connection.send(&answer).await;
    }
    let done = |behind| api::answer(&mut lock(&shared.buckets), request, behind);
    let times = lock(&shared.chaos).as_ref().map(|chaos| (chaos.stall, chaos.behind));
    let (stall, behind) = times.unwrap_or_default();
    match fault {
        None => connection.send(&done(Duration::ZERO)).await,
        Some(Fault::Behind) => connection.send(&done(behind)).await,
        Some(Fault::Refused) => connection.send(&error(503, "ServiceUnavailable")).await,
        Some(Fault::Throttled) => connection.send(&error(429, "SlowDown").with("retry-after", 1)).await,
        Some(Fault::DoneAndFailed) => {
            done(Duration::ZERO);
            connection.send(&error(500, "InternalError")).await
        }
        Some(Fault::Reset) => {
            connection.reset();
            false
        }
        Some(Fault::DoneAndReset) => {
            done(Duration::ZERO);
            connection.reset();
            false
        }
        Some(Fault::Short) => {
            let answer = done(Duration::ZERO);
            connection.send_part(&answer, answer.body.len() / 2).await;
            false
        }
        Some(Fault::Curt) => {
            let mut answer = done(Duration::ZERO);
            answer.body.truncate(answer.body.len() / 2);
            answer.length = answer.body.len();
            connection.send(&answer).await
        }
        Some(Fault::Flipped) => {
            let mut answer = done(Duration::ZERO);
            // What is no object's is left alone.
            if let (200 | 206, Some(chaos)) = (answer.status, lock(&shared.chaos).as_mut()) {
                chaos.flip(&mut answer.body);
            }
            connection.send(&answer).await
        }
        Some(Fault::Stalled) => {
            tokio::time::sleep(stall).await;
            connection.send(&done(Duration::ZERO)).await
        }
    }
}
