//! The cache on disk: what it spares, and that it is never believed.

use std::path::PathBuf;
use std::time::Instant;

use super::{answers, events};
use crate::harness::{Reply, Server, ServerOptions};

/// A figure of `/metrics` by its name and labels.
async fn figure(server: &Server, name: &str) -> u64 {
    let text = Reply::of(server.request(reqwest::Method::GET, "/metrics")).await.ok().text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.trim().parse().expect("a number")
}

fn files(server: &Server) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(server.scratch("cache")).expect("the cache");
    folders
        .flat_map(|folder| std::fs::read_dir(folder.expect("a folder").path()).expect("files"))
        .map(|f| f.expect("a file").path())
        .collect()
}

#[tokio::test]
async fn the_cache_on_disk_answers_after_a_restart_and_a_damaged_file_is_fetched_again() {
    let options = ServerOptions::never_flushing().env("FOOTFALL_CACHE_BYTES", 100 << 20);
    let mut server = Server::prepare(options);
    server.set_env("FOOTFALL_CACHE_DIR", server.scratch("cache").to_str());
    server.start_again().await;
    let project = server.create_project("cached").await;
    project.import(&events(0..4_000)).await;
    let truth = answers(&project).await;
    server.restart().await;

    let cold = Instant::now();
    assert_eq!(answers(&project).await, truth);
    let cold = cold.elapsed();
    assert!(figure(&server, "footfall_cache_misses_total").await > 0);
    assert_eq!(figure(&server, "footfall_cache_hits_total{tier=\"disk\"}").await, 0);
    let warm = Instant::now();
    let misses = figure(&server, "footfall_cache_misses_total").await;
    assert_eq!(answers(&project).await, truth);
    println!("cold {cold:?}, from memory {:?}", warm.elapsed());
    assert_eq!(figure(&server, "footfall_cache_misses_total").await, misses, "all of it is in memory");
    assert!(figure(&server, "footfall_cache_bytes{tier=\"disk\"}").await > 10_000);

    server.restart().await;
    assert_eq!(answers(&project).await, truth);
    assert_eq!(figure(&server, "footfall_cache_fetched_bytes_total").await, 0, "all of it is on disk");
    let hits = figure(&server, "footfall_cache_hits_total{tier=\"disk\"}").await;
    assert!(hits > 0);

    for file in files(&server) {
        let middle = file.metadata().expect("a file").len() as usize / 2;
        super::flip(&file, middle);
    }
    server.restart().await;
    assert_eq!(answers(&project).await, truth);
    assert_eq!(figure(&server, "footfall_cache_damaged_total").await, hits);
    assert_eq!(figure(&server, "footfall_cache_hits_total{tier=\"disk\"}").await, 0);
    server.stop().await;
}

#[tokio::test]
async fn a_local_store_has_no_cache_on_disk_unless_asked_for() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("uncached").await;
    project.import(&events(0..100)).await;
    server.restart().await;
    answers(&project).await;
    assert_eq!(figure(&server, "footfall_cache_bytes{tier=\"disk\"}").await, 0);
    assert!(!server.data_dir().join("cache").exists());
    server.stop().await;
}
