//! The recent events against the oracle: in memory, half flushed, flushed, after a restart; whole projects and one user.

use serde_json::Value;

use super::wanted::{filters, wanted_by_all};
use super::{as_sent, received_at, recent, sent};
use crate::generate::random_events;
use crate::harness::{Project, Server, ServerOptions, now_ms, parquet_files, seed};
use crate::oracle::RawEvent;

/// What a client expects to see, in order of arrival: of several copies the last one that differs.
#[derive(Default)]
struct Arrivals(Vec<RawEvent>);

impl Arrivals {
    async fn import(&mut self, project: &Project, events: &[RawEvent]) {
        project.import(&events.iter().map(RawEvent::to_json).collect::<Vec<_>>()).await;
        for event in events {
            let same = |known: &RawEvent| {
                (&known.event, &known.distinct_id, known.time_ms, &known.insert_id)
                    == (&event.event, &event.distinct_id, event.time_ms, &event.insert_id)
            };
            match self.0.iter().position(same) {
                Some(place) if self.0[place] == *event => continue,
                Some(place) => drop(self.0.remove(place)),
                None => {}
            }
            self.0.push(event.clone());
        }
    }

    fn last(&self, limit: usize, keeps: impl Fn(&RawEvent) -> bool) -> Vec<Value> {
        self.0.iter().rev().filter(|event| keeps(event)).take(limit).map(sent).collect()
    }

    /// Asks with every filter.
    async fn check_limit(&self, limit: usize, state: &str, project: &Project) {
        let limit_text = limit.to_string();
        for filter in filters() {
            let mut query = filter.query.clone();
            query.push(("limit", &limit_text));
            let shown: Vec<_> = recent(project, &query).await.iter().map(as_sent).collect();
            assert_eq!(shown, self.last(limit, filter.keeps), "{state}: {query:?}");
        }
    }

    /// Asks with every filter, for few and for all, and page by page.
    async fn check(&self, state: &str, project: &Project) {
        for limit in [1, 7, 1_000] {
            self.check_limit(limit, state, project).await;
        }
        let (mut pages, mut before) = (Vec::new(), String::new());
        loop {
            let page = recent(project, &[("limit", "97"), ("before", &before)]).await;
            let Some(last) = page.last() else { break };
            before = received_at(last).to_string();
            pages.extend(page.iter().map(as_sent));
        }
        assert_eq!(pages, self.last(usize::MAX, |_| true), "{state}: all pages");
    }
}

/// Events with copies among them: the same again, and changed.
fn events_with_copies() -> Vec<RawEvent> {
    let mut events: Vec<_> =
        random_events(seed(7), 350).into_iter().enumerate().map(|(n, event)| event.with("n", n)).collect();
    for n in (0..350).step_by(7) {
        let copy = events[n].clone();
        events.push(if n % 2 == 0 { copy } else { copy.with("changed", n) });
    }
    events.push(wanted_by_all("one-for-every-filter"));
    events
}

#[tokio::test]
async fn recent_events_are_the_oracles_whatever_has_been_flushed() {
    let mut server = Server::start(ServerOptions::flushing_every(110)).await;
    let project = server.create_project("recent").await;
    let mut arrivals = Arrivals::default();
    assert!(recent(&project, &[]).await.is_empty());
    for batch in events_with_copies().chunks(90) {
        arrivals.import(&project, batch).await;
        arrivals.check_limit(20, "while flushes go on", &project).await;
    }
    assert!(!parquet_files(&server.data_dir()).is_empty(), "flushes went on");
    server.restart().await;
    arrivals.check("all flushed", &project).await;
    let again = RawEvent::new("Buy", "user-3", now_ms(), "after-the-restart").with("n", 5_000);
    arrivals.import(&project, &[again]).await;
    arrivals.check("one live row on top", &project).await;
}

#[tokio::test]
async fn recent_events_need_no_flush_and_survive_a_kill() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("recent").await;
    let mut arrivals = Arrivals::default();
    for batch in events_with_copies().chunks(70) {
        arrivals.import(&project, batch).await;
        let newest = recent(&project, &[("limit", "1")]).await;
        assert_eq!(newest.iter().map(as_sent).collect::<Vec<_>>(), arrivals.last(1, |_| true), "at once");
    }
    arrivals.check("in memory", &project).await;
    let files = parquet_files(&server.data_dir());
    assert!(files.is_empty(), "nothing has been flushed, yet there are {files:?}");
    server.kill().await;
    server.start_again().await;
    arrivals.check("replayed from the log", &project).await;
}
