//! A view answers like its statement, whatever state its cells are in.

use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use chrono::DateTime;
use chrono_tz::Tz;
use datafusion::physical_plan::collect;
use footfall_model::{Event, ProjectId, Value};
use footfall_storage::views::{View, ViewCreation, Views};
use futures::TryStreamExt;
use object_store::memory::InMemory;

use super::{ViewPlan, ViewRefresh};
use crate::catalog::Properties;
use crate::compile::Clock;
use crate::fixture::Fixture;

const DAY: i64 = 86_400_000;
const START: i64 = 19_700 * DAY;

const CLOCK: Clock = Clock { now: 1_700_000_000, timezone: Tz::UTC };

const STATEMENTS: [&str; 12] = [
    "SELECT CAST(time AS DATE) AS day, event, count(*) AS n, count(DISTINCT user_id) AS users FROM events GROUP BY 1, 2",
    "SELECT count(*), sum(n), min(time), max(n), avg(n), count(DISTINCT event) FROM events WHERE n > 7",
    "SELECT user_id, count(*) AS n FROM events GROUP BY user_id",
    "SELECT avg(n) FROM (SELECT user_id, count(*) AS n FROM events GROUP BY user_id)",
    "SELECT event, median(n), round(stddev(n), 6) FROM events GROUP BY event HAVING count(*) > 3 ORDER BY event LIMIT 2",
    "SELECT DISTINCT event FROM events",
    "SELECT event, n FROM events WHERE n % 11 = 0",
    "SELECT event, n FROM events WHERE n > 3 ORDER BY n DESC, event LIMIT 5",
    "SELECT event, n, row_number() OVER (PARTITION BY event ORDER BY n) AS place FROM events WHERE n < 20",
    "SELECT event, sum(n) FILTER (WHERE n > 5), count(*) FROM events WHERE event = 'Play' GROUP BY event",
    "SELECT expr('properties[\"n\"] % 3') AS third, count(*) FROM events WHERE expr('properties[\"n\"] > 7') GROUP BY 1",
    "SELECT expr('floor(properties[\"n\"] / 9)') AS ninth FROM events WHERE expr('year(properties[\"$time\"]) == 2023')",
];

fn event(i: i64, name: &str, n: Value) -> Event {
    Event {
        name: name.to_owned(),
        distinct_id: format!("u{}", i % 37),
        time: START + (i % 5) * DAY + i * 1000,
        insert_id: format!("{name}-{i}"),
        insert_id_generated: false,
        properties: vec![("n".to_owned(), n)],
    }
}

fn events(name: &str, numbers: std::ops::Range<i64>) -> Vec<Event> {
    numbers.map(|i| event(i, name, Value::Int(i))).collect()
}

fn sorted(batches: &[arrow::array::RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(batches).unwrap().to_string();
    let mut lines: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    lines.retain(|line| !line.starts_with("+-"));
    lines.sort();
    lines
}

struct Shop {
    fixture: Fixture,
    views: Views,
    made: Vec<View>,
}

impl Shop {
    async fn new() -> Self {
        let views = Views::new(Arc::new(InMemory::new()), ProjectId(1));
        let mut made = Vec::new();
        for (number, sql) in STATEMENTS.iter().enumerate() {
            let at = DateTime::from_timestamp(0, 0).unwrap();
            let ViewCreation::Created(view) = views.create(&format!("v{number}"), sql, at).await.unwrap() else {
                panic!()
            };
            made.push(view);
        }
        Self { fixture: Fixture::new().await, views, made }
    }

    async fn plan(&self, sql: &str) -> ViewPlan {
        let snapshot = Arc::new(self.fixture.store.snapshot().unwrap());
        ViewPlan::new(&self.fixture.sessions, snapshot, sql, &CLOCK).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    async fn refresh(&self) -> Vec<ViewRefresh> {
        let mut done = Vec::new();
        for view in &self.made {
            done.push(self.plan(&view.sql).await.refresh(&self.views, view).await.unwrap());
        }
        done
    }

    async fn check(&self, state: &str) {
        for view in &self.made {
            let snapshot = Arc::new(self.fixture.store.snapshot().unwrap());
            let context = self.fixture.sessions.sql_context(&snapshot, Properties::All, &CLOCK).unwrap();
            let want = crate::sql::run(&context, &view.sql, &[]).await.unwrap().try_collect::<Vec<_>>().await.unwrap();
            let answer = self.plan(&view.sql).await.answer(&self.views, view).await.unwrap();
            let got = collect(answer, context.task_ctx()).await.unwrap();
            assert_eq!(sorted(&got), sorted(&want), "{state}: {}", view.sql);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_answers_like_its_statement_and_computes_only_what_changed() {
    let shop = Shop::new().await;
    shop.fixture.append(events("Play", 0..200)).await;
    shop.check("live").await;
    shop.fixture.store.flush().await.unwrap();
    shop.check("flushed").await;
    for refresh in shop.refresh().await {
        assert!(refresh.computed >= 15 && refresh.kept == 0, "{refresh:?}");
    }
    shop.check("refreshed").await;
    for refresh in shop.refresh().await {
        assert!(refresh.computed == 0 && refresh.kept >= 15 && refresh.swept == 0, "{refresh:?}");
    }
    // Live rows beside cells; then a day that has grown, late; then a copy that replaces a flushed row.
    shop.fixture.append(events("Stop", 200..210)).await;
    shop.check("cells and live rows").await;
    shop.fixture.store.flush().await.unwrap();
    shop.check("cells, some of them outdated").await;
    shop.fixture.append(vec![event(5, "Play", Value::Int(5_000))]).await;
    shop.check("a replaced row").await;
    shop.fixture.store.flush().await.unwrap();
    for refresh in shop.refresh().await {
        assert!(refresh.computed > 0 && refresh.kept > 0 && refresh.swept >= refresh.computed, "{refresh:?}");
    }
    shop.check("refreshed again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_property_that_changes_its_type_makes_old_cells_unusable() {
    let shop = Shop::new().await;
    shop.fixture.append(events("Play", 0..50)).await;
    shop.fixture.store.flush().await.unwrap();
    shop.refresh().await;
    shop.fixture.append(vec![event(60, "Play", Value::Float(0.5))]).await;
    shop.fixture.store.flush().await.unwrap();
    shop.check("integers and doubles").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_refused() {
    let shop = Shop::new().await;
    shop.fixture.append(events("Play", 0..5)).await;
    for (sql, reason) in [
        ("SELECT count(*) FROM events WHERE time > now()", "now()"),
        ("SELECT random() FROM events", "random()"),
        ("SELECT count(*) FROM events WHERE expr('datetime(NOW - 60) < properties[\"$time\"]')", "NOW"),
        ("SELECT expr('string(TODAY())'), count(*) FROM events GROUP BY 1", "today()"),
        ("SELECT count(*) FROM events WHERE expr('flor(1)')", "floor"),
        ("SELECT count(*) FROM events a JOIN events b ON a.event = b.event", "once"),
        ("SELECT count(*) FROM rejected_events", "events"),
        ("SELECT 1", "events"),
        ("SELECT nope FROM events", "nope"),
        ("DELETE FROM events", ""),
        ("EXPLAIN SELECT count(*) FROM events", ""),
    ] {
        let snapshot = Arc::new(shop.fixture.store.snapshot().unwrap());
        let refused = ViewPlan::new(&shop.fixture.sessions, snapshot, sql, &CLOCK).await;
        let message = refused.err().unwrap_or_else(|| panic!("{sql} was taken")).to_string();
        assert!(message.contains(reason), "{sql}: {message}");
    }
}
