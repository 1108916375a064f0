//! Backups of tables whose files are opaque: which objects of which moment, and that no damage passes.

use std::collections::BTreeMap;

use chrono::{TimeDelta, TimeZone, Utc};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;

use super::*;
use crate::segment::{CHECKSUM_TAG, checksum_tag};
use crate::table::{AddFile, Operation, Table, TableCommit, TableDefinition, Transaction};

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

fn now(hour: i64) -> chrono::DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 28, 0, 0, 0).unwrap() + TimeDelta::hours(hour)
}

/// A store with one project, to which a flush adds a file of each table.
struct Source {
    store: Arc<dyn ObjectStore>,
    tables: BTreeMap<&'static str, Table>,
}

impl Source {
    async fn new() -> Self {
        let store = memory();
        let mut tables = BTreeMap::new();
        for name in ["events", "users", "rejected_events"] {
            let field = arrow::datatypes::Field::new("x", arrow::datatypes::DataType::Int64, true);
            let definition = TableDefinition {
                name: name.to_owned(),
                schema: Arc::new(arrow::datatypes::Schema::new(vec![field])),
                partition_columns: Vec::new(),
                stats_columns: Vec::new(),
            };
            let root = format!("1/{name}");
            tables.insert(name, Table::open_or_create(store.clone(), &root, definition).await.unwrap());
        }
        store.put(&Path::from("projects/1.json"), "{}".into()).await.unwrap();
        Self { store, tables }
    }

    async fn write(&self, table: &str, from: Option<i64>, to: i64) {
        let path = format!("{to:08}.parquet");
        let bytes = Bytes::from(format!("{table} {to}").repeat(100));
        self.store.put(&Path::from(format!("1/{table}/{path}")), bytes.clone().into()).await.unwrap();
        let add = AddFile {
            path,
            partition_values: Vec::new(),
            bytes: bytes.len() as u64,
            rows: 1,
            tags: BTreeMap::from([(CHECKSUM_TAG.to_owned(), checksum_tag(crc32c::crc32c(&bytes)))]),
            stats: Vec::new(),
        };
        let commit = TableCommit {
            operation: Operation::Append,
            at: now(0),
            adds: vec![add],
            removes: Vec::new(),
            schema: None,
            properties: Vec::new(),
            transaction: Some(Transaction { app_id: "footfall-log-x".to_owned(), from, to }),
            positions: Vec::new(),
        };
        self.tables[table].commit(commit).await.unwrap();
    }

    async fn flush(&self, from: Option<i64>, to: i64) {
        for table in ["users", "rejected_events", "events"] {
            self.write(table, from, to).await;
        }
    }
}

async fn objects(store: &Arc<dyn ObjectStore>) -> BTreeMap<String, Bytes> {
    let listing: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut objects = BTreeMap::new();
    for object in listing {
        let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
        objects.insert(object.location.to_string(), bytes);
    }
    objects
}

async fn back_up(source: &Source, target: &Arc<dyn ObjectStore>, hour: i64) -> Created {
    create(&source.store, target, now(hour), &mut |_| {}).await.unwrap()
}

async fn restored(target: &Arc<dyn ObjectStore>, selection: Selection) -> BTreeMap<String, Bytes> {
    let to = memory();
    restore(target, &to, selection, &mut |_| {}).await.unwrap();
    objects(&to).await
}

