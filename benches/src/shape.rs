//! What the data looks like: users visit, a visit is a handful of events.
//!
//! design.md §11: 2.5 M users per 100 M events, 90 days, 20 event names with Zipf shares. A user keeps country, system and
//! plan; paths and prices belong to some of the names. One day is held in memory at a time.

use std::collections::HashSet;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const DAY_MS: i64 = 86_400_000;
/// 2024-01-01, a Monday.
pub const FIRST_DAY_MS: i64 = 1_704_067_200_000;

pub const NAMES: [&str; 20] = [
    "Page View",
    "Product Viewed",
    "Session Start",
    "Search",
    "Added to Cart",
    "Filter Applied",
    "Image Zoomed",
    "Video Played",
    "Checkout Started",
    "Order Completed",
    "Coupon Applied",
    "Review Read",
    "Wishlist Added",
    "Log In",
    "Removed from Cart",
    "Share Clicked",
    "Newsletter Opened",
    "Review Written",
    "Support Contacted",
    "Sign Up",
];
pub const COUNTRIES: [&str; 40] = [
    "US", "DE", "GB", "FR", "BR", "IN", "JP", "CA", "NL", "ES", "IT", "AU", "MX", "PL", "SE", "KR", "ID", "TR", "CH",
    "AR", "BE", "AT", "NO", "DK", "FI", "IE", "PT", "CZ", "RO", "GR", "HU", "ZA", "CL", "CO", "VN", "TH", "MY", "PH",
    "NZ", "IL",
];
pub const SYSTEMS: [(&str, &str); 6] = [
    ("iOS", "Mobile Safari"),
    ("Android", "Chrome"),
    ("Windows", "Chrome"),
    ("Mac OS X", "Safari"),
    ("Windows", "Microsoft Edge"),
    ("Linux", "Firefox"),
];
pub const PLANS: [&str; 4] = ["free", "basic", "plus", "enterprise"];
const PATHS: u64 = 200;
/// The name of every event where all are orders.
const ORDER: u8 = 9;
const CATEGORIES: [&str; 12] = [
    "shirts", "jackets", "sneakers", "hats", "bags", "watches", "belts", "socks", "coats", "scarves", "gloves", "boots",
];
const TAGS: [&str; 8] = ["new", "sale", "eco", "limited", "gift", "bulk", "returned", "preorder"];

#[derive(Clone, Copy)]
pub struct Shape {
    pub events: u64,
    pub users: u32,
    pub days: u32,
    pub seed: u64,
    /// Whether all events are orders, each with a list of what was bought.
    pub orders: bool,
}

/// One thing of an order.
pub struct Item {
    pub sku: u32,
    pub category: &'static str,
    /// In cents.
    pub price: u32,
    pub quantity: u8,
    pub tags: Vec<&'static str>,
}

/// One event. The lists above give words to the small numbers.
#[derive(Clone, Copy)]
pub struct Row {
    /// From 1.
    pub user: u32,
    pub name: u8,
    pub time: i64,
    pub insert_id: u64,
    pub path: Option<u16>,
    /// In cents.
    pub price: Option<u32>,
}

impl Row {
    pub fn distinct_id(&self) -> String {
        format!("user-{:08}", self.user)
    }

    pub fn country(&self) -> &'static str {
        COUNTRIES[skewed(unit(self.user, 1), COUNTRIES.len())]
    }

    /// Operating system and browser.
    pub fn system(&self) -> (&'static str, &'static str) {
        SYSTEMS[skewed(unit(self.user, 2), SYSTEMS.len())]
    }

    pub fn plan(&self) -> &'static str {
        PLANS[skewed(unit(self.user, 3), PLANS.len())]
    }

    /// What was bought: none to six things, as the insert id decides.
    pub fn items(&self) -> Vec<Item> {
        let mut state = self.insert_id;
        let mut next = |below: u64| {
            // SplitMix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) % below
        };
        (0..next(7))
            .map(|_| Item {
                sku: next(50_000) as u32,
                category: CATEGORIES[next(CATEGORIES.len() as u64) as usize],
                price: 100 + 25 * next(2_000) as u32,
                quantity: 1 + next(5) as u8,
                tags: (0..next(4)).map(|_| TAGS[next(TAGS.len() as u64) as usize]).collect(),
            })
            .collect()
    }

    pub fn app_version(&self) -> String {
        let day = (self.time - FIRST_DAY_MS) / DAY_MS;
        format!("3.{}.{}", day / 14, day % 14 / 5)
    }
}

/// A number in [0, 1) that is the user's own.
fn unit(user: u32, salt: u64) -> f64 {
    let z = (u64::from(user) ^ salt << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (z >> 40) as f64 / (1u64 << 24) as f64
}

/// The square favours the front of a list: half of the draws fall into its first quarter.
fn skewed(unit: f64, len: usize) -> usize {
    ((unit * unit) * len as f64) as usize
}

/// Days of rows, each in ascending time; a user's times all differ, so that order never depends on a tie.
pub struct Days {
    shape: Shape,
    rng: ChaCha8Rng,
    cumulative: Vec<f64>,
    day: u32,
}

impl Days {
    pub fn new(shape: Shape) -> Self {
        let weights = (1..=NAMES.len()).map(|rank| 1.0 / rank as f64);
        let total: f64 = weights.clone().sum();
        let cumulative = weights
            .scan(0.0, |sum, weight| {
                *sum += weight / total;
                Some(*sum)
            })
            .collect();
        Self { shape, rng: ChaCha8Rng::seed_from_u64(shape.seed), cumulative, day: 0 }
    }

    fn visit(&mut self, rows: &mut Vec<Row>, events: u64) {
        let user = 1 + skewed(self.rng.random(), self.shape.users as usize) as u32;
        let midnight = FIRST_DAY_MS + i64::from(self.day) * DAY_MS;
        // The longest visit lasts 18 minutes: it ends before midnight.
        let mut time = midnight + self.rng.random_range(0..DAY_MS - 20 * 60_000);
        for _ in 0..events {
            let x: f64 = self.rng.random();
            let drawn = self.cumulative.partition_point(|c| *c < x).min(NAMES.len() - 1) as u8;
            let name = if self.shape.orders { ORDER } else { drawn };
            let path = name.is_multiple_of(2).then(|| skewed(self.rng.random(), PATHS as usize) as u16);
            let price = (name % 4 == 1).then(|| 100 + 50 * self.rng.random_range(0..1000));
            rows.push(Row { user, name, time, insert_id: self.rng.random(), path, price });
            time += self.rng.random_range(1_000..90_000);
        }
    }
}

impl Iterator for Days {
    type Item = Vec<Row>;

    fn next(&mut self) -> Option<Vec<Row>> {
        let (days, events) = (u64::from(self.shape.days), self.shape.events);
        let day = u64::from(self.day);
        if day >= days {
            return None;
        }
        let mut left = events * (day + 1) / days - events * day / days;
        let mut rows = Vec::with_capacity(left as usize);
        while left > 0 {
            let length = self.rng.random_range(1..=11).min(left);
            self.visit(&mut rows, length);
            left -= length;
        }
        separate_times(&mut rows);
        rows.sort_unstable_by_key(|row| (row.time, row.user));
        self.day += 1;
        Some(rows)
    }
}

fn separate_times(rows: &mut [Row]) {
    let mut taken = HashSet::with_capacity(rows.len());
    for row in rows {
        while !taken.insert((row.user, row.time)) {
            row.time += 1;
        }
    }
}
