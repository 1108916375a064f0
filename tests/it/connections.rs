//! Clients that hold connections and give little: nobody else notices, and they are let go in time.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Connection, Project, Server, ServerOptions, eventually, raw_get, raw_request};

/// Only a test that hangs gets there.
const PATIENCE: Duration = Duration::from_secs(60);

/// As many as the machine's limit of open files lets one process have, but no more than asked for.
fn at_most(wanted: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft =
        limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    let count = wanted.min(soft.map_or(wanted, |soft: usize| soft.saturating_sub(500) / 2));
    if count < wanted {
        eprintln!("the limit of open files leaves {count} of {wanted} connections");
    }
    count
}

async fn open(server: &Server, count: usize) -> Vec<Connection> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        connections.push(Connection::open(&server.address()).await.expect("a connection is accepted"));
    }
    connections
}

/// A figure of `/metrics` by its name and labels as written there; 0 if it has not been counted yet.
async fn figure(server: &Server, name: &str) -> usize {
    let mut connection = Connection::open(&server.address()).await.expect("a connection is accepted");
    let reply = connection.ask(&raw_get("/metrics")).await.expect("a reply comes");
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse::<f64>().expect("a number") as usize)
}

async fn closed(server: &Server, why: &str) -> usize {
    figure(server, &format!("footfall_http_connections_closed_total{{why=\"{why}\"}}")).await
}

