//! How each cycle ends: by a kill at a random instant or in a hand-over, by a clean stop, or at a step of the write path.

use std::time::Duration;

use rand::seq::SliceRandom as _;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::harness::footfall;

/// Longest load before a kill.
const LOAD_MAX: Duration = Duration::from_millis(450);
/// Longest time given to a hand-over before it is killed: it is over by then, mostly.
const HAND_OVER_MAX: Duration = Duration::from_millis(1500);
/// A stall lasts until the kill.
const STALL_MS: u64 = 60_000;

/// The steps of reliability.md §1.7, how often they are passed in a short load, and what an error does there.
const FAILPOINTS: &[Failpoint] = &[
    Failpoint { name: "log::before_write", passes: 40, error: Outcome::Lives },
    Failpoint { name: "log::mid_write", passes: 40, error: Outcome::Lives },
    Failpoint { name: "log::before_sync", passes: 40, error: Outcome::Dies },
    Failpoint { name: "log::after_sync", passes: 40, error: Outcome::Dies },
    Failpoint { name: "shard::apply", passes: 80, error: Outcome::Lives },
    Failpoint { name: "http::before_ack", passes: 80, error: Outcome::Lives },
    Failpoint { name: "flush::mid_parquet", passes: 8, error: Outcome::Lives },
    Failpoint { name: "flush::after_put", passes: 6, error: Outcome::Lives },
    Failpoint { name: "commit::before", passes: 5, error: Outcome::Lives },
    Failpoint { name: "commit::after_put_lost_reply", passes: 5, error: Outcome::Lives },
    Failpoint { name: "flush::swap", passes: 2, error: Outcome::Lives },
    Failpoint { name: "compact::after_write", passes: 3, error: Outcome::Lives },
    Failpoint { name: "compact::commit", passes: 3, error: Outcome::Lives },
    Failpoint { name: "compact::swap", passes: 3, error: Outcome::Lives },
    Failpoint { name: "gc::delete", passes: 6, error: Outcome::Lives },
    // Once after a start: the log of the run before is let go of.
    Failpoint { name: "log::unlink", passes: 1, error: Outcome::Lives },
];

#[derive(Clone, Copy, Debug)]
struct Failpoint {
    name: &'static str,
    passes: u32,
    /// What an injected error does to the process.
    error: Outcome,
}

/// What becomes of the process at the failpoint itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Dies,
    Lives,
}

#[derive(Clone, Debug)]
pub enum Ending {
    /// `kill -9` after this time.
    Kill { after: Duration },
    /// SIGTERM in the middle of everything.
    Stop { after: Duration },
    /// SIGUSR2, and `kill -9` while the process hands over to its successor or has just done so.
    HandOver { after: Duration, killed_after: Duration },
    /// A failpoint does something; the process dies of it, or is killed some time later.
    Failpoint { setting: String, outcome: Outcome, after: Duration },
}

/// One cycle, from a running load to a running server.
#[derive(Clone, Debug)]
pub struct Cycle {
    pub number: u64,
    pub ending: Ending,
    /// Starts that are killed this long after they began, before the one that is let through.
    pub killed_starts: Vec<Duration>,
    /// Whether a clean stop follows the check, so that everything is checked from segments alone too.
    pub flushed_after: bool,
}

/// Whether the binary under test has failpoints: without them it does not look at the variable.
pub async fn has_failpoints() -> bool {
    let probe = footfall().arg("--version").env("FAILPOINTS", "no::such_failpoint=off").output().await;
    !probe.expect("the binary starts").status.success()
}

/// The cycles of one round: every failpoint in each of its ways as far as `cycles` reach, between random kills.
pub fn plan(seed: u64, cycles: u64, failpoints: bool) -> Vec<Cycle> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut endings = if failpoints { at_failpoints(&mut rng) } else { Vec::new() };
    endings.shuffle(&mut rng);
    endings.truncate(cycles as usize);
    while (endings.len() as u64) < cycles {
        let after = random_time(&mut rng, LOAD_MAX);
        endings.push(match rng.random_range(0..8) {
            0 => Ending::Stop { after },
            1 => Ending::HandOver { after, killed_after: random_time(&mut rng, HAND_OVER_MAX) },
            _ => Ending::Kill { after },
        });
    }
    endings.shuffle(&mut rng);
    let cycle = |(number, ending): (u64, Ending)| Cycle {
        number,
        ending,
        killed_starts: (0..rng.random_range(0..4_u32).saturating_sub(1))
            .map(|_| random_time(&mut rng, Duration::from_millis(250)))
            .collect(),
        flushed_after: rng.random_bool(0.25),
    };
    (1..).zip(endings).map(cycle).collect()
}

fn at_failpoints(rng: &mut ChaCha8Rng) -> Vec<Ending> {
    let mut endings = Vec::new();
    for point in FAILPOINTS {
        let stall = format!("sleep({STALL_MS})");
        let actions = [("return(exit)", Outcome::Dies), ("return(io-error)", point.error), (&stall, Outcome::Lives)];
        for (action, outcome) in actions {
            let passed = rng.random_range(0..point.passes);
            // Once: a step that failed for ever would be a broken disk, which has tests of its own.
            let setting = format!("{}={passed}*off->1*{action}->off", point.name);
            endings.push(Ending::Failpoint { setting, outcome, after: random_time(rng, 2 * LOAD_MAX) });
        }
    }
    endings
}

fn random_time(rng: &mut ChaCha8Rng, max: Duration) -> Duration {
    Duration::from_micros(rng.random_range(0..max.as_micros() as u64))
}
