//! What one request showed of a project's data.

use footfall_ingest::{Accepted, Repair};

/// Samples that one request adds at most, of any reason.
const SAMPLES_MAX: usize = 8;
/// Characters of a sender's own text in a sample, and of what we say of it.
const TEXT_MAX: usize = 64;
const MESSAGE_MAX: usize = 256;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How far clocks were ahead, by upper bound.
pub(super) const AHEAD: [(&str, i64); 4] =
    [("up_to_1_minute", MINUTE_MS), ("up_to_1_hour", HOUR_MS), ("up_to_1_day", DAY_MS), ("over_1_day", i64::MAX)];
/// How old events were when they arrived, by upper bound.
pub(super) const AGES: [(&str, i64); 6] = [
    ("up_to_1_hour", HOUR_MS),
    ("up_to_1_day", DAY_MS),
    ("up_to_7_days", 7 * DAY_MS),
    ("up_to_30_days", 30 * DAY_MS),
    ("up_to_1_year", 365 * DAY_MS),
    ("over_1_year", i64::MAX),
];

/// Counts of one request's records that belong to one project.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub(super) repaired: [u64; Repair::ALL.len()],
    pub(super) ahead: [u64; AHEAD.len()],
    pub(super) ages: [u64; AGES.len()],
    pub(super) samples: Vec<Refused>,
}

/// A record that was refused, without any of its values but its id.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    pub reason: &'static str,
    /// Where in the record; names of properties are the sender's.
    pub field: String,
    pub message: String,
    /// `$insert_id`, `$distinct_id` or `$group_id`, cut.
    pub id: String,
}

impl Observed {
    /// An event that was accepted at `now_ms`.
    pub fn accepted(&mut self, accepted: &Accepted, now_ms: i64) {
        self.aged(now_ms.saturating_sub(accepted.event.time));
        if accepted.repairs.is_empty() {
            return;
        }
        for (kind, counter) in Repair::ALL.into_iter().zip(&mut self.repaired) {
            *counter += u64::from(accepted.repairs.contains(kind));
        }
        if accepted.repairs.contains(Repair::TimeAhead) {
            count(&AHEAD, &mut self.ahead, accepted.repairs.ahead_ms);
        }
    }

    /// An event of this age, of which nothing else is known.
    pub fn aged(&mut self, age_ms: i64) {
        count(&AGES, &mut self.ages, age_ms);
    }

    /// A record that was refused; the first few are kept as samples.
    pub fn refused(&mut self, refused: impl FnOnce() -> Refused) {
        if self.samples.len() < SAMPLES_MAX {
            let mut refused = refused();
            cut(&mut refused.field, TEXT_MAX);
            cut(&mut refused.id, TEXT_MAX);
            cut(&mut refused.message, MESSAGE_MAX);
            self.samples.push(refused);
        }
    }
}

fn count<const N: usize>(bounds: &[(&str, i64); N], counters: &mut [u64; N], value: i64) {
    let fits = bounds.iter().position(|(_, upper)| value <= *upper);
    if let Some(counter) = fits.and_then(|at| counters.get_mut(at)) {
        *counter += 1;
    }
}

fn cut(text: &mut String, chars_max: usize) {
    if let Some((end, _)) = text.char_indices().nth(chars_max) {
        text.truncate(end);
    }
}
