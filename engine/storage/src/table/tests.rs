//! What a table promises, on a store that works; `races` and `damage` have the ones that do not.

mod damage;
mod races;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, Utc};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::*;

const ROOT: &str = "42/events";

fn builtin() -> Vec<Field> {
    let instant = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    vec![
        Field::new("day", DataType::Date32, true),
        Field::new("shard", DataType::Int32, true),
        Field::new("time", instant, true),
        Field::new("uid", DataType::Int64, true),
        Field::new("event", DataType::Utf8, true),
    ]
}

fn schema(more: impl IntoIterator<Item = Field>) -> SchemaRef {
    Arc::new(Schema::new(builtin().into_iter().chain(more).collect::<Vec<_>>()))
}

fn property(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true).with_metadata([("footfall.property".to_owned(), name.to_owned())].into())
}

fn definition() -> TableDefinition {
    TableDefinition {
        name: "events".into(),
        schema: schema([]),
        partition_columns: vec!["day".into(), "shard".into()],
        stats_columns: vec!["time".into()],
    }
}

async fn open(store: Arc<dyn ObjectStore>) -> Table {
    Table::open_or_create(store, ROOT, definition()).await.unwrap()
}

fn at() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_763_700_000_000).unwrap()
}

fn file(name: &str) -> AddFile {
    AddFile {
        path: format!("day=2026-11-21/shard=3/{name}.parquet"),
        partition_values: vec![("day".into(), "2026-11-21".into()), ("shard".into(), "3".into())],
        bytes: 1_000,
        rows: 10,
        tags: BTreeMap::from([("crc32c".into(), "deadbeef".into())]),
        stats: vec![ColumnStats::timestamp_millis("time", 1_763_700_000_123, 1_763_700_009_456, 0)],
    }
}

/// A flush of one file by `app_id`, moving it one up.
fn flush(table: &TableSnapshot, app_id: &str, name: &str) -> TableCommit {
    let from = table.transaction(app_id);
    let transaction = Transaction { app_id: app_id.into(), from, to: from.unwrap_or(0) + 1 };
    TableCommit {
        operation: Operation::Append,
        at: at(),
        adds: vec![file(name)],
        removes: vec![],
        schema: None,
        properties: Vec::new(),
        transaction: Some(transaction),
        positions: Vec::new(),
    }
}

fn replace(removes: &[&str], adds: &[&str]) -> TableCommit {
    TableCommit {
        operation: Operation::Compact,
        at: at(),
        adds: adds.iter().map(|name| file(name)).collect(),
        removes: removes.iter().map(|name| file(name).path).collect(),
        schema: None,
        properties: Vec::new(),
        transaction: None,
        positions: Vec::new(),
    }
}

fn names(table: &TableSnapshot) -> Vec<String> {
    let name = |file: &Arc<FileEntry>| file.path.rsplit('/').next().unwrap().trim_end_matches(".parquet").to_owned();
    table.files.iter().map(name).collect()
}

fn grow(fields: impl IntoIterator<Item = Field>) -> TableCommit {
    TableCommit { schema: Some(schema(fields)), ..replace(&[], &[]) }
}

/// Everything of a snapshot that must not depend on how it was read.
fn assert_same(left: &TableSnapshot, right: &TableSnapshot) {
    assert_eq!(left.version, right.version);
    assert_eq!(left.schema, right.schema);
    assert_eq!(left.partition_columns, right.partition_columns);
    assert_eq!(left.files, right.files);
    assert_eq!(left.tombstones, right.tombstones);
    assert_eq!(left.transactions, right.transactions);
}

#[tokio::test]
async fn a_commit_survives_reopening_with_all_it_said() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let table = open(Arc::clone(&store)).await;
    assert_eq!((table.snapshot().version, table.snapshot().files.len()), (0, 0));

    let mut commit = flush(&table.snapshot(), "shard-3", "a");
    commit.schema = Some(schema([
        property("prix €", DataType::Float64),
        property("tags", DataType::new_list(DataType::Utf8, true)),
    ]));
    let outcome = table.commit(commit).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)));

    let reopened = open(store).await.snapshot();
    assert_same(outcome.snapshot(), &reopened);
    assert_eq!(reopened.version, 1);
    assert_eq!(reopened.transaction("shard-3"), Some(1));
    let found = reopened.file("day=2026-11-21/shard=3/a.parquet").unwrap();
    assert_eq!((found.bytes, found.rows), (1_000, 10));
    assert_eq!(
        found.partition_values,
        Labels::from_iter([("shard".into(), "3".into()), ("day".into(), "2026-11-21".into())])
    );
    assert_eq!(found.tags.get("crc32c").map(String::as_str), Some("deadbeef"));
    assert_eq!(found.tags.get("crc"), None);
    let stats: serde_json::Value = serde_json::from_str(found.stats.as_deref().unwrap()).unwrap();
    assert_eq!(stats["minValues"]["time"], "2025-11-21T04:40:00.123Z");
    let grown = reopened.schema.field_with_name("prix €").unwrap();
    assert_eq!(grown.metadata()["footfall.property"], "prix €");
    let time = reopened.schema.field_with_name("time").unwrap().data_type();
    assert_eq!(*time, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
}

