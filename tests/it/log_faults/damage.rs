//! Files that are not as they were written.

use std::fs;
use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{killed_after, segments, send, visible};
use crate::harness::{CliOutput, Server, ServerOptions, Start, footfall, run_cli, seed};

const COUNT: &str = "SELECT batch, count(*) FROM events GROUP BY batch ORDER BY batch";

/// A server's directory after a kill: batches of two events in the log, nothing in tables.
async fn killed_server(batches: usize) -> (Server, crate::harness::Project) {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("damage").await;
    killed_after(&mut server, &project, batches, 2).await;
    (server, project)
}

/// A copy of the data directory, with one file of the log changed.
fn copy_with(data_dir: &Path, file: &Path, bytes: &[u8]) -> TempDir {
    let copy = TempDir::with_prefix("footfall-it-").expect("a temporary directory");
    let copied = std::process::Command::new("cp").arg("-rT").arg(data_dir).arg(copy.path()).status();
    assert!(copied.expect("cp runs").success());
    let changed = copy.path().join("log").join(file.file_name().expect("a file name"));
    fs::write(changed, bytes).expect("the file is changed");
    copy
}

/// What a start on this directory answers: batches with their events.
async fn ask(data_dir: &Path) -> CliOutput {
    run_cli(data_dir, &[], &["sql", "--project", "damage", COUNT, "--format", "csv"]).await
}

/// `(batch, events)` of an answer.
fn rows(output: &CliOutput) -> Vec<(usize, usize)> {
    let row = |line: &str| {
        let (batch, events) = line.split_once(',').expect("two columns");
        (batch.parse().expect("a batch"), events.parse().expect("a count"))
    };
    output.stdout.lines().skip(1).map(row).collect()
}

