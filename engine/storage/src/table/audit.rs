//! The whole log of a table, read from its first commit and past what is damaged: for checks, and for backups.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::ObjectStore;

use super::TableError;
use super::checkpoint;
use super::log::{Log, commit_name};
use super::replay::Replay;
use super::snapshot::TableSnapshot;

/// What a table's log says, and what is wrong with it.
#[derive(Debug, Default)]
pub struct TableAudit {
    /// The newest version; `None` if nothing can be made of the log.
    pub snapshot: Option<TableSnapshot>,
    pub commits: u64,
    /// Object within the table's folder, and what is wrong with it.
    pub damages: Vec<(String, String)>,
}

/// Replays every commit of the table at `root`, whatever checkpoints say. Fails only if the store does.
pub async fn audit(store: Arc<dyn ObjectStore>, root: &str) -> Result<TableAudit, TableError> {
    let log = Log::new(store, root);
    let mut audit = TableAudit::default();
    let mut replay: Option<Replay> = None;
    let versions = log.versions().await?;
    let mut expected = 0;
    for version in versions {
        if version != expected {
            audit.damage(commit_name(expected), format!("missing, with {} more", version - expected - 1));
            replay = None;
        }
        expected = version + 1;
        audit.commits += 1;
        let entry = match log.read(version).await {
            Ok(Some(entry)) => entry,
            Ok(None) => {
                audit.damage(commit_name(version), "listed but not readable".to_owned());
                continue;
            }
            Err(error @ TableError::Store { .. }) => return Err(error),
            Err(error) => {
                audit.damage(commit_name(version), crate::chain(&error));
                continue;
            }
        };
        for (app_id, to) in &entry.transactions {
            let from = replay.as_ref().and_then(|replay| replay.transactions.get(app_id));
            if from.is_some_and(|from| from > to) {
                audit.damage(commit_name(version), format!("transaction {app_id} goes back to {to}"));
            }
        }
        let applied = match &mut replay {
            Some(replay) => replay.extend(vec![entry]),
            None if version == 0 => Replay::start(entry).map(|started| replay = Some(started)),
            // What came before is damaged: the state is unknown from here on.
            None => Ok(()),
        };
        if let Err(error) = applied {
            audit.damage(commit_name(version), crate::chain(&error));
        }
    }
    let checkpoint = checkpoint::announced_state(&log).await;
    match checkpoint {
        Ok(Some(state)) => {
            if let Some(at) = state_at(&log, state.version, audit.damages.is_empty()).await?
                && !agree(&at, &state)
            {
                audit.damage(checkpoint::name(state.version), "its state is not that of the commits".to_owned());
            }
        }
        Ok(None) => {}
        Err(error @ TableError::Store { .. }) => return Err(error),
        Err(error) => audit.damage("_delta_log/_last_checkpoint".to_owned(), crate::chain(&error)),
    }
    // A table whose early commits are damaged may still be read from a checkpoint, as a start would.
    audit.snapshot = match replay.filter(|_| audit.damages.is_empty()) {
        Some(replay) => Some(replay.snapshot()),
        None => match checkpoint::open(&log).await {
            Ok(state) => state.map(|state| state.snapshot()),
            Err(error @ TableError::Store { .. }) => return Err(error),
            Err(_) => None,
        },
    };
    Ok(audit)
}

/// The newest version of the table at `root` in which no transaction named in `limits` is past its limit; `None` if there
/// is no table, or no such version.
pub async fn pin(
    store: Arc<dyn ObjectStore>,
    root: &str,
    limits: Option<&BTreeMap<String, i64>>,
) -> Result<Option<TableSnapshot>, TableError> {
    let log = Log::new(store, root);
    let Some(head) = checkpoint::open(&log).await? else { return Ok(None) };
    let Some(limits) = limits else { return Ok(Some(head.snapshot())) };
    let is_within = |transactions: &BTreeMap<String, i64>| {
        let logs = transactions.iter().filter(|(app_id, _)| app_id.starts_with("footfall-log-"));
        logs.into_iter().all(|(app_id, at)| limits.get(app_id).is_some_and(|limit| at <= limit))
    };
    if is_within(&head.transactions) {
        return Ok(Some(head.snapshot()));
    }
    let Some(first) = log.read(0).await? else { return Ok(None) };
    let mut replay = Replay::start(first)?;
    while let Some(entry) = log.read(replay.version + 1).await? {
        let mut next = replay.clone();
        next.extend(vec![entry])?;
        if !is_within(&next.transactions) {
            break;
        }
        replay = next;
    }
    Ok(Some(replay.snapshot()))
}

impl TableAudit {
    fn damage(&mut self, object: String, what: String) {
        self.damages.push((object, what));
    }
}

/// The state of the commits up to a version.
async fn state_at(log: &Log, version: u64, sound: bool) -> Result<Option<Replay>, TableError> {
    if !sound {
        return Ok(None);
    }
    let Some(first) = log.read(0).await? else { return Ok(None) };
    let mut replay = Replay::start(first)?;
    while replay.version < version {
        let Some(entry) = log.read(replay.version + 1).await? else { return Ok(None) };
        replay.extend(vec![entry])?;
    }
    Ok(Some(replay))
}

/// Tombstones may be forgotten by a checkpoint, live files and transactions never.
fn agree(commits: &Replay, checkpoint: &Replay) -> bool {
    commits.files.keys().eq(checkpoint.files.keys())
        && commits.files.values().zip(checkpoint.files.values()).all(|(a, b)| {
            (a.bytes, a.rows, &a.tags, &a.partition_values) == (b.bytes, b.rows, &b.tags, &b.partition_values)
        })
        && commits.transactions == checkpoint.transactions
}