#[tokio::test]
async fn only_new_objects_are_copied_and_each_backup_can_be_restored() {
    let (source, target) = (Source::new().await, memory());
    source.flush(None, 1).await;
    let first = back_up(&source, &target, 1).await;
    let then = objects(&source.store).await;
    assert_eq!((first.backup.number, first.new_objects), (1, then.len() as u64));
    source.flush(Some(1), 2).await;
    let second = back_up(&source, &target, 2).await;
    assert_eq!((second.backup.number, second.new_objects), (2, 6), "three files and their commits");
    assert_eq!(back_up(&source, &target, 3).await.new_objects, 0);

    assert_eq!(restored(&target, Selection::Newest).await, objects(&source.store).await);
    assert_eq!(restored(&target, Selection::Number(1)).await, then);
    assert_eq!(restored(&target, Selection::At(now(1) + TimeDelta::minutes(59))).await, then);
    for missing in [Selection::Number(4), Selection::At(now(0))] {
        assert!(matches!(restore(&target, &memory(), missing, &mut |_| {}).await, Err(StorageError::NoBackup)));
    }
    let numbers: Vec<u64> = list(&target).await.unwrap().iter().map(|backup| backup.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[tokio::test]
async fn a_backup_amid_a_flush_holds_no_journal_ahead_of_the_events_and_every_user() {
    let (source, target) = (Source::new().await, memory());
    source.flush(None, 5).await;
    source.write("users", Some(5), 9).await;
    source.write("rejected_events", Some(5), 9).await;
    back_up(&source, &target, 1).await;
    let restored = restored(&target, Selection::Newest).await;
    let has = |path: &str| restored.contains_key(path);
    assert!(has("1/users/00000009.parquet") && has("1/rejected_events/00000005.parquet"));
    assert!(!has("1/rejected_events/00000009.parquet"));
    assert!(!has("1/rejected_events/_delta_log/00000000000000000002.json"));
    assert!(has("1/events/00000005.parquet") && has("projects/1.json"));
}

#[tokio::test]
async fn files_that_no_table_lists_are_left_out_and_checkpoints_come_with_their_announcement() {
    let (source, target) = (Source::new().await, memory());
    for to in 1..=101 {
        source.write("events", (to > 1).then(|| to - 1), to).await;
    }
    source.store.put(&Path::from("1/events/orphan.parquet"), "x".into()).await.unwrap();
    back_up(&source, &target, 1).await;
    let restored = restored(&target, Selection::Newest).await;
    assert!(!restored.contains_key("1/events/orphan.parquet"));
    let announcement = restored.get("1/events/_delta_log/_last_checkpoint").expect("announced");
    assert_eq!(*announcement, objects(&source.store).await["1/events/_delta_log/_last_checkpoint"]);
}

#[tokio::test]
async fn no_damage_in_a_backup_passes() {
    let (source, target) = (Source::new().await, memory());
    source.flush(None, 1).await;
    back_up(&source, &target, 1).await;
    let sound = verify(&target, None, &mut |_| {}).await.unwrap();
    assert!(sound.damages.is_empty() && sound.objects == objects(&source.store).await.len() as u64);
    for (path, bytes) in objects(&target).await {
        let location = Path::from(path.clone());
        let mut flipped = bytes.to_vec();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        target.put(&location, flipped.into()).await.unwrap();
        let found = verify(&target, None, &mut |_| {}).await.unwrap().damages;
        assert_eq!(found.len(), 1, "{path}");
        assert_eq!(found[0].path, path);
        let error = restore(&target, &memory(), Selection::Newest, &mut |_| {}).await.unwrap_err();
        assert!(matches!(error, StorageError::CorruptSegment { path: named, .. } if named == path));
        target.delete(&location).await.unwrap();
        if path.starts_with(OBJECTS) {
            assert_eq!(verify(&target, None, &mut |_| {}).await.unwrap().damages[0].what, "missing");
        }
        target.put(&location, bytes.into()).await.unwrap();
    }
}

#[tokio::test]
async fn damage_in_the_source_is_not_carried_on() {
    let (source, target) = (Source::new().await, memory());
    source.flush(None, 1).await;
    let damaged = Bytes::from("events 2".repeat(100));
    source.store.put(&Path::from("1/events/00000001.parquet"), damaged.into()).await.unwrap();
    let error = create(&source.store, &target, now(1), &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, StorageError::CorruptSegment { path, .. } if path == "1/events/00000001.parquet"));
    assert!(list(&target).await.unwrap().is_empty());
}

#[tokio::test]
async fn nothing_is_restored_over_what_is_there_and_what_broke_off_is_finished() {
    let (source, target) = (Source::new().await, memory());
    source.flush(None, 1).await;
    back_up(&source, &target, 1).await;
    let to = memory();
    to.put(&Path::from("mine"), "x".into()).await.unwrap();
    let error = restore(&target, &to, Selection::Newest, &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, StorageError::NotEmpty { .. }));
    assert_eq!(objects(&to).await.len(), 1);

    let lost = objects(&target).await.into_keys().find(|path| path.starts_with("objects/projects/1.json@")).unwrap();
    let lost = Path::from(lost);
    let bytes = target.get(&lost).await.unwrap().bytes().await.unwrap();
    target.delete(&lost).await.unwrap();
    let to = memory();
    restore(&target, &to, Selection::Newest, &mut |_| {}).await.unwrap_err();
    assert!(matches!(crate::check_store(&to).await, Err(StorageError::RestoreUnfinished)));
    target.put(&lost, bytes.into()).await.unwrap();
    restore(&target, &to, Selection::Newest, &mut |_| {}).await.unwrap();
    assert_eq!(objects(&to).await, objects(&source.store).await);
    crate::check_store(&to).await.unwrap();
}
