//! The live view: order, filters, resumption, slow readers, bounds, the end.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wanted::{filters, wanted_by_all};
use super::{as_sent, assert_rising, live, live_request, received_at, recent, sent};
use crate::generate::random_events;
use crate::harness::{LiveStream, Project, Reply, Server, ServerOptions, parquet_files, seed};
use crate::oracle::RawEvent;

const TIME_MS: i64 = 1_719_792_000_000;

fn event(n: usize) -> RawEvent {
    RawEvent::new("E", &format!("u{}", n % 5), TIME_MS + n as i64, &format!("i-{n}")).with("n", n)
}

async fn import(project: &Project, events: &[RawEvent]) {
    project.import(&events.iter().map(RawEvent::to_json).collect::<Vec<_>>()).await;
}

fn numbers(shown: &[Value]) -> Vec<u64> {
    shown.iter().map(|event| event["properties"]["n"].as_u64().expect("n")).collect()
}

#[tokio::test]
async fn each_event_is_shown_in_order_of_arrival_after_its_acknowledgement() {
    let server = Server::start(ServerOptions::flushing_every(100)).await;
    let project = server.create_project("live").await;
    let other = server.create_project("other").await;
    import(&project, &[event(1_000)]).await;
    let mut stream = live(&project, &[]).await;
    for batch in (0..600).collect::<Vec<_>>().chunks(30) {
        let events: Vec<_> = batch.iter().map(|n| event(*n)).collect();
        import(&other, &[event(9_999)]).await;
        import(&project, &events).await;
        let shown = stream.events(events.len()).await;
        assert_eq!(shown.iter().map(as_sent).collect::<Vec<_>>(), events.iter().map(sent).collect::<Vec<_>>());
        assert_rising(&shown);
    }
    // An identical copy is no arrival, a changed one is.
    import(&project, &[event(7)]).await;
    import(&project, &[event(7).with("changed", true)]).await;
    assert_eq!(as_sent(&stream.event().await), sent(&event(7).with("changed", true)));
    assert!(!parquet_files(&server.data_dir()).is_empty(), "flushes went on meanwhile");
}

#[tokio::test]
async fn filters_show_what_the_oracle_keeps() {
    let server = Server::start(ServerOptions::flushing_every(150)).await;
    let project = server.create_project("filters").await;
    let mut streams = Vec::new();
    for filter in filters() {
        streams.push(live(&project, &filter.query).await);
    }
    let events: Vec<_> =
        random_events(seed(6), 700).into_iter().enumerate().map(|(n, event)| event.with("n", n)).collect();
    for batch in events.chunks(90) {
        import(&project, batch).await;
    }
    let last = wanted_by_all("the-last");
    import(&project, std::slice::from_ref(&last)).await;
    for (filter, mut stream) in filters().into_iter().zip(streams) {
        let mut want: Vec<_> = events.iter().filter(|event| (filter.keeps)(event)).map(sent).collect();
        assert!(!want.is_empty(), "{:?} keeps something", filter.query);
        want.push(sent(&last));
        let shown = stream.events(want.len()).await;
        assert_eq!(shown.iter().map(as_sent).collect::<Vec<_>>(), want, "{:?}", filter.query);
        assert_rising(&shown);
    }
}

#[tokio::test]
async fn a_broken_view_goes_on_without_a_hole() {
    let mut server = Server::start(ServerOptions::flushing_every(200)).await;
    let project = server.create_project("resume").await;
    let mut stream = live(&project, &[]).await;
    let mut shown = Vec::new();
    for round in 0..12 {
        let first = round * 100;
        import(&project, &(first..first + 60).map(event).collect::<Vec<_>>()).await;
        shown.extend(stream.events(60 - round).await);
        let last_id = stream.last_id.clone().expect("an id");
        drop(stream);
        import(&project, &(first + 60..first + 100).map(event).collect::<Vec<_>>()).await;
        // A browser's header goes before the address that it opened first.
        let request = live_request(&project, &[("since", "0")]).header("last-event-id", &last_id);
        stream = LiveStream::open(request).await;
        shown.extend(stream.events(40 + round).await);
    }
    assert_eq!(numbers(&shown), (0..1_200).collect::<Vec<_>>());
    assert!(!parquet_files(&server.data_dir()).is_empty(), "flushes went on meanwhile");

    // Who has seen all goes on after a restart too, although memory is empty then.
    let last_id = stream.last_id.clone().expect("an id");
    drop(stream);
    server.restart().await;
    let mut stream = live(&project, &[("since", &last_id)]).await;
    import(&project, &[event(1_200)]).await;
    assert_eq!(numbers(&[stream.event().await]), [1_200]);
}

