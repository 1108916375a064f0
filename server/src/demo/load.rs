//! The shop's events into the demo project, once.

use std::sync::Arc;

use footfall_engine::{Arrival, Engine};
use footfall_model::{Event, ProjectId};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};

use super::shop::{ShopGenerator, ShopOptions};
use crate::commands::{CommandError, Progress, Quantity, patience};
use crate::config::Settings;

const SHOP_FILE: &str = "demo/shop.json";
const LOADED_FILE: &str = "demo/loaded.json";
const BATCH: usize = 2000;
const BATCHES_IN_FLIGHT: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    Now,
    Before,
    /// Told to stop before the end; the next run goes on.
    BrokenOff,
}

/// Which shop it is; the same record always means the same events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ShopRecord {
    seed: u64,
    now_ms: i64,
    users: u32,
    days: u32,
}

pub async fn load(engine: &Arc<Engine>, project: ProjectId, settings: &Settings) -> Result<Loaded, CommandError> {
    let store = engine.store();
    if exists(&*store, LOADED_FILE).await? {
        return Ok(Loaded::Before);
    }
    let now_ms = chrono::Utc::now().timestamp_millis();
    let usual = ShopOptions::ending_at(now_ms);
    let wish = ShopRecord { seed: usual.seed, now_ms, users: settings.demo.users.get(), days: usual.days };
    // Whoever wrote the file first decides, so that a second try loads the same events.
    put_new(&*store, SHOP_FILE, &wish).await?;
    let shop: ShopRecord = read(&*store, SHOP_FILE).await?;
    ingest(engine, project, &shop).await?;
    put_new(&*store, LOADED_FILE, &serde_json::json!({"project_id": project})).await?;
    Ok(Loaded::Now)
}

async fn ingest(engine: &Arc<Engine>, project: ProjectId, shop: &ShopRecord) -> Result<(), CommandError> {
    let options = ShopOptions { seed: shop.seed, now_ms: shop.now_ms, users: shop.users, days: shop.days };
    let mut progress = Progress::new("demo shop", u64::from(shop.days), Quantity::Days);
    let mut batches = stream::iter(Batches(ShopGenerator::new(options)))
        .map(|Batch { events, days_made }| async move {
            let count = events.len();
            patience::ingest(engine, project, events, Arrival::from_source("footfall demo")).await?;
            Ok::<_, CommandError>((count, days_made))
        })
        .buffered(BATCHES_IN_FLIGHT);
    let mut stored = 0;
    while let Some((count, days_made)) = batches.try_next().await? {
        stored += count;
        progress.set(u64::from(days_made), &format!("{stored} events"));
    }
    progress.finish();
    Ok(())
}

struct Batches(ShopGenerator);

struct Batch {
    events: Vec<Event>,
    days_made: u32,
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let events: Vec<_> = self.0.by_ref().take(BATCH).collect();
        (!events.is_empty()).then(|| Batch { events, days_made: self.0.days_made() })
    }
}

async fn exists(store: &dyn ObjectStore, file: &str) -> Result<bool, CommandError> {
    match store.head(&Path::from(file)).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(e) => Err(unreachable(&e)),
    }
}

async fn read<T: serde::de::DeserializeOwned>(store: &dyn ObjectStore, file: &str) -> Result<T, CommandError> {
    let found = store.get(&Path::from(file)).await.map_err(|e| unreachable(&e))?;
    let bytes = found.bytes().await.map_err(|e| unreachable(&e))?;
    serde_json::from_slice(&bytes).map_err(|e| CommandError::failed(format!("{file} is damaged: {e}")))
}

/// Does nothing where the file is there already.
async fn put_new(store: &dyn ObjectStore, file: &str, value: &impl Serialize) -> Result<(), CommandError> {
    let json = serde_json::to_vec(value).map_err(|e| CommandError::failed(e.to_string()))?;
    match store.put_opts(&Path::from(file), json.into(), PutOptions::from(PutMode::Create)).await {
        Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
        Err(e) => Err(unreachable(&e)),
    }
}

fn unreachable(error: &object_store::Error) -> CommandError {
    CommandError::failed(format!("cannot reach the store: {error}"))
}
