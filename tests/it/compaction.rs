//! Small files become few large ones, in the background and by `footfall compact`, and no answer changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rand::seq::SliceRandom as _;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::harness::{
    DAY_MS, Figures, Project, Server, ServerOptions, eventually, parquet_files, python, run_cli, seed,
};
use crate::oracle::{RawEvent, losers, surviving};

/// 1 January 2024.
const FROM: i64 = 1_704_067_200_000;
const DAYS: i64 = 4;
const SHARDS: usize = 2;

/// Questions whose answers together are every row and its properties, duplicates and superseded copies included.
const QUESTIONS: [&str; 4] = [
    "SELECT event, count(*), count(DISTINCT user_id), count(DISTINCT insert_id), sum(amount), sum(version) FROM events \
     GROUP BY event ORDER BY event",
    "SELECT date_trunc('day', time), count(*), min(insert_id), max(insert_id), count(plan) FROM events \
     GROUP BY 1 ORDER BY 1",
    "SELECT distinct_id, time, event, version FROM events WHERE event = 'Pay' ORDER BY insert_id LIMIT 20",
    "SELECT reason, count(*), count(DISTINCT insert_id) FROM rejected_events GROUP BY reason ORDER BY reason",
];

fn quiet_options() -> ServerOptions {
    let options = ServerOptions::flushing_every(100).env("FOOTFALL_SHARDS", SHARDS);
    options.env("FOOTFALL_COMPACTION_ENABLED", false).env("FOOTFALL_COMPACTION_KEEP_DEAD", 0)
}

fn events(rng: &mut ChaCha8Rng, count: i64, from: i64) -> Vec<RawEvent> {
    let event = |n: i64| {
        let name = ["Browse", "Pay", "Play"][rng.random_range(0..3)];
        let user = format!("u{}", rng.random_range(0..60));
        let time = FROM + rng.random_range(0..DAYS) * DAY_MS + rng.random_range(0..DAY_MS);
        let event = RawEvent::new(name, &user, time, &format!("i{n}")).with("version", 0).with("amount", n % 97);
        if n % 3 == 0 { event.with("plan", "pro") } else { event.with(&format!("p{}", n % 40), n) }
    };
    (from..from + count).map(event).collect()
}

async fn answers(project: &Project) -> Vec<Vec<Vec<Value>>> {
    let mut answers = Vec::new();
    for question in QUESTIONS {
        answers.push(project.sql(question).await.rows);
    }
    answers
}

fn project_folder(server: &Server, project: &Project) -> PathBuf {
    server.data_dir().join("store").join(project.id.to_string())
}

/// Data files that the log of a table names, from its commits.
fn listed(table: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(table.join("_delta_log")).into_iter().flatten();
    let mut commits: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    commits.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    commits.sort();
    let mut files: BTreeMap<String, ()> = BTreeMap::new();
    for commit in commits {
        for line in std::fs::read_to_string(commit).expect("a commit").lines() {
            let action: Value = serde_json::from_str(line).expect("an action");
            if let Some(path) = action["add"]["path"].as_str() {
                files.insert(path.replace("%3D", "="), ());
            } else if let Some(path) = action["remove"]["path"].as_str() {
                files.remove(&path.replace("%3D", "="));
            }
        }
    }
    files.into_keys().collect()
}

/// Imports each batch and waits until it is in files of its own.
async fn import_apart(server: &Server, project: &Project, batches: &[Vec<RawEvent>]) {
    let table = project_folder(server, project).join("events");
    for batch in batches {
        let before = listed(&table).len();
        project.import(&batch.iter().map(RawEvent::to_json).collect::<Vec<_>>()).await;
        eventually("the batch is flushed", async || listed(&table).len() > before || batch.is_empty()).await;
    }
}

