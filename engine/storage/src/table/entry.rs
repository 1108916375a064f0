//! One commit of the log: its bytes, its checksum, and what it says.
//!
//! ```text
//! {"commitInfo":{…,"txnId":"<uuid of this commit>","footfall":{"crc32c":<of all that follows the first newline>}}}
//! {"metaData":…} {"remove":…} {"add":…} {"txn":…}      one action per line
//! ```
//!
//! The checksum is what tells a flipped bit inside a number or a string from the truth: JSON has no redundancy, and a
//! partition value that reads 2 instead of 3 would give wrong answers without any error. Commits of other engines
//! carry none and are taken as they are.

use std::collections::HashMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use deltalake_core::kernel::{Action, Add, CommitInfo, Metadata, Protocol, Remove};
use deltalake_core::logstore::get_actions;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::TableError;
use super::labels::Labels;
use super::snapshot::{FileEntry, Tombstone};

const ENGINE: &str = concat!("footfall/", env!("CARGO_PKG_VERSION"));
/// The version of what we add to Delta's commits.
const FORMAT: u64 = 1;
/// The highest protocol without optional features: every Delta engine reads and writes it.
const READER_VERSION_MAX: i64 = 1;
const WRITER_VERSION_MAX: i64 = 2;

/// What one commit, or a checkpoint, does to the state of a table.
#[derive(Debug, Default)]
pub(super) struct LogEntry {
    pub version: u64,
    /// Which call of which writer made it; `None` in checkpoints and commits of other engines.
    pub commit_id: Option<String>,
    pub adds: Vec<FileEntry>,
    pub removes: Vec<Tombstone>,
    pub transactions: Vec<(String, i64)>,
    pub metadata: Option<Metadata>,
    pub protocol: Option<Protocol>,
}

impl LogEntry {
    /// Reads a commit; refuses one whose checksum or meaning does not hold.
    pub fn decode(version: u64, bytes: &Bytes) -> Result<Self, TableError> {
        let actions = get_actions(version, bytes).map_err(|error| corrupt(version, error))?;
        let header = actions.iter().find_map(|action| match action {
            Action::CommitInfo(info) => Some(info),
            _ => None,
        });
        let format = header.and_then(|info| info.info.get("footfall")?.get("format")?.as_u64()).unwrap_or(FORMAT);
        if format > FORMAT {
            return Err(TableError::Unsupported { version, feature: format!("commits of format {format}") });
        }
        if let Some(expected) = header.and_then(|info| info.info.get("footfall")?.get("crc32c")) {
            let found = crc32c::crc32c(body(bytes));
            if expected.as_u64() != Some(u64::from(found)) {
                return Err(corrupt(version, format!("checksum mismatch, expected={expected} found={found}")));
            }
        }
        if actions.is_empty() {
            return Err(corrupt(version, "empty commit"));
        }
        Self::from_actions(version, actions)
    }

    pub fn from_actions(version: u64, actions: Vec<Action>) -> Result<Self, TableError> {
        let mut entry = Self { version, ..Self::default() };
        for action in actions {
            match action {
                Action::CommitInfo(info) => {
                    entry.commit_id = info.info.get("txnId").and_then(Value::as_str).map(str::to_owned);
                }
                Action::Add(add) => entry.adds.push(file_entry(version, add)?),
                Action::Remove(remove) => entry.removes.push(tombstone(remove)),
                Action::Txn(txn) => entry.transactions.push((txn.app_id, txn.version)),
                Action::Metadata(metadata) => entry.metadata = Some(metadata),
                Action::Protocol(protocol) => {
                    check_protocol(version, &protocol)?;
                    entry.protocol = Some(protocol);
                }
                // Change data is a second copy for streams; it never is part of the table's state.
                Action::Cdc(_) => {}
                Action::DomainMetadata(domain) => {
                    return Err(TableError::Unsupported {
                        version,
                        feature: format!("domain metadata {}", domain.domain),
                    });
                }
            }
        }
        Ok(entry)
    }
}

