//! The default funnel attempt, uniques (sections 3.1 and 3.2): loose order, first entry in range, two seconds' grace.

use std::ops::Range;

const GRACE_MS: i64 = 2_000;

/// One event of one user; a user's events are given in (time, arrival).
#[derive(Clone, Copy, Debug)]
pub struct Timed<'a> {
    pub event: &'a str,
    pub time_ms: i64,
}

/// How many users reached each step. `users` holds each user's events in order; entries lie in `range`.
pub fn funnel_loose<'a>(
    users: impl IntoIterator<Item = &'a [Timed<'a>]>,
    steps: &[&str],
    window_ms: i64,
    range: Range<i64>,
) -> Vec<u64> {
    let mut reached = vec![0; steps.len()];
    for events in users {
        let depth = attempt(events, steps, window_ms, &range);
        for count in &mut reached[..depth] {
            *count += 1;
        }
    }
    reached
}

fn attempt(events: &[Timed], steps: &[&str], window_ms: i64, range: &Range<i64>) -> usize {
    let entry = events.iter().position(|event| event.event == steps[0] && range.contains(&event.time_ms));
    let Some(entry) = entry else { return 0 };
    let last_instant = events[entry].time_ms + window_ms;
    let mut used = vec![entry];
    for step in &steps[1..] {
        let earliest = events[used[used.len() - 1]].time_ms - GRACE_MS;
        let next = events.iter().enumerate().position(|(place, event)| {
            event.event == *step && !used.contains(&place) && (earliest..=last_instant).contains(&event.time_ms)
        });
        let Some(next) = next else { break };
        used.push(next);
    }
    used.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn check(events: &[(i64, &'static str)], steps: &[&str], window_ms: i64, expect: &[u64]) {
        let user = events.iter().map(|(time_ms, event)| Timed { event, time_ms: *time_ms }).collect::<Vec<_>>();
        assert_eq!(funnel_loose([user.as_slice()], steps, window_ms, 0..DAY), expect, "{events:?} {steps:?}");
    }

    #[test]
    fn worked_examples_of_the_page() {
        check(&[(0, "A"), (1, "B"), (2, "D"), (3, "C"), (4, "D"), (5, "E")], &["A", "B", "C", "D", "E"], DAY, &[1; 5]);
        check(&[(0, "C"), (0, "B"), (0, "A")], &["A", "B", "C"], DAY, &[1, 1, 1]);
        check(&[(0, "B"), (2_000, "A")], &["A", "B"], DAY, &[1, 1]);
        check(&[(0, "B"), (3_000, "A")], &["A", "B"], DAY, &[1, 0]);
        check(&[(0, "A"), (5, "A")], &["A", "A"], DAY, &[1, 1]);
        check(&[(0, "A")], &["A", "A"], DAY, &[1, 0]);
        let hour = 3_600_000;
        check(
            &[(0, "A"), (hour / 2, "A"), (hour * 3 / 4, "B"), (hour * 5 / 4, "C")],
            &["A", "B", "C"],
            hour,
            &[1, 1, 0],
        );
    }
}
