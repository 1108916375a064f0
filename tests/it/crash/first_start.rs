//! Killed before there is anything: in the very first start, and while projects are created.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::harness::{Server, ServerOptions, footfall, seed};
use crate::oracle::RawEvent;

/// Three events.
fn events() -> Vec<Value> {
    let event = |n: i64| RawEvent::new("First", "ann", 1_704_067_200_000 + n, &format!("first-{n}")).to_json();
    (0..3).map(event).collect()
}

#[tokio::test]
async fn a_server_killed_in_its_very_first_start_starts_whenever_it_is_let() {
    const DIRECTORIES: u32 = 10;
    let mut rng = ChaCha8Rng::seed_from_u64(seed(13));
    let began = Instant::now();
    let mut undisturbed = Server::start(ServerOptions::never_flushing()).await;
    let start_takes = began.elapsed();
    undisturbed.stop().await;
    for _ in 0..DIRECTORIES {
        let mut server = Server::prepare(ServerOptions::never_flushing());
        for _ in 0..rng.random_range(1..4) {
            server.spawn();
            // Not a wait for anything: the instant of the kill is the test's random input.
            tokio::time::sleep(rng.random_range(Duration::ZERO..start_takes)).await;
            server.kill().await;
        }
        server.start_again().await;
        let project = server.create_project("first").await;
        project.import(&events()).await;
        for state in ["live", "flushed"] {
            assert_eq!(project.sql("SELECT count(*) FROM events").await.int(), 3, "{state}");
            server.restart().await;
        }
    }
}

/// Runs `footfall project create NAME`, killed after `after` if it still runs then: what it printed, if it finished.
async fn create(data_dir: PathBuf, name: &str, after: Duration) -> Option<Value> {
    let mut command = footfall();
    command.args(["project", "create", name, "--json", "--data-dir"]).arg(data_dir);
    let child = command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
    let child = child.expect("the binary starts");
    // Dropping the future kills the process.
    let output = tokio::time::timeout(after, child.wait_with_output()).await.ok()?.expect("the process is reaped");
    output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("one JSON object"))
}

async fn listed(server: &Server) -> Vec<String> {
    let projects = server.cli(&["project", "list", "--json"]).await.succeeded().json();
    let names = projects.as_array().unwrap_or_else(|| panic!("not a list: {projects}")).iter();
    names.map(|project| project["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn projects_created_while_everything_is_killed_are_there_whole_or_not_at_all() {
    const PROJECTS: u32 = 20;
    let mut rng = ChaCha8Rng::seed_from_u64(seed(14));
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let began = Instant::now();
    let undisturbed = server.cli(&["project", "create", "undisturbed", "--json"]).await.succeeded().json();
    let create_takes = began.elapsed();
    let mut created = BTreeMap::from([("undisturbed".to_owned(), undisturbed)]);
    let names = (0..PROJECTS).map(|n| format!("project {n}")).collect::<Vec<_>>();
    for name in &names {
        let creating = create(server.data_dir(), name, rng.random_range(Duration::ZERO..create_takes * 5 / 4));
        let (server_dies, dies_after) = (rng.random_bool(0.5), rng.random_range(Duration::ZERO..create_takes));
        let killing = async {
            tokio::time::sleep(dies_after).await;
            if server_dies {
                server.kill().await;
            }
        };
        let (printed, ()) = tokio::join!(creating, killing);
        created.extend(printed.map(|printed| (name.clone(), printed)));
        if server_dies {
            server.start_again().await;
        }
    }
    let there = listed(&server).await;
    let distinct = there.iter().collect::<BTreeSet<_>>();
    assert_eq!(distinct.len(), there.len(), "no name twice: {there:?}");
    for name in created.keys() {
        assert!(there.contains(name), "{name} was created and is gone");
    }
    for name in &names {
        if created.contains_key(name) {
            continue;
        }
        let again = server.cli(&["project", "create", name, "--json"]).await;
        match there.contains(name) {
            true => assert_eq!(again.code, Some(1), "{name} is there already: {again:?}"),
            false => created.extend([(name.clone(), again.succeeded().json())]),
        }
    }
    println!("{} of {} projects created", created.len(), PROJECTS + 1);
    let projects = created.values().map(|printed| server.project(printed)).collect::<Vec<_>>();
    for project in &projects {
        project.import(&events()).await;
    }
    for state in ["live", "flushed"] {
        for project in &projects {
            assert_eq!(project.sql("SELECT count(*) FROM events").await.int(), 3, "{} {state}", project.name);
        }
        server.restart().await;
    }
}