/// The bytes of a commit: `actions` behind a header that names the writer and vouches for the rest.
pub(super) fn encode(
    operation: &str,
    commit_id: &str,
    at: DateTime<Utc>,
    actions: &[Action],
) -> Result<Bytes, TableError> {
    let lines: Vec<String> = actions.iter().map(to_json).collect::<Result<_, _>>()?;
    let body = lines.join("\n");
    let header = CommitInfo {
        timestamp: Some(at.timestamp_millis()),
        operation: Some(operation.to_owned()),
        operation_parameters: Some(HashMap::new()),
        engine_info: Some(ENGINE.to_owned()),
        info: HashMap::from([
            ("txnId".to_owned(), json!(commit_id)),
            ("footfall".to_owned(), json!({"format": FORMAT, "crc32c": crc32c::crc32c(body.as_bytes())})),
        ]),
        ..CommitInfo::default()
    };
    Ok(Bytes::from(format!("{}\n{body}", to_json(&Action::CommitInfo(header))?)))
}

/// The protocol action of a new table.
pub(super) fn protocol() -> Result<Protocol, TableError> {
    serde_json::from_value(json!({"minReaderVersion": READER_VERSION_MAX, "minWriterVersion": WRITER_VERSION_MAX}))
        .map_err(json_error)
}

/// Everything behind the first line.
fn body(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    bytes.get(end..).unwrap_or_default()
}

fn to_json(action: &Action) -> Result<String, TableError> {
    serde_json::to_string(action).map_err(json_error)
}

fn json_error(json_err: serde_json::Error) -> TableError {
    TableError::Delta(deltalake_core::DeltaTableError::SerializeLogJson { json_err })
}

fn file_entry(version: u64, add: Add) -> Result<FileEntry, TableError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Counted {
        num_records: u64,
    }
    if add.deletion_vector.is_some() {
        return Err(TableError::Unsupported { version, feature: format!("deletion vector of {}", add.path) });
    }
    let counted: Option<Counted> = add.stats.as_deref().and_then(|stats| serde_json::from_str(stats).ok());
    let (Some(counted), Ok(bytes)) = (counted, u64::try_from(add.size)) else {
        return Err(corrupt(version, format!("file without row count or size, path={}", add.path)));
    };
    Ok(FileEntry {
        path: add.path,
        partition_values: present(add.partition_values),
        bytes,
        rows: counted.num_records,
        tags: present(add.tags.unwrap_or_default()),
        stats: add.stats,
        modified_at_ms: add.modification_time,
    })
}

fn tombstone(remove: Remove) -> Tombstone {
    Tombstone {
        path: remove.path,
        // Delta lets the time be absent and then means "long ago".
        removed_at: remove.deletion_timestamp.and_then(DateTime::from_timestamp_millis).unwrap_or_default(),
        partition_values: present(remove.partition_values.unwrap_or_default()),
        bytes: remove.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
    }
}

/// Delta's maps have nullable values, ours do not.
pub(super) fn optional<'a>(
    values: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> HashMap<String, Option<String>> {
    values.into_iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect()
}

fn present(values: HashMap<String, Option<String>>) -> Labels {
    values.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

fn check_protocol(version: u64, protocol: &Protocol) -> Result<(), TableError> {
    let value = serde_json::to_value(protocol).map_err(json_error)?;
    let needs = |key: &str, max: i64| value.get(key).and_then(Value::as_i64).is_none_or(|needed| needed > max);
    if needs("minReaderVersion", READER_VERSION_MAX) || needs("minWriterVersion", WRITER_VERSION_MAX) {
        return Err(TableError::Unsupported { version, feature: format!("protocol {value}") });
    }
    Ok(())
}

fn corrupt(version: u64, reason: impl ToString) -> TableError {
    TableError::Corrupt { version, reason: reason.to_string() }
}