/// What an honest client does, on a new connection each time.
async fn serve_others(project: &Project, server: &Server, round: usize) {
    for n in 0..5 {
        let properties = json!({"distinct_id": "u", "time": 1_704_067_200, "$insert_id": format!("{round}-{n}")});
        let body = json!([{"event": "A", "properties": properties}]).to_string();
        let mut connection = Connection::open(&server.address()).await.expect("a connection is accepted");
        let import = raw_request(project, "POST", "/import?strict=1", body.as_bytes());
        assert_eq!(connection.ask(&import).await.expect("a reply comes").status, 200);
        let count = raw_request(project, "POST", "/v1/sql", br#"{"query":"SELECT count(*) FROM events"}"#);
        let reply = connection.ask(&count).await.expect("a reply comes");
        assert_eq!(reply.json()["rows"], json!([[round * 5 + n + 1]]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_idle_and_slow_clients_keep_nobody_waiting_and_are_let_go() {
    let options = ServerOptions::default().env("FOOTFALL_IDLE_TIMEOUT", 20).env("FOOTFALL_HEADER_TIMEOUT", 15);
    let server = Server::start(options.env("FOOTFALL_BODY_TIMEOUT", 15)).await;
    let project = server.create_project("p").await;
    serve_others(&project, &server, 0).await;
    let before = server.memory_bytes();
    let (idle_count, slow_count) = (at_most(2_000), 100);

    let mut idle = open(&server, idle_count).await;
    let mut slow_heads = open(&server, slow_count).await;
    let mut slow_bodies = open(&server, slow_count).await;
    for connection in &mut slow_heads {
        connection.send(b"POST /track HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    }
    for connection in &mut slow_bodies {
        connection.send(b"POST /track HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n[").await.unwrap();
    }
    eventually("all are open at once", async || {
        figure(&server, "footfall_http_connections").await >= idle_count + 2 * slow_count
    })
    .await;
    serve_others(&project, &server, 1).await;
    let grown = server.memory_bytes().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes more for {idle_count} connections");
    assert!(idle.iter().all(Connection::is_open_and_silent), "an idle connection has its time");

    // They go on to send, which helps them nothing.
    let drip = async |connection: &mut Connection| {
        loop {
            if connection.send(b"x").await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    for (connections, status) in [(&mut slow_heads, 408), (&mut slow_bodies, 408)] {
        let (first, rest) = connections.split_first_mut().expect("there are some");
        tokio::time::timeout(PATIENCE, drip(first)).await.expect("who drips is let go, too");
        for connection in rest {
            assert_eq!(connection.reply().await.expect("a reply comes").status, status);
            assert!(connection.ends_within(PATIENCE).await);
        }
    }
    for connection in &mut idle {
        assert!(connection.ends_within(PATIENCE).await, "an idle connection is closed in time");
    }
    eventually("all are gone", async || figure(&server, "footfall_http_connections").await < 10).await;
    // The command line has left one, too.
    assert!(closed(&server, "idle").await >= idle_count);
    assert_eq!(closed(&server, "slow_head").await, slow_count);
    serve_others(&project, &server, 2).await;
    let grown = server.memory_bytes().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes more after they are gone");
}

#[tokio::test]
async fn at_the_bound_the_longest_idle_makes_room() {
    let server = Server::start(ServerOptions::default().env("FOOTFALL_CONNECTIONS_MAX", 20)).await;
    let project = server.create_project("p").await;
    let mut oldest = open(&server, 1).await;
    let mut others = open(&server, 100).await;
    assert!(oldest[0].ends_within(PATIENCE).await, "the first has to go");
    serve_others(&project, &server, 0).await;
    let newest = others.last_mut().expect("there are some");
    assert_eq!(newest.ask(&raw_get("/livez")).await.expect("it has its place").status, 200);
    assert!(closed(&server, "evicted").await > 80);
}

#[tokio::test]
async fn where_all_have_a_request_the_next_one_waits_and_is_not_refused() {
    let server = Server::start(ServerOptions::default().env("FOOTFALL_CONNECTIONS_MAX", 10)).await;
    let mut busy = open(&server, 10).await;
    for connection in &mut busy {
        let head = b"POST /track HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
        assert_eq!(connection.ask(head).await.expect("the body is asked for").status, 100);
    }
    let mut next = open(&server, 3).await;
    for connection in &mut next {
        connection.send(&raw_get("/livez")).await.unwrap();
    }
    // Not a wait for anything: nothing is what should happen.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(next.iter().all(Connection::is_open_and_silent));
    for connection in &mut busy {
        connection.ask(b"[]").await.expect("its request is answered");
    }
    for connection in &mut next {
        assert_eq!(connection.reply().await.expect("its turn has come").status, 200);
    }
}

#[tokio::test]
async fn who_takes_nothing_of_a_reply_is_let_go() {
    let server = Server::start(ServerOptions::default().env("FOOTFALL_WRITE_TIMEOUT", 1)).await;
    let project = server.create_project("p").await;
    // More than the buffers between two sockets hold.
    let text = "x".repeat(250);
    let wide: serde_json::Map<_, _> = (0..40).map(|n| (format!("p{n}"), json!(text))).collect();
    for batch in 0..10 {
        let event = |n: usize| {
            let mut properties = wide.clone();
            properties.insert("distinct_id".into(), json!("u"));
            properties.insert("time".into(), json!(1_704_067_200));
            properties.insert("$insert_id".into(), json!(format!("{batch}-{n}")));
            json!({"event": "A", "properties": properties})
        };
        project.import(&(0..100).map(event).collect::<Vec<_>>()).await;
    }
    let mut lazy = Connection::open_narrow(&server.address()).await.unwrap();
    let export = "/api/2.0/export?from_date=2024-01-01&to_date=2024-01-01";
    lazy.send(&raw_request(&project, "GET", export, b"")).await.unwrap();
    eventually("it is let go", async || closed(&server, "slow_reader").await == 1).await;
    assert!(lazy.reply().await.is_err(), "the reply has no end");
    let mut diligent = Connection::open(&server.address()).await.unwrap();
    let reply = diligent.ask(&raw_request(&project, "GET", export, b"")).await.expect("who reads gets it all");
    assert_eq!(reply.body.iter().filter(|byte| **byte == b'\n').count(), 1000);
}

#[tokio::test]
async fn heads_are_bounded() {
    let server = Server::start(ServerOptions::default()).await;
    let mut connection = Connection::open(&server.address()).await.unwrap();
    let head = format!("GET /livez HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(200_000));
    // The reply may come before all is sent.
    drop(connection.send(head.as_bytes()).await);
    assert_eq!(connection.reply().await.map(|reply| reply.status).ok(), Some(431));
}
