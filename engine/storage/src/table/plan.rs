//! What a commit would write at the end of a given log; or why it must not. Pure.

use std::collections::BTreeSet;

use deltalake_core::DeltaTableError;
use deltalake_core::kernel::{Action, Add, Metadata, MetadataExt as _, Remove, Transaction as TransactionAction};
use serde_json::{Map, Value, json};

use super::commit::{AddFile, Operation, TableCommit};
use super::entry::optional;
use super::error::TableError;
use super::replay::Replay;
use super::schema;

/// What to do about a commit, seen from the end of the log.
pub(super) enum Plan {
    /// Its work is in the table already.
    Done,
    Write(Vec<Action>),
}

pub(super) fn plan(head: &Replay, commit: &TableCommit) -> Result<Plan, TableError> {
    validate(head, commit)?;
    if is_done(head, commit)? {
        return Ok(Plan::Done);
    }
    let mut actions = Vec::new();
    actions.extend(metadata(head, commit)?.map(Action::Metadata));
    for path in &commit.removes {
        actions.push(Action::Remove(remove(head, commit, path)?));
    }
    for file in &commit.adds {
        if head.files.contains_key(&file.path) {
            return Err(TableError::FileExists { path: file.path.clone() });
        }
        actions.push(Action::Add(add(commit, file)));
    }
    if let Some(transaction) = &commit.transaction {
        actions.push(Action::Txn(TransactionAction::new_with_last_update(
            &transaction.app_id,
            transaction.to,
            Some(commit.at.timestamp_millis()),
        )));
    }
    for (app_id, version) in &commit.positions {
        let at = commit.at.timestamp_millis();
        actions.push(Action::Txn(TransactionAction::new_with_last_update(app_id, *version, Some(at))));
    }
    Ok(if actions.is_empty() { Plan::Done } else { Plan::Write(actions) })
}

/// The table's metadata, if the commit changes it.
fn metadata(head: &Replay, commit: &TableCommit) -> Result<Option<Metadata>, TableError> {
    let grown = commit.schema.as_ref().map(|wanted| schema::grow(&head.schema, wanted)).transpose()?.flatten();
    let is_new = |(key, value): &&(String, String)| match head.properties.get(key) {
        Some(present) => present != value,
        None => !matches!(value.as_str(), "" | "[]"),
    };
    let properties: Vec<_> = commit.properties.iter().filter(is_new).collect();
    if grown.is_none() && properties.is_empty() {
        return Ok(None);
    }
    let mut metadata = head.metadata.clone();
    if let Some(grown) = grown {
        metadata = metadata.with_schema(&schema::to_delta(&grown)?).map_err(DeltaTableError::from)?;
    }
    for (key, value) in properties {
        metadata = metadata.add_config_key(key.clone(), value.clone()).map_err(DeltaTableError::from)?;
    }
    Ok(Some(metadata))
}

/// Whether the work is in; fails if the transaction says that it must not go in.
fn is_done(head: &Replay, commit: &TableCommit) -> Result<bool, TableError> {
    let Some(transaction) = &commit.transaction else {
        // File names are never reused, so they tell whether this very change has landed.
        let files = !commit.adds.is_empty() || !commit.removes.is_empty();
        return Ok(files
            && commit.adds.iter().all(|file| head.files.contains_key(&file.path))
            && commit.removes.iter().all(|path| head.tombstones.contains_key(path)));
    };
    let found = head.transactions.get(&transaction.app_id).copied();
    if found.is_some_and(|found| found >= transaction.to) {
        return Ok(true);
    }
    if found != transaction.from {
        let (app_id, expected) = (transaction.app_id.clone(), transaction.from);
        return Err(TableError::TransactionConflict { app_id, expected, found });
    }
    Ok(false)
}

fn validate(head: &Replay, commit: &TableCommit) -> Result<(), TableError> {
    let mut paths = BTreeSet::new();
    for path in commit.adds.iter().map(|file| &file.path).chain(&commit.removes) {
        if !paths.insert(path.as_str()) {
            return Err(invalid("a path occurs twice", path));
        }
    }
    let columns: BTreeSet<&str> = head.metadata.partition_columns().iter().map(String::as_str).collect();
    for file in &commit.adds {
        let relative = !file.path.starts_with('/') && !file.path.contains("://");
        if !relative || file.path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(invalid("not a relative path", &file.path));
        }
        let named: BTreeSet<&str> = file.partition_values.iter().map(|(name, _)| name.as_str()).collect();
        if named != columns || file.partition_values.len() != columns.len() {
            return Err(invalid("partition values do not match the partition columns", &file.path));
        }
        // T7: a reader that finds bounds for only some of the table's statistics columns may prune the file wrongly.
        let bounded: BTreeSet<&str> = file.stats.iter().map(|stats| stats.column.as_str()).collect();
        let complete = bounded.iter().copied().eq(head.stats_columns.iter().map(String::as_str));
        if !complete || file.stats.iter().any(|stats| stats.min.is_null() || stats.max.is_null()) {
            return Err(invalid("statistics do not cover exactly the statistics columns", &file.path));
        }
        if i64::try_from(file.bytes).is_err() || i64::try_from(file.rows).is_err() {
            return Err(invalid("size or row count beyond the log's range", &file.path));
        }
    }
    Ok(())
}

fn add(commit: &TableCommit, file: &AddFile) -> Add {
    Add {
        path: file.path.clone(),
        partition_values: optional(file.partition_values.iter().map(|(k, v)| (k, v))),
        size: file.bytes.cast_signed(), // in range: validate()
        modification_time: commit.at.timestamp_millis(),
        data_change: commit.operation != Operation::Compact,
        stats: Some(stats_json(file)),
        tags: Some(optional(&file.tags)),
        ..Add::default()
    }
}

fn stats_json(file: &AddFile) -> String {
    let mut stats = Map::from_iter([("numRecords".to_owned(), json!(file.rows))]);
    if !file.stats.is_empty() {
        let by_column = |value: fn(&super::ColumnStats) -> Value| -> Value {
            Value::Object(file.stats.iter().map(|column| (column.column.clone(), value(column))).collect())
        };
        stats.insert("minValues".to_owned(), by_column(|column| column.min.clone()));
        stats.insert("maxValues".to_owned(), by_column(|column| column.max.clone()));
        stats.insert("nullCount".to_owned(), by_column(|column| json!(column.nulls)));
    }
    Value::Object(stats).to_string()
}

fn remove(head: &Replay, commit: &TableCommit, path: &str) -> Result<Remove, TableError> {
    let file = head.files.get(path).ok_or_else(|| TableError::FileMissing { path: path.to_owned() })?;
    Ok(Remove {
        path: file.path.clone(),
        data_change: commit.operation != Operation::Compact,
        deletion_timestamp: Some(commit.at.timestamp_millis()),
        extended_file_metadata: Some(true),
        partition_values: Some(optional(file.partition_values.iter())),
        size: i64::try_from(file.bytes).ok(),
        tags: Some(optional(file.tags.iter())),
        ..Remove::default()
    })
}

fn invalid(reason: &'static str, path: &str) -> TableError {
    TableError::InvalidCommit { reason, path: path.to_owned() }
}