#[tokio::test]
async fn a_local_folder_works_as_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = || Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    let table = open(store()).await;
    for number in 0..3 {
        table.commit(flush(&table.snapshot(), "shard-3", &format!("f{number}"))).await.unwrap();
    }
    assert_same(&table.snapshot(), &open(store()).await.snapshot());
}

#[tokio::test]
async fn a_transaction_lands_once_and_only_moves_up() {
    let table = open(Arc::new(InMemory::new())).await;
    let first = flush(&table.snapshot(), "shard-3", "a");
    table.commit(first.clone()).await.unwrap();

    let again = TableCommit { adds: vec![file("b")], ..first.clone() };
    for repeated in [first, again] {
        let outcome = table.commit(repeated).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::AlreadyCommitted(_)));
        assert_eq!((outcome.snapshot().version, names(outcome.snapshot())), (1, vec!["a".to_owned()]));
    }

    for to in [0, 1] {
        let mut backwards = flush(&table.snapshot(), "shard-3", "c");
        backwards.transaction = Some(Transaction { app_id: "shard-3".into(), from: Some(1), to });
        assert!(matches!(table.commit(backwards).await.unwrap(), CommitOutcome::AlreadyCommitted(_)));
    }
}

#[tokio::test]
async fn a_writer_with_an_outdated_transaction_is_fenced() {
    let store = Arc::new(InMemory::new());
    let (zombie, owner) = (open(store.clone()).await, open(store.clone()).await);
    zombie.commit(flush(&zombie.snapshot(), "shard-3", "a")).await.unwrap();
    owner.refresh().await.unwrap();
    owner.commit(flush(&owner.snapshot(), "shard-3", "b")).await.unwrap();

    // The zombie took 1 and wants to write all up to 9; 2 is taken by the owner, with rows that overlap.
    let mut late = flush(&zombie.snapshot(), "shard-3", "z");
    late.transaction = Some(Transaction { app_id: "shard-3".into(), from: Some(1), to: 9 });
    let refused = zombie.commit(late).await;
    assert!(matches!(refused, Err(TableError::TransactionConflict { found: Some(2), .. })), "{refused:?}");
    assert_eq!(names(&open(store).await.snapshot()), ["a", "b"]);
}

#[tokio::test]
async fn files_are_replaced_in_one_step() {
    let store = Arc::new(InMemory::new());
    let (table, other) = (open(store.clone()).await, open(store.clone()).await);
    for name in ["a", "b", "c"] {
        table.commit(flush(&table.snapshot(), "shard-3", name)).await.unwrap();
    }
    table.commit(replace(&["a", "b"], &["ab"])).await.unwrap();
    let snapshot = table.snapshot();
    assert_eq!((snapshot.version, names(&snapshot)), (4, vec!["ab".to_owned(), "c".to_owned()]));
    let gone: Vec<_> =
        snapshot.tombstones.iter().map(|gone| (gone.path.clone(), gone.removed_at, gone.bytes)).collect();
    assert_eq!(gone, [(file("a").path, at(), 1_000), (file("b").path, at(), 1_000)]);

    // A compaction that rests on an outdated snapshot, in another process that has not even seen the files.
    let conflict = other.commit(replace(&["b", "c"], &["bc"])).await;
    assert!(matches!(conflict, Err(TableError::FileMissing { path }) if path == file("b").path));
    // The same one again, as after an unknown outcome.
    let again = other.commit(replace(&["a", "b"], &["ab"])).await.unwrap();
    assert!(matches!(again, CommitOutcome::AlreadyCommitted(_)));
    assert_same(&snapshot, &open(store).await.snapshot());
}

