//! Which runs to merge. Pure: what it is told is all it knows.
//!
//! **Tiers.** A run's tier is the power of four of its rows. Four runs of one tier are merged, with all that is below
//! them, so every row of the result is in a higher tier than it was: a row is rewritten at most as often as there are
//! tiers, about twelve for sixteen million rows, and a shard and day never has more than three runs a tier for long. Late
//! data goes the same way among itself, and does not touch a large old run.
//!
//! **Quiet.** When nothing has arrived for a while the rest is merged to one run. Merging a small run with a large one
//! costs the large one, so the while is long in proportion: `quiet` times the bytes rewritten for each byte that is new,
//! at most a day. A day that gets a straggler every ten minutes has few runs, one that gets one a week has one run.
//!
//! **Bound.** No run is made larger than `bytes_max` or `rows_max`: a flush that replaces a row rewrites its run, and a
//! rewrite has whole files in memory. A run of more than half of that is left as it is.

use std::time::Duration;

use roaring::RoaringBitmap;

/// Runs of one tier that are merged.
const FANOUT: usize = 4;
/// At most so many at once: each is a file in memory.
const RUNS_MAX: usize = 64;
/// Quiet for so long is quiet enough, whatever it costs.
const QUIET_MAX: Duration = Duration::from_secs(86_400);

/// Plain settings of compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionPolicy {
    /// How long nothing arrives until runs of equal size are merged to one.
    pub quiet: Duration,
    pub bytes_max: u64,
    pub rows_max: u64,
}

/// How much is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompactionMode {
    /// What is worth its cost now.
    Due,
    /// Everything that had arrived by then, in microseconds since the epoch, as if it had been quiet for ever.
    Full { arrived_by: i64 },
}

impl CompactionMode {
    /// Whether rows that arrived at a time, in microseconds since the epoch, are to be merged at all.
    pub(crate) fn includes(self, arrived_at: i64) -> bool {
        match self {
            Self::Due => true,
            Self::Full { arrived_by } => arrived_at <= arrived_by,
        }
    }
}

/// A run as the policy sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    pub rows: u64,
    pub bytes: u64,
    /// How long ago its last row arrived.
    pub age: Duration,
    /// The next flush rewrites it.
    pub is_masked: bool,
}

impl Run {
    fn tier(&self) -> u32 {
        self.rows.max(1).ilog2() / FANOUT.ilog2()
    }

    /// Rows of it that a later copy replaced.
    pub fn has_masked(masked: Option<&RoaringBitmap>) -> bool {
        masked.is_some_and(|rows| !rows.is_empty())
    }
}

/// Runs to merge into one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Choice {
    /// Places among the runs given, ascending.
    pub runs: Vec<usize>,
    pub bytes: u64,
}

impl Choice {
    /// Files fewer for each megabyte rewritten: of several choices the highest goes first.
    pub fn gain(&self) -> f64 {
        const OPENING_BYTES: f64 = 65_536.0;
        (self.runs.len() - 1) as f64 / (self.bytes as f64 + OPENING_BYTES)
    }
}

/// What to merge of the runs of one shard and day; `None` if they are well as they are.
pub(crate) fn choose(policy: &CompactionPolicy, mode: CompactionMode, runs: &[Run]) -> Option<Choice> {
    let is_large = |run: &Run| run.bytes > policy.bytes_max / 2 || run.rows > policy.rows_max / 2;
    let mut small: Vec<usize> = Vec::new();
    for (place, run) in runs.iter().enumerate() {
        if !is_large(run) && !run.is_masked {
            small.push(place);
        }
    }
    // A stable order: of equal runs the older go first.
    small.sort_by_key(|place| runs.get(*place).map_or(0, |run| run.rows));
    let wanted = match mode {
        CompactionMode::Full { .. } => small.len(),
        CompactionMode::Due => due(policy, runs, &small),
    };
    small.truncate(wanted);
    packed(policy, runs, small)
}

