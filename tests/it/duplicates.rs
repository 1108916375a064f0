//! One event per (event, distinct_id, time, `$insert_id`): the latest arrival's properties, at any distance, in any state.

use serde_json::{Value, json};

use crate::harness::{Project, Reply, Server, ServerOptions};
use crate::oracle::{RawEvent, surviving};

const NOON: i64 = 1_704_196_800_000;
const DAY: &str = "2024-01-02";

fn event(insert_id: &str, version: i64) -> RawEvent {
    RawEvent::new("Paid", "ann", NOON, insert_id).with("version", version).with("plan", "pro")
}

/// Pairs of (`$insert_id`, version) by export and by SQL, after checking that both and segmentation agree.
async fn seen(project: &Project) -> Vec<(String, i64)> {
    let exported = project.export(DAY, DAY, &[("event", r#"["Paid"]"#)]).await;
    let pair =
        |id: &Value, version: &Value| (id.as_str().unwrap_or_default().to_owned(), version.as_i64().unwrap_or(-1));
    let mut exported = exported
        .iter()
        .map(|row| pair(&row["properties"]["$insert_id"], &row["properties"]["version"]))
        .collect::<Vec<_>>();
    let table = project.sql("SELECT insert_id, version FROM events WHERE event = 'Paid'").await;
    let mut selected = table.rows.iter().map(|row| pair(&row[0], &row[1])).collect::<Vec<_>>();
    exported.sort();
    selected.sort();
    assert_eq!(exported, selected, "export and SQL see the same");
    let query = [("event", "Paid"), ("from_date", DAY), ("to_date", DAY)];
    let counted = project.segmentation(&query).await["data"]["values"]["Paid"][DAY].clone();
    assert_eq!(counted, json!(selected.len()), "segmentation counts the same");
    selected
}

fn expected(arrivals: &[RawEvent]) -> Vec<(String, i64)> {
    let pair = |event: &RawEvent| {
        (event.insert_id.clone().unwrap_or_default(), event.properties["version"].as_i64().expect("a version"))
    };
    let mut expected = surviving(arrivals).iter().map(pair).collect::<Vec<_>>();
    expected.sort();
    expected
}

struct Story {
    server: Server,
    project: Project,
    arrivals: Vec<RawEvent>,
}

impl Story {
    async fn start(name: &str) -> Self {
        let server = Server::start(ServerOptions::never_flushing()).await;
        let project = server.create_project(name).await;
        Self { server, project, arrivals: vec![] }
    }

    /// Sends one batch, and checks what is seen of all arrivals so far.
    async fn sends(&mut self, claim: &str, events: &[RawEvent]) {
        self.project.import(&events.iter().map(RawEvent::to_json).collect::<Vec<_>>()).await;
        self.arrivals.extend_from_slice(events);
        self.still(claim).await;
    }

    async fn still(&self, claim: &str) {
        assert_eq!(seen(&self.project).await, expected(&self.arrivals), "{claim}");
    }
}

#[tokio::test]
async fn resent_events_count_once_and_the_latest_properties_win_in_every_state() {
    let mut story = Story::start("dup").await;
    story.sends("first arrival", &[event("a", 1), event("b", 1), event("c", 1)]).await;
    story.sends("identical resend, live", &[event("a", 1)]).await;
    story.sends("changed resend, live", &[event("b", 2)]).await;
    story.sends("a batch that repeats itself", &[event("d", 1), event("d", 1), event("d", 2)]).await;
    story.server.restart().await;
    story.still("flushed").await;
    story.sends("identical resend of a flushed event", &[event("a", 1)]).await;
    story.sends("changed resend of a flushed event", &[event("c", 2)]).await;
    story.sends("the live replacement is replaced", &[event("c", 3)]).await;
    story.server.kill().await;
    story.server.start_again().await;
    story.still("recovered: the replacements hold").await;
    story.sends("resends after recovery", &[event("c", 3), event("b", 3)]).await;
    story.server.restart().await;
    story.still("flushed again").await;
    story.sends("once more over two flushes", &[event("a", 4), event("d", 2)]).await;
    story.server.restart().await;
    story.still("and flushed").await;
}

#[tokio::test]
async fn a_replacement_may_drop_a_property_and_change_its_type() {
    let mut story = Story::start("types").await;
    let bare = RawEvent::new("Paid", "ann", NOON, "a").with("version", 2);
    story.sends("first arrival", &[event("a", 1)]).await;
    let pro = [("event", "Paid"), ("from_date", DAY), ("to_date", DAY), ("where", r#"properties["plan"] == "pro""#)];
    let pros = async |project: &Project| project.segmentation(&pro).await["data"]["values"]["Paid"][DAY].clone();
    assert_eq!(pros(&story.project).await, json!(1));
    story.server.restart().await;
    story.sends("the property is gone", std::slice::from_ref(&bare)).await;
    assert_eq!(pros(&story.project).await, json!(0), "a dropped property is not inherited");
    story.sends("the property is a number", &[bare.with("plan", 7)]).await;
    let row = story.project.export(DAY, DAY, &[]).await.remove(0);
    assert_eq!(row["properties"]["plan"], 7);
    story.server.restart().await;
    let row = story.project.export(DAY, DAY, &[]).await.remove(0);
    assert_eq!(row["properties"]["plan"], 7);
}

#[tokio::test]
async fn near_duplicates_are_kept() {
    let mut story = Story::start("near").await;
    let base = event("a", 1);
    let later = RawEvent { time_ms: NOON + 1, ..base.clone() };
    let other_user = RawEvent { distinct_id: "bob".into(), ..base.clone() };
    story.sends("one key, then its neighbours", &[base.clone(), later, other_user, event("b", 1), event("A", 1)]).await;
    let renamed = RawEvent { event: "Refunded".into(), ..base };
    story.project.import(&[renamed.to_json()]).await;
    story.still("another event name").await;
    story.server.restart().await;
    story.still("flushed").await;
    let refunds = story.project.sql("SELECT count(*) FROM events WHERE event = 'Refunded'").await;
    assert_eq!(refunds.int(), 1);
}

#[tokio::test]
async fn an_event_without_insert_id_is_never_a_duplicate() {
    let mut story = Story::start("bare").await;
    let bare = RawEvent { insert_id: None, ..event("", 1) }.to_json();
    let lenient = async |events: Value| {
        let request = story.project.request(reqwest::Method::POST, "/import").query(&[("strict", "0")]);
        Reply::of(request.json(&events)).await.ok()
    };
    lenient(json!([bare, bare])).await;
    lenient(json!([bare])).await;
    let count =
        async |project: &Project| project.sql("SELECT count(*), count(DISTINCT insert_id) FROM events").await.rows;
    assert_eq!(count(&story.project).await, [[json!(3), json!(3)]], "three, each with an id of its own");
    story.server.restart().await;
    assert_eq!(count(&story.project).await, [[json!(3), json!(3)]], "flushed");
    let generated = story.project.export(DAY, DAY, &[]).await.remove(0);
    let insert_id = generated["properties"]["$insert_id"].as_str().expect("export shows the generated id").to_owned();
    story.project.import(&[RawEvent { insert_id: Some(insert_id), ..event("", 1) }.to_json()]).await;
    let rows = story.project.sql("SELECT count(*) FROM events").await.int();
    assert_eq!(rows, 4, "a generated id never makes two events duplicates");
}
