//! Each question twice: over segments ordered (event, user, time) and over segments ordered (user, time).
//!
//! A shard is answered on its own, day after day; answers of shards are added up. State is an array over the shard's users.

use crate::{
    data::{BASE_MS, DAY_MS, DAYS, EVENT, Failure, Order, TIME, UID, name},
    read::{ALL_NAMED, Run, Segment, by_key, numbers},
};

pub const WINDOW_MS: u64 = 7 * DAY_MS as u64;
const SESSION_GAP_MS: u64 = 30 * 60_000;
/// A project five and a half hours east of UTC: a segment's day is not a reporting day.
const ZONE_MS: i64 = 19_800_000;
const NONE: u64 = 0;

/// One number per step, day, or a single one.
pub type Answer = Vec<u64>;

#[derive(Clone, Debug)]
pub enum Question {
    /// Users who reach each step within 7 days of the first, longest chain; a step is any of its names.
    Funnel(Vec<Vec<usize>>),
    /// Events of one name by local day.
    CountByDay(usize),
    /// Distinct users by day, of one name or of all events.
    ActiveUsers(Option<usize>),
    /// Visits: a user's events with gaps under half an hour. Needs all events of a user in order.
    Sessions,
}

pub fn answer(question: &Question, order: Order, users: usize, days: &[Segment]) -> Result<Answer, Failure> {
    match (question, order) {
        (Question::Funnel(steps), Order::UserTime) => funnel_by_user(steps, users, days),
        (Question::Funnel(steps), Order::EventUserTime) if steps.iter().all(|names| names.len() == 1) => {
            funnel_by_runs(steps, users, days)
        }
        (Question::Funnel(steps), Order::EventUserTime) => funnel_by_sorting(steps, users, days),
        (Question::CountByDay(event), _) => count_by_day(*event, order, days),
        (Question::ActiveUsers(None), _) => active_users(order, users, days),
        (Question::ActiveUsers(Some(event)), _) => active_users_of(*event, order, users, days),
        (Question::Sessions, _) => sessions(order, users, days),
    }
}

/// Milliseconds since the start of the data, plus one, so that zero can mean "never".
fn relative(time: i64) -> u64 {
    (time - BASE_MS + 1) as u64
}

fn ordinal(uid: i64) -> usize {
    uid as u32 as usize
}

/// What a funnel remembers of a user.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// The newest step-1 event.
    first: u64,
    /// The newest step-1 event that a step-2 event followed in time.
    second: u64,
    depth: u8,
}

impl Progress {
    fn take(&mut self, step: u8, time: u64) {
        match step {
            1 => {
                self.first = time;
                self.depth = self.depth.max(1);
            }
            2 if self.first != NONE && time - self.first <= WINDOW_MS => {
                self.second = self.first;
                self.depth = self.depth.max(2);
            }
            3 if self.second != NONE && time - self.second <= WINDOW_MS => self.depth = 3,
            _ => {}
        }
    }
}

fn reached(users: &[Progress]) -> Answer {
    (1..=3).map(|step| users.iter().filter(|u| u.depth >= step).count() as u64).collect()
}

fn step_of(steps: &[Vec<usize>], word: &str) -> u8 {
    steps.iter().position(|names| names.iter().any(|n| name(*n) == word)).map_or(0, |i| i as u8 + 1)
}

fn funnel_by_user(steps: &[Vec<usize>], users: usize, days: &[Segment]) -> Result<Answer, Failure> {
    let mut progress = vec![Progress::default(); users];
    let mut matching: Vec<u32> = Vec::new();
    for day in days {
        let Some(batch) = day.read(&ALL_NAMED)? else { continue };
        let (uid, time) = (numbers(&batch, UID), numbers(&batch, TIME));
        let (step, keys) = by_key(&batch, EVENT, |word| step_of(steps, word));
        // Row numbers first, without a branch: most rows do not match.
        matching.resize(keys.len(), 0);
        let mut found = 0;
        for (row, key) in keys.iter().enumerate() {
            matching[found] = row as u32;
            found += usize::from(step[usize::from(*key)] != 0);
        }
        for row in &matching[..found] {
            let row = *row as usize;
            progress[ordinal(uid[row])].take(step[usize::from(keys[row])], relative(time[row]));
        }
    }
    Ok(reached(&progress))
}

/// User and time in one number that sorts as the pair does.
fn keys(run: &Run, out: &mut Vec<u64>) {
    out.clear();
    if let Some(times) = &run.time {
        let pairs = run.uid.values().iter().zip(times.values());
        out.extend(pairs.map(|(uid, time)| (ordinal(*uid) as u64) << 34 | relative(*time)));
    }
}

