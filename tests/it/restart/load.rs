//! Clients that forgive nothing: a connection that is refused or ends before its reply, a status other than 200, and the
//! test fails. They speak HTTP by hand, for a library would send again what a restart has cost.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Connection, DAY_MS, Project, eventually, raw_request};
use crate::oracle::RawEvent;

const FIRST_MS: i64 = 1_704_067_200_000;
const BATCH: usize = 10;

/// How a client treats its connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Habit {
    /// One request after the other, until the server says that it closes.
    KeepsAlive,
    /// As `KeepsAlive`, with pauses between the requests.
    Pauses,
    /// A connection for each request.
    Fresh,
}

/// Clients at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    clients: JoinSet<()>,
}

impl Load {
    pub fn start(project: &Project, address: &str, seed: u64) -> Self {
        let habits = [Habit::KeepsAlive, Habit::KeepsAlive, Habit::Pauses, Habit::Pauses, Habit::Fresh, Habit::Fresh];
        let mut load = Self { stop: Arc::default(), acknowledged: Arc::default(), clients: JoinSet::new() };
        for (number, habit) in habits.into_iter().enumerate() {
            let (stop, acknowledged) = (load.stop.clone(), load.acknowledged.clone());
            let (project, address) = (project.clone(), address.to_owned());
            load.clients.spawn(async move {
                let mut client = Client { project, address, habit, number, connection: None };
                let mut rng = ChaCha8Rng::seed_from_u64(seed ^ number as u64);
                while !stop.load(Ordering::Acquire) {
                    client.work(&acknowledged, &mut rng).await;
                }
            });
        }
        load
    }

    /// Events of which the clients know that they are stored.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Waits until there is more of that.
    pub async fn moves_on(&self) {
        let before = self.acknowledged();
        eventually("the clients get on", async || self.acknowledged() >= before + 3 * BATCH).await;
    }

    /// Lets every client finish; how many events are acknowledged.
    pub async fn finish(mut self) -> usize {
        self.stop.store(true, Ordering::Release);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client was failed");
        }
        self.acknowledged()
    }
}

struct Client {
    project: Project,
    address: String,
    habit: Habit,
    number: usize,
    connection: Option<Connection>,
}

impl Client {
    /// A batch, and sometimes a question, whose answer has to know of all that was acknowledged before.
    async fn work(&mut self, acknowledged: &AtomicUsize, rng: &mut ChaCha8Rng) {
        let events: Vec<Value> = (0..BATCH).map(|_| event(rng)).collect();
        let reply = self.ask("/import?strict=1", &json!(events)).await;
        assert_eq!(reply["num_records_imported"], BATCH, "{reply}");
        acknowledged.fetch_add(BATCH, Ordering::AcqRel);
        if rng.random_ratio(1, 8) {
            let known = acknowledged.load(Ordering::Acquire);
            let reply = self.ask("/v1/sql", &json!({"query": "SELECT count(*) FROM events"})).await;
            let count = reply["rows"][0][0].as_u64().unwrap_or_else(|| panic!("no count: {reply}"));
            assert!(count >= known as u64, "{count} events are visible, {known} were acknowledged before");
        }
        if self.habit == Habit::Pauses {
            // Not a wait for anything: when a request comes is the test's random input.
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..300))).await;
        }
    }

    async fn ask(&mut self, path: &str, body: &Value) -> Value {
        let request = raw_request(&self.project, "POST", path, body.to_string().as_bytes());
        let reply = self.exchange(&request).await;
        let (number, habit) = (self.number, self.habit);
        reply.unwrap_or_else(|error| panic!("client {number} ({habit:?}) was failed: {error}"))
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Value> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.address).await?,
        };
        let reply = connection.ask(request).await?;
        if !reply.closes() && self.habit != Habit::Fresh {
            self.connection = Some(connection);
        }
        if reply.status != 200 {
            return Err(io::Error::other(format!("{} {}", reply.head, String::from_utf8_lossy(&reply.body))));
        }
        Ok(reply.json())
    }
}

fn event(rng: &mut ChaCha8Rng) -> Value {
    let user = format!("u{}", rng.random_range(0..100));
    let id = format!("{:016x}", rng.random::<u64>());
    RawEvent::new("A", &user, FIRST_MS + rng.random_range(0..3 * DAY_MS), &id).to_json()
}
