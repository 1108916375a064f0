//! A web shop's events, made up: what `footfall demo` loads.
//!
//! One idea: time runs forward a day at a time. Each day every person decides, from a seeded random stream, whether to visit;
//! a visit is a short list of events; the day's visits are sorted and handed out. So memory holds the people and one day,
//! never the period.
//!
//! Invariants, which `tests.rs` checks with the plain definitions:
//! - S1: events come in ascending time, none later than `now_ms`.
//! - S2: the stream depends on the seed, the sizes and the *day* of `now_ms` only. A later call on the same day yields the
//!   same events and then more, with the same `$insert_id`s, so that loading again changes nothing.
//! - S3: Product Viewed > Added to Cart > Order Completed within 7 days keeps 5 to 60 % of the users at each step.
//! - S4: the share of signed-up users with a Session Start in their k-th week falls with every k and stays above zero.
//!
//! Left out: profiles, refunds, customers from before the period. The shop opened on the first day.

mod catalog;
mod people;
#[cfg(test)]
mod tests;
mod visit;

use std::{iter::Peekable, vec};

use footfall_model::Event;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use people::Person;
use visit::Visit;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// How large a shop, and when its last day is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShopOptions {
    /// Equal options with equal seeds give equal events.
    pub seed: u64,
    /// Milliseconds since the Unix epoch, UTC. No event is later; its day is the last of the period.
    pub now_ms: i64,
    /// People who ever visit; about four in five sign up.
    pub users: u32,
    /// Days of the period, the last one included.
    pub days: u32,
}

impl ShopOptions {
    /// The demo's size: 90 days ending on the day of `now_ms`, some 1.2 million events of 42,000 people.
    pub fn ending_at(now_ms: i64) -> Self {
        Self { seed: 42, now_ms, users: 42_000, days: 90 }
    }

    fn first_day_ms(&self) -> i64 {
        let today = self.now_ms.div_euclid(DAY_MS);
        (today + 1 - i64::from(self.days)) * DAY_MS
    }
}

/// Yields the shop's events in ascending time.
pub struct ShopGenerator {
    options: ShopOptions,
    first_day_ms: i64,
    rng: ChaCha8Rng,
    /// In order of first visit.
    people: Vec<Person>,
    /// The next day to make.
    day: u32,
    /// Made, sorted, not yet handed out.
    ready: Peekable<vec::IntoIter<Event>>,
    /// Made, but past midnight: they belong to the day to come.
    overhang: Vec<Event>,
    insert_ids: InsertIds,
}

impl ShopGenerator {
    pub fn new(options: ShopOptions) -> Self {
        let first_day_ms = options.first_day_ms();
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        Self {
            options,
            first_day_ms,
            people: people::settle(&options, first_day_ms, &mut rng),
            rng,
            day: 0,
            ready: Vec::new().into_iter().peekable(),
            overhang: Vec::new(),
            insert_ids: InsertIds::new(options.seed, first_day_ms),
        }
    }

    /// Days fully made, of `ShopOptions::days`: what a progress bar shows.
    pub fn days_made(&self) -> u32 {
        self.day
    }

    fn make_day(&mut self) {
        let day = self.day;
        self.day += 1;
        let midnight = self.first_day_ms + i64::from(day) * DAY_MS;
        let weekday = weekday(midnight);
        let mut events = std::mem::take(&mut self.overhang);
        for person in &mut self.people {
            if person.first_day > day {
                break;
            }
            if let Some(purpose) = person.purpose_on(day, weekday, &mut self.rng) {
                let start = midnight + time_of_day(&mut self.rng);
                Visit::new(person, day, start, &mut self.rng, &mut self.insert_ids).run(purpose, &mut events);
            }
        }
        events.sort_by_key(|event| event.time); // stable: events of one instant keep their order
        self.overhang = events.split_off(events.partition_point(|event| event.time < midnight + DAY_MS));
        events.truncate(events.partition_point(|event| event.time <= self.options.now_ms));
        self.ready = events.into_iter().peekable();
    }
}

impl Iterator for ShopGenerator {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        while self.ready.peek().is_none() {
            if self.day >= self.options.days {
                return None;
            }
            self.make_day();
        }
        self.ready.next()
    }
}

/// 0 is Monday. The epoch was a Thursday.
fn weekday(midnight_ms: i64) -> usize {
    (midnight_ms.div_euclid(DAY_MS) + 3).rem_euclid(7) as usize
}

/// Milliseconds after midnight: quiet nights, a bump at noon, busy evenings.
fn time_of_day(rng: &mut impl Rng) -> i64 {
    const HOURS: [u32; 24] =
        [14, 8, 5, 3, 3, 5, 11, 22, 33, 40, 46, 52, 60, 55, 48, 46, 49, 56, 66, 78, 86, 80, 58, 32];
    let hour = weighted(&HOURS, rng) as i64;
    hour * 60 * MINUTE_MS + rng.random_range(0..60 * MINUTE_MS)
}

/// An index drawn with the given weights.
fn weighted(weights: &[u32], rng: &mut impl Rng) -> usize {
    let mut left = rng.random_range(0..weights.iter().sum::<u32>());
    for (index, weight) in weights.iter().enumerate() {
        if left < *weight {
            return index;
        }
        left -= weight;
    }
    weights.len() - 1
}

/// A number in words of 16 hexadecimal digits, different for every `n` of one `salt`.
fn scrambled(salt: u64, n: u64) -> String {
    // The finalizer of splitmix64: a bijection of 64-bit numbers.
    let mut z = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    format!("{:016x}", z ^ (z >> 31))
}

/// `$insert_id`s in order of making.
struct InsertIds {
    salt: u64,
    made: u64,
}

impl InsertIds {
    fn new(seed: u64, first_day_ms: i64) -> Self {
        Self { salt: seed.rotate_left(32) ^ first_day_ms as u64, made: 0 }
    }

    fn next(&mut self) -> String {
        self.made += 1;
        scrambled(self.salt, self.made)
    }
}
