//! Bounds on what one project may do, and that they are its own: past them 429 in the API's form, and others are served.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::harness::{Checks, Figures, Project, Reply, Server, ServerOptions, gzip, now_ms};

fn events(project: &Project, name: &str, count: usize) -> Vec<Value> {
    let event = |n| {
        json!({"event": "E", "properties": {"time": now_ms() - 1000, "distinct_id": "u", "token": project.token,
            "$insert_id": format!("{name}-{n}"), "padding": "x".repeat(200)}})
    };
    (0..count).map(event).collect()
}

fn is_429(checks: &mut Checks, claim: &str, reply: &Reply) {
    checks.equal(format!("{claim}: status"), reply.status, 429);
    let expect = json!({"code": 429, "status": "Too Many Requests",
        "error": "Project exceeded rate limits. Please retry the request with exponential backoff."});
    checks.equal(format!("{claim}: body"), reply.json(), expect);
    let wait: u64 = reply.header("retry-after").parse().unwrap_or(0);
    checks.holds(format!("{claim}: Retry-After"), (1..=60).contains(&wait), wait);
}

#[tokio::test]
async fn a_project_past_its_rate_waits_and_another_does_not() {
    let options = ServerOptions::never_flushing().env("FOOTFALL_EVENTS_PER_SECOND", 1).env("FOOTFALL_RECORDS_MAX", 20);
    let mut server = Server::start(options).await;
    let (loud, quiet) = (server.create_project("loud").await, server.create_project("quiet").await);
    let mut checks = Checks::default();
    let track = |project: &Project, name: &str, count| {
        Reply::of(project.anonymous(Method::POST, "/track").json(&events(project, name, count)))
    };
    checks.equal("within its rate", track(&loud, "a", 20).await.text(), "1".to_owned());
    is_429(&mut checks, "/track past it", &track(&loud, "b", 10).await);
    let strict = Reply::of(loud.import_request(&events(&loud, "b", 10))).await;
    is_429(&mut checks, "/import past it", &strict);
    let update = json!([{"$token": loud.token, "$distinct_id": "u", "$set": {"a": 1}}, {}, {}, {}, {}, {}, {}, {}, {}]);
    is_429(&mut checks, "/engage past it", &Reply::of(loud.anonymous(Method::POST, "/engage").json(&update)).await);
    checks.equal("another project", track(&quiet, "a", 20).await.text(), "1".to_owned());
    checks.equal("more than a request may hold", track(&quiet, "b", 21).await.status, 413);

    // Who does as it is told gets through, and what was refused was not stored.
    let mut reply = track(&loud, "b", 5).await;
    for _ in 0..20 {
        if reply.status != 429 {
            break;
        }
        sleep(Duration::from_secs(reply.header("retry-after").parse().expect("it says how long"))).await;
        reply = track(&loud, "b", 5).await;
    }
    checks.equal("after the wait", (reply.status, reply.text()), (200, "1".to_owned()));
    checks.equal("stored", loud.sql("SELECT count(*) FROM events").await.int(), 25);
    let figures = Figures::scrape(&server).await;
    let refused = figures.sum("footfall_ingest_records_rejected_total", &["reason=\"rate\""]);
    checks.holds("refused records are counted", refused >= 20, refused);
    server.stop().await;
    checks.finish();
}

/// A request of which only a part has been sent yet.
struct Unfinished {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Unfinished {
    async fn begin(server: &Server, path: &str, body: &[u8], sent: usize) -> Self {
        let mut stream = TcpStream::connect(server.address()).await.expect("it listens");
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: footfall\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.expect("it reads");
        stream.write_all(&body[..sent]).await.expect("it reads");
        Self { stream, rest: body[sent..].to_vec() }
    }

    /// The whole answer, after the rest of the request if that is still wanted.
    async fn finish(mut self) -> String {
        drop(self.stream.write_all(&self.rest).await);
        let mut answer = String::new();
        let read = timeout(Duration::from_secs(60), self.stream.read_to_string(&mut answer)).await;
        read.expect("it answers").expect("in text");
        answer
    }
}

#[tokio::test]
async fn past_the_bound_of_memory_a_project_waits_and_what_it_resends_is_stored_once() {
    let options = ServerOptions::never_flushing().env("FOOTFALL_PROJECT_BODIES_BYTES_MAX", 100_000);
    let mut server = Server::start(options).await;
    let (loud, quiet) = (server.create_project("loud").await, server.create_project("quiet").await);
    for project in [&loud, &quiet] {
        // Whoever is asked for once is known from then on.
        project.get("/v1/quality", &[]).await.ok();
    }
    let mut checks = Checks::default();
    let first = json!(events(&loud, "first", 200)).to_string();
    assert!((60_000..100_000).contains(&first.len()), "{}", first.len());
    let held = first.len() - 1_000;
    let unfinished = Unfinished::begin(&server, "/track", first.as_bytes(), held).await;
    let arrived =
        async { while Figures::scrape(&server).await.sum("footfall_ingest_bodies_bytes", &[]) < held as u64 {} };
    timeout(Duration::from_secs(30), arrived).await.expect("the body is read as it comes");

    let second = events(&loud, "second", 200);
    let track = |project: &Project, events: &[Value]| Reply::of(project.anonymous(Method::POST, "/track").json(events));
    is_429(&mut checks, "plain", &track(&loud, &second).await);
    let zipped = gzip(json!(second).to_string().as_bytes());
    let zipped = loud.anonymous(Method::POST, "/track").header("content-encoding", "gzip").body(zipped);
    is_429(&mut checks, "what is small until it is unzipped", &Reply::of(zipped).await);
    is_429(&mut checks, "by credentials", &Reply::of(loud.import_request(&second)).await);
    checks.equal("another project", track(&quiet, &events(&quiet, "other", 200)).await.text(), "1".to_owned());
    let nobody = json!([{"event": "E", "properties": {"token": "f".repeat(32), "padding": "x".repeat(60_000)}}]);
    let nobody = Reply::of(quiet.anonymous(Method::POST, "/track").json(&nobody)).await;
    checks.equal("who has no project waits for nobody's", nobody.text(), "1".to_owned());

    let answer = unfinished.finish().await;
    checks.holds("the first is stored", answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n1"), &answer);
    for attempt in ["resent", "and once more"] {
        checks.equal(attempt, track(&loud, &second).await.text(), "1".to_owned());
    }
    checks.equal("each is stored once", loud.sql("SELECT count(*) FROM events").await.int(), 400);
    let figures = Figures::scrape(&server).await;
    let refused = figures.sum("footfall_ingest_requests_refused_total", &["token=\"known\"", "reason=\"memory\""]);
    checks.equal("refused requests are counted", refused, 3);
    checks.equal("all memory is given back", figures.sum("footfall_ingest_bodies_bytes", &[]), 0);
    server.stop().await;
    checks.finish();
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up_and_others_are_served_meanwhile() {
    let mut server = Server::start(ServerOptions::never_flushing().env("FOOTFALL_BODY_SECONDS", 1)).await;
    let project = server.create_project("slow").await;
    let body = json!(events(&project, "slow", 10)).to_string();
    let trickling = Unfinished::begin(&server, "/track", body.as_bytes(), 500).await;
    assert_eq!(project.track(&events(&project, "quick", 1)).await.text(), "1");
    let mut stream = trickling.stream;
    let mut answer = String::new();
    let read = timeout(Duration::from_secs(60), stream.read_to_string(&mut answer)).await;
    read.expect("it does not wait for ever").expect("in text");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(project.sql("SELECT count(*) FROM events").await.int(), 1);
    server.stop().await;
}
