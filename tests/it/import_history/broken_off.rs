//! An import that is killed at random, and at each of its steps, ends as one that was not.
//!
//! `FOOTFALL_KILL_CYCLES` sets how many kills there are on each way, with a server and without (12 unless set).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::data::{assert_same, expected, held, records, write_folder};
use super::{import, text};
use crate::crash::has_failpoints;
use crate::harness::{Project, Server, ServerOptions, footfall, seed};
use crate::oracle::RawEvent;

const FILES: usize = 6;
const RECORDS: usize = 24_000;
const DAYS: i64 = 25;
const FLUSH_ROWS: usize = 6_000;
/// Steps of an import, and how often each is passed, roughly.
const STEPS: [(&str, u64); 4] =
    [("import::chunk", 5), ("import::checkpoint", 2), ("import::batch", 4), ("import::finish", 0)];
/// So slow that reading makes a checkpoint between two files: it is otherwise over within the first second.
const SLOW: &str = "sleep(600)";

fn kills() -> u64 {
    std::env::var("FOOTFALL_KILL_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

/// What is asked of a project after an import: every event, every day's count, every copy that lost.
#[derive(Debug, PartialEq)]
struct Seen {
    events: Vec<String>,
    by_day: Vec<Vec<Value>>,
    losers: Vec<String>,
}

async fn seen(project: &Project) -> Seen {
    let by_day = "SELECT CAST(CAST(time AS DATE) AS VARCHAR), event, count(*) FROM events GROUP BY 1, 2 ORDER BY 1, 2";
    let losers = project.sql_reply("SELECT * FROM rejected_events").await.ok().json();
    let table = crate::harness::Table::from_json(&losers);
    // When a copy arrived differs between runs, and so does whether it had been flushed when it lost: then its source is
    // not known any more, and its properties come in the order of the columns. What it was and why it lost must not differ.
    let kept = |name: &str| !name.ends_with("_at") && !name.ends_with("source");
    let kept: BTreeSet<usize> = (0..table.columns.len()).filter(|at| kept(&table.columns[*at])).collect();
    let told = |value: &Value| match value.as_str().and_then(|text| serde_json::from_str(text).ok()) {
        Some(Value::Object(members)) => format!("{:?}", members.into_iter().collect::<BTreeMap<_, _>>()),
        _ => value.to_string(),
    };
    let mut losers: Vec<String> =
        table.rows.iter().map(|row| kept.iter().map(|at| told(&row[*at])).collect::<Vec<_>>().join(" ")).collect();
    losers.sort_unstable();
    Seen { events: held(project).await, by_day: project.sql(by_day).await.rows, losers }
}

/// Starts an import and kills it after `after`, unless it dies or ends before.
async fn import_until(data_dir: &Path, folder: &Path, failpoints: Option<&str>, after: Duration) -> ExitStatus {
    let mut command = footfall();
    command.args(["import", "--project", "kill", "--json", text(folder), "--data-dir"]).arg(data_dir);
    command.env("FOOTFALL_FLUSH_ROWS", FLUSH_ROWS.to_string());
    command.envs(failpoints.map(|setting| ("FAILPOINTS", setting)));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    // The instant of the kill is the test's random input.
    match tokio::time::timeout(after, child.wait()).await {
        Ok(status) => status.expect("the process is reaped"),
        Err(_) => {
            child.start_kill().expect("the process can be killed");
            child.wait().await.expect("the process is reaped")
        }
    }
}

/// How the kills of one import go: at each step in turn, each time a little further in, and at random.
fn endings(rng: &mut ChaCha8Rng, failpoints: bool, usual: Duration) -> Vec<(Option<String>, Duration)> {
    const LONG: Duration = Duration::from_secs(120);
    let mut endings = Vec::new();
    for kill in 0..kills() {
        let (step, passes) = STEPS[(kill as usize / 2).min(STEPS.len() * 2 - 1) % STEPS.len()];
        if failpoints && kill % 2 == 0 {
            let off = rng.random_range(0..=passes);
            let slow = if step == "import::checkpoint" { format!(";import::chunk={SLOW}") } else { String::new() };
            endings.push((Some(format!("{step}={off}*off->return(exit){slow}")), LONG));
        } else {
            let slow = failpoints && rng.random_bool(0.3);
            let after = usual.mul_f64(rng.random_range(0.1..1.0));
            let after = if slow { after + Duration::from_millis(1_500) } else { after };
            endings.push((slow.then(|| format!("import::chunk={SLOW}")), after));
        }
    }
    endings
}

/// The dataset, and what an import of it that nobody disturbs comes to, in a project called `kill`.
async fn undisturbed(records: &[RawEvent]) -> (Server, Project, Seen, Duration) {
    let server = Server::start(ServerOptions::flushing_every(FLUSH_ROWS)).await;
    let project = server.create_project("kill").await;
    let folder = server.scratch("history");
    write_folder(&folder, records, FILES);
    let began = Instant::now();
    let summary = import(&server, &project, &[text(&folder)]).await;
    let usual = began.elapsed();
    assert_eq!((summary["uncounted"].as_i64(), summary["rejected"].as_i64()), (Some(0), Some(0)), "{summary}");
    let seen = seen(&project).await;
    assert_same("undisturbed", &seen.events, &expected(records));
    let losers = records.len() - seen.events.len();
    assert!(losers > 500 && seen.losers.len() == losers, "{losers} copies lose: {}", seen.losers.len());
    (server, project, seen, usual)
}

/// Kills an import again and again, then lets it end.
async fn kill_and_resume(data_dir: &Path, folder: &Path, rng: &mut ChaCha8Rng, usual: Duration) {
    let mut killed = 0;
    for (failpoints, after) in endings(rng, has_failpoints().await, usual) {
        let status = import_until(data_dir, folder, failpoints.as_deref(), after).await;
        println!("{failpoints:?} after at most {after:?}: {status}");
        match status.code() {
            None => killed += 1,
            Some(code) => assert_eq!(code, 0, "an import ends well or by a kill: {failpoints:?}"),
        }
    }
    assert!(killed >= 2, "the kills came too late to tell anything");
    let status = import_until(data_dir, folder, None, Duration::from_secs(300)).await;
    assert!(status.success(), "the last run ends well: {status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_killed_anywhere_ends_as_one_that_was_not() {
    let mut rng = ChaCha8Rng::seed_from_u64(seed(44));
    let records = records(rng.random(), RECORDS, DAYS);
    let (mut plain, _, want, usual) = undisturbed(&records).await;

    // Beside a server, which lives on; and without one, where the engine dies with the import.
    let mut server = Server::start(ServerOptions::flushing_every(FLUSH_ROWS)).await;
    let project = server.create_project("kill").await;
    let folder = plain.scratch("history");
    kill_and_resume(&server.data_dir(), &folder, &mut rng, usual).await;
    let got = seen(&project).await;
    assert_same("beside a server", &got.events, &want.events);
    assert_same("beside a server: rejected_events", &got.losers, &want.losers);
    assert_eq!(got.by_day, want.by_day, "beside a server");
    server.restart().await;
    assert_eq!(seen(&project).await, got, "beside a server, flushed");
    assert_eq!(leftovers(&server.data_dir()), Vec::<String>::new());

    let mut alone = Server::start(ServerOptions::flushing_every(FLUSH_ROWS)).await;
    let project = alone.create_project("kill").await;
    alone.stop().await;
    kill_and_resume(&alone.data_dir(), &folder, &mut rng, usual).await;
    assert_eq!(leftovers(&alone.data_dir()), Vec::<String>::new());
    alone.start_again().await;
    let got = seen(&project).await;
    assert_same("alone", &got.events, &want.events);
    assert_same("alone: rejected_events", &got.losers, &want.losers);
    assert_eq!(got.by_day, want.by_day, "alone");
    plain.stop().await;
}

/// What an import that is over has left behind, but its journal and its lock.
fn leftovers(data_dir: &Path) -> Vec<String> {
    let imports = std::fs::read_dir(data_dir.join("imports")).expect("imports");
    let folders = imports.map(|entry| entry.expect("an entry").path());
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).expect("a folder"));
    let names = files.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name != "journal" && name != "lock").collect()
}