async fn dump(data_dir: &Path) -> Vec<Value> {
    let output = run_cli(data_dir, &[], &["log", "dump", "--format", "json"]).await;
    output.stdout.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// The records of events in the log, with offset and length.
async fn event_records(data_dir: &Path) -> Vec<(u64, u64)> {
    let number = |record: &Value, name: &str| record[name].as_u64().expect("a number");
    let records = dump(data_dir).await;
    let events = records.iter().filter(|record| record["kind"] == "events");
    events.map(|record| (number(record, "offset"), number(record, "bytes"))).collect()
}

#[tokio::test]
async fn a_last_record_torn_at_any_place_is_healed() {
    let (server, _project) = killed_server(3).await;
    let file = segments(&server.data_dir()).pop().expect("a segment");
    let whole = fs::read(&file).expect("the segment");
    let (start, bytes) = *event_records(&server.data_dir()).await.last().expect("a record");
    assert_eq!(start + bytes, whole.len() as u64, "the last record ends the file");
    let all = std::env::var_os("FOOTFALL_LOG_CUTS").is_some();
    let places = (start..whole.len() as u64).filter(|at| all || at - start <= 8 || (at - start) % 97 == 0);
    let mut tried = 0;
    for cut in places.chain([whole.len() as u64 - 1]) {
        let copy = copy_with(&server.data_dir(), &file, &whole[..cut as usize]);
        let output = ask(copy.path()).await.succeeded();
        assert_eq!(rows(&output), [(0, 2), (1, 2)], "cut at {cut}");
        tried += 1;
    }
    assert!(tried > 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_healed_as_a_torn_tail_or_refused_by_name() {
    const AT_ONCE: usize = 4;
    let (server, _project) = killed_server(8).await;
    let data_dir = server.data_dir();
    let file = segments(&data_dir).pop().expect("a segment");
    let bytes = fs::metadata(&file).expect("the segment").len() as usize;
    let mut rng = ChaCha8Rng::seed_from_u64(seed(5));
    let flips = std::env::var("FOOTFALL_LOG_FLIPS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let flips: Vec<_> = (0..flips).map(|_| (rng.random_range(0..bytes), rng.random_range(0..8))).collect();
    let mut lanes = JoinSet::new();
    for lane in 0..AT_ONCE {
        let flips: Vec<_> = flips.iter().skip(lane).step_by(AT_ONCE).copied().collect();
        let (data_dir, file) = (data_dir.clone(), file.clone());
        lanes.spawn(async move {
            let mut healed = 0;
            for (at, bit) in flips {
                healed += usize::from(is_flip_healed(&data_dir, &file, at, bit).await);
            }
            healed
        });
    }
    let healed: usize = lanes.join_all().await.into_iter().sum();
    println!("{healed} of {} healed, the others refused", flips.len());
    assert!(healed < flips.len());
}

/// Starts from a log with one bit flipped; whether it was healed. Anything but that and a refusal by name is a failure.
async fn is_flip_healed(data_dir: &Path, file: &Path, at: usize, bit: u32) -> bool {
    let mut bytes = fs::read(file).expect("the segment");
    bytes[at] ^= 1 << bit;
    let copy = copy_with(data_dir, file, &bytes);
    let output = ask(copy.path()).await;
    if output.code == Some(0) {
        // Each batch was a group of its own: only the last one can have been torn.
        assert_eq!(rows(&output), (0..7).map(|id| (id, 2)).collect::<Vec<_>>(), "a flip at {at}");
        return true;
    }
    assert_eq!(output.code, Some(1), "{output:?}");
    let (said, name) = (&output.stderr, file.file_name().and_then(|name| name.to_str()).expect("a name"));
    assert!(said.contains(name) && said.contains("footfall log salvage --data-dir"), "{said}");
    let offset = said.split("offset=").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    let offset: usize = offset.and_then(|offset| offset.parse().ok()).unwrap_or_else(|| panic!("no offset: {said}"));
    assert!(offset <= at, "named {offset}, flipped {at}");
    let now = fs::read(copy.path().join("log").join(name)).expect("the segment");
    assert!(now == bytes, "a refused log is left as it was");
    false
}

#[tokio::test]
async fn a_damaged_log_is_refused_with_the_command_that_salvages_it() {
    let (mut server, project) = killed_server(6).await;
    let data_dir = server.data_dir();
    let file = segments(&data_dir).pop().expect("a segment");
    let (start, bytes) = event_records(&data_dir).await[2];
    let mut damaged = fs::read(&file).expect("the segment");
    damaged[(start + bytes / 2) as usize] ^= 4;
    fs::write(&file, &damaged).expect("the file is changed");

    server.spawn();
    let Start::Ended(status) = server.start_ends(std::time::Duration::from_secs(60)).await else {
        panic!("a damaged log is not served")
    };
    assert_eq!(status.code(), Some(1));
    let log = server.log();
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(log.contains(&format!("offset={start}")) && log.contains(name), "{log}");

    let found = server.cli(&["log", "dump"]).await;
    assert_eq!(found.code, Some(1), "a dump of a damaged log ends with 1");
    assert_eq!(found.stdout.lines().filter(|line| line.contains("kind=events")).count(), 5);
    assert!(found.stdout.contains(&format!("offset={start} bytes={bytes}")), "{}", found.stdout);

    // The very words of the refusal, as an operator would paste them.
    let error = log.lines().rev().find(|line| line.starts_with("error: ")).expect("the refusal is printed");
    let command = error.split("go on with what is sound: ").nth(1).expect("the refusal names a command");
    let binary = footfall().as_std().get_program().to_string_lossy().into_owned();
    let command = command.replacen("footfall ", &format!("'{binary}' "), 1);
    let ran = std::process::Command::new("sh").args(["-c", &command]).output().expect("sh runs");
    assert!(ran.status.success(), "{command}\n{}", String::from_utf8_lossy(&ran.stderr));
    let kept = data_dir.join("log.damaged").join(file.file_name().expect("a name"));
    assert!(fs::read(kept).expect("the old log") == damaged, "the source is not changed");

    server.start_again().await;
    assert_eq!(visible(&project, 2).await, [0, 1, 3, 4, 5], "all but the damaged record");
    send(&project, 2, 2).await.ok();
    server.restart().await;
    assert_eq!(visible(&project, 2).await, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn salvage_reports_what_it_left_out_and_wants_an_empty_place() {
    let (server, _project) = killed_server(4).await;
    let data_dir = server.data_dir();
    let file = segments(&data_dir).pop().expect("a segment");
    let (start, bytes) = event_records(&data_dir).await[1];
    let mut damaged = fs::read(&file).expect("the segment");
    damaged[start as usize] ^= 1;
    fs::write(&file, &damaged).expect("the file is changed");
    let to = server.scratch("new");
    let to = to.to_str().expect("a path in UTF-8");
    let report = server.cli(&["log", "salvage", "--to", to, "--json"]).await.succeeded().json();
    assert_eq!(report["lost_records"], 1, "{report}");
    let skipped = &report["skipped"][0];
    assert_eq!((skipped["offset"].as_u64(), skipped["bytes"].as_u64()), (Some(start), Some(bytes)));
    assert_eq!(skipped["file"], file.file_name().and_then(|name| name.to_str()).expect("a name"));
    assert_eq!(server.cli(&["log", "salvage", "--to", to]).await.code, Some(1), "never over something");
    assert_eq!(server.cli(&["log", "salvage"]).await.code, Some(2), "--to is needed");
}

#[tokio::test]
async fn a_dump_works_beside_a_running_server_and_shows_what_records_hold() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("dump").await;
    send(&project, 0, 3).await.ok();
    send(&project, 1, 2).await.ok();
    let id = project.id.to_string();
    let lines = server.cli(&["log", "dump", "--format", "json", "--payload", "--project", &id]).await.succeeded();
    let lines: Vec<Value> = lines.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let events: Vec<&Value> = lines.iter().filter(|line| line["kind"] == "events").collect();
    assert_eq!(events.iter().map(|line| line["rows"].as_u64()).collect::<Vec<_>>(), [Some(3), Some(2)]);
    assert_eq!(events[1]["payload"][2]["insert_id"], "b1-1");
    let last = events[1]["lsn"].to_string();
    let text = server.cli(&["log", "dump", "--from", &last]).await.succeeded().stdout;
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with(&format!("lsn={last} epoch=1 project={id} kind=events rows=2 file=")), "{text}");
}

#[tokio::test]
async fn a_missing_segment_at_either_end_is_noticed() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("damage").await;
    for id in 0..3 {
        send(&project, id, 2).await.ok();
        server.kill().await;
        server.start_again().await;
    }
    server.kill().await;
    let files = segments(&server.data_dir());
    let first = &files[0];
    let bytes = fs::read(first).expect("the segment");
    fs::remove_file(first).expect("the segment goes");
    let output = ask(&server.data_dir()).await;
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("the segments before this one are missing"), "{}", output.stderr);
    fs::write(first, bytes).expect("the segment is back");

    // Everything in tables, then the end of the log is lost: new records would be taken for old ones.
    let before = segments(&server.data_dir());
    let last = before.last().expect("a segment");
    let saved: Vec<_> = before.iter().map(|file| (file.clone(), fs::read(file).expect("a segment"))).collect();
    server.start_again().await;
    send(&project, 3, 2).await.ok();
    server.stop().await;
    for file in segments(&server.data_dir()) {
        fs::remove_file(file).expect("a segment goes");
    }
    for (file, bytes) in saved.iter().filter(|(file, _)| file <= last) {
        fs::write(file, bytes).expect("the older log is back");
    }
    let output = ask(&server.data_dir()).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stderr.contains("log has lost its end") && output.stderr.contains("--next-lsn"),
        "{}",
        output.stderr
    );
}
