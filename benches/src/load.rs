//! Sends batches from many connections and measures the time until each is acknowledged.
//!
//! Without `--rate` every connection sends its next batch as soon as the last is acknowledged. With it batches are due at
//! fixed moments and a late one's time counts from the moment it was due, so that a stall cannot hide the batches behind it.
//! A 429 is obeyed and sent again; anything else than full success ends the run with an error: a bench does not lose events.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use clap::Args;
use flate2::read::MultiGzDecoder;
use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};

use crate::sample::{Batch, Batches, Latencies};

#[derive(Args, Clone)]
pub struct LoadOptions {
    /// NDJSON, gzip if the name ends in .gz.
    #[arg(long)]
    file: PathBuf,
    /// The server, for example http://127.0.0.1:8080.
    #[arg(long)]
    url: String,
    #[arg(long)]
    project_id: String,
    /// The service account's name.
    #[arg(long)]
    user: String,
    #[arg(long, env = "FOOTFALL_BENCH_SECRET", hide_env_values = true)]
    secret: String,
    /// Events per request.
    #[arg(long, default_value_t = 2_000)]
    batch: u64,
    /// Requests under way at once.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Lines to leave out at the start.
    #[arg(long, default_value_t = 0)]
    skip: u64,
    /// Lines to send at most.
    #[arg(long, default_value_t = u64::MAX)]
    limit: u64,
    /// Events per second to offer; as fast as it goes when absent.
    #[arg(long)]
    rate: Option<f64>,
}

/// Batches with the time, counted from the start, at which each is due.
type Queue = Arc<Mutex<mpsc::Receiver<(Duration, Batch)>>>;

#[derive(Default)]
struct Tally {
    events: u64,
    bytes: u64,
    retries: u64,
    latencies: Latencies,
}

pub fn load(options: LoadOptions) -> anyhow::Result<()> {
    ensure!(options.batch > 0 && options.connections > 0, "batch and connections must be at least 1");
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(run(options))
}

async fn run(options: LoadOptions) -> anyhow::Result<()> {
    let (sender, receiver) = mpsc::channel(4 * options.connections);
    let queue: Queue = Arc::new(Mutex::new(receiver));
    let reader = {
        let options = options.clone();
        tokio::task::spawn_blocking(move || read(&options, &sender))
    };
    let client = reqwest::Client::builder().tcp_nodelay(true).timeout(Duration::from_secs(120)).build()?;
    let started = Instant::now();
    let mut connections = JoinSet::new();
    for _ in 0..options.connections {
        connections.spawn(connection(client.clone(), options.clone(), queue.clone(), started));
    }
    let mut total = Tally::default();
    while let Some(tally) = connections.join_next().await {
        let tally = tally??;
        total.events += tally.events;
        total.bytes += tally.bytes;
        total.retries += tally.retries;
        total.latencies.append(tally.latencies);
    }
    let seconds = started.elapsed().as_secs_f64();
    reader.await??;
    print(&options, total, seconds);
    Ok(())
}

fn print(options: &LoadOptions, mut total: Tally, seconds: f64) {
    let batches = total.latencies.len();
    let [p50, p99, max] = total.latencies.at([0.5, 0.99, 1.0]);
    let report = json!({
        "batch": options.batch, "connections": options.connections, "rate": options.rate,
        "events": total.events, "batches": batches, "bytes": total.bytes, "seconds": seconds,
        "events_per_s": total.events as f64 / seconds, "p50_ms": p50, "p99_ms": p99, "max_ms": max,
        "retries": total.retries,
    });
    println!("{report}");
}

fn read(options: &LoadOptions, sender: &mpsc::Sender<(Duration, Batch)>) -> anyhow::Result<()> {
    let mut before = 0;
    for batch in Batches::new(open(&options.file)?, options.batch, options.skip, options.limit)? {
        let batch = batch?;
        let due = options.rate.map_or(0.0, |rate| before as f64 / rate);
        before += batch.events;
        if sender.blocking_send((Duration::from_secs_f64(due), batch)).is_err() {
            return Ok(()); // every connection has failed, and says why
        }
    }
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    Ok(match path.extension().is_some_and(|extension| extension == "gz") {
        true => Box::new(BufReader::with_capacity(1 << 20, MultiGzDecoder::new(file))),
        false => Box::new(BufReader::with_capacity(1 << 20, file)),
    })
}

async fn connection(
    client: reqwest::Client,
    options: LoadOptions,
    queue: Queue,
    started: Instant,
) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    loop {
        let Some((due, batch)) = queue.lock().await.recv().await else { return Ok(tally) };
        let mut since = Instant::now();
        if options.rate.is_some() {
            tokio::time::sleep_until((started + due).into()).await;
            since = started + due;
        }
        tally.bytes += batch.body.len() as u64;
        tally.retries += send(&client, &options, batch.body, batch.events).await?;
        tally.latencies.push(since.elapsed());
        tally.events += batch.events;
    }
}

/// Sends until acknowledged; returns how often it had to send again.
async fn send(client: &reqwest::Client, options: &LoadOptions, body: Vec<u8>, events: u64) -> anyhow::Result<u64> {
    let url = format!("{}/import?strict=1&project_id={}", options.url, options.project_id);
    let body = Bytes::from(body);
    for retries in 0..1_000 {
        let request = client
            .post(&url)
            .basic_auth(&options.user, Some(&options.secret))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.clone());
        let response = request.send().await?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            tokio::time::sleep(wanted_wait(&response)).await;
            continue;
        }
        let reply = response.text().await?;
        ensure!(status.is_success(), "import answered {status}: {}", reply.chars().take(500).collect::<String>());
        let imported = serde_json::from_str::<Value>(&reply)?["num_records_imported"].as_u64();
        ensure!(imported == Some(events), "sent {events} events, reply {reply}");
        return Ok(retries);
    }
    bail!("still 429 after 1000 tries")
}

fn wanted_wait(response: &reqwest::Response) -> Duration {
    let header = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    Duration::from_secs_f64(header.and_then(|text| text.parse().ok()).unwrap_or(1.0_f64).clamp(0.05, 60.0))
}
