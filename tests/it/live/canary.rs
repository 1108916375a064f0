//! Seed claim 14: how long after sending can a query see an event? Canaries in the middle of a load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::recent;
use crate::harness::{Project, Server, ServerOptions, now_ms};
use crate::oracle::RawEvent;

const CANARIES: usize = 100;
const BATCH: usize = 500;

async fn load(project: Project, stop: Arc<AtomicBool>, sent: Arc<AtomicUsize>) {
    for batch in 0.. {
        if stop.load(Ordering::Acquire) {
            return;
        }
        let event = |n: usize| {
            RawEvent::new("Load", &format!("u{}", n % 1_000), now_ms(), &format!("{batch}-{n}")).with("n", n).to_json()
        };
        project.import(&(0..BATCH).map(event).collect::<Vec<_>>()).await;
        sent.fetch_add(BATCH, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_queryable_within_a_minute_of_sending_under_load() {
    let server = Server::start(ServerOptions::flushing_every(5_000)).await;
    let project = server.create_project("canary").await;
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let loading = tokio::spawn(load(project.clone(), stop.clone(), sent.clone()));
    let began = Instant::now();
    let mut delays = Vec::with_capacity(CANARIES);
    for n in 0..CANARIES {
        let name = format!("canary-{n}");
        let canary = RawEvent::new("Canary", &name, now_ms(), &name).to_json();
        let at = Instant::now();
        // Sending and asking go on side by side: the clock runs from the moment of sending, not of the reply.
        let sending = async { project.import(&[canary]).await };
        let asking = async {
            while recent(&project, &[("distinct_id", &name), ("limit", "1")]).await.is_empty() {}
            at.elapsed()
        };
        let ((), delay) = tokio::join!(sending, asking);
        delays.push(delay);
    }
    let rate = sent.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    stop.store(true, Ordering::Release);
    loading.await.expect("the load was taken");
    delays.sort();
    let at = |share: usize| delays[CANARIES * share / 100];
    println!("send to queryable at {rate:.0} events/s: p50 {:?}, p99 {:?}", at(50), at(99));
    assert!(at(99) < Duration::from_secs(60));
}
