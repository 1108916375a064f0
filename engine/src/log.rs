//! What the log is beside the events' way in: the place from which everything can be made anew, and files that a person
//! may have to look into.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use footfall_model::ProjectId;
use footfall_storage::StorageError;
pub use footfall_storage::chain;
pub use footfall_storage::log::{Damage, Finding, Inspected, Located, LogError, Lsn, Salvaged, inspect, salvage};
use footfall_storage::log::{Entry, LogOptions, Record, Retention};
use parking_lot::Mutex;

use crate::{Engine, EngineOptions, Error, ErrorKind};

/// Record kind of what [`Engine::announce`] was given.
const PROJECT_RECORD: u8 = 16;

/// Plain settings of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPolicy {
    /// No part of the log is ever deleted.
    pub keep: bool,
    /// Most bytes that are not in the tables yet; past it nothing is stored.
    pub bytes_max: u64,
    /// Space that stays free on the log's disk; `None` for the usual.
    pub free_bytes_min: Option<u64>,
}

impl Default for LogPolicy {
    fn default() -> Self {
        Self { keep: false, bytes_max: 8 << 30, free_bytes_min: None }
    }
}

/// The folder of the log within a data directory.
pub fn log_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("log")
}

pub(crate) fn log_options(options: &EngineOptions) -> LogOptions {
    let LogPolicy { keep, bytes_max, free_bytes_min } = options.log;
    LogOptions {
        bytes_max,
        free_bytes_min,
        retention: if keep { Retention::Forever } else { Retention::UntilReleased },
        ..LogOptions::new(log_dir(&options.data_dir))
    }
}

/// What a record holds, for those who read a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    pub kind: &'static str,
    /// Events or updates.
    pub rows: usize,
}

/// Looks into a record as far as a dump needs it.
pub fn contents(kind: u8, payload: &[u8]) -> Contents {
    match kind {
        PROJECT_RECORD => Contents { kind: "project", rows: 1 },
        kind => {
            let (kind, rows) = footfall_storage::record_contents(kind, payload);
            Contents { kind, rows }
        }
    }
}

/// What the log knows of projects beside their events: opaque bytes, the newest of each.
#[derive(Default)]
pub(crate) struct Announced {
    newest: Mutex<BTreeMap<ProjectId, Bytes>>,
}

impl Announced {
    /// Takes a record in, if it is an announcement.
    pub fn replay(&mut self, record: &Record<'_>) -> bool {
        let ours = record.kind == PROJECT_RECORD;
        if ours {
            let payload = Bytes::copy_from_slice(record.payload);
            self.newest.get_mut().insert(ProjectId(record.project), payload);
        }
        ours
    }
}

impl Engine {
    /// What was announced of each project, as far as the log reaches back.
    pub fn announced(&self) -> Vec<(ProjectId, Bytes)> {
        self.announced.newest.lock().iter().map(|(id, bytes)| (*id, bytes.clone())).collect()
    }

    /// Puts into the log what makes the project anew where there is nothing but the log. Costs nothing when the log
    /// knows these very bytes. While the disk takes nothing it is put off until the next call: no answer depends on it.
    pub async fn announce(&self, project: ProjectId, bytes: Bytes) -> Result<(), Error> {
        if self.announced.newest.lock().get(&project) == Some(&bytes) {
            return Ok(());
        }
        let (answer, durable) = tokio::sync::oneshot::channel();
        let entry = Entry { project: project.0, kind: PROJECT_RECORD, payload: bytes.to_vec() };
        let log = self.log.clone();
        let queued =
            tokio::task::spawn_blocking(move || log.append(entry, Box::new(move |result| drop(answer.send(result)))));
        let outcome = match queued.await {
            Ok(Ok(_)) => durable.await.unwrap_or(Err(LogError::Closed)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(LogError::Closed),
        };
        match outcome {
            Ok(_) => drop(self.announced.newest.lock().insert(project, bytes)),
            Err(LogError::Stalled { .. } | LogError::Unavailable { .. } | LogError::Closed) => {}
            Err(error) => return Err(StorageError::from(error).into()),
        }
        Ok(())
    }
}

/// A log that cannot be opened, in the words of somebody who has to mend it.
pub(crate) fn cannot_open(data_dir: &Path, error: LogError) -> Error {
    let kind = match error {
        LogError::Corrupt { .. } | LogError::Exhausted { .. } => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    };
    let advice = match error {
        LogError::Corrupt { .. } => format!("; {}", advice(data_dir, None)),
        _ => String::new(),
    };
    Error::new(kind, if kind == ErrorKind::Corrupt { "corrupt" } else { "log" }, format!("{}{advice}", chain(&error)))
}

/// The log ends before what a table holds.
pub(crate) fn log_behind(data_dir: &Path, project: ProjectId, flushed: Lsn, next: Lsn) -> Error {
    let advice = advice(data_dir, Some(Lsn(flushed.0 + 1)));
    let dir = log_dir(data_dir);
    let message = format!(
        "log has lost its end: the tables of project {project} hold records up to lsn={flushed}, the log goes on at \
         lsn={next}, dir={}; {advice}",
        dir.display()
    );
    Error::new(ErrorKind::Corrupt, "corrupt", message)
}

/// The command that copies what is sound.
fn advice(data_dir: &Path, next_lsn: Option<Lsn>) -> String {
    let dir = log_dir(data_dir);
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    let next_lsn = next_lsn.map_or(String::new(), |lsn| format!(" --next-lsn {lsn}"));
    let (from, new, old) =
        (quoted(data_dir), quoted(&dir.with_extension("new")), quoted(&dir.with_extension("damaged")));
    format!(
        "nothing was changed; to go on with what is sound: footfall log salvage --data-dir {from} --to {new}{next_lsn} \
         && mv {dir} {old} && mv {new} {dir}",
        dir = quoted(&dir)
    )
}

/// Why a project could not be attached.
pub(crate) fn cannot_attach(data_dir: &Path, project: ProjectId, error: StorageError) -> Error {
    match error {
        StorageError::LogBehind { flushed, next } => log_behind(data_dir, project, flushed, next),
        error => error.into(),
    }
}
