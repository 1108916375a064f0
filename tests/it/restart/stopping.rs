//! What is answered while a server starts, stops, or is not well.

use serde_json::{Value, json};

use crate::harness::{Checks, Connection, Server, ServerOptions, eventually, raw_get, raw_request};

async fn health(server: &Server, path: &str) -> (u16, Value, bool) {
    let mut connection = Connection::open(&server.address()).await.expect("connections are accepted");
    let reply = connection.ask(&raw_get(path)).await.expect("health is answered");
    (reply.status, reply.json(), reply.closes())
}

async fn accepts(server: &Server) -> bool {
    Connection::open(&server.address()).await.is_ok()
}

fn codes(body: &Value) -> Vec<&str> {
    body["reasons"].as_array().into_iter().flatten().filter_map(|reason| reason["code"].as_str()).collect()
}

/// Status of the three, and the reasons of `/readyz`.
async fn phase(server: &Server) -> (u16, u16, u16, Vec<String>) {
    let (ready, body, _) = health(server, "/readyz").await;
    let codes = codes(&body).into_iter().map(str::to_owned).collect();
    (health(server, "/livez").await.0, health(server, "/startupz").await.0, ready, codes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_tells_each_phase_and_others_wait_for_the_start() {
    let mut checks = Checks::default();
    let mut server = Server::prepare(
        ServerOptions::demo().env("FOOTFALL_USERS", 2500).env("FOOTFALL_DRAIN_DELAY", 5).env("FOOTFALL_LINGER", 60),
    );
    server.spawn();
    // Refused until the port is bound, which is the first thing that happens.
    eventually("the port is bound", async || accepts(&server).await).await;
    let mut early = Connection::open(&server.address()).await.unwrap();
    early.send(&raw_get("/v1/projects")).await.unwrap();
    checks.equal("starting", phase(&server).await, (200, 503, 503, vec!["starting".to_owned()]));
    checks.holds("an early request waits", early.is_open_and_silent(), "a reply or an end");
    checks.equal("figures are there from the start", health(&server, "/metrics/").await.0, 200);
    checks.equal("and is answered", early.reply().await.map(|reply| reply.status).ok(), Some(401));
    server.ready().await;
    checks.equal("ready", phase(&server).await, (200, 200, 200, vec![]));
    server.signal("TERM").await;
    eventually("the signal is heeded", async || health(&server, "/readyz").await.0 == 503).await;
    checks.equal("stopping", phase(&server).await, (200, 200, 503, vec!["stopping".to_owned()]));
    checks.holds("replies say that the connection closes", health(&server, "/livez").await.2, "no such header");
    let answered = early.ask(&raw_get("/livez")).await;
    checks.holds(
        "an idle connection is still answered",
        answered.is_ok_and(|r| r.status == 200 && r.closes()),
        "an end",
    );
    checks.equal("and it ends in order", server.ended().await, Some(0));
    checks.finish();
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_is_told() {
    let mut server = Server::prepare(ServerOptions::default().env("FOOTFALL_DISK_FREE_MIN", u64::MAX >> 20));
    server.spawn();
    eventually("the port is bound", async || accepts(&server).await).await;
    eventually("the start is over", async || health(&server, "/startupz").await.0 == 200).await;
    eventually("the disk is seen", async || codes(&health(&server, "/readyz").await.1) == ["disk_low"]).await;
    assert_eq!(health(&server, "/livez").await.0, 200, "a new process would not help");
    server.stop().await;
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_what_comes_on_idle_connections() {
    let mut server = Server::start(ServerOptions::default().env("FOOTFALL_LINGER", 5)).await;
    let project = server.create_project("p").await;
    let [mut busy, mut idle, mut silent] = [(); 3].map(|()| None);
    for place in [&mut busy, &mut idle, &mut silent] {
        let mut connection = Connection::open(&server.address()).await.unwrap();
        assert!(!connection.ask(&raw_get("/livez")).await.unwrap().closes());
        *place = Some(connection);
    }
    let (mut busy, mut idle, mut silent) = (busy.unwrap(), idle.unwrap(), silent.unwrap());
    let event = json!([{"event": "A", "properties": {"distinct_id": "u", "time": 1_704_067_200, "$insert_id": "i"}}]);
    let request = raw_request(&project, "POST", "/import?strict=1", event.to_string().as_bytes());
    let (begin, rest) = request.split_at(request.len() - 5);
    busy.send(begin).await.unwrap();
    idle.ask(&raw_get("/livez")).await.unwrap();
    server.signal("TERM").await;
    // The end of accepting shows that the signal has been heeded.
    eventually("no more is accepted", async || !accepts(&server).await).await;
    let reply = idle.ask(&raw_get("/readyz")).await.expect("a request that was on its way is answered");
    assert!(reply.status == 503 && reply.closes(), "{}", reply.head);
    busy.send(rest).await.unwrap();
    let reply = busy.reply().await.expect("a request under way is finished");
    assert!(reply.status == 200 && reply.closes(), "{}", reply.head);
    assert!(silent.ends_within(std::time::Duration::from_secs(60)).await, "nobody waits for ever");
    assert_eq!(server.ended().await, Some(0));
    server.start_again().await;
    assert_eq!(project.sql("SELECT count(*) FROM events").await.int(), 1);
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut server = Server::start(ServerOptions::default()).await;
    let mut stuck = Connection::open(&server.address()).await.unwrap();
    stuck.send(b"POST /track HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n").await.unwrap();
    Connection::open(&server.address()).await.unwrap().ask(&raw_get("/livez")).await.unwrap();
    server.signal("TERM").await;
    eventually("no more is accepted", async || !accepts(&server).await).await;
    server.signal("TERM").await;
    assert_eq!(server.ended().await, Some(1));
}
