//! The demo's shop behaves like one: a funnel that loses people, customers who drift away, ninety days ending today.
//!
//! Its numbers are computed by the oracle from the rows that SQL returns.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::harness::{DAY_MS, Server, ServerOptions, now_ms};
use crate::oracle::{Timed, funnel_loose, retention_birth};

const FUNNEL: [&str; 3] = ["Product Viewed", "Added to Cart", "Order Completed"];
const BORN: &str = "Sign Up";
const BACK: &str = "Session Start";
const LOADED_WITHIN: Duration = Duration::from_secs(600);
/// Begins what is printed once all is loaded: the address, and three things to try.
const WELCOME: &str = "footfall serves";

/// Waits until the demo has welcomed `times` times.
async fn welcomed(server: &Server, times: usize) {
    let told = async {
        while server.log().matches(WELCOME).count() < times {
            sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(timeout(LOADED_WITHIN, told).await.is_ok(), "the demo did not finish loading:\n{}", server.log());
}

async fn query(server: &Server, sql: &str) -> Vec<Vec<String>> {
    let output = server.cli(&["sql", "--project", "demo", sql, "--format", "csv"]).await.succeeded().stdout;
    output.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

async fn number(server: &Server, sql: &str) -> i64 {
    query(server, sql).await[0][0].parse().expect("a number")
}

/// Each user's events of some names, in order of time.
async fn events_by_user(server: &Server, names: &[&str]) -> Vec<Vec<(String, i64)>> {
    let list = names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT user_id, event, CAST(time AS BIGINT) FROM events WHERE event IN ({list})");
    let mut users: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
    for row in query(server, &sql).await {
        let [user, event, time] = row.try_into().expect("three columns");
        users.entry(user).or_default().push((event, time.parse().expect("milliseconds")));
    }
    let mut users = users.into_values().collect::<Vec<_>>();
    users.iter_mut().for_each(|events| events.sort_by_key(|(_, time)| *time));
    users
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shop_has_a_funnel_and_its_retention_falls() {
    let mut server = Server::start(ServerOptions::demo()).await;
    welcomed(&server, 1).await;
    let log = server.log();
    assert!(log.contains(&server.base()), "the address is printed:\n{log}");
    assert_eq!(
        log.matches("  curl ").count() + log.matches(" sql --data-dir ").count(),
        3,
        "three things to try:\n{log}"
    );
    let counts = "SELECT count(*) FROM events";
    let events = number(&server, counts).await;
    let users = number(&server, "SELECT count(DISTINCT user_id) FROM events").await;
    assert!(events >= 1_000_000 && users >= 20_000, "{events} events of {users} users");

    let first = number(&server, "SELECT CAST(min(time) AS BIGINT) FROM events").await;
    let last = number(&server, "SELECT CAST(max(time) AS BIGINT) FROM events").await;
    let now = now_ms();
    assert!(last <= now && last > now - 2 * DAY_MS, "the last event is of today, {} days ago", (now - last) / DAY_MS);
    let days = number(&server, "SELECT count(DISTINCT CAST(time AS DATE)) FROM events").await;
    assert_eq!(days, 90, "ninety days");
    let anonymous = number(&server, "SELECT count(*) FROM events WHERE distinct_id LIKE '$device:%'").await;
    assert!(anonymous > 0 && anonymous < events, "people come anonymous and then sign in: {anonymous} of {events}");

    let rows = events_by_user(&server, &[&FUNNEL[..], &[BORN, BACK]].concat()).await;
    let users = rows
        .iter()
        .map(|events| events.iter().map(|(event, time_ms)| Timed { event, time_ms: *time_ms }).collect::<Vec<_>>());
    let users = users.collect::<Vec<_>>();
    let reached = funnel_loose(users.iter().map(Vec::as_slice), &FUNNEL, 7 * DAY_MS, first..last + 1);
    let converted = reached[2] as f64 / reached[0] as f64;
    println!("funnel {reached:?}: {:.1} %", converted * 100.0);
    assert!(reached[0] > 1_000 && reached[0] > reached[1] && reached[1] > reached[2], "{reached:?}");
    assert!((0.05..=0.60).contains(&converted), "{converted}");

    // Only those whose eight weeks are over: for the others absence is not yet known.
    let eight_weeks = 8 * 7 * DAY_MS;
    let ripe = users.iter().filter(|events| events.iter().any(|e| e.event == BORN && e.time_ms + eight_weeks <= last));
    let (births, returned) = retention_birth(ripe.map(Vec::as_slice), BORN, BACK, 7 * DAY_MS, 8);
    println!("{births} born, back in week k: {returned:?}");
    assert!(births > 1_000 && returned[7] > 0, "someone stays");
    assert!(returned.windows(2).all(|weeks| weeks[1] < weeks[0]), "each week fewer come back: {returned:?}");

    server.stop().await;
    server.start_again().await;
    welcomed(&server, 2).await;
    assert_eq!(number(&server, counts).await, events, "the demo loads once");
    server.stop().await;
}
