//! A start that takes its time: what one project has not replayed yet, nobody may let go of.

use crate::harness::{Server, ServerOptions};
use crate::oracle::RawEvent;

use super::plan::has_failpoints;

const EVENTS: i64 = 500;

#[tokio::test]
async fn the_log_is_kept_while_a_slow_project_is_still_being_opened() {
    if !has_failpoints().await {
        eprintln!("SKIPPED: the binary is built without the feature footfall-server/failpoints");
        return;
    }
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    // Opened first, needs nothing of the log, and has the background look whether it can be released.
    server.create_project("idle").await;
    let busy = server.create_project("busy").await;
    let event = |n: i64| RawEvent::new("Kept", "ann", 1_704_067_200_000 + n, &format!("kept-{n}")).to_json();
    busy.import(&(0..EVENTS).map(event).collect::<Vec<_>>()).await;
    server.kill().await;

    // Longer than the pause between two looks.
    server.set_env("FAILPOINTS", Some("engine::attach=sleep(2500)"));
    server.start_again().await;
    assert_eq!(busy.sql("SELECT count(*) FROM events").await.int(), EVENTS, "replayed");
    server.kill().await;
    server.set_env("FAILPOINTS", None);
    server.start_again().await;
    assert_eq!(busy.sql("SELECT count(*) FROM events").await.int(), EVENTS, "still in the log");
}
