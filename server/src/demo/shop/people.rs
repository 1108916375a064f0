//! Who visits the shop, and on which days.
//!
//! A person first visits anonymously, signs up the same day or some days later, or never. From then on their lifetime is
//! a number of weeks, and each week of it has a visit on the person's habitual day (never on the weekday of the sign-up
//! itself, so that it lies inside the rolling week whatever the hour). That makes weekly retention fall in every cohort (S4)
//! by construction rather than on average.

use rand::{Rng, seq::IndexedRandom};

use super::{DAY_MS, ShopOptions, catalog, scrambled, weekday, weighted};

/// Relative traffic from Monday to Sunday.
const WEEKDAYS: [f64; 7] = [1.0, 0.94, 0.92, 0.96, 1.02, 1.22, 1.34];

/// Why somebody visits; it decides how they are identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Nobody knows them yet.
    Browse,
    /// Becomes a customer during the visit.
    SignUp,
    /// A customer on the device they signed up on.
    Return,
    /// A customer whose second device does not know them until they log in.
    LogIn,
    /// A customer on a second device that knows them.
    ReturnElsewhere,
}

pub(super) struct Person {
    pub user_id: String,
    pub device_id: String,
    pub second_device_id: Option<String>,
    pub first_day: u32,
    pub place: &'static catalog::Place,
    pub city: &'static str,
    pub client: (&'static str, Option<&'static str>),
    pub source: (Option<&'static str>, &'static str),
    pub plan: &'static str,
    /// Scales the chance that a looked-at product goes into the cart.
    pub appetite: f64,
    pub has_ordered: bool,
    sign_up_day: Option<u32>,
    /// Weeks after the sign-up with at least one visit each.
    weeks: u32,
    /// 1 to 6 days after the weekday of the sign-up.
    habit: u32,
    /// Chance of a further visit on any other day.
    zeal: f64,
    second_device_known: bool,
}

/// Draws the population, in order of first visit.
pub(super) fn settle(options: &ShopOptions, first_day_ms: i64, rng: &mut impl Rng) -> Vec<Person> {
    let arrivals = Arrivals::new(options.days, first_day_ms);
    let mut first_days: Vec<u32> = (0..options.users).map(|_| arrivals.draw(rng)).collect();
    first_days.sort_unstable();
    first_days
        .iter()
        .enumerate()
        .map(|(n, day)| Person::draw(n as u64, *day, options.seed, first_day_ms, rng))
        .collect()
}

/// How first visits spread over the period: twice as many at the end as at the start, more on weekends.
struct Arrivals {
    cumulative: Vec<f64>,
}

impl Arrivals {
    fn new(days: u32, first_day_ms: i64) -> Self {
        let mut total = 0.0;
        let weight = |day: u32| {
            let growth = 1.0 + f64::from(day) / f64::from(days.max(1));
            growth * WEEKDAYS[weekday(first_day_ms + i64::from(day) * DAY_MS)]
        };
        let cumulative = (0..days).map(weight).map(|w| {
            total += w;
            total
        });
        Self { cumulative: cumulative.collect() }
    }

    fn draw(&self, rng: &mut impl Rng) -> u32 {
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        let x = rng.random::<f64>() * total;
        self.cumulative.partition_point(|c| *c <= x).min(self.cumulative.len().saturating_sub(1)) as u32
    }
}

impl Person {
    fn draw(n: u64, first_day: u32, seed: u64, first_day_ms: i64, rng: &mut impl Rng) -> Self {
        let place = &catalog::PLACES[weighted(&catalog::PLACES.iter().map(|p| p.weight).collect::<Vec<_>>(), rng)];
        let (os, browser, _) =
            catalog::CLIENTS[weighted(&catalog::CLIENTS.iter().map(|c| c.2).collect::<Vec<_>>(), rng)];
        let (utm, referrer, _) =
            catalog::SOURCES[weighted(&catalog::SOURCES.iter().map(|s| s.2).collect::<Vec<_>>(), rng)];
        let plan = catalog::PLANS[weighted(&catalog::PLANS.iter().map(|p| p.1).collect::<Vec<_>>(), rng)].0;
        let sign_up_day = match rng.random_range(0..100) {
            0..55 => Some(first_day),
            55..82 => Some(first_day + rng.random_range(1..=10)),
            _ => None,
        };
        let sign_up_weekday = weekday(first_day_ms + i64::from(sign_up_day.unwrap_or(first_day)) * DAY_MS);
        Self {
            user_id: format!("u{}", 100_000 + n),
            device_id: scrambled(seed, n << 1),
            second_device_id: rng.random_bool(0.12).then(|| scrambled(seed, n << 1 | 1)),
            first_day,
            place,
            city: place.cities.choose(rng).copied().unwrap_or_default(),
            client: (os, browser),
            source: (utm, referrer),
            plan,
            appetite: rng.random_range(0.4..1.6),
            has_ordered: false,
            sign_up_day,
            weeks: lifetime_weeks(rng),
            habit: habit(sign_up_weekday, rng),
            zeal: [0.03, 0.12, 0.38][weighted(&[55, 33, 12], rng)],
            second_device_known: false,
        }
    }

    /// Whether this person visits on `day`, and why. Called once for each day from the first visit on.
    pub fn purpose_on(&mut self, day: u32, weekday: usize, rng: &mut impl Rng) -> Option<Purpose> {
        match self.sign_up_day {
            Some(signed_up) if day == signed_up => Some(Purpose::SignUp),
            Some(signed_up) if day > signed_up => self.returns_on(day - signed_up, weekday, rng),
            Some(_) => (day == self.first_day || rng.random_bool(0.15)).then_some(Purpose::Browse),
            None if day == self.first_day => Some(Purpose::Browse),
            None => (day - self.first_day < 7 && rng.random_bool(0.1)).then_some(Purpose::Browse),
        }
    }

    fn returns_on(&mut self, age: u32, weekday: usize, rng: &mut impl Rng) -> Option<Purpose> {
        if age / 7 >= self.weeks {
            return None;
        }
        let visits = age % 7 == self.habit || rng.random_bool(self.zeal * WEEKDAYS[weekday] / 1.34);
        visits.then(|| self.pick_device(rng))
    }

    fn pick_device(&mut self, rng: &mut impl Rng) -> Purpose {
        if self.second_device_id.is_none() || !rng.random_bool(0.35) {
            return Purpose::Return;
        }
        if self.second_device_known {
            return Purpose::ReturnElsewhere;
        }
        self.second_device_known = true;
        Purpose::LogIn
    }
}

/// A share of 0.64 · (k + 1)^-0.5 of the customers lives longer than k weeks.
fn lifetime_weeks(rng: &mut impl Rng) -> u32 {
    let u: f64 = rng.random_range(1e-6..1.0);
    (0.64 / u).powi(2).floor().min(1000.0) as u32
}

/// A day 1 to 6 days after the sign-up, more likely where the week is busy.
fn habit(sign_up_weekday: usize, rng: &mut impl Rng) -> u32 {
    let weights: [u32; 6] = std::array::from_fn(|d| (100.0 * WEEKDAYS[(sign_up_weekday + d + 1) % 7].powi(2)) as u32);
    weighted(&weights, rng) as u32 + 1
}
