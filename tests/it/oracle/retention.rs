//! First-time retention (section 4.1, `retention_type=birth`, mode *on*): rolling intervals from each user's own birth.

use super::funnel::Timed;

/// Share of born users that came back in interval k, for k in 0…`intervals`. A user is born at the first `born` event;
/// a return is any later `back` event, or one at the same instant that is not the birth itself.
pub fn retention_birth<'a>(
    users: impl IntoIterator<Item = &'a [Timed<'a>]>,
    born: &str,
    back: &str,
    interval_ms: i64,
    intervals: usize,
) -> (u64, Vec<u64>) {
    let mut births = 0;
    let mut returned = vec![0; intervals];
    for events in users {
        let Some(birth) = events.iter().position(|event| event.event == born) else { continue };
        births += 1;
        let mut came = vec![false; intervals];
        for (place, event) in events.iter().enumerate() {
            let since = event.time_ms - events[birth].time_ms;
            if event.event != back || place == birth || since < 0 {
                continue;
            }
            if let Some(came) = usize::try_from(since / interval_ms).ok().and_then(|k| came.get_mut(k)) {
                *came = true;
            }
        }
        for (count, came) in returned.iter_mut().zip(came) {
            *count += u64::from(came);
        }
    }
    (births, returned)
}

#[test]
fn worked_example_of_the_page() {
    let at = |day: i64, hour: i64, event: &'static str| Timed { event, time_ms: (day * 24 + hour) * 3_600_000 };
    let ann = [at(1, 20, "Sign"), at(2, 6, "Open"), at(3, 21, "Open")];
    let bob = [at(1, 8, "Sign"), at(1, 9, "Open"), at(2, 9, "Open")];
    let answer = retention_birth([ann.as_slice(), bob.as_slice()], "Sign", "Open", 86_400_000, 3);
    assert_eq!(answer, (2, vec![2, 1, 1]));
}