/// Sums by engines that are not Footfall.
async fn check_outside(server: &Server, project: &Project) {
    let table = project_folder(server, project).join("events");
    let Some(printed) = python("delta_counts.py", &[table.to_str().expect("UTF-8")]).await else { return };
    let seen: Value = serde_json::from_str(&printed).expect("JSON");
    let query = "SELECT event, count(*), count(DISTINCT user_id) FROM events GROUP BY event ORDER BY event";
    let want = Value::from(project.sql(query).await.rows.into_iter().map(Value::from).collect::<Vec<_>>());
    for engine in ["pyarrow", "duckdb"] {
        assert_eq!(seen[engine], want, "{engine} counts as Footfall does");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_looped_during_compaction_never_changes_its_answer() {
    let mut rng = ChaCha8Rng::seed_from_u64(seed(21));
    let mut server = Server::start(quiet_options()).await;
    let project = server.create_project("looped").await;
    let batches: Vec<_> = (0..6).map(|batch| events(&mut rng, 400, batch * 400)).collect();
    import_apart(&server, &project, &batches).await;
    let table = project_folder(&server, &project).join("events");
    let before = listed(&table).len();
    assert!(before > 2 * SHARDS * DAYS as usize, "{before} files");

    let want = Arc::new(answers(&project).await);
    let (stop, looked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut looking = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (project, want, stop, looked) = (project.clone(), want.clone(), stop.clone(), looked.clone());
        looking.spawn(async move {
            while !stop.load(Ordering::Acquire) {
                assert_eq!(answers(&project).await, *want);
                looked.fetch_add(1, Ordering::AcqRel);
            }
        });
    }
    let printed = server.cli(&["compact", "--project", "looped", "--json"]).await.succeeded().json();
    let after_command = looked.load(Ordering::Acquire);
    eventually("queries ran on after it", async || looked.load(Ordering::Acquire) > after_command + 3).await;
    stop.store(true, Ordering::Release);
    looking.join_all().await;

    let report = &printed["projects"][0];
    assert_eq!(report["segments_before"], json!(before));
    assert_eq!(report["segments_after"], json!(SHARDS * DAYS as usize), "one file for each shard and day");
    assert_eq!(listed(&table).len(), SHARDS * DAYS as usize);
    check_outside(&server, &project).await;
    // Those of queries that ran were kept for them; now nobody needs them.
    server.cli(&["compact", "--all"]).await.succeeded();
    for (name, of) in [("events", parquet_files(&table).len()), ("users", 1), ("rejected_events", 0)] {
        let table = project_folder(&server, &project).join(name);
        assert_eq!((parquet_files(&table).len(), listed(&table).len()), (of, of), "{name}: no dead file is left");
    }
    let figures = Figures::scrape(&server).await;
    assert!(
        figures.sum("footfall_compaction_merges_total", &[r#"outcome="merged""#]) >= (SHARDS * DAYS as usize) as u64
    );
    assert!(figures.sum("footfall_compaction_dead_files_deleted_total", &[]) >= before as u64);
    server.restart().await;
    assert_eq!(answers(&project).await, *want, "after a restart");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_resent_and_changed_events_before_during_and_after_compactions_count_once() {
    let mut rng = ChaCha8Rng::seed_from_u64(seed(22));
    let options = quiet_options().env("FOOTFALL_COMPACTION_ENABLED", true).env("FOOTFALL_COMPACTION_QUIET", 0);
    let mut server = Server::start(options.env("FOOTFALL_COMPACTION_COLLECT_EVERY", 1)).await;
    let project = server.create_project("late").await;
    let mut arrivals: Vec<RawEvent> = Vec::new();
    for round in 0..12 {
        let mut batch = events(&mut rng, 120, round * 120);
        // Some again as they were, some with other properties, from any time.
        for n in 0..60 {
            if arrivals.is_empty() {
                break;
            }
            let earlier = arrivals[rng.random_range(0..arrivals.len())].clone();
            batch.push(if n % 2 == 0 { earlier } else { earlier.with("version", round * 100 + n) });
        }
        batch.shuffle(&mut rng);
        project.import(&batch.iter().map(RawEvent::to_json).collect::<Vec<_>>()).await;
        arrivals.extend(batch);
        check_against_arrivals(&project, &arrivals).await;
        if round == 7 {
            server.kill().await;
            server.start_again().await;
        }
    }
    let merged =
        async || Figures::scrape(&server).await.sum("footfall_compaction_merges_total", &[r#"outcome="merged""#]);
    eventually("it merges in the background", async || merged().await > 0).await;
    server.cli(&["compact", "--project", "late"]).await.succeeded();
    check_against_arrivals(&project, &arrivals).await;
    check_outside(&server, &project).await;
    server.restart().await;
    check_against_arrivals(&project, &arrivals).await;
    assert_eq!(listed(&project_folder(&server, &project).join("events")).len(), SHARDS * DAYS as usize);
    server.assert_no_panic();
    server.stop().await;
}

async fn check_against_arrivals(project: &Project, arrivals: &[RawEvent]) {
    let mut want: Vec<(String, i64)> = surviving(arrivals).iter().map(version_of).collect();
    want.sort();
    let table = project.sql("SELECT insert_id, version FROM events ORDER BY insert_id").await;
    let seen: Vec<(String, i64)> =
        table.rows.iter().map(|row| (row[0].as_str().unwrap().to_owned(), row[1].as_i64().unwrap())).collect();
    assert_eq!(seen, want);
    let rejected = project.sql("SELECT count(*) FROM rejected_events").await.int();
    assert_eq!(rejected, losers(arrivals).len() as i64);
}

fn version_of(event: &RawEvent) -> (String, i64) {
    (event.insert_id.clone().expect("an id"), event.properties["version"].as_i64().expect("a version"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_works_without_a_server_and_tells_what_is_wrong() {
    let mut rng = ChaCha8Rng::seed_from_u64(seed(23));
    let mut server = Server::start(quiet_options()).await;
    let project = server.create_project("alone").await;
    let batches: Vec<_> = (0..3).map(|batch| events(&mut rng, 100, batch * 100)).collect();
    import_apart(&server, &project, &batches).await;
    let want = answers(&project).await;
    server.stop().await;
    let env = [("FOOTFALL_COMPACTION_KEEP_DEAD".to_owned(), "0".to_owned())];
    let run = async |args: &[&str]| run_cli(&server.data_dir(), &env, args).await;
    assert_eq!(run(&["compact"]).await.code, Some(2), "neither --project nor --all");
    assert_eq!(run(&["compact", "--project", "nobody"]).await.code, Some(1));
    let report = run(&["compact", "--all", "--json"]).await.succeeded().json();
    assert_eq!(report["projects"][0]["segments_after"], json!(SHARDS * DAYS as usize));
    let again = run(&["compact", "--project", "alone", "--json"]).await.succeeded().json();
    assert_eq!(again["projects"][0]["rows_rewritten"], json!(0), "nothing is left to do");
    server.start_again().await;
    assert_eq!(answers(&project).await, want);
    server.stop().await;
}
