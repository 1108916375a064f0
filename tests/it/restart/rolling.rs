//! Ten restarts in a row under load. `FOOTFALL_RESTARTS` sets how many.

use super::load::Load;
use crate::harness::{Project, Server, ServerOptions, seed};

fn restarts() -> usize {
    std::env::var("FOOTFALL_RESTARTS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// Everything acknowledged is there, once, and nothing else.
async fn check(project: &Project, acknowledged: usize) {
    let counts = project.sql("SELECT count(*), count(DISTINCT insert_id) FROM events").await;
    assert_eq!(counts.rows, [[acknowledged, acknowledged].map(serde_json::Value::from)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_hand_overs_under_load_fail_no_request() {
    let mut server = Server::start(ServerOptions::flushing_every(2_000)).await;
    let project = server.create_project("rolling").await;
    let load = Load::start(&project, &server.address(), seed(5));
    for restart in 0..restarts() {
        load.moves_on().await;
        if restart % 2 == 0 {
            server.hand_over().await;
        } else {
            let said = server.cli(&["restart"]).await.succeeded().stdout;
            assert!(said.starts_with("restarted in "), "{said}");
        }
        load.moves_on().await;
    }
    let acknowledged = load.finish().await;
    check(&project, acknowledged).await;
    server.restart().await;
    check(&project, acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_restarts_on_a_socket_that_stays_fail_no_request() {
    let mut server = Server::start(ServerOptions::activated().env("FOOTFALL_FLUSH_ROWS", 2_000)).await;
    let project = server.create_project("rolling").await;
    let load = Load::start(&project, &server.address(), seed(6));
    for restart in 0..restarts() {
        load.moves_on().await;
        if restart % 2 == 0 {
            // As `systemctl restart` does it.
            server.restart().await;
        } else {
            // The next one waits until the data directory is free.
            server.supersede().await;
        }
        load.moves_on().await;
    }
    // The two ways together: the socket is the service manager's, and the server hands it over.
    server.hand_over().await;
    load.moves_on().await;
    let acknowledged = load.finish().await;
    check(&project, acknowledged).await;
}