/// What to merge of files that have to stay in the order in which they are: neighbours alone. `None` if they are well as
/// they are.
pub(crate) fn choose_neighbours(policy: &CompactionPolicy, mode: CompactionMode, files: &[Run]) -> Option<Choice> {
    let is_large = |run: &Run| run.bytes > policy.bytes_max / 2 || run.rows > policy.rows_max / 2;
    // Stretches of small files with nothing else between them.
    let places: Vec<usize> = (0..files.len()).collect();
    let stretches = || places.split(|place| files.get(*place).is_none_or(is_large));
    if mode == CompactionMode::Due {
        let tiers = files.iter().map(Run::tier).max().unwrap_or(0);
        let tier_of = |place: &usize| files.get(*place).map_or(u32::MAX, Run::tier);
        for tier in 0..=tiers {
            let mut of_tier = stretches().flat_map(|stretch| stretch.split(|place| tier_of(place) > tier));
            let full = of_tier.find(|run| run.iter().filter(|place| tier_of(place) == tier).count() >= FANOUT);
            if let Some(choice) = full.and_then(|stretch| packed(policy, files, stretch.to_vec())) {
                return Some(choice);
            }
        }
    }
    stretches().find_map(|stretch| {
        let wanted = match mode {
            CompactionMode::Full { .. } => stretch.len(),
            CompactionMode::Due if is_quiet(policy, files, stretch) => stretch.len(),
            CompactionMode::Due => 0,
        };
        packed(policy, files, stretch.iter().take(wanted).copied().collect())
    })
}

/// As many of these as fit into one file.
fn packed(policy: &CompactionPolicy, runs: &[Run], places: Vec<usize>) -> Option<Choice> {
    let mut chosen = Vec::new();
    let (mut rows, mut bytes) = (0_u64, 0_u64);
    for place in places.into_iter().take(RUNS_MAX) {
        let Some(run) = runs.get(place) else { continue };
        if rows + run.rows > policy.rows_max || bytes + run.bytes > policy.bytes_max {
            break;
        }
        (rows, bytes) = (rows + run.rows, bytes + run.bytes);
        chosen.push(place);
    }
    chosen.sort_unstable();
    (chosen.len() > 1).then_some(Choice { runs: chosen, bytes })
}

/// How many of the smallest runs are due.
fn due(policy: &CompactionPolicy, runs: &[Run], small: &[usize]) -> usize {
    let of = |place: &usize| runs.get(*place);
    let tiers: Vec<u32> = small.iter().filter_map(of).map(Run::tier).collect();
    // The smallest runs up to the end of the lowest tier that is full.
    let full = tiers.windows(FANOUT).position(|window| window.first() == window.last());
    if let Some(start) = full {
        let tier = tiers.get(start);
        return tiers.iter().rposition(|t| Some(t) == tier).map_or(0, |last| last + 1);
    }
    if is_quiet(policy, runs, small) { small.len() } else { 0 }
}