#[tokio::test]
async fn what_memory_no_longer_holds_is_a_gap_that_recent_events_fill() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("gap").await;
    let mut stream = live(&project, &[]).await;
    import(&project, &(0..50).map(event).collect::<Vec<_>>()).await;
    stream.events(20).await;
    let last_id = stream.last_id.clone().expect("an id");
    drop(stream);
    server.restart().await;
    import(&project, &(50..60).map(event).collect::<Vec<_>>()).await;
    let mut stream = live(&project, &[("since", &last_id)]).await;
    let gap = stream.next().await.expect("the stream goes on");
    assert_eq!((gap.name.as_str(), &gap.data["dropped"]), ("gap", &Value::Null), "nobody counted: {gap:?}");
    let shown = stream.events(10).await;
    assert_eq!(numbers(&shown), (50..60).collect::<Vec<_>>());
    assert_eq!(gap.data["until"], received_at(&shown[0]));
    let until = gap.data["until"].to_string();
    let mut missed = recent(&project, &[("before", &until), ("limit", "30")]).await;
    missed.reverse();
    assert_eq!(numbers(&missed), (20..50).collect::<Vec<_>>());
    assert!(received_at(&missed[0]) > last_id.parse().expect("a number"));
}

/// Opens a view and does not read it.
async fn open_unread(server: &Server, project: &Project) -> TcpStream {
    let request = live_request(project, &[]).build().expect("a request");
    let mut socket = TcpStream::connect(server.address()).await.expect("the server listens");
    let authorization = request.headers()["authorization"].to_str().expect("text");
    let head = format!(
        "GET /v1/live?{} HTTP/1.1\r\nhost: {}\r\nauthorization: {authorization}\r\n\r\n",
        request.url().query().expect("parameters"),
        server.address(),
    );
    socket.write_all(head.as_bytes()).await.expect("sent");
    let mut start = [0; 12];
    socket.read_exact(&mut start).await.expect("an answer");
    assert_eq!(&start, b"HTTP/1.1 200");
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_is_not_read_costs_nobody_anything_and_is_told_what_it_missed() {
    const EVENTS: usize = 24_000;
    let options = ServerOptions::flushing_every(2_000).env("FOOTFALL_LIVE_KEPT_ROWS", 4_000);
    let server = Server::start(options).await;
    let project = server.create_project("slow").await;
    let mut unread = Vec::new();
    for _ in 0..8 {
        unread.push(open_unread(&server, &project).await);
    }
    // One that begins to read when all is over; until then the connection's buffers are its only memory.
    let mut late = live(&project, &[]).await;
    let padding = "x".repeat(1_000);
    let load = |from: usize, to: usize| {
        let events: Vec<_> = (from..to).map(|n| event(n).with("padding", padding.as_str())).collect();
        let project = project.clone();
        async move { import(&project, &events).await }
    };
    load(0, EVENTS / 4).await;
    let before = server.memory_bytes();
    load(EVENTS / 4, EVENTS).await;
    let grown = server.memory_bytes().saturating_sub(before);
    // 18 MB of events for each of nine views would be 160 MB.
    assert!(grown < 120 << 20, "memory grew by {} MiB", grown >> 20);

    let (mut seen, mut dropped, mut gaps) = (0, 0, 0);
    let mut next = 0;
    while seen + dropped < EVENTS as u64 {
        let message = late.next().await.expect("the stream goes on");
        if message.name == "gap" {
            gaps += 1;
            dropped += message.data["dropped"].as_u64().expect("a count");
            next += message.data["dropped"].as_u64().expect("a count");
        } else {
            assert_eq!(numbers(&[message.data]), [next], "nothing is missed but what a gap has counted");
            next += 1;
            seen += 1;
        }
    }
    println!("{seen} events shown, {dropped} dropped in {gaps} gaps; memory grew by {} MiB", grown >> 20);
    assert_eq!(seen + dropped, EVENTS as u64);
    assert!(seen > 0 && dropped > 0, "it was slow, but not dead");
    import(&project, &[event(EVENTS)]).await;
    assert_eq!(numbers(&[late.event().await]), [EVENTS as u64]);
}

#[tokio::test]
async fn views_are_limited_per_project_and_in_all_and_give_their_place_back() {
    let options = ServerOptions::default().env("FOOTFALL_LIVE_VIEWERS", 2).env("FOOTFALL_LIVE_VIEWERS_TOTAL", 3);
    let server = Server::start(options).await;
    let (one, other) = (server.create_project("one").await, server.create_project("other").await);
    let (first, second) = (live(&one, &[]).await, live(&one, &[]).await);
    let refused = async |project: &Project| {
        let reply = Reply::of(live_request(project, &[])).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (429, &json!("too_many_viewers")));
        assert!(!reply.header("retry-after").is_empty());
    };
    refused(&one).await;
    let third = live(&other, &[]).await;
    refused(&other).await;
    drop(first);
    // The server hears of it at its own time.
    let again = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let response = live_request(&other, &[]).send().await.expect("the server answers");
            if response.status() == 200 {
                return response;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    drop((again.await.expect("a place becomes free"), second, third));
}

#[tokio::test]
async fn mistakes_are_answered_before_the_stream_begins() {
    let server = Server::start(ServerOptions::default()).await;
    let project = server.create_project("mistakes").await;
    let other = server.create_project("other").await;
    for path in ["/v1/live", "/v1/events/recent"] {
        let ask = async |query: &[(&str, &str)]| {
            let reply = project.get(path, query).await;
            (reply.status, reply.json()["error"].clone())
        };
        let (status, error) = ask(&[("where", r#"properties["a"] =="#)]).await;
        assert_eq!((status, &error["code"], &error["field"]), (400, &json!("parse"), &json!("where")), "{error}");
        assert_eq!(error["span"], json!([18, 18]));
        let (status, error) = ask(&[("where", r#"1 and properties["a"]"#)]).await;
        assert_eq!((status, &error["code"]), (400, &json!("type")), "{error}");
        assert_eq!(ask(&[("user", "a"), ("distinct_id", "b")]).await.0, 400);
        assert_eq!(ask(&[("event", "[1]")]).await.1["field"], "event");
        let anonymous = Reply::of(project.anonymous(Method::GET, path)).await;
        assert_eq!((anonymous.status, anonymous.header("www-authenticate")), (401, ""));
        let foreign = project.anonymous(Method::GET, path).basic_auth(&other.username, Some(&other.secret));
        assert_eq!(Reply::of(foreign.query(&[("project_id", project.id)])).await.status, 403);
    }
    assert_eq!(project.get("/v1/live", &[("since", "yesterday")]).await.json()["error"]["field"], "since");
    assert_eq!(project.get("/v1/events/recent", &[("limit", "0")]).await.json()["error"]["field"], "limit");
    assert_eq!(project.get("/v1/events/recent", &[("before", "x")]).await.json()["error"]["field"], "before");
}

#[tokio::test]
async fn a_stop_ends_the_view_and_does_not_wait_for_it() {
    let mut server = Server::start(ServerOptions::default()).await;
    let project = server.create_project("stop").await;
    let mut stream = live(&project, &[]).await;
    import(&project, &[event(0)]).await;
    assert_eq!(numbers(&[stream.event().await]), [0]);
    let (end, ()) = tokio::join!(stream.next(), server.stop());
    assert_eq!(end, None, "the stream ends");
}