#[tokio::test]
async fn the_schema_only_grows() {
    let store = Arc::new(InMemory::new());
    let (table, other) = (open(store.clone()).await, open(store.clone()).await);
    table.commit(grow([property("price", DataType::Float64)])).await.unwrap();
    // Another process grows from the schema it knows: both columns stay.
    other.commit(grow([property("city", DataType::Utf8)])).await.unwrap();
    let columns =
        |table: &Table| table.snapshot().schema.fields().iter().skip(5).map(|f| f.name().clone()).collect::<Vec<_>>();
    assert_eq!(columns(&other), ["price", "city"]);

    // Nothing new is no new version, even for a process that has not seen the column yet.
    let same = table.commit(grow([property("city", DataType::Utf8)])).await.unwrap();
    assert!(matches!(same, CommitOutcome::AlreadyCommitted(_)));
    assert_same(same.snapshot(), &other.snapshot());

    let renamed =
        Field::new("city", DataType::Utf8, true).with_metadata([("footfall.property".into(), "City".into())].into());
    for (refused, why) in [
        (property("price", DataType::Utf8), "the type differs"),
        (property("Price", DataType::Float64), "differs from another column only by case"),
        (Field::new("must", DataType::Utf8, false), "a new column must be nullable, older files lack it"),
        (Field::new("price", DataType::Float64, false), "the nullability differs"),
        (renamed, "the metadata differs"),
        (Field::new("big", DataType::UInt64, true), "Delta has no unsigned integers"),
        (Field::new("nul\0", DataType::Utf8, true), "not a name other readers take"),
    ] {
        match table.commit(grow([refused])).await {
            Err(TableError::SchemaConflict { reason, .. }) => assert_eq!(reason, why),
            other => panic!("{why}: {other:?}"),
        }
    }
    let twins = grow([property("width", DataType::Int64), property("Width", DataType::Int64)]);
    assert!(matches!(table.commit(twins).await, Err(TableError::SchemaConflict { .. })));
    assert_eq!(open(store).await.snapshot().schema, table.snapshot().schema);
}

#[tokio::test]
async fn a_commit_that_contradicts_itself_is_refused() {
    let table = open(Arc::new(InMemory::new())).await;
    table.commit(replace(&[], &["a"])).await.unwrap();
    let with = |change: &dyn Fn(&mut AddFile)| {
        let mut commit = replace(&[], &["b"]);
        commit.adds.iter_mut().for_each(change);
        commit
    };
    for (commit, why) in [
        (replace(&["a"], &["a"]), "a path occurs twice"),
        (replace(&[], &["b", "b"]), "a path occurs twice"),
        (with(&|file| file.path = "../b".into()), "not a relative path"),
        (with(&|file| file.path = "/b".into()), "not a relative path"),
        (with(&|file| file.path = "s3://else/b".into()), "not a relative path"),
        (with(&|file| drop(file.partition_values.pop())), "partition values do not match the partition columns"),
        (with(&|file| file.stats.clear()), "statistics do not cover exactly the statistics columns"),
    ] {
        let refused = table.commit(commit).await;
        assert!(
            matches!(refused, Err(TableError::InvalidCommit { reason, .. }) if reason == why),
            "{why}: {refused:?}"
        );
    }
    assert!(matches!(table.commit(replace(&[], &["a", "b"])).await, Err(TableError::FileExists { .. })));
    assert_eq!(table.snapshot().version, 1);
}

#[tokio::test]
async fn a_table_of_another_shape_or_a_newer_protocol_is_refused() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    open(Arc::clone(&store)).await;
    let reopen = |definition| Table::open_or_create(Arc::clone(&store), ROOT, definition);
    let by_day = TableDefinition { partition_columns: vec!["day".into()], ..definition() };
    assert!(matches!(reopen(by_day).await, Err(TableError::PartitioningMismatch { .. })));
    let other_type = Arc::new(Schema::new(vec![Field::new("uid", DataType::Utf8, true)]));
    let retyped = TableDefinition { schema: other_type, ..definition() };
    assert!(matches!(reopen(retyped).await, Err(TableError::SchemaConflict { .. })));

    let newer = r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":[],"writerFeatures":[]}}"#;
    store.put(&format!("{ROOT}/_delta_log/{:020}.json", 1).into(), newer.into()).await.unwrap();
    assert!(matches!(reopen(definition()).await, Err(TableError::Unsupported { version: 1, .. })));
}