const TIME_BITS: u64 = (1 << 34) - 1;

/// One name per step: the day's three runs are walked together, what earlier days left is carried per user.
fn funnel_by_runs(steps: &[Vec<usize>], users: usize, days: &[Segment]) -> Result<Answer, Failure> {
    let names: Vec<usize> = steps.iter().map(|names| names[0]).collect();
    let (mut first_carry, mut second_carry, mut depths) = (vec![NONE; users], vec![NONE; users], vec![0u8; users]);
    let (mut first, mut second, mut third, mut starts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for day in days {
        let runs = day.read_runs(&names, true)?;
        keys(&runs[0], &mut first);
        keys(&runs[1], &mut second);
        keys(&runs[2], &mut third);
        starts.clear();
        let mut i = 0;
        for key in &second {
            while i < first.len() && first[i] <= *key {
                i += 1;
            }
            let user = (key >> 34) as usize;
            let today = i > 0 && first[i - 1] >> 34 == key >> 34;
            let start = if today { first[i - 1] & TIME_BITS } else { first_carry[user] };
            let follows = start != NONE && (key & TIME_BITS) - start <= WINDOW_MS;
            starts.push(if follows { start } else { NONE });
            depths[user] |= u8::from(follows) << 1;
        }
        let (mut i, mut current, mut newest) = (0, u64::MAX, NONE);
        for key in &third {
            let user = key >> 34;
            if user != current {
                current = user;
                newest = second_carry[user as usize];
            }
            while i < second.len() && second[i] <= *key {
                if second[i] >> 34 == user {
                    newest = newest.max(starts[i]);
                }
                i += 1;
            }
            let follows = newest != NONE && (key & TIME_BITS) - newest <= WINDOW_MS;
            depths[user as usize] |= u8::from(follows) << 2;
        }
        for key in &first {
            first_carry[(key >> 34) as usize] = key & TIME_BITS;
            depths[(key >> 34) as usize] |= 1;
        }
        for (key, start) in second.iter().zip(&starts) {
            let carry = &mut second_carry[(key >> 34) as usize];
            *carry = (*carry).max(*start);
        }
    }
    Ok((0..3).map(|step| depths.iter().filter(|d| *d >> step & 1 == 1).count() as u64).collect())
}

/// A day's rows of many runs, put into the order (user, time) by a radix sort of whole rows in one number each.
#[derive(Default)]
struct Day {
    /// From the top: ordinal, millisecond of the day (27 bits), step (2 bits).
    rows: Vec<u64>,
    spare: Vec<u64>,
    start: u64,
}

impl Day {
    fn begin(&mut self, day: usize) {
        self.rows.clear();
        self.start = day as u64 * DAY_MS as u64 + 1;
    }

    fn add(&mut self, step: u8, uid: &[i64], time: &[i64]) {
        let row = |(uid, time): (&i64, &i64)| {
            (ordinal(*uid) as u64) << 29 | (relative(*time) - self.start) << 2 | u64::from(step)
        };
        self.rows.extend(uid.iter().zip(time).map(row));
    }

    /// Four passes of 11 bits above the step: up to 2^17 users of a shard, every millisecond of a day.
    fn sort(&mut self) {
        const SHIFTS: [u32; 4] = [2, 13, 24, 35];
        let digit = |row: u64, shift: u32| (row >> shift) as usize & 0x7FF;
        let mut starts = vec![[0u32; 2048]; 4];
        for row in &self.rows {
            SHIFTS.iter().zip(&mut starts).for_each(|(shift, starts)| starts[digit(*row, *shift)] += 1);
        }
        self.spare.resize(self.rows.len(), 0);
        for (shift, starts) in SHIFTS.iter().zip(&mut starts) {
            let mut before = 0;
            for start in starts.iter_mut() {
                before += std::mem::replace(start, before);
            }
            for row in &self.rows {
                let place = &mut starts[digit(*row, *shift)];
                self.spare[*place as usize] = *row;
                *place += 1;
            }
            std::mem::swap(&mut self.rows, &mut self.spare);
        }
    }

    /// User, step and time of every row in order.
    fn each(&mut self, mut visit: impl FnMut(usize, u8, u64)) {
        self.sort();
        for row in &self.rows {
            visit((row >> 29) as usize, (row & 3) as u8, (row >> 2 & ((1 << 27) - 1)) + self.start);
        }
    }
}

/// Steps of several names each: too many runs to walk together, so the matching rows are put in order.
fn funnel_by_sorting(steps: &[Vec<usize>], users: usize, days: &[Segment]) -> Result<Answer, Failure> {
    let names: Vec<(u8, usize)> =
        steps.iter().zip(1..).flat_map(|(names, step)| names.iter().map(move |n| (step, *n))).collect();
    let events: Vec<usize> = names.iter().map(|(_, event)| *event).collect();
    let mut progress = vec![Progress::default(); users];
    let mut rows = Day::default();
    for (number, day) in days.iter().enumerate() {
        rows.begin(number);
        for ((step, _), run) in names.iter().zip(&day.read_runs(&events, true)?) {
            rows.add(*step, run.uid.values(), run.time.as_ref().map_or(&[], |time| time.values()));
        }
        rows.each(|user, step, time| progress[user].take(step, time));
    }
    Ok(reached(&progress))
}

fn count_by_day(event: usize, order: Order, days: &[Segment]) -> Result<Answer, Failure> {
    let mut counts = vec![0; DAYS + 1];
    let local_day = |time: i64| ((time - BASE_MS + ZONE_MS) / DAY_MS) as usize;
    for day in days {
        match order {
            Order::EventUserTime => {
                let Some(batch) = day.read_run_column(event, TIME)? else { continue };
                numbers(&batch, 0).iter().for_each(|time| counts[local_day(*time)] += 1);
            }
            Order::UserTime => {
                let Some(batch) = day.read(&[TIME, EVENT])? else { continue };
                let (wanted, keys) = by_key(&batch, 1, |word| word == name(event));
                for (key, time) in keys.iter().zip(numbers(&batch, 0)) {
                    counts[local_day(*time)] += u64::from(wanted[usize::from(*key)]);
                }
            }
        }
    }
    Ok(counts)
}

fn active_users(order: Order, users: usize, days: &[Segment]) -> Result<Answer, Failure> {
    let mut seen = Seen::new(users);
    let mut counts = Vec::with_capacity(days.len());
    for day in days {
        let Some(batch) = day.read(&[UID])? else { continue };
        let uid = numbers(&batch, 0);
        counts.push(match order {
            Order::EventUserTime => seen.count(uid.iter().copied()),
            Order::UserTime => 1 + uid.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64,
        });
    }
    Ok(counts)
}

fn active_users_of(event: usize, order: Order, users: usize, days: &[Segment]) -> Result<Answer, Failure> {
    let mut seen = Seen::new(users);
    let mut counts = Vec::with_capacity(days.len());
    for day in days {
        counts.push(match order {
            Order::EventUserTime => match day.read_run_column(event, UID)? {
                Some(batch) => 1 + numbers(&batch, 0).windows(2).filter(|pair| pair[0] != pair[1]).count() as u64,
                None => 0,
            },
            Order::UserTime => {
                let Some(batch) = day.read(&[UID, EVENT])? else { continue };
                let (wanted, keys) = by_key(&batch, 1, |word| word == name(event));
                let rows = keys.iter().zip(numbers(&batch, 0));
                seen.count(rows.filter(|(key, _)| wanted[usize::from(**key)]).map(|(_, uid)| *uid))
            }
        });
    }
    Ok(counts)
}

/// A set of users as bits, emptied after each count.
struct Seen(Vec<u64>);

impl Seen {
    fn new(users: usize) -> Self {
        Self(vec![0; users.div_ceil(64)])
    }

    fn count(&mut self, uids: impl Iterator<Item = i64>) -> u64 {
        uids.for_each(|uid| self.0[ordinal(uid) / 64] |= 1 << (ordinal(uid) % 64));
        let count = self.0.iter().map(|word| u64::from(word.count_ones())).sum();
        self.0.fill(0);
        count
    }
}

fn sessions(order: Order, users: usize, days: &[Segment]) -> Result<Answer, Failure> {
    let mut last = vec![NONE; users];
    let mut count = 0;
    let mut take = |user: usize, time: u64| {
        count += u64::from(last[user] == NONE || time - last[user] >= SESSION_GAP_MS);
        last[user] = time;
    };
    let mut rows = Day::default();
    for (number, day) in days.iter().enumerate() {
        let Some(batch) = day.read(&[UID, TIME])? else { continue };
        let (uid, time) = (numbers(&batch, UID), numbers(&batch, TIME));
        match order {
            Order::UserTime => uid.iter().zip(time).for_each(|(uid, time)| take(ordinal(*uid), relative(*time))),
            Order::EventUserTime => {
                rows.begin(number);
                rows.add(0, uid, time);
                rows.each(|user, _, time| take(user, time));
            }
        }
    }
    Ok(vec![count])
}
