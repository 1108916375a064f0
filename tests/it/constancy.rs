//! A flush moves rows from memory to files, and no answer may notice.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;

use crate::harness::{DAY_MS, Project, Server, ServerOptions, parquet_files};
use crate::oracle::RawEvent;

const FLUSH_ROWS: usize = 4_000;
const ROUNDS: usize = 5;
const FIXED_PER_ROUND: usize = 2_500;
const NOISE_BATCHES: usize = 24;
const FIRST_MS: i64 = 1_704_067_200_000;

/// Everything that is asked about the fixed event, as one value to compare.
async fn answers(project: &Project) -> Vec<Value> {
    let range = [("event", "Fixed"), ("from_date", "2024-01-01"), ("to_date", "2024-01-08")];
    let with = |more: &[(&'static str, &'static str)]| [&range[..], more].concat();
    let sql = "SELECT CAST(CAST(time AS DATE) AS VARCHAR) AS day, count(*), count(DISTINCT user_id), sum(n), \
               min(plan), count(DISTINCT insert_id) FROM events WHERE event = 'Fixed' GROUP BY 1 ORDER BY 1";
    let (total, unique, by_plan) = (with(&[]), with(&[("type", "unique")]), with(&[("on", r#"properties["plan"]"#)]));
    let (table, total, unique, by_plan) = tokio::join!(
        project.sql(sql),
        project.segmentation(&total),
        project.segmentation(&unique),
        project.segmentation(&by_plan),
    );
    vec![Value::from(table.rows.into_iter().map(Value::from).collect::<Vec<_>>()), total, unique, by_plan]
}

fn fixed(round: usize) -> Vec<Value> {
    let event = |n: usize| {
        let number = round * FIXED_PER_ROUND + n;
        let time = FIRST_MS + (number as i64 * 7_919_000) % (8 * DAY_MS);
        let event = RawEvent::new("Fixed", &format!("u{}", number % 97), time, &format!("f-{number}"));
        event.with("n", number).with("plan", ["free", "pro", "team"][number % 3]).to_json()
    };
    (0..FIXED_PER_ROUND).map(event).collect()
}

fn noise(batch: usize) -> Vec<Value> {
    let event = |n: usize| {
        let time = FIRST_MS + ((batch * 1_000 + n) as i64 * 104_729) % (8 * DAY_MS);
        let event =
            RawEvent::new(&format!("Noise {}", n % 5), &format!("u{}", n % 131), time, &format!("z-{batch}-{n}"));
        event.with("n", n).with("plan", "noise").to_json()
    };
    (0..1_000).map(event).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_do_not_change_while_flushes_run_and_other_events_arrive() {
    let mut server = Server::start(ServerOptions::flushing_every(FLUSH_ROWS)).await;
    let project = server.create_project("constant").await;
    let compared = AtomicUsize::new(0);
    let mut rounds_with_flush = 0;
    for round in 0..ROUNDS {
        project.import(&fixed(round)).await;
        let files_before = parquet_files(&server.data_dir()).len();
        let want = answers(&project).await;
        let total = (round + 1) * FIXED_PER_ROUND;
        let counted =
            want[0].as_array().expect("rows").iter().map(|row| row[1].as_u64().expect("a count")).sum::<u64>();
        assert_eq!(counted, total as u64, "all fixed events are seen before the noise starts");
        let done = AtomicBool::new(false);
        let ask = async {
            while !done.load(Ordering::Acquire) {
                assert_eq!(answers(&project).await, want, "round {round}: an answer changed under a flush");
                compared.fetch_add(1, Ordering::Relaxed);
            }
        };
        let send = async {
            for batch in 0..NOISE_BATCHES {
                project.import(&noise(round * NOISE_BATCHES + batch)).await;
            }
            done.store(true, Ordering::Release);
        };
        tokio::join!(ask, send);
        assert_eq!(answers(&project).await, want, "round {round}: after the noise");
        rounds_with_flush += usize::from(parquet_files(&server.data_dir()).len() > files_before);
    }
    let compared = compared.into_inner();
    println!("{compared} comparisons in {ROUNDS} rounds, {rounds_with_flush} of them with new files");
    assert!(compared >= 2 * ROUNDS && rounds_with_flush >= ROUNDS - 1, "flushes ran while answers were compared");
    let before = answers(&project).await;
    server.restart().await;
    assert_eq!(answers(&project).await, before, "after a clean stop and start");
}
