//! The claims of the module's header, by their plain definitions over a smaller shop.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::*;

const NOW: i64 = 1_761_050_400_123; // 2025-10-21T12:40:00.123Z, a Tuesday
const WEEK_MS: i64 = 7 * DAY_MS;

fn small_shop() -> Vec<Event> {
    ShopGenerator::new(ShopOptions { users: 4_000, ..ShopOptions::ending_at(NOW) }).collect()
}

fn property<'a>(event: &'a Event, name: &str) -> Option<&'a footfall_model::Value> {
    event.properties.iter().find(|(n, _)| n == name).map(|(_, value)| value)
}

/// Every person's events, devices resolved to the user they were ever seen with, in order.
fn by_user(events: &[Event]) -> BTreeMap<String, Vec<(i64, &str)>> {
    let mut owner = HashMap::new();
    for event in events {
        if let (Some(footfall_model::Value::Text(device)), Some(footfall_model::Value::Text(user))) =
            (property(event, "$device_id"), property(event, "$user_id"))
        {
            let first = owner.entry(format!("$device:{device}")).or_insert_with(|| user.clone());
            assert_eq!(first, user, "a device belongs to one user");
        }
    }
    let mut users: BTreeMap<String, Vec<(i64, &str)>> = BTreeMap::new();
    for event in events {
        let user = owner.get(&event.distinct_id).unwrap_or(&event.distinct_id);
        users.entry(user.clone()).or_default().push((event.time, &event.name));
    }
    users
}

/// How many steps the attempt reaches that enters at `entry`.
fn depth(events: &[(i64, &str)], entry: usize, steps: &[&str]) -> usize {
    let end = events[entry].0 + WEEK_MS;
    let mut reached = 1;
    for (time, name) in &events[entry + 1..] {
        if reached < steps.len() && *name == steps[reached] && *time <= end {
            reached += 1;
        }
    }
    reached
}

#[test]
fn events_ascend_and_none_is_later_than_now() {
    let events = small_shop();
    assert!(events.is_sorted_by_key(|event| event.time));
    assert!(events.iter().all(|event| event.time <= NOW));
    let days: BTreeSet<i64> = events.iter().map(|event| event.time / DAY_MS).collect();
    assert_eq!(days.len(), 90);
    assert_eq!(days.last(), Some(&(NOW / DAY_MS)));
}

#[test]
fn insert_ids_are_unique_and_well_formed() {
    let events = small_shop();
    let ids: BTreeSet<&str> = events.iter().map(|event| event.insert_id.as_str()).collect();
    assert_eq!(ids.len(), events.len());
    assert!(ids.iter().all(|id| id.len() == 16 && id.bytes().all(|b| b.is_ascii_alphanumeric())));
}

#[test]
fn later_on_the_same_day_the_same_events_come_first() {
    let options = ShopOptions { users: 500, ..ShopOptions::ending_at(NOW) };
    let earlier: Vec<Event> = ShopGenerator::new(options).collect();
    let later: Vec<Event> = ShopGenerator::new(ShopOptions { now_ms: NOW + 5 * 3_600_000, ..options }).collect();
    assert!(later.len() > earlier.len());
    assert_eq!(later[..earlier.len()], earlier);
}

#[test]
fn distinct_id_follows_the_ids_on_the_event() {
    for event in small_shop() {
        let expected = match (property(&event, "$user_id"), property(&event, "$device_id")) {
            (Some(footfall_model::Value::Text(user)), Some(_)) => user.clone(),
            (None, Some(footfall_model::Value::Text(device))) => format!("$device:{device}"),
            ids => panic!("every event carries its device, {ids:?}"),
        };
        assert_eq!(event.distinct_id, expected);
        let names: BTreeSet<&str> = event.properties.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.len(), event.properties.len(), "property names are unique");
    }
}

#[test]
fn the_sales_funnel_converts_5_to_60_percent_at_each_step() {
    const STEPS: [&str; 3] = ["Product Viewed", "Added to Cart", "Order Completed"];
    let events = small_shop();
    // From the first look in the period, and from whichever look leads furthest.
    for best_entry in [false, true] {
        let mut reached = [0u32; 3];
        for (_, events) in by_user(&events).iter().filter(|(id, _)| !id.starts_with("$device:")) {
            let mut entries = (0..events.len()).filter(|i| events[*i].1 == STEPS[0]).map(|i| depth(events, i, &STEPS));
            let deepest = if best_entry { entries.max() } else { entries.next() };
            (0..deepest.unwrap_or(0)).for_each(|step| reached[step] += 1);
        }
        for step in 1..3 {
            let ratio = f64::from(reached[step]) / f64::from(reached[step - 1]);
            assert!((0.05..=0.60).contains(&ratio), "step {step} converts {ratio:.3}, users {reached:?}");
        }
    }
}

#[test]
fn weekly_retention_falls_every_week_but_not_to_zero() {
    let mut returned: BTreeMap<i64, [u32; 12]> = BTreeMap::new();
    let events = small_shop();
    let first_day_ms = ShopOptions::ending_at(NOW).first_day_ms();
    for events in by_user(&events).values() {
        let Some(birth) = events.iter().find(|(_, name)| *name == "Sign Up").map(|(time, _)| *time) else { continue };
        let weeks: BTreeSet<i64> = events
            .iter()
            .filter(|(time, name)| *name == "Session Start" && *time >= birth)
            .map(|(time, _)| (time - birth) / WEEK_MS)
            .collect();
        let row = returned.entry((birth - first_day_ms) / WEEK_MS).or_default();
        weeks.iter().filter(|week| **week < 12).for_each(|week| row[*week as usize] += 1);
    }
    let mut total = [0u32; 12];
    for (cohort, row) in &returned {
        assert!(row.is_sorted_by(|a, b| a >= b), "cohort {cohort}: {row:?}");
        (0..12).for_each(|week| total[week] += row[week]);
    }
    assert!(total.is_sorted_by(|a, b| a > b), "{total:?}");
    assert!(total[11] > 0, "{total:?}");
    assert!(returned[&0][11] > 0, "{:?}", returned[&0]);
}

#[test]
fn the_default_shop_is_large_enough() {
    let options = ShopOptions::ending_at(NOW);
    let mut names: BTreeMap<String, u64> = BTreeMap::new();
    let mut users = BTreeSet::new();
    for event in ShopGenerator::new(options) {
        if let Some(footfall_model::Value::Text(user)) = property(&event, "$user_id") {
            users.insert(user.clone());
        }
        *names.entry(event.name).or_default() += 1;
    }
    let count: u64 = names.values().sum();
    assert!(count >= 1_000_000, "{count} events, {names:?}");
    assert!(users.len() >= 20_000, "{} known users", users.len());
    assert!(names.len() >= 12, "{names:?}");
}