/// Row 66: backfill and live traffic at once. The server is killed as well, and the import waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_traffic_goes_on_and_the_server_may_be_started_again() {
    let records = records(seed(45), 30_000, DAYS);
    let mut server = Server::start(ServerOptions::flushing_every(FLUSH_ROWS)).await;
    let project = server.create_project("kill").await;
    let folder = server.scratch("history");
    write_folder(&folder, &records, 3);
    let data_dir = server.data_dir();
    // Slow enough that the kill comes between two batches.
    let slow = has_failpoints().await.then_some("import::batch=sleep(500)");
    let importing = tokio::spawn(async move { import_until(&data_dir, &folder, slow, Duration::from_secs(300)).await });
    let (mut live, mut batch, mut killed) = (Vec::new(), 0, false);
    while !importing.is_finished() {
        let time = super::data::FIRST_MS + 60_000 * batch;
        let sent: Vec<RawEvent> =
            (0..5).map(|n| RawEvent::new("Live", &format!("user-{n}"), time, &format!("live-{batch}-{n}"))).collect();
        project.import(&sent.iter().map(RawEvent::to_json).collect::<Vec<_>>()).await;
        live.extend(sent);
        batch += 1;
        let visible = project.sql("SELECT count(*) FILTER (WHERE event = 'Live'), count(*) FROM events").await.rows;
        let [of_live, all] = [&visible[0][0], &visible[0][1]].map(|count| count.as_u64().expect("a count") as usize);
        assert_eq!(of_live, live.len(), "live events are there at once");
        if all > of_live && !killed {
            killed = true;
            server.kill().await;
            server.start_again().await;
        }
    }
    assert!(importing.await.expect("no panic").success(), "the import waits for the server");
    assert!(slow.is_none() || killed, "the server was killed in the middle");
    let arrivals = [&records[..], &live[..]].concat();
    assert_same("beside live traffic", &held(&project).await, &expected(&arrivals));
}
