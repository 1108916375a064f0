//! Damaged objects: found, or without effect; and the checkpoint, which may be missing, damaged or foreign.

use object_store::path::Path;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::store::FaultyStore;
use super::*;

fn log_path(name: &str) -> Path {
    format!("{ROOT}/_delta_log/{name}").into()
}

fn commit_path(version: u64) -> Path {
    log_path(&format!("{version:020}.json"))
}

async fn read(store: &InMemory, path: &Path) -> Vec<u8> {
    store.get(path).await.unwrap().bytes().await.unwrap().to_vec()
}

/// A table with `flushes` flushes, every tenth file replaced.
async fn filled(store: &Arc<InMemory>, flushes: usize) -> Arc<TableSnapshot> {
    let table = open(store.clone()).await;
    for number in 0..flushes {
        let name = format!("f{number:04}");
        let mut commit = flush(&table.snapshot(), &format!("shard-{}", number % 7), &name);
        if number == 5 {
            commit.schema = Some(schema([property("price", DataType::Float64)]));
        }
        table.commit(commit).await.unwrap();
        if number % 10 == 9 {
            table.commit(replace(&[&name], &[&format!("{name}-rewritten")])).await.unwrap();
        }
    }
    table.snapshot()
}

async fn reopen(store: &Arc<InMemory>) -> Result<Table, TableError> {
    Table::open_or_create(store.clone(), ROOT, definition()).await
}

#[tokio::test]
async fn any_flipped_bit_or_cut_is_found_or_harmless() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random::<u64>);
    println!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let store = Arc::new(InMemory::new());
    let expected = filled(&store, 110).await;
    let newest = expected.version;
    let checkpoint = log_path(&format!("{:020}.checkpoint.parquet", 100));
    let mut refused = 0;
    // Commits behind the checkpoint are not read, as long as it holds.
    for path in [commit_path(newest), commit_path(101), log_path("_last_checkpoint"), checkpoint] {
        let sound = read(&store, &path).await;
        for attempt in 0..300 {
            let at = random.random_range(0..sound.len());
            let mut damaged = sound.clone();
            if attempt % 3 == 0 {
                damaged.truncate(at);
            } else {
                damaged[at] ^= 1 << random.random_range(0..8);
            }
            store.put(&path, damaged.into()).await.unwrap();
            match reopen(&store).await {
                Ok(table) => {
                    let found = table.snapshot();
                    assert_same(&expected, &found);
                }
                Err(TableError::Corrupt { .. } | TableError::Unsupported { .. }) => refused += 1,
                Err(error) => panic!("{path} at {at}: {error:?}"),
            }
        }
        store.put(&path, sound.into()).await.unwrap();
    }
    assert!(refused > 100, "damage to commits is refused, refused={refused}");
    assert_same(&expected, &reopen(&store).await.unwrap().snapshot());
}

#[tokio::test]
async fn a_hole_in_the_log_is_refused() {
    let store = Arc::new(InMemory::new());
    filled(&store, 5).await;
    store.delete(&commit_path(3)).await.unwrap();
    let refused = reopen(&store).await;
    assert!(matches!(refused, Err(TableError::Corrupt { version: 3, .. })), "{refused:?}");
}

#[tokio::test]
async fn a_listing_that_is_behind_hides_no_commit() {
    let shared = Arc::new(InMemory::new());
    let expected = filled(&shared, 120).await;
    for hidden in
        [vec![expected.version], vec![0], vec![101, 105, expected.version - 1, expected.version], (0..200).collect()]
    {
        let store = FaultyStore::new(&shared);
        store.hide(hidden.into_iter().map(commit_path).collect());
        let table = Table::open_or_create(store, ROOT, definition()).await.unwrap();
        assert_same(&expected, &table.snapshot());
    }
}

#[tokio::test]
async fn a_checkpoint_stands_for_all_before_it() {
    let store = Arc::new(InMemory::new());
    let expected = filled(&store, 250).await;
    let path = log_path("_last_checkpoint");
    let announced: serde_json::Value = serde_json::from_slice(&read(&store, &path).await).unwrap();
    assert_eq!(announced["version"], 200);

    let without = InMemory::new(); // commits 0..=200 are not there to be read
    for version in 201..=expected.version {
        without.put(&commit_path(version), read(&store, &commit_path(version)).await.into()).await.unwrap();
    }
    let checkpoint = log_path(&format!("{:020}.checkpoint.parquet", 200));
    without.put(&checkpoint, read(&store, &checkpoint).await.into()).await.unwrap();
    without.put(&path, read(&store, &path).await.into()).await.unwrap();
    assert_same(&expected, &reopen(&Arc::new(without)).await.unwrap().snapshot());

    // And all before it stands for the checkpoint.
    store.delete(&checkpoint).await.unwrap();
    assert_same(&expected, &reopen(&store).await.unwrap().snapshot());
    store.delete(&path).await.unwrap();
    assert_same(&expected, &reopen(&store).await.unwrap().snapshot());
}

#[tokio::test]
async fn removed_files_are_forgotten_after_a_week() {
    let store = Arc::new(InMemory::new());
    filled(&store, 20).await;
    let table = reopen(&store).await.unwrap();
    assert_eq!(table.snapshot().tombstones.len(), 2);
    for number in 0..100 {
        let commit = flush(&table.snapshot(), "shard-9", &format!("later{number}"));
        table.commit(TableCommit { at: at() + chrono::TimeDelta::days(8), ..commit }).await.unwrap();
    }
    assert_eq!(reopen(&store).await.unwrap().snapshot().tombstones.len(), 0);
}
