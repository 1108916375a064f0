//! A client with a disk queue (`tests/py/footfall_queue`) against a server, both killed at random: what the client took is
//! there, once, however often either of them died.
//!
//! The truth is what the application heard: it notes "try" before it tracks an event and "kept" when the call has
//! returned. Both notes leave the process unbuffered, so a kill takes none back.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;

use crate::harness::{Project, Server, ServerOptions, python, python_command, python_unit_tests, seed};

const CYCLES: u64 = 30;
const LIFE_MAX: Duration = Duration::from_millis(500);

/// What the application heard.
#[derive(Default)]
struct Notes {
    tried: BTreeSet<u64>,
    kept: BTreeSet<u64>,
}

impl Notes {
    fn read(&mut self, said: &str) {
        for line in said.lines() {
            let (word, number) = line.split_once(' ').unwrap_or_else(|| panic!("not a note: {line}"));
            let number = number.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
            match word {
                "try" => self.tried.insert(number),
                "kept" => self.kept.insert(number),
                _ => panic!("not a note: {line}"),
            };
        }
    }

    fn next(&self) -> u64 {
        self.tried.last().map_or(0, |last| last + 1)
    }
}

/// A running application; `None` when the tools are not installed.
fn application(server: &Server, project: &Project, queue: &Path, first: u64) -> Option<Child> {
    let mut command = python_command()?;
    command.args(["queue_driver.py", "run", &server.base(), &project.token]).arg(queue).arg(first.to_string());
    Some(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the application starts"))
}

/// `kill -9`, and everything it had said by then.
async fn kill(mut application: Child) -> String {
    let mut pipe = application.stdout.take().expect("its output is a pipe");
    let mut said = String::new();
    let reading = pipe.read_to_string(&mut said);
    let killing = async {
        application.start_kill().expect("it can be killed");
        application.wait().await.expect("it is reaped")
    };
    let (read, status) = tokio::join!(reading, killing);
    read.expect("what it said is text");
    assert!(status.code().is_none(), "it ended by itself: {status}");
    said
}

async fn check(project: &Project, notes: &Notes, claim: &str) {
    let table = project.sql("SELECT n, count(*) FROM events WHERE event = 'Queued' GROUP BY n").await;
    let doubled = table.rows.iter().filter(|row| row[1] != json!(1)).take(9).collect::<Vec<_>>();
    assert!(doubled.is_empty(), "{claim}: events counted more than once: {doubled:?}");
    let visible = table.rows.iter().map(|row| row[0].as_u64().expect("a number")).collect::<BTreeSet<_>>();
    let lost = notes.kept.difference(&visible).take(9).collect::<Vec<_>>();
    assert!(lost.is_empty(), "{claim}: events that the client took are gone: {lost:?}");
    let invented = visible.difference(&notes.tried).take(9).collect::<Vec<_>>();
    assert!(invented.is_empty(), "{claim}: events that nobody tracked: {invented:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_queue_delivers_everything_once_though_client_and_server_are_killed() {
    let mut rng = ChaCha8Rng::seed_from_u64(seed(19));
    let mut server = Server::start(ServerOptions::flushing_every(500)).await;
    let project = server.create_project("queue").await;
    let queue = server.scratch("events.queue");
    let mut notes = Notes::default();
    let (mut clients_killed, mut servers_killed) = (0, 0);
    let Some(mut running) = application(&server, &project, &queue, 0) else { return };
    for _ in 0..CYCLES {
        // Not a wait for anything: the instant of the kill is the test's random input.
        tokio::time::sleep(rng.random_range(Duration::ZERO..LIFE_MAX)).await;
        let dies = rng.random_range(0..3);
        if dies != 0 {
            server.kill().await;
            servers_killed += 1;
            // For a while the client finds nobody.
            tokio::time::sleep(rng.random_range(Duration::ZERO..LIFE_MAX / 4)).await;
        }
        if dies != 1 {
            notes.read(&kill(running).await);
            clients_killed += 1;
            running = application(&server, &project, &queue, notes.next()).expect("the tools are installed");
        }
        if dies != 0 {
            server.start_again().await;
        }
    }
    notes.read(&kill(running).await);
    let queue = queue.to_str().expect("a path of text");
    let drained = python("queue_driver.py", &["drain", &server.base(), &project.token, queue]).await;
    assert_eq!(drained.as_deref().map(str::trim), Some("left 0 refused 0"));
    check(&project, &notes, "drained").await;
    server.restart().await;
    check(&project, &notes, "flushed").await;
    println!("{} events kept; {clients_killed} clients and {servers_killed} servers killed", notes.kept.len());
    assert!(notes.kept.len() as u64 > 10 * CYCLES, "the application did track events");
}

#[tokio::test]
async fn the_disk_queue_passes_its_own_tests() {
    python_unit_tests("footfall_queue").await;
}