/// Whether nothing has arrived for long enough to merge these to one.
fn is_quiet(policy: &CompactionPolicy, runs: &[Run], small: &[usize]) -> bool {
    // Large runs and masked ones count as well: the day is not quiet while they are new.
    let Some(age) = runs.iter().map(|run| run.age).min() else { return false };
    let bytes = small.iter().filter_map(|place| runs.get(*place)).map(|run| run.bytes);
    let (total, largest) = (bytes.clone().sum::<u64>(), bytes.max().unwrap_or(0));
    let new = total.saturating_sub(largest).max(1);
    let patience = policy.quiet.saturating_mul(u32::try_from(total / new).unwrap_or(u32::MAX));
    age >= patience.min(QUIET_MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: CompactionPolicy =
        CompactionPolicy { quiet: Duration::from_secs(60), bytes_max: 1 << 33, rows_max: 1 << 28 };

    const FULL: CompactionMode = CompactionMode::Full { arrived_by: i64::MAX };

    fn run(rows: u64, age_s: u64) -> Run {
        Run { rows, bytes: rows * 20 + 2_000, age: Duration::from_secs(age_s), is_masked: false }
    }

    fn chosen(runs: &[Run]) -> Vec<usize> {
        choose(&POLICY, CompactionMode::Due, runs).map_or(Vec::new(), |choice| choice.runs)
    }

    #[test]
    fn four_of_a_tier_are_merged_with_what_is_below_and_large_ones_are_left() {
        let large = run(3_000_000, 0);
        assert_eq!(chosen(&[large.clone(), run(70, 0), run(90, 0), run(100, 0)]), [] as [usize; 0]);
        assert_eq!(chosen(&[large, run(70, 0), run(90, 0), run(3, 0), run(100, 0), run(80, 0)]), [1, 2, 3, 4, 5]);
        let masked = Run { is_masked: true, ..run(80, 0) };
        assert_eq!(chosen(&[run(70, 0), run(90, 0), run(100, 0), masked]), [] as [usize; 0], "a flush rewrites it");
    }

    #[test]
    fn a_quiet_day_ends_with_one_run_and_a_straggler_waits_in_proportion() {
        assert_eq!(chosen(&[run(50_000, 130), run(60_000, 130)]), [0, 1]);
        assert_eq!(chosen(&[run(50_000, 130), run(60_000, 100)]), [] as [usize; 0], "not quiet yet");
        let straggler = |age_s| [run(1_000_000, 9_999_999), run(1, age_s)];
        assert_eq!(chosen(&straggler(3_600)), [] as [usize; 0], "20 MB for one row");
        assert_eq!(chosen(&straggler(86_400)), [0, 1]);
        assert_eq!(choose(&POLICY, FULL, &straggler(0)).map(|choice| choice.runs), Some(vec![0, 1]));
        assert_eq!(chosen(&[run(5, 1 << 40)]), [] as [usize; 0]);
        assert_eq!(chosen(&[]), [] as [usize; 0]);
    }

    #[test]
    fn of_ordered_files_neighbours_are_merged() {
        let neighbours = |mode, files: &[Run]| choose_neighbours(&POLICY, mode, files).map(|choice| choice.runs);
        let files = [run(9_000, 0), run(70, 0), run(90, 0), run(3, 0), run(100, 0), run(80, 0)];
        assert_eq!(neighbours(CompactionMode::Due, &files), Some(vec![1, 2, 3, 4, 5]));
        assert_eq!(neighbours(CompactionMode::Due, &files[..4]), None);
        let large = Run { bytes: POLICY.bytes_max, ..run(9, 99_999) };
        let split = [run(70, 99_999), large.clone(), run(90, 99_999), run(3, 99_999), large, run(5, 99_999)];
        assert_eq!(neighbours(CompactionMode::Due, &split), Some(vec![2, 3]));
        assert_eq!(neighbours(FULL, &split[..2]), None);
    }

    #[test]
    fn no_run_grows_beyond_the_bound() {
        let half = run(POLICY.rows_max / 2 - 1, 0);
        let all = [half.clone(), half.clone(), half.clone()];
        assert_eq!(choose(&POLICY, FULL, &all).map(|choice| choice.runs), Some(vec![0, 1]));
        let large = Run { bytes: POLICY.bytes_max, ..run(1_000, 0) };
        assert_eq!(choose(&POLICY, FULL, &[large, half]), None);
    }

    proptest! {
        /// What comes in any sizes, with stragglers and pauses: few runs at any time, few rewrites of each row, and in
        /// the end one run.
        #[test]
        fn runs_stay_few_and_rewrites_bounded(
            flushes in prop::collection::vec((1_u64..5_000, prop::bool::weighted(0.1)), 1..400)
        ) {
            let mut runs: Vec<Run> = Vec::new();
            let (mut arrived, mut rewritten) = (0, 0);
            let mut settle = |runs: &mut Vec<Run>, mode| {
                while let Some(choice) = choose(&POLICY, mode, runs) {
                    let rows = choice.runs.iter().map(|place| runs[*place].rows).sum();
                    let age_s = choice.runs.iter().map(|place| runs[*place].age.as_secs()).min().unwrap();
                    rewritten += rows;
                    for place in choice.runs.iter().rev() {
                        runs.remove(*place);
                    }
                    runs.push(run(rows, age_s));
                }
                rewritten
            };
            for (rows, is_large) in flushes {
                let rows = if is_large { rows * 50 } else { rows };
                arrived += rows;
                runs.push(run(rows, 0));
                let rewritten = settle(&mut runs, CompactionMode::Due);
                let tiers = arrived.ilog2() / 2 + 1;
                prop_assert!(runs.len() <= 3 * tiers as usize, "{} runs of {arrived} rows", runs.len());
                prop_assert!(rewritten <= arrived * u64::from(tiers), "{rewritten} rewritten of {arrived}");
            }
            for run in &mut runs {
                run.age = QUIET_MAX;
            }
            settle(&mut runs, CompactionMode::Due);
            prop_assert_eq!(runs.len(), 1);
        }
    }
}
